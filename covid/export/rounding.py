"""Weights to integers, so that a layer's output changes as little as it can.

Not each weight to its nearest integer: what rounding one weight loses, those of the same output
that are rounded after it make up for, as far as their inputs go together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from scipy.linalg.lapack import dtrtri

from covid.export.graph import constants_of

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

# Largest magnitudes of a weight. Two products of 255 and 64 add up to 32,640, which 16 bits hold
# (onnxruntime's `reduce_range`): no processor can saturate. With 127 some do.
SAFE, FULL = 64, 127
# What a scale may be, as a share of that which fits the largest weight: where less than a third
# fits, more is lost by clipping than won by finer steps, whatever the distribution.
SHRINK = np.linspace(0.35, 1.0, 40)
DAMPING = 0.01  # of the mean variance, added to every variance: Frantar et al. 2023, section 3
# Positions whose products are added to the sums at once: the sums are of 170 MB for 4,608 inputs,
# and the positions of all layers of VGG-16 or ResNet-18 that wait take as much.
SPAN_COLUMNS = 1024
BLOCK = 64  # columns whose corrections are applied together to the rest; changes speed alone


@dataclass(frozen=True)
class Convolution:
    """What is needed of a convolution to cut its input into what its weights are applied to."""

    name: str
    tensor: str  # its input
    weight: str  # names of its constants
    bias: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]  # top, left, bottom, right
    groups: int

    def patches(self, values: Floats, draw: np.random.Generator, most: int) -> Floats:
        """`[groups, positions, inputs]`: up to `most` positions of one image, drawn at random.

        `values` is the input, `[1, channels, height, width]`; the inputs of a group are in the
        order of the weights, `[channels of a group, kernel height, kernel width]`.
        """
        top, left, bottom, right = self.pads
        padded = np.pad(values[0], ((0, 0), (top, bottom), (left, right)))
        height, width = (
            (side - dilation * (kernel - 1) - 1) // stride + 1
            for side, dilation, kernel, stride in zip(
                padded.shape[1:], self.dilations, self.kernel, self.strides, strict=True
            )
        )
        places = np.arange(height * width)
        if len(places) > most:
            places = draw.choice(places, most, replace=False)
        rows = (places // width * self.strides[0])[:, None] + (
            self.dilations[0] * np.arange(self.kernel[0])
        )
        columns = (places % width * self.strides[1])[:, None] + (
            self.dilations[1] * np.arange(self.kernel[1])
        )
        cut = padded[:, rows[:, :, None], columns[:, None, :]]  # [channels, positions, *kernel]
        grouped = cut.reshape(self.groups, -1, len(places), self.kernel[0] * self.kernel[1])
        return grouped.transpose(0, 2, 1, 3).reshape(self.groups, len(places), -1)


def convolutions(model: onnx.ModelProto) -> list[Convolution]:
    """Every convolution of a graph, in execution order. Each has a bias."""
    shapes = {constant.name: tuple(constant.dims) for constant in model.graph.initializer}
    layers = []
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        layers.append(
            Convolution(
                node.name, *node.input, kernel=shapes[node.input[1]][2:],  # type: ignore[misc]
                strides=tuple(given.get("strides", (1, 1))),
                dilations=tuple(given.get("dilations", (1, 1))),
                pads=tuple(given.get("pads", (0, 0, 0, 0))),
                groups=given.get("group", 1),
            )
        )  # fmt: skip
    return layers


class Moments:
    """Mean and covariance of what a convolution's weights are applied to, over many positions."""

    def __init__(self) -> None:
        self.positions = 0
        self._waiting: list[Floats] = []  # until their products are worth a pass over the sums
        self._sum: Doubles = np.zeros(1)  # grows to its shape with the first patches
        self._products: Doubles = np.zeros(1)

    def add(self, patches: Floats) -> None:
        """`[groups, positions, inputs]`."""
        self.positions += patches.shape[1]
        self._waiting.append(patches)
        if sum(part.shape[1] for part in self._waiting) >= SPAN_COLUMNS:
            self._add_products()

    def _add_products(self) -> None:
        if not self._waiting:
            return
        patches = torch.from_numpy(np.concatenate(self._waiting, axis=1))
        self._waiting = []
        products = (patches.transpose(1, 2) @ patches).numpy()
        self._sum = self._sum + patches.sum(dim=1, dtype=torch.float64).numpy()
        if self._products.shape != products.shape:
            self._products = np.zeros(products.shape)
        np.add(self._products, products, out=self._products)

    def mean(self) -> Doubles:
        """`[groups, inputs]`."""
        self._add_products()
        return np.asarray(self._sum / self.positions)

    def covariance(self) -> Doubles:
        """`[groups, inputs, inputs]`."""
        mean = self.mean()
        return np.asarray(
            self._products / self.positions - mean[:, :, None] * mean[:, None, :]
        )


@dataclass(frozen=True)
class Rounded:
    """A layer's weights as integers times one scale per channel, and the bias beside them."""

    integers: npt.NDArray[np.int8]  # shaped as the weights
    scales: Floats  # [outputs]
    bias: Floats  # [outputs]


def round_layers(
    model: onnx.ModelProto, moments: Mapping[str, Moments], limit: int
) -> dict[str, Rounded]:
    """Convolution -> its weights in integers of at most `limit` in magnitude."""
    constants = constants_of(model)
    return {
        layer.name: round_layer(
            constants[layer.weight], constants[layer.bias], moments[layer.name], limit
        )
        for layer in convolutions(model)
    }


def round_layer(weights: Floats, bias: Floats, moments: Moments, limit: int) -> Rounded:
    """Weights `[outputs, inputs of a group, *kernel]` to integers.

    The mean of what is lost goes into the bias (Nagel et al. 2019, "Data-free quantization
    through weight equalization and bias correction", section 4.2), so that integers are chosen
    by covariance alone.
    """
    mean, covariance = moments.mean(), moments.covariance()
    rows = weights.astype(np.float64).reshape(len(mean), -1, mean.shape[1])
    scales = least_error_scales(rows, np.diagonal(covariance, axis1=1, axis2=2), limit)
    integers = compensate(rows, covariance, scales, limit)
    lost = ((rows - integers * scales[..., None]) * mean[:, None, :]).sum(axis=-1)
    return Rounded(
        integers.reshape(weights.shape).astype(np.int8),
        scales.reshape(-1).astype(np.float32),
        (bias + lost.reshape(-1)).astype(np.float32),
    )


def least_error_scales(rows: Doubles, variances: Doubles, limit: int) -> Doubles:
    """`[groups, outputs]`: the scale of each output with the least squared error when rounded.

    `rows` is `[groups, outputs, inputs]`, `variances` of the inputs `[groups, inputs]`: a weight
    counts as much as what it is multiplied with varies.
    """
    largest = np.abs(rows).max(axis=-1)
    largest = np.where(largest > 0, largest, 1.0)  # all zero: any scale says that
    best, least = largest / limit, np.full(largest.shape, np.inf)
    for share in SHRINK:
        scales = largest * share / limit
        rounded = np.clip(np.rint(rows / scales[..., None]), -limit, limit) * scales[..., None]
        errors = ((rows - rounded) ** 2 * variances[:, None, :]).sum(axis=-1)
        best = np.where(errors <= least, scales, best)
        least = np.minimum(errors, least)
    return best


def compensate(rows: Doubles, covariance: Doubles, scales: Doubles, limit: int) -> Doubles:
    """Integers for `rows`, `[groups, outputs, inputs]`, as float64.

    Frantar et al. 2023, "GPTQ: accurate post-training quantization for generative pre-trained
    transformers", section 3: one input after the other, the most varying first, is rounded for
    all outputs, and the error is spread over the inputs that are left so that the expected
    squared change of the output is least.
    """
    inputs = rows.shape[-1]
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    order = np.argsort(-variances, axis=1)
    damping = DAMPING * variances.mean(axis=1)
    damping = np.where(damping > 0, damping, 1.0)  # inputs that never vary
    left = np.take_along_axis(rows, order[:, None, :], axis=2)
    damped = covariance + damping[:, None, None] * np.eye(inputs)
    damped = np.take_along_axis(damped, order[:, :, None], axis=1)
    damped = np.take_along_axis(damped, order[:, None, :], axis=2)
    spread = _inverse_factor(damped)
    integers = np.empty_like(left)
    for start in range(0, inputs, BLOCK):
        end = min(start + BLOCK, inputs)
        errors = np.empty((*left.shape[:2], end - start))
        for place in range(start, end):
            column = left[:, :, place]
            integers[:, :, place] = np.clip(np.rint(column / scales), -limit, limit)
            error = column - integers[:, :, place] * scales
            error = error / spread[:, place, place][:, None]
            left[:, :, place:end] -= error[:, :, None] * spread[:, place, place:end][:, None, :]
            errors[:, :, place - start] = error
        left[:, :, end:] -= errors @ spread[:, start:end, end:]
    back = np.argsort(order, axis=1)
    return np.take_along_axis(integers, back[:, None, :], axis=2)


def _inverse_factor(matrices: Doubles) -> Doubles:
    """The upper triangle U with UᵀU = H⁻¹ of each positive definite H, `[groups, n, n]`.

    With the order of rows and columns turned round, H = M·Mᵀ has an upper M, and U = M⁻¹: less
    than half the time of inverting H and factoring that, most of what rounding costs for 4,608
    inputs.
    """
    turned = torch.from_numpy(matrices[:, ::-1, ::-1].copy())
    upper = torch.linalg.cholesky(turned).flip(1, 2).numpy()
    return np.stack([dtrtri(np.asfortranarray(triangle))[0] for triangle in upper])


def replace_layers(
    model: onnx.ModelProto, rounded: Mapping[str, Rounded], kept: Sequence[str]
) -> onnx.ModelProto:
    """A copy of a float graph whose layers, but those `kept`, have the rounded weights."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    constants = {constant.name: constant for constant in model.graph.initializer}
    for layer in convolutions(model):
        if layer.name in kept:
            continue
        weights = rounded[layer.name]
        scales = weights.scales.reshape(-1, 1, 1, 1)
        for name, values in ((layer.weight, weights.integers * scales), (layer.bias, weights.bias)):
            constants[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    return model
