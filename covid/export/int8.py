"""A float graph to an 8-bit one: ranges measured on images, layers that suffer kept in float.

Static quantisation in ONNX's QDQ form: activations uint8 with a zero point, weights int8 with a
scale a channel, biases int32. The arithmetic of each layer is onnxruntime's quantiser's; where
the ranges lie, and which layers are left alone, is decided here.
"""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from covid.edge.processors import usable_processors
from covid.export.graph import LAYERS, check

Pixels = npt.NDArray[np.uint8]
Range = tuple[float, float]
Method = Literal["minmax", "percentile", "mse"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "mse")

CPUINFO = Path("/proc/cpuinfo")  # its flags name avx512_vnni or avx_vnni
PIXELS = "pixels"  # the float input of a graph whose subtraction was taken off
SMALLEST = 1e-30  # width of a bin whose inverse float32 still holds
BINS = 2048  # of a histogram over a tensor's whole range: eight for each of 256 levels
PERCENTILE = 0.9999  # of all values lie within; Wu et al. 2020, "Integer quantization", 99.99 %
# Shares of the range that "mse" tries at each end; Nagel et al. 2021, "A white paper on neural
# network quantization", section 3.1, searches the same error over a grid.
SHARES = np.linspace(0.2, 1.0, 33)
LEVELS = 255  # steps of 8 bits
OPERATIONS = (
    "Conv", "Gemm", "Relu", "Clip", "Add", "MaxPool", "AveragePool", "GlobalAveragePool",
    "Reshape", "Flatten",
)  # fmt: skip


@dataclass(frozen=True)
class Centred:
    """A float graph from `pixels` (grey level minus `zero_point`) to its outputs."""

    model: onnx.ModelProto
    zero_point: int  # the training images' mean grey level, rounded


def centre(model: onnx.ModelProto) -> Centred:
    """Takes the graph's first operations off: uint8 to float, minus the mean grey level.

    A uint8 image is a quantised tensor already, of scale 1 and a zero point that is the mean,
    rounded. What rounding leaves over, the first convolution's bias takes: the same function,
    but within a kernel's reach of the image's edge, where the padding is half a grey level off
    at most.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    assert graph.node[0].op_type == "Cast"
    graph.node.remove(graph.node[0])
    mean = 0.0  # of black images; the exporter leaves out that nothing is taken off
    if graph.node[0].op_type == "Sub":
        level = constants[graph.node[0].input[1]]
        mean = float(numpy_helper.to_array(level))
        graph.initializer.remove(level)
        graph.node.remove(graph.node[0])
    stem = graph.node[0]
    assert stem.op_type == "Conv"
    zero_point = int(np.clip(round(mean), 0, LEVELS))
    weight = numpy_helper.to_array(constants[stem.input[1]])
    correction = weight.sum(axis=(1, 2, 3)) * (zero_point - mean)
    if len(stem.input) == 3:
        correction += numpy_helper.to_array(constants[stem.input[2]])
        graph.initializer.remove(constants[stem.input[2]])
    graph.initializer.append(numpy_helper.from_array(correction.astype(np.float32), "stem_bias"))
    stem.input[:] = [PIXELS, stem.input[1], "stem_bias"]
    graph.input[0].name = PIXELS
    graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return Centred(onnx.shape_inference.infer_shapes(model), zero_point)


def layers(model: onnx.ModelProto) -> list[str]:
    """The names of the operations with weights, in execution order."""
    return [node.name for node in model.graph.node if node.op_type in LAYERS]


class Ranges:
    """How far each activation of a graph reaches, over images seen one at a time.

    And where each channel lies on average. Memory is one image's activations and a histogram a
    tensor, however many images there are.
    """

    def __init__(
        self,
        centred: Centred,
        images: Callable[[], Iterator[Pixels]],
        advance: Callable[[int], object],
    ):
        """`images()` yields uint8 `[n, size, size]` and is gone through twice."""
        watched = _activations(centred.model)
        session = _session(centred.model, watched)
        self.low = dict.fromkeys(watched, np.inf)
        self.high = dict.fromkeys(watched, -np.inf)
        for name, values in _run(session, watched, centred, images(), advance):
            self.low[name] = min(self.low[name], float(values.min()))
            self.high[name] = max(self.high[name], float(values.max()))
        self.counts = {name: np.zeros(BINS, dtype=np.int64) for name in watched}
        sums: dict[str, npt.NDArray[np.float64]] = {}
        seen = 0
        for name, values in _run(session, watched, centred, images(), advance):
            width = (self.high[name] - self.low[name]) / BINS
            width = width if width > SMALLEST else 1.0  # all values alike, to rounding
            scaled = (values - np.float32(self.low[name])) * np.float32(1 / width)
            places = scaled.astype(np.int32).clip(0, BINS - 1)
            self.counts[name] += np.bincount(places.ravel(), minlength=BINS)
            plane = tuple(axis for axis in range(values.ndim) if axis != 1)
            sums[name] = sums.get(name, 0) + values.mean(axis=plane, dtype=np.float64)
            seen += name == PIXELS
        self.means = {name: total / seen for name, total in sums.items()}  # a number a channel

    def choose(self, method: Method) -> dict[str, Range]:
        """A range an activation. Each holds zero, which padding and ReLU need exactly."""
        chosen = {}
        for name, counts in self.counts.items():
            low, high = self.low[name], self.high[name]
            if method == "percentile":
                low, high = percentile_range(counts, low, high)
            elif method == "mse":
                low, high = least_error_range(counts, low, high)
            chosen[name] = (min(low, 0.0), max(high, 0.0))
        return chosen


def percentile_range(counts: npt.NDArray[np.int64], low: float, high: float) -> Range:
    """What PERCENTILE of all values lie between, as many left out below as above."""
    share = np.cumsum(counts) / counts.sum()
    outside = (1 - PERCENTILE) / 2
    width = (high - low) / len(counts)
    first = int(np.searchsorted(share, outside))
    last = int(np.searchsorted(share, 1 - outside))
    return low + first * width, low + min(last + 1, len(counts)) * width


def least_error_range(counts: npt.NDArray[np.int64], low: float, high: float) -> Range:
    """The range whose 256 levels reproduce the values with the least mean squared error."""
    values = low + (np.arange(len(counts)) + 0.5) * (high - low) / len(counts)
    lows = SHARES * low if low < 0 else np.zeros(1)
    highs = SHARES * high if high > 0 else np.zeros(1)
    best, least = (low, high), np.inf
    for lowest in lows:
        steps = np.maximum((highs - lowest) / LEVELS, np.finfo(np.float32).tiny)[:, None]
        levels = np.clip(np.rint((values - lowest) / steps), 0, LEVELS)
        errors = ((levels * steps + lowest - values) ** 2) @ counts
        place = int(errors.argmin())
        if errors[place] < least:
            best, least = (float(lowest), float(highs[place])), float(errors[place])
    return best


def quantise(
    centred: Centred,
    ranges: Mapping[str, Range],
    means: Mapping[str, npt.NDArray[np.float64]],
    keep_in_float: Sequence[str] = (),
    *,
    reduce_range: bool = False,
) -> onnx.ModelProto:
    """The 8-bit graph, from `image` (uint8) on; the layers that `keep_in_float` names stay.

    `ranges` and `means` are those of `Ranges`: a range an activation, a mean a channel.

    `reduce_range` gives weights 7 bits: on x86 without VNNI the sum of two products of 8 bits
    overflows 16 (onnxruntime's documentation on quantisation).
    """
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    for bounded, before in _bounded(centred.model).items():
        data[before] = data[bounded]  # the quantiser asks for it, and drops it with the ReLU
    quantizer = QDQQuantizer(
        onnx.ModelProto.FromString(centred.model.SerializeToString()),
        per_channel=True,
        reduce_range=reduce_range,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=[],
        nodes_to_exclude=list(keep_in_float),
        op_types_to_quantize=list(OPERATIONS),
        extra_options={
            "TensorQuantOverrides": {
                PIXELS: [
                    {
                        "scale": np.array(1, dtype=np.float32),
                        "zero_point": np.array(centred.zero_point, dtype=np.uint8),
                    }
                ]
            },
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    model: onnx.ModelProto = quantizer.model.model
    _correct_biases(model, centred.model, means)
    _take_bytes(model, centred.zero_point)
    _leave_logits(model)
    _shield(model, keep_in_float)
    del model.graph.value_info[:]
    check(model)
    return model


def lacks_vnni() -> bool:
    """Whether this is an x86 processor whose products of 8 bits are summed up in 16.

    True on x86 where nobody says (macOS, Windows): 7 bits are right everywhere.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686"):
        return False
    try:
        return "vnni" not in CPUINFO.read_text()
    except OSError:
        return True


def _activations(model: onnx.ModelProto) -> list[str]:
    """The tensors that are quantised: every float that an operation gives, but probabilities.

    A sum that only a ReLU reads is not among them, because the two become one operation.
    """
    inside = set(_bounded(model).values())
    given = [node.output[0] for node in model.graph.node if node.op_type in OPERATIONS]
    return [PIXELS, *(name for name in given if name not in inside)]


def _bounded(model: onnx.ModelProto) -> dict[str, str]:
    """What a ReLU or a clip gives -> what it is given, where it alone reads that."""
    readers: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    return {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type in ("Relu", "Clip") and readers[node.input[0]] == 1
    }


def _session(model: onnx.ModelProto, watched: Sequence[str]) -> onnxruntime.InferenceSession:
    """A session that gives `watched`, activations included, as its outputs."""
    opened = onnx.ModelProto.FromString(model.SerializeToString())
    del opened.graph.output[:]
    for name in watched:
        if name != PIXELS:
            opened.graph.output.append(helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_processors()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _run(
    session: onnxruntime.InferenceSession,
    watched: Sequence[str],
    centred: Centred,
    images: Iterator[Pixels],
    advance: Callable[[int], object],
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Every activation of every image, one image at a time."""
    names = [name for name in watched if name != PIXELS]
    for several in images:
        for image in several:
            pixels = image[np.newaxis, np.newaxis].astype(np.float32) - centred.zero_point
            yield PIXELS, pixels
            yield from zip(names, session.run(names, {PIXELS: pixels}), strict=True)
        advance(len(several))


def _correct_biases(
    model: onnx.ModelProto, exact: onnx.ModelProto, means: Mapping[str, npt.NDArray[np.float64]]
) -> None:
    """Adds to each layer's bias what rounding its weights takes off its output on average.

    Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction",
    section 4.2: the expected error is (W - rounded W) times the mean input, which calibration
    images tell. What padding adds at the edge is not counted.
    """
    rounded = {one.name: one for one in model.graph.initializer}
    constants = {one.name: one for one in exact.graph.initializer}
    for node in exact.graph.node:
        if node.op_type not in LAYERS or len(node.input) < 3:
            continue
        weight_name, bias_name = node.input[1], f"{node.input[2]}_quantized"
        if f"{weight_name}_quantized" not in rounded or bias_name not in rounded:
            continue  # kept in float
        weight = numpy_helper.to_array(constants[weight_name]).astype(np.float64)
        integers = numpy_helper.to_array(rounded[f"{weight_name}_quantized"])
        scale = numpy_helper.to_array(rounded[f"{weight_name}_scale"]).astype(np.float64)
        lost = weight - integers * scale.reshape(-1, *[1] * (weight.ndim - 1))
        lost = lost.reshape(*weight.shape[:2], -1).sum(axis=2)  # [outputs, inputs of a group]
        # Each output sees the inputs of its group only: all of them, or its own in a depthwise.
        inputs = means[node.input[0]].reshape(-1, weight.shape[1])
        inputs = np.repeat(inputs, len(weight) // len(inputs), axis=0)
        correction = (lost * inputs).sum(axis=1)
        step = numpy_helper.to_array(rounded[f"{bias_name}_scale"]).astype(np.float64)
        bias = numpy_helper.to_array(rounded[bias_name]) + np.rint(correction / step)
        limits = np.iinfo(np.int32)
        bias = bias.clip(limits.min, limits.max).astype(np.int32)
        rounded[bias_name].CopyFrom(numpy_helper.from_array(bias, bias_name))


def _take_bytes(model: onnx.ModelProto, zero_point: int) -> None:
    """Replaces the float input, and its quantisation where there is one, by the uint8 image."""
    graph = model.graph
    graph.input[0].name = "image"
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    # With the stem in 8 bits: pixels -> QuantizeLinear -> DequantizeLinear -> convolution.
    # With the stem in float: pixels -> convolution.
    centred = PIXELS
    for node in [node for node in graph.node if node.input[0] == PIXELS]:
        if node.op_type == "QuantizeLinear":
            dequantise = next(other for other in graph.node if other.input[0] == node.output[0])
            centred = dequantise.output[0]
            graph.node.remove(node)
            graph.node.remove(dequantise)
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(1, dtype=np.float32), "image_scale"),
            numpy_helper.from_array(np.array(zero_point, dtype=np.uint8), "image_zero_point"),
        ]
    )
    graph.node.insert(
        0,
        helper.make_node(
            "DequantizeLinear", ["image", "image_scale", "image_zero_point"], [centred],
            name="image_dequantize",
        ),
    )  # fmt: skip
    _drop_unread(graph)


def _leave_logits(model: onnx.ModelProto) -> None:
    """Logits as they come out of the sum: they are the answer, and nothing reads them in 8 bits."""
    graph = model.graph
    producer = {name: node for node in graph.node for name in node.output}
    dequantise = producer["logit"]
    if dequantise.op_type != "DequantizeLinear":
        return
    quantise_ = producer[dequantise.input[0]]
    layer = producer[quantise_.input[0]]
    layer.output[0] = "logit"
    graph.node.remove(quantise_)
    graph.node.remove(dequantise)
    _drop_unread(graph)


def _shield(model: onnx.ModelProto, kept: Sequence[str]) -> None:
    """Puts a clip that changes nothing before each layer in float.

    onnxruntime gives 8 bits, with one scale for all channels, to float weights that it finds
    between dequantising and quantising (WeightBiasQuantization, since 1.21). A clip at the
    lowest and highest value that 8 bits can say keeps it from that.
    """
    graph = model.graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    producer = {name: node for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.name in kept]:
        dequantise = producer.get(node.input[0])
        if dequantise is None or dequantise.op_type != "DequantizeLinear":
            continue
        scale, zero_point = (constants[name] for name in dequantise.input[1:])
        bounds = (np.array([0, LEVELS]) - zero_point) * scale
        names = [f"{node.name}_{end}" for end in ("lowest", "highest")]
        graph.initializer.extend(
            numpy_helper.from_array(np.array(bound, dtype=np.float32), name)
            for bound, name in zip(bounds, names, strict=True)
        )
        clip = helper.make_node(
            "Clip", [node.input[0], *names], [f"{node.name}_input"], name=f"{node.name}_shield"
        )
        graph.node.insert(list(graph.node).index(node), clip)
        node.input[0] = clip.output[0]


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    for constant in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(constant)
