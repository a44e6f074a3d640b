"""The gate, by breaking things: each break is refused, by the check meant for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from covid.edge.card import Card
from covid.edge.images import read_grey
from covid.edge.model import load
from covid.export.any_size import any_size_graph, judge_any_size
from covid.export.evidence import Evidence
from covid.export.files import judge_int8, write_any_size, write_fp32, write_int8
from covid.export.int8 import Ranges, centre, quantise
from covid.export.parity import Check, check_parity


def change(model: onnx.ModelProto, name: str, values: np.ndarray) -> None:
    """Gives one of a graph's constants other values."""
    constant = next(one for one in model.graph.initializer if one.name == name)
    constant.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def value_of(model: onnx.ModelProto, name: str) -> np.ndarray:
    constant = next(one for one in model.graph.initializer if one.name == name)
    return np.array(numpy_helper.to_array(constant))


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.holds]


def parity_with(evidence: Evidence, path: Path, **others: Any) -> list[str]:
    """The checks that fail for a file, given other evidence than the run's in places."""
    places = evidence.sample(500)
    told = {
        "card": evidence.card, "files": evidence.files(places), "names": evidence.names(places),
        "pixels": evidence.pixels(places), "logits": evidence.logits,
        "probabilities": evidence.probabilities, **others,
    }  # fmt: skip
    return failed(check_parity(path, **told).checks)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file would go; an older one, of an earlier export, stands there."""
    (tmp_path / "model.onnx").write_bytes(b"an earlier export")
    return tmp_path / "model.onnx"


def test_a_sound_graph_goes_out(path: Path, graph: onnx.ModelProto, evidence: Evidence) -> None:
    assert write_fp32(path, graph, evidence).holds
    assert load(path).card == evidence.card


def test_nothing_else_is_left_beside_it(
    path: Path, graph: onnx.ModelProto, evidence: Evidence
) -> None:
    write_fp32(path, graph, evidence)
    assert list(path.parent.iterdir()) == [path]


def break_mean(model: onnx.ModelProto) -> None:
    name = model.graph.node[1].input[1]
    change(model, name, value_of(model, name) + 1)  # one grey level


def swap_classes(model: onnx.ModelProto) -> None:
    layer = [node for node in model.graph.node if node.op_type == "Gemm"][-1]
    for name in layer.input[1:]:
        change(model, name, value_of(model, name)[[1, 0, 2]])


def break_probability(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.output[0] == "probability")
    node.op_type = "HardSigmoid"


@pytest.mark.parametrize(
    ("spoil", "refused_by"),
    [
        (break_mean, "logits"),
        (swap_classes, "logits"),
        (break_probability, "probabilities"),
    ],
)
def test_a_spoilt_graph_is_refused_by_its_check(
    spoil: Any, refused_by: str, path: Path, copy: onnx.ModelProto, evidence: Evidence
) -> None:
    spoil(copy)
    assert refused_by in failed(write_fp32(path, copy, evidence).checks)


def test_of_a_refused_file_nothing_is_left_not_even_an_older_one(
    path: Path, copy: onnx.ModelProto, evidence: Evidence
) -> None:
    break_mean(copy)
    write_fp32(path, copy, evidence)
    assert list(path.parent.iterdir()) == []


def test_a_refusal_says_which_image_which_class_and_how_far(
    path: Path, copy: onnx.ModelProto, evidence: Evidence
) -> None:
    swap_classes(copy)
    largest = write_fp32(path, copy, evidence).largest
    assert largest is not None
    assert largest["image"] in evidence.names(evidence.sample(500))
    assert largest["class"] in ("covid", "normal") and largest["difference"] > 0.1


def test_a_frozen_batch_is_refused_when_the_file_is_opened(
    path: Path, copy: onnx.ModelProto, evidence: Evidence
) -> None:
    for value in (*copy.graph.input, *copy.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    assert failed(write_fp32(path, copy, evidence).checks) == ["opens"]


@pytest.mark.parametrize(
    "wrong",
    [{"mean": 0.1}, {"image_size": 32, "std": 2.0}, {"arch": "vgg16"}, {"precision": "int8"}],
)
def test_a_card_that_says_otherwise_is_refused(
    wrong: dict[str, Any], path: Path, graph: onnx.ModelProto, evidence: Evidence
) -> None:
    path.write_bytes(replace(evidence.card, **wrong).attach(graph.SerializeToString()))
    assert parity_with(evidence, path) == ["card"]


def test_swapped_class_names_are_refused(
    path: Path, graph: onnx.ModelProto, evidence: Evidence
) -> None:
    swapped = replace(evidence.space, classes=("normal", "covid", "pneumonia"))
    card: Card = replace(evidence.card, space=swapped)
    path.write_bytes(card.attach(graph.SerializeToString()))
    assert parity_with(evidence, path) == ["card"]


def test_another_resize_filter_is_refused(
    path: Path, graph: onnx.ModelProto, evidence: Evidence
) -> None:
    write_fp32(path, graph, evidence)
    files = evidence.files(evidence.sample(500))
    nearest = [
        np.array(read_grey(file).resize((32, 32), Image.Resampling.NEAREST)) for file in files
    ]
    assert parity_with(evidence, path, pixels=np.stack(nearest)) == ["pixels"]


def test_a_graph_without_a_number_for_an_answer_is_refused(
    path: Path, copy: onnx.ModelProto, evidence: Evidence
) -> None:
    layer = [node for node in copy.graph.node if node.op_type == "Gemm"][-1]
    change(copy, layer.input[2], np.full(3, np.nan))
    assert not write_fp32(path, copy, evidence).holds


# 8 bits --------------------------------------------------------------------------------------


def test_8_bits_go_out_where_they_cost_little(
    path: Path, graph: onnx.ModelProto, evidence: Evidence
) -> None:
    done = write_int8(path, graph, evidence, 0.005, lambda text: None)
    assert done.holds, done.checks
    assert load(path).card.precision == "int8"


def test_a_ruined_layer_is_refused_by_the_budget(
    path: Path, graph: onnx.ModelProto, evidence: Evidence
) -> None:
    centred = centre(graph)
    ranges = Ranges(centred, evidence.calibration_batches, lambda n: None)
    chosen = ranges.choose("minmax")
    ruined = next(node.output[0] for node in centred.model.graph.node if node.op_type == "Relu")
    chosen[ruined] = (0.0, 100 * chosen[ruined][1])  # nearly all of its values fall on one level
    card = replace(evidence.card, precision="int8")
    model = quantise(centred, chosen, ranges.means)
    path.write_bytes(card.attach(model.SerializeToString()))
    assert failed(judge_int8(path, card, evidence, 0.005)) == ["budget"]


# The resize inside ---------------------------------------------------------------------------


def test_any_size_stays_near(path: Path, graph: onnx.ModelProto, evidence: Evidence) -> None:
    judged = write_any_size(path, graph, evidence)
    assert failed(judged["checks"]) == []


def test_any_size_with_another_filter_is_refused(
    path: Path, graph: onnx.ModelProto, evidence: Evidence
) -> None:
    model = any_size_graph(graph, 32)
    node = next(node for node in model.graph.node if node.op_type == "Resize")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("mode", "nearest"))
    path.write_bytes(evidence.card.attach(model.SerializeToString()))
    assert failed(judge_any_size(path, evidence)["checks"]) == ["probabilities", "decisions"]
