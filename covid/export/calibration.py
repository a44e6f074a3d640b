"""Statistics of a float graph on calibration images: how far activations reach, what layers read.

Images are seen one at a time, so that memory is that of one image, however many there are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper

from covid.edge.processors import usable_processors
from covid.export.rounding import Moments, convolutions

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Batches = Callable[[], Iterator[Pixels]]
Range = tuple[float, float]

PIXELS = "pixels"  # the float input of a graph whose subtraction was taken off
OPERATIONS = ("Conv", "Relu", "Clip", "Add", "MaxPool")  # that work on 8 bits
JOINS = ("Concat", "AveragePool")  # that do as well, but where they are the pooling before a head
# What is computed in float between layers in 8 bits: gates of channels, and smooth bounds.
BETWEEN = ("Mul", "Sigmoid", "HardSigmoid", "HardSwish", "ReduceMean", "GlobalAveragePool")
BEFORE = ("Cast", "Sub")  # the first layer, which takes their place: bytes to grey levels
# After the last convolution all is in float, as it is; but whole layers there, as a vision
# transformer's, would make a file in 8 bits that hardly is one.
LAYERS = ("MatMul", "LayerNormalization")
MIN_BIN_WIDTH = 1e-30  # width of a bin whose inverse float32 still holds
BINS = 2048  # of a histogram over a tensor's whole range: eight for each of 256 levels
# Shares of the range that are tried at each end; Nagel et al. 2021, "A white paper on neural
# network quantization", section 3.1, searches the same error over a grid.
SHARES = np.linspace(0.2, 1.0, 33)
LEVELS = 255  # steps of 8 bits
# Places of an image that a layer's moments are taken from. Of 300 images that makes 38,400, eight
# for each of the 4,608 inputs that the widest layers of VGG-16 and ResNet-18 have.
POSITIONS_PER_IMAGE = 128


@dataclass(frozen=True)
class Centred:
    """A float graph from `pixels` (grey level minus `zero_point`) to its outputs."""

    model: onnx.ModelProto
    zero_point: int  # the training images' mean grey level, rounded


def after_feature_map(model: onnx.ModelProto) -> list[str]:
    """The names of all operations after the last feature map: pooling and head.

    Everything from the first operation behind the last convolution on that is not one of
    OPERATIONS.
    """
    nodes = list(model.graph.node)
    last = max(place for place, node in enumerate(nodes) if node.op_type == "Conv")
    first = next(
        place for place, node in enumerate(nodes)
        if place > last and node.op_type not in OPERATIONS
    )  # fmt: skip
    return [node.name for node in nodes[first:]]


def without_8_bit_form(model: onnx.ModelProto) -> list[str]:
    """The kinds of operations for which a float graph cannot be one in 8 bits; none: it can."""
    constants = {constant.name: len(constant.dims) for constant in model.graph.initializer}
    after, kinds = set(after_feature_map(model)), set()
    for node in model.graph.node:
        if node.name in after:
            kinds |= {node.op_type} & set(LAYERS)
        elif node.op_type not in (*OPERATIONS, *JOINS, *BETWEEN, *BEFORE):
            kinds.add(node.op_type)
        elif node.op_type == "Add" and set(node.input) & set(constants):
            kinds.add("Add of a constant")
        elif node.op_type == "Conv" and constants.get(node.input[1]) != 4:
            kinds.add("Conv of computed weights, or along one axis")
    return sorted(kinds)


def activations(model: onnx.ModelProto) -> list[str]:
    """The tensors that are quantised up to the feature map.

    The pixels, and what is given to or by OPERATIONS and JOINS. A sum that only a ReLU reads is
    not among them, because the two become one operation.
    """
    inside, after = set(bounded(model).values()), set(after_feature_map(model))
    constants = {constant.name for constant in model.graph.initializer}
    names = {PIXELS: None}  # in order, each once
    for node in model.graph.node:
        if node.op_type in (*OPERATIONS, *JOINS) and node.name not in after:
            data = [name for name in node.input if name and name not in constants]
            names |= dict.fromkeys([*data, node.output[0]])
    return [name for name in names if name not in inside]


def bounded(model: onnx.ModelProto) -> dict[str, str]:
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


def channel_reach(
    centred: Centred, images: Batches, advance: Callable[[int], object]
) -> dict[str, Doubles]:
    """Activation -> the largest magnitude of each channel, `[channels]`.

    `images()` yields uint8 `[n, size, size]`; `advance` takes how many are done.
    """
    reach: dict[str, Doubles] = {}
    for name, values in _run(centred, images, advance):
        largest = np.abs(values).max(axis=(0, 2, 3)).astype(np.float64)
        reach[name] = np.maximum(reach.get(name, 0), largest)
    return reach


class Statistics:
    """The range of each activation, with a histogram, and the moments of each layer's inputs."""

    def __init__(self, centred: Centred, images: Batches, advance: Callable[[int], object]):
        """`images()` yields uint8 `[n, size, size]` and is gone through twice."""
        watched = activations(centred.model)
        self.low = dict.fromkeys(watched, np.inf)
        self.high = dict.fromkeys(watched, -np.inf)
        for name, values in _run(centred, images, advance):
            self.low[name] = min(self.low[name], float(values.min()))
            self.high[name] = max(self.high[name], float(values.max()))
        self.counts = {name: np.zeros(BINS, dtype=np.int64) for name in watched}
        layers = convolutions(centred.model)
        self.moments = {layer.name: Moments() for layer in layers}
        draw = np.random.default_rng(0)
        for name, values in _run(centred, images, advance):
            width = (self.high[name] - self.low[name]) / BINS
            width = width if width > MIN_BIN_WIDTH else 1.0  # all values alike, to rounding
            scaled = (values - np.float32(self.low[name])) * np.float32(1 / width)
            places = scaled.astype(np.int32).clip(0, BINS - 1)
            self.counts[name] += np.bincount(places.ravel(), minlength=BINS)
            for layer in layers:
                if layer.tensor == name:
                    self.moments[layer.name].add(layer.patches(values, draw, POSITIONS_PER_IMAGE))

    def ranges(self) -> dict[str, Range]:
        """One range per activation. Each holds zero, which padding and ReLU need exactly."""
        chosen = {}
        for name, counts in self.counts.items():
            low, high = least_error_range(counts, self.low[name], self.high[name])
            chosen[name] = (min(low, 0.0), max(high, 0.0))
        return chosen


def least_error_range(counts: npt.NDArray[np.int64], low: float, high: float) -> Range:
    """The range whose 256 levels reproduce the values with the least mean squared error.

    `counts` is a histogram over `low` to `high`.
    """
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


def _run(
    centred: Centred, images: Batches, advance: Callable[[int], object]
) -> Iterator[tuple[str, Floats]]:
    """Every activation of every image, one image at a time."""
    names = [name for name in activations(centred.model) if name != PIXELS]
    session = _session(centred.model, names)
    for several in images():
        for image in several:
            pixels = image[np.newaxis, np.newaxis].astype(np.float32) - centred.zero_point
            yield PIXELS, pixels
            yield from zip(names, session.run(names, {PIXELS: pixels}), strict=True)
        advance(len(several))


def _session(model: onnx.ModelProto, watched: Sequence[str]) -> onnxruntime.InferenceSession:
    """A session that gives `watched`, activations included, as its outputs."""
    opened = onnx.ModelProto.FromString(model.SerializeToString())
    del opened.graph.output[:]
    for name in watched:
        opened.graph.output.append(helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_processors()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
