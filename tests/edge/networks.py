"""Networks of one layer as ONNX files, and the cards that they bear: made in milliseconds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from covid.edge.card import RESIZE, Card
from covid.edge.golden import Golden, Pattern
from covid.edge.labels import LabelSpace

SIZE = 8
XRAY3 = {"covid": ("covid", "pneumonia"), "normal": ("normal",), "pneumonia": ("pneumonia",)}
WEIGHTS, BIASES = (8.0, -8.0, 0.0), (-4.0, 4.0, -1.0)  # of `brightness_graph`
PATTERNS = (Pattern(0, 1), Pattern(5, 4))
TOLERANCE = 1e-3


def brightness_logits(size: int = SIZE) -> tuple[tuple[float, ...], ...]:
    """What `brightness_graph` answers to PATTERNS."""
    levels = [pattern.render(size).mean() / 255 for pattern in PATTERNS]
    return tuple(
        tuple(weight * level + bias for weight, bias in zip(WEIGHTS, BIASES, strict=True))
        for level in levels
    )


CARD = Card(
    arch="resnet18",
    space=LabelSpace.from_labels("multilabel", XRAY3),
    image_size=SIZE,
    resize=RESIZE,
    mean=0.5,
    std=0.25,
    precision="fp32",
    trained_on="xray3",
    metrics={"accuracy": 0.9},
    source_sha256="0" * 64,
    versions={"onnx": onnx.__version__},
    golden=Golden(PATTERNS, brightness_logits(), TOLERANCE),
)


def single_label_card(**changes: Any) -> Card:
    labels = {"infected": ("infected",), "normal": ("normal",)}
    space = LabelSpace.from_labels("single_label", labels)
    golden = Golden(PATTERNS, ((0.0, 0.0), (0.0, 0.0)), TOLERANCE)
    return replace(CARD, **{"space": space, "golden": golden, **changes})


def brightness_graph(
    weights: Sequence[float] = WEIGHTS,
    biases: Sequence[float] = BIASES,
    *,
    size: int = SIZE,
    batch: int | str = "batch",
    last: str = "Sigmoid",
    external: str | None = None,
    calibrated: bool = False,
) -> bytes:
    """logit = weight * brightness (0..1) + bias, a class each; `last` makes it a probability.

    `external` is a file's name: the weights are said to lie there. `calibrated` puts a scale of 1
    and a shift of 0 in between, as exported files have.
    """
    classes = len(weights)
    weight = numpy_helper.from_array(np.array([weights], dtype=np.float32), "weight")
    if external is not None:
        onnx.external_data_helper.set_external_data(weight, external, offset=0, length=4 * classes)
        weight.ClearField("raw_data")
    constants = [
        numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "axes"),
        numpy_helper.from_array(np.array(255, dtype=np.float32), "white"),
        weight,
        numpy_helper.from_array(np.array(biases, dtype=np.float32), "bias"),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["brightness"]),
        helper.make_node("Gemm", ["brightness", "weight", "bias"], ["logit"]),
        helper.make_node(last, ["logit"], ["probability"]),
    ]
    if calibrated:
        ones, zeros = np.ones(classes, np.float32), np.zeros(classes, np.float32)
        constants += [
            numpy_helper.from_array(ones, "calibration_scale"),
            numpy_helper.from_array(zeros, "calibration_shift"),
        ]
        nodes[3].output[0] = "z"
        nodes[4:4] = [
            helper.make_node("Mul", ["z", "calibration_scale"], ["scaled"]),
            helper.make_node("Add", ["scaled", "calibration_shift"], ["logit"]),
        ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, 1, size, size])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, classes])
        for name in ("logit", "probability")
    ]
    graph = helper.make_graph(nodes, "brightness", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def evidence_graph(size: int = SIZE) -> bytes:
    """`brightness_graph` with maps of 2 × 2 places, zero everywhere, and logits as their rest."""
    model = onnx.ModelProto.FromString(brightness_graph(size=size))
    classes = len(BIASES)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.zeros((1, classes, 1, 1), np.float32), "0"))
    graph.initializer.append(numpy_helper.from_array(np.array([0, classes, 1, 1]), "shape"))
    graph.initializer.append(numpy_helper.from_array(np.array([1, classes, 2, 2]), "places"))
    graph.node.extend([
        helper.make_node("Reshape", ["logit", "shape"], ["column"]),
        helper.make_node("Mul", ["column", "0"], ["nothing"]),
        helper.make_node("Expand", ["nothing", "places"], ["evidence"]),
        helper.make_node("Identity", ["logit"], ["evidence_rest"]),
    ])  # fmt: skip
    for name, of in (("evidence", (2, 2)), ("evidence_rest", ())):
        graph.output.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", classes, *of])
        )
    return bytes(model.SerializeToString())


def novelty_graph(size: int = SIZE) -> bytes:
    """`brightness_graph` that finds an image the more novel the brighter it is: from 0 to 1."""
    model = onnx.ModelProto.FromString(brightness_graph(size=size))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1]), "as_one_axis"))
    model.graph.node.append(
        helper.make_node("Reshape", ["brightness", "as_one_axis"], ["novelty"])
    )
    model.graph.output.append(
        helper.make_tensor_value_info("novelty", TensorProto.FLOAT, ["batch"])
    )
    return bytes(model.SerializeToString())


def golden_of(graph: bytes, size: int) -> Golden:
    """What onnxruntime answers here to PATTERNS."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rows = [
        session.run(["logit"], {"image": pattern.render(size)[None, None]})[0][0]
        for pattern in PATTERNS
    ]
    return Golden(PATTERNS, tuple(tuple(map(float, row)) for row in rows), TOLERANCE)


def write_network(folder: Path, card: Card = CARD, graph: bytes | None = None) -> Path:
    """FOLDER/model.onnx: an image's brightness makes it covid, its darkness normal."""
    path = folder / "model.onnx"
    path.write_bytes(card.attach(brightness_graph() if graph is None else graph))
    return path
