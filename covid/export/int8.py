"""A float graph to an 8-bit one: pixels as they are, convolutions in integers, the head in float.

Static quantisation in ONNX's QDQ form: activations uint8 with a zero point, weights int8 with one
scale per channel, biases int32. Where ranges lie, how weights are rounded and which layers are left
alone is decided here and beside; the graph is written by onnxruntime's quantiser.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from covid.export.calibration import (
    JOINS,
    LEVELS,
    OPERATIONS,
    PIXELS,
    Batches,
    Centred,
    Range,
    Statistics,
    after_feature_map,
    bounded,
    channel_reach,
)
from covid.export.equalise import equalise
from covid.export.graph import check, constants_of, drop_unread
from covid.export.rounding import FULL, Rounded, convolutions, replace_layers, round_layers

PASSES = 3  # over the calibration images


@dataclass(frozen=True)
class Prepared:
    """A float graph whose channels were equalised, and its statistics on calibration images."""

    centred: Centred
    statistics: Statistics
    ranges: Mapping[str, Range]  # of each activation

    def round(self, limit: int) -> dict[str, Rounded]:
        """Layer -> its weights in integers of at most `limit` in magnitude."""
        return round_layers(self.centred.model, self.statistics.moments, limit)


def prepare(
    model: onnx.ModelProto, images: Batches, advance: Callable[[int], object]
) -> Prepared:
    """What all 8-bit forms of `model`, an fp32 graph, have in common.

    `images()` yields uint8 `[n, size, size]` and is gone through PASSES times; `advance` takes
    how many are done.
    """
    centred = fold_mean(model)
    reach = channel_reach(centred, images, advance)
    equalised = Centred(equalise(centred.model, reach), centred.zero_point)
    statistics = Statistics(equalised, images, advance)
    return Prepared(equalised, statistics, statistics.ranges())


def fold_mean(model: onnx.ModelProto) -> Centred:
    """Takes the graph's first operations off: uint8 to float, minus the mean grey level.

    A uint8 image is a quantised tensor already, of scale 1 and a zero point that is the mean,
    rounded. What rounding leaves over, the first convolution's bias takes: the same function,
    but within a kernel's reach of the image's edge, where the padding is half a grey level off
    at most. Convolutions without a bias are given one of zeros.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
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
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 2:
            bias = np.zeros(constants[node.input[1]].dims[0], dtype=np.float32)
            graph.initializer.append(numpy_helper.from_array(bias, f"{node.name}.zero_bias"))
            node.input.append(f"{node.name}.zero_bias")
    graph.input[0].name = PIXELS
    graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return Centred(onnx.shape_inference.infer_shapes(model), zero_point)


def layers(model: onnx.ModelProto) -> list[str]:
    """The names of the layers that can be in 8 bits, in execution order: all but the head's."""
    return [layer.name for layer in convolutions(model)]


def quantise(
    prepared: Prepared, rounded: Mapping[str, Rounded], keep_in_float: Sequence[str] = ()
) -> onnx.ModelProto:
    """The 8-bit graph, from `image` (uint8) on; the layers that `keep_in_float` names stay.

    Pooling and head are computed in float, the head's weights stored in 8 bits.
    """
    centred = prepared.centred
    exact = replace_layers(centred.model, rounded, keep_in_float)
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in prepared.ranges.items()
    }
    for after, before in bounded(exact).items():
        if after in data:
            data[before] = data[after]  # the quantiser asks for it, and drops it with the ReLU
    overrides: dict[str, list[dict[str, object]]] = {
        PIXELS: [{
            "scale": np.array(1, dtype=np.float32),
            "zero_point": np.array(centred.zero_point, dtype=np.uint8),
        }]
    }  # fmt: skip
    for layer in convolutions(exact):
        if layer.name not in keep_in_float:
            overrides[layer.weight] = [
                {"axis": 0, "scale": scale, "zero_point": np.array(0, dtype=np.int8)}
                for scale in rounded[layer.name].scales
            ]
    quantizer = QDQQuantizer(
        exact,
        per_channel=True,
        reduce_range=False,  # weights are on their grid already, whatever its limit
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=[],
        nodes_to_exclude=[
            *keep_in_float, *_bounds_of(exact, keep_in_float), *after_feature_map(exact)
        ],
        op_types_to_quantize=[*OPERATIONS, *JOINS],
        extra_options={"TensorQuantOverrides": overrides},
    )  # fmt: skip
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    model: onnx.ModelProto = quantizer.model.model
    use_uint8_input(model, centred.zero_point)
    _keep_weights_float(model, keep_in_float)
    store_head_in_8_bits(model)
    del model.graph.value_info[:]
    check(model)
    return model


def _bounds_of(model: onnx.ModelProto, names: Sequence[str]) -> list[str]:
    """The ReLU or clip behind each of these layers, where it alone reads the layer."""
    given = {node.output[0] for node in model.graph.node if node.name in names}
    alone = bounded(model)
    return [
        node.name
        for node in model.graph.node
        if node.output[0] in alone and alone[node.output[0]] in given
    ]


def use_uint8_input(model: onnx.ModelProto, zero_point: int) -> None:
    """Replaces the float input, and its quantisation where there is one, by the uint8 image."""
    graph = model.graph
    graph.input[0].name = "image"
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    # With the stem in 8 bits: pixels -> QuantizeLinear -> DequantizeLinear -> convolution.
    # With the stem in float: pixels -> convolution.
    dequantised = PIXELS
    for node in [node for node in graph.node if node.input[0] == PIXELS]:
        if node.op_type == "QuantizeLinear":
            dequantise = next(other for other in graph.node if other.input[0] == node.output[0])
            dequantised = dequantise.output[0]
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
            "DequantizeLinear", ["image", "image_scale", "image_zero_point"], [dequantised],
            name="image_dequantize",
        ),
    )  # fmt: skip
    drop_unread(graph)


def store_head_in_8_bits(model: onnx.ModelProto) -> None:
    """Weights of dense layers as int8 with one scale per output; the layers compute in float.

    x · (s · W) becomes (x · W) · s: a runtime casts W to float once, when it opens the file.
    """
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Gemm"]:
        assert helper.get_node_attr_value(node, "transB") == 1  # [outputs, inputs]
        weight = numpy_helper.to_array(constants[node.input[1]])
        largest = np.abs(weight).max(axis=1)
        scales = (np.where(largest > 0, largest, 1) / FULL).astype(np.float32)
        integers = np.rint(weight / scales[:, None]).astype(np.int8)
        given, bias = node.output[0], node.input[2]
        graph.initializer.remove(constants[node.input[1]])
        graph.initializer.extend(
            [
                numpy_helper.from_array(integers, f"{node.name}.weight_quantized"),
                numpy_helper.from_array(scales, f"{node.name}.weight_scale"),
            ]
        )
        cast = helper.make_node(
            "Cast", [f"{node.name}.weight_quantized"], [f"{node.name}.weight_cast"],
            name=f"{node.name}.cast", to=TensorProto.FLOAT,
        )  # fmt: skip
        scale = helper.make_node(
            "Mul", [f"{node.name}.product", f"{node.name}.weight_scale"],
            [f"{node.name}.scaled"], name=f"{node.name}.scale",
        )  # fmt: skip
        add = helper.make_node(
            "Add", [f"{node.name}.scaled", bias], [given], name=f"{node.name}.add"
        )
        node.input[:] = [node.input[0], f"{node.name}.weight_cast"]
        node.output[0] = f"{node.name}.product"
        place = list(graph.node).index(node)
        graph.node.insert(place, cast)
        graph.node.insert(place + 2, scale)
        graph.node.insert(place + 3, add)


def _keep_weights_float(model: onnx.ModelProto, kept: Sequence[str]) -> None:
    """Puts a clip that changes nothing before each layer in float.

    onnxruntime gives 8 bits, with one scale for all channels, to float weights that it finds
    between dequantising and quantising (WeightBiasQuantization, since 1.21). A clip at the
    lowest and highest value that 8 bits can say keeps it from that.
    """
    graph = model.graph
    constants = constants_of(model)
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
            "Clip", [node.input[0], *names], [f"{node.name}_input"], name=f"{node.name}_clip"
        )
        graph.node.insert(list(graph.node).index(node), clip)
        node.input[0] = clip.output[0]
