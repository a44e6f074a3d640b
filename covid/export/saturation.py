"""What an 8-bit graph answers on a processor that adds two products in 16 bits, on any processor.

x86 without VNNI multiplies uint8 with int8 two at a time and adds the two products in a signed
16-bit integer, which saturates (the instruction `vpmaddubsw`): Intel's oneDNN documentation,
"Nuances of int8 computations". Pairs are neighbours in the order in which onnxruntime's matrix
product goes through a convolution's inputs: kernel row, kernel column, channel. Depthwise
convolutions have code of their own there, whose sums are of 32 bits.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from covid.export.graph import constants_of

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

LOWEST, HIGHEST = -(2**15), 2**15 - 1  # of 16 bits
LARGEST_INPUT = 255
DOMAIN = "covid.emulation"


def saturable_pairs(model: onnx.ModelProto) -> int:
    """How many pairs of neighbouring weights could saturate 16 bits, whatever the image."""
    constants = constants_of(model)
    return sum(
        int(_saturable(_pairs(constants[name])).sum())
        for name in _integer_layers(model).values()
    )


def emulate(model: onnx.ModelProto, images: Pixels) -> Floats:
    """Logits `[n, classes]` of uint8 `[n, size, size]` with sums of 16 bits that saturate."""
    evaluator = ReferenceEvaluator(_with_saturating_layers(model), new_ops=[SaturatingConv])
    answers: list[Any] = [
        evaluator.run(["logit"], {"image": image[None, None]}) for image in images
    ]
    return np.concatenate([logits for (logits,) in answers])


def _integer_layers(model: onnx.ModelProto) -> dict[str, str]:
    """Names of the convolutions in integers that are not depthwise -> of their integers."""
    producer = {name: node for node in model.graph.node for name in node.output}
    layers = {}
    for node in model.graph.node:
        groups = {attribute.name: attribute.i for attribute in node.attribute}.get("group", 1)
        weight = producer.get(node.input[1]) if node.op_type == "Conv" else None
        if groups == 1 and weight is not None and weight.op_type == "DequantizeLinear":
            layers[node.name] = weight.input[0]
    return layers


def _pairs(weights: npt.NDArray[Any]) -> Integers:
    """int8 `[outputs, channels, height, width]` to `[outputs, pairs, 2]`, as the runtime pairs."""
    rows = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1).astype(np.int64)
    rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    return rows.reshape(len(rows), -1, 2)


def _saturable(pairs: Integers) -> npt.NDArray[np.bool_]:
    """bool `[outputs, pairs]`."""
    highest = LARGEST_INPUT * pairs.clip(0, None).sum(axis=-1)
    lowest = LARGEST_INPUT * pairs.clip(None, 0).sum(axis=-1)
    return np.asarray((highest > HIGHEST) | (lowest < LOWEST))


def _with_saturating_layers(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which each convolution in integers is one operation, `SaturatingConv`."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    producer = {name: node for node in model.graph.node for name in node.output}
    integer = _integer_layers(model)
    for node in model.graph.node:
        if node.name in integer:
            image, weight, bias = (producer[name] for name in node.input)
            node.op_type, node.domain = "SaturatingConv", DOMAIN
            node.input[:] = [*image.input, *weight.input[:2], *bias.input[:2]]
    # onnx's evaluator knows quantisation from opset 19 on, which only adds types to 18's.
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", 19), helper.make_opsetid(DOMAIN, 1)])
    return model


class SaturatingConv(OpRun):
    """A convolution of integers whose products are added two at a time in 16 bits."""

    op_domain = DOMAIN

    def _run(
        self, image: Any, scale: Any, zero_point: Any, weight: Any, weight_scale: Any, bias: Any,
        bias_scale: Any, **attributes: Any,
    ) -> tuple[Floats]:  # fmt: skip
        patches, height, width = _patches(image[0], int(zero_point), weight.shape[2:], attributes)
        pairs = _pairs(weight)
        flat = pairs.reshape(len(pairs), -1)
        # float64 holds every sum of these integers exactly.
        sums = patches.astype(np.float64) @ flat.T.astype(np.float64)
        saturable = _saturable(pairs)
        for output in np.flatnonzero(saturable.any(axis=1)):
            which = np.flatnonzero(saturable[output])
            products = patches[:, 2 * which] * flat[output, 2 * which]
            products += patches[:, 2 * which + 1] * flat[output, 2 * which + 1]
            sums[:, output] += (products.clip(LOWEST, HIGHEST) - products).sum(axis=1)
        sums += bias - int(zero_point) * flat.sum(axis=1)
        values = sums * (np.float64(scale) * weight_scale.astype(np.float64))
        return (values.T.reshape(1, len(weight), height, width).astype(np.float32),)


def _patches(
    image: npt.NDArray[Any], zero_point: int, kernel: tuple[int, int], attributes: dict[str, Any]
) -> tuple[npt.NDArray[np.int32], int, int]:
    """uint8 `[channels, height, width]` to int32 `[positions, inputs]`, padded to even inputs.

    Also how many rows and columns of positions there are.
    """
    top, left, bottom, right = attributes.get("pads") or (0, 0, 0, 0)
    strides = attributes.get("strides") or (1, 1)
    dilations = attributes.get("dilations") or (1, 1)
    padded = np.pad(
        image.astype(np.int32), ((0, 0), (top, bottom), (left, right)), constant_values=zero_point
    )
    reach = [dilation * (side - 1) + 1 for dilation, side in zip(dilations, kernel, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    windows = windows[:, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    height, width = windows.shape[1:3]
    patches = windows.transpose(1, 2, 3, 4, 0).reshape(height * width, -1)
    return np.pad(patches, ((0, 0), (0, patches.shape[1] % 2))), height, width
