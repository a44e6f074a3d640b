"""The gate, by breaking things: each is refused by the check meant for it, which says where."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from covid.data.cache import Images
from covid.edge.card import Card
from covid.export.golden import prove_float
from covid.export.parity import Parity, check_parity
from covid.export.reference import Reference
from tests.export.conftest import Small
from tests.export.networks import answering

Change = Callable[[onnx.ModelProto], object]


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def write_file(path: Path, model: onnx.ModelProto, reference: Reference) -> Card:
    """As an export does: with the golden answers of the very graph. Returns the card."""
    card = replace(reference.card, golden=prove_float(model, reference.card.image_size).golden)
    path.write_bytes(card.attach(model.SerializeToString()))
    return card


def evaluate(reference: Reference, path: Path, card: Card) -> Parity:
    """A file at `path` against what the network says of all validation images."""
    places = list(range(len(reference.indices)))
    return check_parity(
        path, card, reference.files(places), reference.names(places),
        reference.pixels(places), reference.logits, reference.probabilities,
    )  # fmt: skip


def evaluate_changed(small: Small, folder: Path, change: Change) -> Parity:
    model, path = copy_of(small.model), folder / "model.onnx"
    change(model)
    return evaluate(small.reference, path, write_file(path, model, small.reference))


def failing(parity: Parity) -> list[str]:
    assert parity.holds == (not parity.failures)
    return [check.name for check in parity.failures]


def edit(model: onnx.ModelProto, name: str, new: Callable[..., object]) -> None:
    """Replaces an initializer by what `new` makes of it."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = np.asarray(new(numpy_helper.to_array(tensor).copy()))
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def node(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    sentence: onnx.NodeProto = next(node for node in model.graph.node if node.op_type == kind)
    return sentence


def swap(model: onnx.ModelProto) -> None:
    """The first two classes of the last layer."""
    for name in ("head.3.weight", "head.3.bias"):
        edit(model, name, lambda values: values[[1, 0, 2]])


def test_the_graph_as_it_was_exported_goes_out(small: Small, tmp_path: Path) -> None:
    parity = evaluate_changed(small, tmp_path, lambda model: None)
    assert failing(parity) == []
    assert [check.name for check in parity.checks] == [
        "opens", "card", "pixels", "logits", "probabilities", "decisions", "evidence", "novelty",
    ]  # fmt: skip


def test_a_wrong_mean_in_the_graph_is_told_by_logits(small: Small, tmp_path: Path) -> None:
    def brighter(model: onnx.ModelProto) -> None:
        edit(model, node(model, "Sub").input[1], lambda mean: mean + 0.1)

    assert "logits" in failing(evaluate_changed(small, tmp_path, brighter))


def test_swapped_rows_of_the_last_layer_are_told_by_logits_and_decisions(
    small: Small, tmp_path: Path
) -> None:
    assert {"logits", "decisions"} <= set(failing(evaluate_changed(small, tmp_path, swap)))


def test_the_images_that_are_decided_otherwise_are_named(small: Small, tmp_path: Path) -> None:
    parity = evaluate_changed(small, tmp_path, swap)
    assert "validation/covid/covid-0.png" in parity.changed
    sentence = next(check.found for check in parity.checks if check.name == "decisions")
    assert "validation/covid/covid-0.png" in sentence and "more" in sentence


@pytest.mark.parametrize("last", ["HardSigmoid", "Softmax"])
def test_another_function_than_the_sigmoid_is_told_by_probabilities(
    small: Small, tmp_path: Path, last: str
) -> None:
    def other(model: onnx.ModelProto) -> None:
        node(model, "Sigmoid").op_type = last

    names = failing(evaluate_changed(small, tmp_path, other))
    assert "probabilities" in names and "logits" not in names


def test_a_frozen_batch_does_not_open(small: Small, tmp_path: Path) -> None:
    def freeze(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 1

    parity = evaluate_changed(small, tmp_path, freeze)
    assert failing(parity) == ["opens"]
    assert parity.failures[0].found.startswith("its graph takes batches of one size only")


def test_a_batch_frozen_inside_is_told_when_the_file_opens(small: Small, tmp_path: Path) -> None:
    def freeze(model: onnx.ModelProto) -> None:
        shape = node(model, "Reshape").input[1]
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == shape)
        tensor.CopyFrom(numpy_helper.from_array(np.array([1, 8], dtype=np.int64), shape))

    assert failing(evaluate_changed(small, tmp_path, freeze)) == ["opens"]


def test_answers_that_are_no_numbers_do_not_open(small: Small, tmp_path: Path) -> None:
    def no_number(model: onnx.ModelProto) -> None:
        edit(model, "head.3.bias", lambda bias: np.full_like(bias, np.nan))

    parity = evaluate_changed(small, tmp_path, no_number)
    assert failing(parity) == ["opens"]
    assert parity.failures[0].found.startswith("gives probabilities beyond")


def test_an_infinite_logit_does_not_open(small: Small, tmp_path: Path) -> None:
    def infinite(model: onnx.ModelProto) -> None:
        edit(model, "head.3.bias", lambda bias: bias + np.array([0, np.inf, 0]))

    parity = evaluate_changed(small, tmp_path, infinite)
    assert failing(parity) == ["opens"]
    assert "a golden logit differs by inf" in parity.failures[0].found


def test_the_largest_difference_says_which_image_which_class_and_how_far(
    small: Small, tmp_path: Path
) -> None:
    path, places = tmp_path / "model.onnx", list(range(len(small.reference.indices)))
    card = write_file(path, small.model, small.reference)
    logits = small.reference.logits.copy()
    logits[4, 2] += 0.5
    parity = evaluate(replace(small.reference, logits=logits), path, card)
    assert parity.largest is not None
    assert parity.largest["image"] == small.reference.names(places)[4]
    assert parity.largest["class"] == "pneumonia"
    assert parity.largest["difference"] == pytest.approx(0.5, abs=1e-3)
    assert parity.largest["image"] in parity.failures[0].found


@pytest.mark.parametrize(("off", "names"), [(0.9e-4, []), (1.2e-4, ["logits"])])
def test_a_logit_may_be_a_ten_thousandth_off(
    small: Small, tmp_path: Path, off: float, names: list[str]
) -> None:
    path = tmp_path / "model.onnx"
    card = write_file(path, small.model, small.reference)
    exact = evaluate(small.reference, path, card)
    assert exact.largest is not None and exact.largest["difference"] < 0.1e-4
    logits = small.reference.logits.copy()
    logits[0, 0] += np.float32(off)
    assert failing(evaluate(replace(small.reference, logits=logits), path, card)) == names


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", 0.5),
        ("std", 0.3),
        ("image_size", 64),
        ("source_sha256", "0"),
        ("precision", "int8"),
    ],
)
def test_a_card_that_says_something_else_is_told_by_card(
    small: Small, tmp_path: Path, name: str, value: object
) -> None:
    path = tmp_path / "model.onnx"
    card = write_file(path, small.model, small.reference)
    wrong = replace(card, **{name: value})  # type: ignore[arg-type]
    parity = evaluate(small.reference, path, wrong)
    assert failing(parity) == ["card"]
    assert parity.failures[0].found == f"{name} differ from the trained network's"


def test_swapped_class_names_are_told_by_card(small: Small, tmp_path: Path) -> None:
    space = small.reference.space
    swapped = replace(space, classes=("normal", "covid", "pneumonia"))
    path = tmp_path / "model.onnx"
    card = write_file(path, small.model, small.reference)
    path.write_bytes(replace(card, space=swapped).attach(small.model.SerializeToString()))
    assert failing(evaluate(small.reference, path, card)) == ["card"]


def trained_with(filter_: Image.Resampling, small: Small, folder: Path) -> Reference:
    """As if training had kept pixels that another filter made, and learnt from them."""
    index, size = small.reference.index, small.config.data.image_size

    def read_resized(path: Path) -> Image.Image:
        with Image.open(path) as image:
            return image.convert("L").resize((size, size), filter_)

    read_so = tuple(replace(sample, read=read_resized) for sample in index.samples)
    Images(replace(index, samples=read_so), size, folder).scan(range(len(read_so)), lambda n: None)
    return answering(replace(small.reference, images=Images(index, size, folder)), small.network)


@pytest.mark.parametrize("filter_", [Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
def test_another_resize_filter_is_told_by_pixels(
    small: Small, tmp_path: Path, filter_: Image.Resampling
) -> None:
    reference = trained_with(filter_, small, tmp_path / "cache")
    path = tmp_path / "model.onnx"
    parity = evaluate(reference, path, write_file(path, small.model, reference))
    assert failing(parity) == ["pixels"]
    assert "validation/covid/covid-0.png is read otherwise" in parity.failures[0].found
    assert "grey levels off" in parity.failures[0].found


def test_the_same_filter_is_told_apart_from_others(small: Small, tmp_path: Path) -> None:
    reference = trained_with(Image.Resampling.BILINEAR, small, tmp_path / "cache")
    path = tmp_path / "model.onnx"
    assert failing(evaluate(reference, path, write_file(path, small.model, reference))) == []


@pytest.mark.parametrize("left", [0, 1, 1000, -1])
def test_a_truncated_file_does_not_open(small: Small, tmp_path: Path, left: int) -> None:
    path = tmp_path / "model.onnx"
    card = write_file(path, small.model, small.reference)
    path.write_bytes(path.read_bytes()[:left])
    assert failing(evaluate(small.reference, path, card)) == ["opens"]


def test_weights_in_a_side_file_do_not_open(small: Small, tmp_path: Path) -> None:
    model = copy_of(small.model)
    side = tmp_path / "side.onnx"
    onnx.save(model, side, save_as_external_data=True, location="weights", size_threshold=0)
    path = tmp_path / "model.onnx"
    card = write_file(path, small.model, small.reference)
    path.write_bytes(card.attach(side.read_bytes()))
    assert failing(evaluate(small.reference, path, card)) == ["opens"]


def test_what_was_found_names_no_file_of_this_machine(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing")
    checks = evaluate(small.reference, path, small.reference.card).checks
    assert not any(str(tmp_path) in check.found for check in checks)
