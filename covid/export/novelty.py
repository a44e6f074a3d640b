"""How far an image is from the training images, computed by the exported graph itself.

From two of its maps the graph takes f, a row of numbers an image: the mean over each quarter of the
map that the last fine convolution reads (where things lie, so that a turned image shows), and the
mean over all of the last map (what there is). With m and s the mean and deviation of the training
images' f, z = (f - m) / s, W the first K principal directions of z, y = W'z, λ_1 … λ_K the
variances along them and r the mean variance along all others:

    novelty² · features = Σ_i y_i² / λ_i + |z - W y|² / r

This is the Mahalanobis distance of probabilistic principal component analysis (Tipping & Bishop
1999, "Probabilistic principal component analysis"), divided so that a training image has about 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from covid.edge.model import NOVELTY
from covid.export.choose import answer
from covid.export.graph import check

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

FEATURES = "novelty_features"  # f, float32 [batch, features]
HEAD = "head.0"  # the head's first dense layer, as graphs name it
# What gives a map where it reads one: each place of it comes of the places around.
CARRYING = {
    "Add", "AveragePool", "Clip", "Concat", "DequantizeLinear", "Div", "HardSigmoid", "HardSwish",
    "MaxPool", "Mul", "QuantizeLinear", "Relu", "Sigmoid",
}  # fmt: skip
# Rows of an image to a row of a map, at most, where things are looked for. Maps coarser than that
# hardly see a turn: of ResNet-18, quarters of its last maps, of a 32nd, gave an AUROC of 0.83.
FINE = 16
SIDES = 2  # a map's rows and columns are halved: the least that sees a turn, and few numbers
# Principal directions: from 16 to 64 the figures of docs/novelty.md hardly differ. They are kept in
# 8 bits, as numbers of units of a direction's largest / 127, so that a small file stays small.
DIRECTIONS = 24
LARGEST = 127
IMAGES_A_DIRECTION = 4  # fewer images say little of a direction's variance
# Of the median deviation: what hardly moves in training is no measure of anything, and 8 bits
# round it to a step or none.
LEAST_DEVIATION = 0.1
REFUSED = 0.01  # share of validation images beyond the threshold


@dataclass(frozen=True)
class Map:
    """A tensor of a graph, `[batch, channels, side, side]`."""

    name: str
    channels: int
    side: int


@dataclass(frozen=True)
class Novelty:
    """What the training images' features are like, and from where on an image's are not."""

    maps: tuple[Map, Map]  # which the last fine convolution reads, and the last
    mean: Floats  # [features]
    deviation: Floats  # [features], above zero
    directions: npt.NDArray[np.int8]  # [features, K], in `units`; orthonormal but for rounding
    units: Floats  # [K]
    variances: Floats  # [K], along each direction, of features divided by their deviation
    rest: float  # the same on average along all other directions
    threshold: float  # of novelty: beyond it lies a share REFUSED of validation images

    def distance(self, features: Floats) -> Doubles:
        """`[images]`: novelty of `[images, features]`, in double precision."""
        standard = (features.astype(np.float64) - self.mean) / self.deviation
        directions = self.directions * self.units.astype(np.float64)
        along = standard @ directions
        across = standard - along @ directions.T
        squares = (along**2 / self.variances).sum(axis=1) + (across**2).sum(axis=1) / self.rest
        distance: Doubles = np.sqrt(squares / features.shape[1])
        return distance


def fit_novelty(
    model: onnx.ModelProto, training: Iterable[Pixels], validation: Iterable[Pixels]
) -> Novelty | None:
    """What is known of training images, and the threshold from validation ones.

    Both are batches of uint8 `[n, size, size]`, two images or more, as training reads them and not
    augmented; `model` is an fp32 graph or one in 8 bits. None where it has no two maps of
    convolutions, or where they are the same for all images.
    """
    maps = find_maps(model)
    if maps is None:
        return None
    graph = with_features(model, maps)
    fitted = fit(maps, answer(graph, training, FEATURES))
    if fitted is None:
        return None
    distances = fitted.distance(answer(graph, validation, FEATURES))
    # The largest distance that leaves no more than REFUSED of them beyond itself.
    threshold = float(np.quantile(distances, 1 - REFUSED, method="higher"))
    return Novelty(**{**vars(fitted), "threshold": threshold})


def distances_of(
    model: onnx.ModelProto, novelty: Novelty | None, images: Iterable[Pixels]
) -> Doubles | None:
    """`[images]`: how novel batches of uint8 `[n, size, size]` are; None: nobody knows.

    `model` is the graph that `novelty` was fitted on, or the same with other outputs.
    """
    if novelty is None:
        return None
    return novelty.distance(answer(with_features(model, novelty.maps), images, FEATURES))


def fit(maps: tuple[Map, Map], features: Floats) -> Novelty | None:
    """From `[images, features]` of training images, with a threshold of infinity as yet."""
    values = features.astype(np.float64)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    if not deviation.any():
        return None
    least = LEAST_DEVIATION * np.median(deviation[deviation > 0])
    deviation = np.maximum(deviation, least)
    standard = (values - mean) / deviation
    images, count = standard.shape
    _, singular, across = np.linalg.svd(standard, full_matrices=False)
    variances = singular**2 / images
    kept = max(1, min(DIRECTIONS, images // IMAGES_A_DIRECTION, count - 1))
    rest = variances[kept:].sum() / (count - kept)
    # Images fewer than features leave directions without any variance; one in a thousand of the
    # mean variance is below what any features of these networks have.
    rest = max(rest, 1e-3 * variances.sum() / count)
    directions = across[:kept].T
    units = np.abs(directions).max(axis=0) / LARGEST
    return Novelty(
        maps,
        mean.astype(np.float32),
        deviation.astype(np.float32),
        np.ascontiguousarray(np.rint(directions / units).astype(np.int8)),
        units.astype(np.float32),
        np.maximum(variances[:kept], rest).astype(np.float32),
        float(rest),
        np.inf,
    )


def add_novelty(model: onnx.ModelProto, novelty: Novelty | None) -> onnx.ModelProto:
    """The graph with one output more, `novelty`, float32 `[batch]`; None: the graph."""
    if novelty is None:
        return model
    model = with_features(model, novelty.maps)
    graph = model.graph
    del graph.output[-1]
    add = _Steps(graph)
    # Everything is in units of what lies across the directions, 1 / √(rest · features) each: then
    # the distance is the length of a vector.
    unit = np.float32(1 / np.sqrt(novelty.rest * len(novelty.mean)))
    centred = add("Sub", [FEATURES, add.constant("mean", novelty.mean)], "centred")
    scale = add.constant("scale", unit / novelty.deviation)
    standard = add("Mul", [centred, scale], "standard")
    # Runtimes do these two once, when they open the file.
    integers = add.constant("integers", novelty.directions)
    rounded = add("Cast", [integers], "rounded", to=TensorProto.FLOAT)
    directions = add("Mul", [rounded, add.constant("units", novelty.units)], "directions")
    along = add("MatMul", [standard, directions], "along")
    across = add("Gemm", [along, directions, standard], "across", alpha=-1.0, transB=1)
    known = add.constant("known", np.sqrt(np.float32(novelty.rest) / novelty.variances))
    parts = [add("Mul", [along, known], "along_scaled"), across]
    joined = add("Concat", parts, "joined", axis=1)
    axis = add.constant("axis", np.array([1]))
    add("ReduceL2", [joined, axis], "", keepdims=0)
    batch = graph.output[0].type.tensor_type.shape.dim[0].dim_param
    graph.output.append(helper.make_tensor_value_info(NOVELTY, TensorProto.FLOAT, [batch]))
    check(model)
    return model


def with_features(model: onnx.ModelProto, maps: tuple[Map, Map]) -> onnx.ModelProto:
    """The graph with `novelty_features`, float32 `[batch, features]`, as a further output."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, (first, last) = model.graph, maps
    add = _Steps(graph)
    shape = add.constant("flat_shape", np.array([0, first.channels, first.side**2]))
    flat = add("Reshape", [first.name, shape], "flat")
    quarters = add("MatMul", [flat, add.constant("quarters", quarters_of(first.side))], "means")
    # The head's own mean where it reads one: in an 8-bit graph a second would cost as much again.
    means = [
        node.output[0] for node in graph.node
        if node.op_type == "GlobalAveragePool" and node.input[0] == last.name
    ]  # fmt: skip
    mean = means[0] if means else add("GlobalAveragePool", [last.name], "mean_of_all")
    parts = [
        add("Flatten", [quarters], "where", axis=1),
        add("Flatten", [mean], "what", axis=1),
    ]
    add("Concat", parts, "features", axis=1)
    count = first.channels * SIDES**2 + last.channels
    batch = graph.output[0].type.tensor_type.shape.dim[0].dim_param
    graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [batch, count]))
    return model


def quarters_of(side: int) -> Floats:
    """`[places, quarters]` that a map's places are multiplied by for the mean of each quarter.

    A middle row or column belongs to both halves, as in torch.nn.AdaptiveAvgPool2d.
    """
    half = np.zeros((side, SIDES), np.float32)
    length = -(-side // SIDES)
    for part, start in enumerate((0, side - length)):
        half[start : start + length, part] = 1 / length
    return np.kron(half, half)


def find_maps(model: onnx.ModelProto) -> tuple[Map, Map] | None:
    """The map that the last convolution of FINE reads, and the last map before the head.

    Of FINE is one that gives a map with a row for every so many of the image. Maps are what
    convolutions of two rows and columns or more give, and what is made of these place by place or
    by pooling. None where no convolution reads another's map, as in transformers, which cut the
    image into patches.
    """
    shapes = {
        value.name: value.type.tensor_type
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    image = model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    maps: dict[str, Map] = {}
    read: Map | None = None
    last: Map | None = None
    for node in model.graph.node:
        if node.name == HEAD:
            break
        given = _as_map(node.output[0], shapes)
        if given is None or not _carries(node, maps):
            continue
        maps[given.name] = given
        if shapes[given.name].elem_type == TensorProto.FLOAT:
            last = given
        if node.op_type == "Conv" and node.input[0] in maps and given.side * FINE >= image:
            read = maps[node.input[0]]
    return None if read is None or last is None else (read, last)


def _as_map(name: str, shapes: dict[str, Any]) -> Map | None:
    """A tensor as a map, if it has an image's shape: square, and of two places a side or more."""
    if name not in shapes:
        return None
    dims = shapes[name].shape.dim
    if len(dims) != 4 or dims[0].HasField("dim_value"):
        return None
    channels, height, width = (dim.dim_value for dim in dims[1:])
    return Map(name, channels, height) if height == width and height >= SIDES else None


def _carries(node: NodeProto, maps: dict[str, Map]) -> bool:
    return node.op_type == "Conv" or (
        node.op_type in CARRYING and any(name in maps for name in node.input)
    )


class _Steps:
    """Operations and constants that are appended to a graph under names of this module."""

    def __init__(self, graph: onnx.GraphProto):
        self.graph = graph

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        self.graph.initializer.append(numpy_helper.from_array(values, f"{NOVELTY}_{name}"))
        return f"{NOVELTY}_{name}"

    def __call__(
        self, operation: str, inputs: Sequence[str], name: str, **attributes: Any
    ) -> str:
        """Appends an operation and names its output; without `name` it is the graph's own."""
        output = f"{NOVELTY}_{name}" if name else NOVELTY
        node = helper.make_node(operation, inputs, [output], f"compute_{output}", **attributes)
        self.graph.node.append(node)
        return output
