"""What each place of an image adds to a logit, computed by the exported graph itself.

Behind a convolution's feature map A, [batch, channels, h, w], a head of two dense layers with a
ReLU between them is piecewise linear in A. With m = 1 where an image's hidden units are positive
and 0 elsewhere, W1 and b1, W2 and b2 the layers' weights, and P the pooling between A and them:

    logit_c = rest_c + sum over x, y of evidence_c(x, y)
    evidence_c(x, y) = sum over k of (d logit_c / d A_k(x, y)) · A_k(x, y)
    rest = b2 + W2 (m ∘ b1),    d logit_c / d P = (W2_c ∘ m) W1

This is HiResCAM (Draelos & Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations
of convolutional neural networks"); where A is averaged it is Grad-CAM's map before its ReLU. The
gradient is a product of two constant matrices and the mask, so it needs no automatic
differentiation and runs where the logits do.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from covid.edge.constants import SCALE, SHIFT
from covid.edge.model import EVIDENCE
from covid.export.choose import answer
from covid.export.graph import check, constants_of

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

FIRST, LAST = "head.0", "head.3"  # the head's dense layers, as graphs name them
# Percentile of a place's evidence, in magnitude, that pictures show in full colour: beyond it
# differences are lost, and the higher it is the fainter is all else.
MUCH = 97.5
RESHAPES = ("Flatten", "Reshape", "Squeeze")  # what may lie between a map and a dense layer


@dataclass(frozen=True)
class FeatureMap:
    """A tensor of a graph, `[batch, channels, height, width]`, that a head reads."""

    name: str
    channels: int
    height: int
    width: int
    averaged: bool  # the head reads its mean over all places, or else every place

    @property
    def places(self) -> int:
        return self.height * self.width


def add_evidence(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with two outputs more, where its head stands on a feature map; else the graph.

    `evidence`, float32 `[batch, classes, height, width]`, and `evidence_rest`, float32
    `[batch, classes]`, add up to `logit`, after recalibration too. `model` is an fp32 graph, or
    one in 8 bits, where the weights are those that its logits are computed with.
    """
    read = feature_map(model)
    if read is None:
        return model
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, constants = model.graph, constants_of(model)
    first, last = (next(node for node in graph.node if node.name == name) for name in (FIRST, LAST))
    weight, bias = _weight(constants, LAST), constants[f"{LAST}.bias"]
    classes = len(bias)
    # What a hidden unit passes on of what it reads: W2, times what is not in the first layer's
    # own weights: their scale where those are integers, and the mean's divisor.
    passed = weight * constants.get(f"{FIRST}.weight_scale", np.float32(1))
    if read.averaged:
        passed = passed / np.float32(read.places)
    steps: list[NodeProto] = []

    def constant(name: str, values: npt.NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(values, f"evidence_{name}"))
        return f"evidence_{name}"

    def step(operation: str, inputs: list[str], name: str, **attributes: Any) -> str:
        output = name if name in EVIDENCE else f"evidence_{name}"
        node = helper.make_node(operation, inputs, [output], f"compute_{output}", **attributes)
        steps.append(node)
        return output

    axis = constant("axis", np.array([1]))
    mask = step("Sign", [last.input[0]], "mask")  # of what a ReLU gives: 1 or 0
    scale = step("Unsqueeze", [SCALE, axis], "scale")  # [classes, 1]
    scaled = step("Mul", [constant("passed", passed[np.newaxis]), scale], "scaled")
    units = step("Mul", [step("Unsqueeze", [mask, axis], "masks"), scaled], "units")
    gradient = step("MatMul", [units, first.input[1]], "gradient")  # [batch, classes, features]
    shape = constant("flat_shape", np.array([0, read.channels, read.places]))
    flat = step("Reshape", [read.name, shape], "flat")
    if read.averaged:  # the same gradient at every place
        summed = step("MatMul", [gradient, flat], "summed")
    else:
        shape = constant("gradients_shape", np.array([0, classes, read.channels, read.places]))
        gradients = step("Reshape", [gradient, shape], "gradients")
        product = step("Mul", [gradients, step("Unsqueeze", [flat, axis], "maps")], "product")
        channels = constant("channel_axis", np.array([2]))
        summed = step("ReduceSum", [product, channels], "summed", keepdims=0)
    shape = constant("shape", np.array([0, classes, read.height, read.width]))
    step("Reshape", [summed, shape], EVIDENCE[0])
    # What is made of constants alone, scales included, the runtime computes once, when it loads.
    from_bias = constant("from_bias", weight * constants[f"{FIRST}.bias"])
    from_bias = step("Mul", [from_bias, scale], "scaled_from_bias")
    bias_of_rest = step("Mul", [f"{LAST}.bias", SCALE], "scaled_bias")
    bias_of_rest = step("Add", [bias_of_rest, SHIFT], "bias_of_rest")
    step("Gemm", [mask, from_bias, bias_of_rest], EVIDENCE[1], transB=1)
    graph.node.extend(steps)
    batch = graph.output[0].type.tensor_type.shape.dim[0].dim_param
    places = (read.height, read.width)
    for name, of in zip(EVIDENCE, (places, ()), strict=True):
        shaped = helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, classes, *of])
        graph.output.append(shaped)
    check(model)
    return model


def evidence_scale(model: onnx.ModelProto, images: Iterable[Pixels]) -> float | None:
    """What is much for one place: a percentile over batches of uint8 `[n, size, size]`.

    None where the graph, which `add_evidence` gave, has no maps.
    """
    if EVIDENCE[0] not in {output.name for output in model.graph.output}:
        return None
    scale = float(np.percentile(np.abs(answer(model, images, EVIDENCE[0])), MUCH))
    return scale or 1.0  # a network that has learnt nothing: any scale shows that


def feature_map(model: onnx.ModelProto) -> FeatureMap | None:
    """The map that the head's first dense layer reads, averaged or as it is, behind reshapes.

    None where there is no map of more than one place, or where something else is computed between
    it and the head, such as a normalisation, so that the formula would not hold.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    name = next(node.input[0] for node in model.graph.node if node.name == FIRST)
    while name in producers and producers[name].op_type in RESHAPES:
        name = producers[name].input[0]
    averaged = name in producers and _averages(producers[name], constants_of(model))
    if averaged:
        name = producers[name].input[0]
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    shape = shapes.get(name, [])
    if len(shape) != 3 or shape[1] * shape[2] < 2:
        return None
    return FeatureMap(name, shape[0], shape[1], shape[2], averaged)


def _averages(node: NodeProto, constants: dict[str, npt.NDArray[Any]]) -> bool:
    """Whether an operation is the mean over all places of a map."""
    if node.op_type == "ReduceMean":
        axes = constants.get(node.input[1]) if len(node.input) > 1 else None
        return axes is not None and sorted(axis % 4 for axis in axes.tolist()) == [2, 3]
    return node.op_type == "GlobalAveragePool"


def _weight(constants: dict[str, npt.NDArray[Any]], layer: str) -> Floats:
    """A dense layer's weights, float32 `[outputs, inputs]`; of an 8-bit one those it stands for."""
    if f"{layer}.weight" in constants:
        return np.asarray(constants[f"{layer}.weight"])
    integers, scales = (constants[f"{layer}.weight_{part}"] for part in ("quantized", "scale"))
    return np.asarray(integers.astype(np.float32) * scales[:, np.newaxis])
