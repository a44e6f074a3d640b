"""Channels of unlike reach made alike, so that one scale of 8 bits serves them all.

What one convolution divides a channel by, the next multiplies it with: the same function. Nagel
et al. 2019, "Data-free quantization through weight equalization and bias correction", section
4.1, equalise weights. Here it is the activations' reach, as calibration images show it, since
weights have one scale per channel already.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from covid.export.rounding import convolutions

Doubles = npt.NDArray[np.float64]

TIES = ("Relu", "Clip", "MaxPool", "Add")  # what gives a channel as it takes it, scaled alike
# A channel is made at most so many times larger: what never reached a hundredth of the largest
# on calibration images is mostly noise, and must have room on others.
MAX_STRETCH = 100


def equalise(model: onnx.ModelProto, reach: Mapping[str, Doubles]) -> onnx.ModelProto:
    """A copy of a float graph whose channels reach equally far wherever only convolutions read.

    `reach` is tensor -> the largest magnitude of each channel, `[channels]`. Tensors that are
    added up, bounded or pooled share their scales. A channel that a clip at 6 bounds is stretched
    until it reaches 6, no further: on images that reach beyond what calibration saw, it is cut
    off there, as quantising would.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    constants = {constant.name: constant for constant in model.graph.initializer}
    tied = _ties(model)
    scales = _scales(model, reach, tied)
    for layer, node in zip(
        convolutions(model),
        [node for node in model.graph.node if node.op_type == "Conv"],
        strict=True,
    ):
        weight = numpy_helper.to_array(constants[layer.weight]).astype(np.float64)
        bias = numpy_helper.to_array(constants[layer.bias]).astype(np.float64)
        given, taken = scales.get(tied(node.output[0])), scales.get(tied(layer.tensor))
        if given is not None:
            weight, bias = weight / given[:, None, None, None], bias / given
        if taken is not None:  # each output reads the channels of its own group only
            outputs = len(weight) // layer.groups
            of_group = taken.reshape(layer.groups, 1, -1).repeat(outputs, axis=1)
            weight = weight * of_group.reshape(len(weight), -1)[:, :, None, None]
        for name, values in ((layer.weight, weight), (layer.bias, bias)):
            constants[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    return model


def _ties(model: onnx.ModelProto) -> Callable[[str], str]:
    """A function that gives all tensors whose channels must be scaled alike the same name."""
    parent: dict[str, str] = {}

    def tied(name: str) -> str:
        while parent.get(name, name) != name:
            name = parent[name]
        return name

    for node in model.graph.node:
        if node.op_type in TIES:
            # A clip's bounds are inputs too, but not the data.
            data = node.input if node.op_type == "Add" else node.input[:1]
            for name in data:
                parent[tied(name)] = tied(node.output[0])
    return tied


def _scales(
    model: onnx.ModelProto, reach: Mapping[str, Doubles], tied: Callable[[str], str]
) -> dict[str, Doubles]:
    """Name of a tied set -> what its channels are divided by, up to 1."""
    constants = {constant.name: constant for constant in model.graph.initializer}
    free = {tied(node.output[0]) for node in model.graph.node if node.op_type == "Conv"}
    bounds: dict[str, float] = {}
    for node in model.graph.node:
        if node.op_type == "Clip":
            bounds[tied(node.output[0])] = float(numpy_helper.to_array(constants[node.input[2]]))
        if node.op_type not in (*TIES, "Conv"):
            free -= {tied(name) for name in (*node.input, *node.output)}
    free -= {tied(tensor.name) for tensor in model.graph.input}
    farthest: dict[str, Doubles] = {}
    for name, channels in reach.items():
        if tied(name) in free:
            before = farthest.get(tied(name), np.zeros(len(channels)))
            farthest[tied(name)] = np.maximum(before, channels)
    return {
        name: np.clip(channels / (bounds.get(name) or channels.max() or 1.0), 1 / MAX_STRETCH, 1.0)
        for name, channels in farthest.items()
    }
