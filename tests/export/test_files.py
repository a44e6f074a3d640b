"""The files themselves: whole and proven under their names, or not there."""

import copy
import hashlib
import json
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import numpy_helper

from covid.config import load_config
from covid.edge.card import RESIZE_IN_GRAPH, read_card, read_content
from covid.edge.constants import find_constants
from covid.edge.model import load
from covid.edge.operating_point import Recalibration
from covid.errors import StorageError
from covid.export.budget import Verdict, compare
from covid.export.choose import answer
from covid.export.evidence import add_evidence
from covid.export.files import (
    ANY_SIZE,
    FP32,
    INT8,
    REPORT,
    Quantised,
    check_int8,
    novelty_of,
    remove_earlier,
    write_any_size,
    write_fp32,
    write_int8,
)
from covid.export.golden import prove_int8
from covid.export.graph import export_graph, recalibrate
from covid.export.parity import Check
from covid.export.reference import Reference
from covid.model.networks import Network
from tests.conftest import PROJECT, write_split_images
from tests.export.conftest import Small
from tests.export.networks import (
    CLASSES,
    ON,
    PLATT,
    POINT,
    SIZE,
    answering,
    reference_of,
    ruin,
    small_network,
)
from tests.export.test_parity import copy_of, edit, node, swap

Floats = npt.NDArray[np.float32]
DROP = 0.005


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# fp32 ---------------------------------------------------------------------------------------


def test_a_file_that_holds_has_its_name_and_nothing_lies_beside_it(
    small: Small, tmp_path: Path
) -> None:
    assert write_fp32(tmp_path / FP32, small.model, small.reference).holds
    assert names_in(tmp_path) == [FP32]


def test_a_folder_is_made_for_it(small: Small, tmp_path: Path) -> None:
    write_fp32(tmp_path / "new" / "folder" / FP32, small.model, small.reference)
    assert names_in(tmp_path / "new" / "folder") == [FP32]


def test_the_card_is_the_last_field_and_knows_every_byte_before_it(
    small: Small, tmp_path: Path
) -> None:
    write_fp32(tmp_path / FP32, small.model, small.reference)
    content = (tmp_path / FP32).read_bytes()
    graph = add_evidence(small.model).SerializeToString()
    assert content.startswith(graph)
    card = json.loads(content[content.rindex(b'{"format"') :])
    assert card["content_sha256"] == hashlib.sha256(graph).hexdigest()


def brighter(model: onnx.ModelProto) -> None:
    edit(model, node(model, "Sub").input[1], lambda mean: mean + 0.1)


def frozen(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def softmax(model: onnx.ModelProto) -> None:
    node(model, "Sigmoid").op_type = "Softmax"


@pytest.mark.parametrize("change", [brighter, swap, frozen, softmax], ids=lambda one: one.__name__)
def test_a_broken_graph_leaves_no_file_not_even_an_older_one(
    small: Small, tmp_path: Path, change: Callable[[onnx.ModelProto], object]
) -> None:
    write_fp32(tmp_path / FP32, small.model, small.reference)
    broken = copy_of(small.model)
    change(broken)
    assert not write_fp32(tmp_path / FP32, broken, small.reference).holds
    assert names_in(tmp_path) == []


def test_the_gate_looks_at_500_images_at_most(small: Small, tmp_path: Path) -> None:
    reference = small.reference
    many = 12 * len(reference.indices)  # the same ones again and again: 540
    repeated = replace(
        reference, indices=reference.indices * 12, logits=np.tile(reference.logits, (12, 1)),
        probabilities=np.tile(reference.probabilities, (12, 1)),
        targets=np.tile(reference.targets, (12, 1)),
    )  # fmt: skip
    assert many > 500
    parity = write_fp32(tmp_path / FP32, small.model, repeated)
    assert (parity.images, parity.holds) == (500, True)


def test_what_an_earlier_export_wrote_beside_it_goes(tmp_path: Path) -> None:
    for name in (FP32, INT8, ANY_SIZE, REPORT, "mine.onnx"):
        (tmp_path / name).write_bytes(b"")
    remove_earlier(tmp_path)
    assert names_in(tmp_path) == ["mine.onnx", FP32]


# int8 ---------------------------------------------------------------------------------------


def write(folder: Path, small: Small, reference: Reference | None = None) -> Quantised:
    return write_int8(folder / INT8, small.model, reference or small.reference, DROP, len)


@pytest.fixture(scope="module")
def int8(small: Small, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Quantised]:
    folder = tmp_path_factory.mktemp("int8")
    return folder / INT8, write(folder, small)


def test_an_8_bit_file_holds_and_nothing_lies_beside_it(int8: tuple[Path, Quantised]) -> None:
    path, quantised = int8
    assert quantised.holds and names_in(path.parent) == [INT8]
    names = [check.name for check in quantised.checks]
    assert names == ["opens", "card", "pixels", "saturation", "evidence", "novelty", "budget"]


def test_its_card_says_8_bits_and_how_good_this_very_file_is(
    int8: tuple[Path, Quantised], small: Small
) -> None:
    path, quantised = int8
    assert quantised.metrics is not None
    card, fp32 = read_card(path), small.reference.card
    assert card.metrics["accuracy"] == quantised.metrics["accuracy"]["value"]
    own = {
        "precision": "fp32", "metrics": fp32.metrics, "golden": None, "evidence_scale": None,
        "novelty_threshold": None,
    }  # fmt: skip
    assert replace(card, **own) == fp32  # type: ignore[arg-type]
    assert card.evidence_scale is not None


def test_its_card_has_the_golden_answers_that_were_proven(int8: tuple[Path, Quantised]) -> None:
    path, quantised = int8
    assert quantised.proof is not None
    assert read_card(path).golden == quantised.proof.golden


def test_it_decides_as_the_network_does(int8: tuple[Path, Quantised], small: Small) -> None:
    reference = small.reference
    answers = load(int8[0]).run(reference.pixels(list(range(len(reference.indices))))).probabilities
    decided = reference.space.decide(reference.probabilities)
    np.testing.assert_array_equal(reference.space.decide(answers), decided)


def evaluating(small: Small) -> Callable[[Floats], Verdict]:
    """The gate, with the fp32 graph's answers."""
    reference = small.reference
    indices = [*reference.unseen, *reference.indices]
    fp32 = answer(small.model, reference.batches_of(indices), "probability")

    def evaluate(given: Floats) -> Verdict:
        patients = reference.patients_of(indices)
        return compare(reference.space, fp32, given, reference.targets, patients, DROP)

    return evaluate


def edited(
    int8: tuple[Path, Quantised],
    small: Small,
    folder: Path,
    name: str,
    change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
) -> list[Check]:
    """What is found of the file with one constant changed, its golden answers made anew."""
    model, card, quantised = onnx.load(int8[0]), read_card(int8[0]), int8[1]
    assert quantised.proof is not None
    del model.metadata_props[:]
    constant = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(constant)
    changed = change(values).astype(values.dtype)
    constant.CopyFrom(numpy_helper.from_array(changed, name))
    proof = prove_int8(model, SIZE)
    card = replace(card, golden=proof.golden)
    path = folder / INT8
    path.write_bytes(card.attach(model.SerializeToString()))
    return check_int8(path, card, proof, small.reference, evaluating(small))


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.holds]


def test_a_file_with_one_layer_ruined_is_refused_by_the_budget(
    int8: tuple[Path, Quantised], small: Small, tmp_path: Path
) -> None:
    name = "backbone.mixed.weight_quantized"
    checks = edited(int8, small, tmp_path, name, lambda values: -values)
    assert failed(checks) == ["novelty", "budget"] and "of decisions change" in checks[-1].found


def test_a_file_with_a_wrong_scale_is_refused_by_the_budget(
    int8: tuple[Path, Quantised], small: Small, tmp_path: Path
) -> None:
    name = "backbone.conv1.weight_scale"
    checks = edited(int8, small, tmp_path, name, lambda scales: 2 * scales)
    assert failed(checks) == ["novelty", "budget"] and "moves by" in checks[-1].found


def test_a_file_that_gives_no_numbers_is_refused(
    int8: tuple[Path, Quantised], small: Small, tmp_path: Path
) -> None:
    model, card = copy_of(small.model), replace(small.reference.card, precision="int8")
    assert int8[1].proof is not None
    card = replace(card, golden=int8[1].proof.golden)
    edit(model, "head.3.bias", lambda bias: bias * np.nan)
    path = tmp_path / INT8
    path.write_bytes(card.attach(model.SerializeToString()))
    checks = check_int8(path, card, int8[1].proof, small.reference, evaluating(small))
    assert failed(checks) == ["opens"] and "beyond 0 and 1" in checks[0].found


def test_a_file_evaluated_on_20_images_is_refused(small: Small, tmp_path: Path) -> None:
    few = replace(small.reference, unseen=small.reference.unseen[:5])
    few = replace(
        few, indices=few.indices[:15], targets=few.targets[:15], logits=few.logits[:15],
        probabilities=few.probabilities[:15],
    )  # fmt: skip
    quantised = write(tmp_path, small, few)
    assert not quantised.holds and names_in(tmp_path) == []
    assert "0 of 20 decisions change, which could be 16.1%" in quantised.checks[0].found
    assert quantised.attempts == []  # no graph could have passed


def test_a_file_whose_saturation_nobody_would_notice_is_refused(
    int8: tuple[Path, Quantised], small: Small
) -> None:
    path, quantised = int8
    assert quantised.proof is not None
    unseen = replace(quantised.proof, saturable_pairs=1, saturated=0.01)
    checks = check_int8(path, read_card(path), unseen, small.reference, evaluating(small))
    assert failed(checks) == ["saturation"]


def ruined(small: Small) -> Network:
    """The same function; more than half of its layers are such as 8 bits cannot bear."""
    network = copy.deepcopy(small.network)
    for name in ("backbone.mixed", "head.0", "head.3"):
        ruin(network.get_submodule(name))
    return network


def test_a_network_that_8_bits_ruin_leaves_no_8_bit_file(small: Small, tmp_path: Path) -> None:
    network = ruined(small)
    reference = answering(small.reference, network)
    np.testing.assert_allclose(reference.logits, small.reference.logits, atol=1e-4)
    model = export_graph(network, "multilabel", SIZE)
    assert write_fp32(tmp_path / FP32, model, reference).holds
    (tmp_path / INT8).write_bytes(b"of an earlier export")
    quantised = write_int8(tmp_path / INT8, model, reference, DROP, len)
    assert names_in(tmp_path) == [FP32]
    assert (quantised.holds, quantised.metrics) == (False, None)
    assert [(check.name, check.holds) for check in quantised.checks] == [("budget", False)]
    assert "on its own calibration images" in quantised.checks[0].found


def test_an_interruption_leaves_no_8_bit_file(small: Small, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_int8(tmp_path / INT8, small.model, small.reference, DROP, interrupt)
    assert names_in(tmp_path) == []


def test_validation_without_a_class_is_evaluated_by_what_is_left(
    small: Small, tmp_path: Path
) -> None:
    reference = small.reference
    names = reference.names(list(range(len(reference.indices))))
    left = [place for place, name in enumerate(names) if "/covid/" not in name]
    others = replace(
        reference, indices=[reference.indices[place] for place in left],
        targets=reference.targets[left],
        logits=reference.logits[left], probabilities=reference.probabilities[left],
    )  # fmt: skip
    verdict = write(tmp_path / "out", small, others).attempts[-1].verdict
    assert verdict is not None
    assert (verdict.drop, verdict.auroc_fall["covid"]) == (0.0, None)


# Thresholds and recalibration ---------------------------------------------------------------


def test_recalibrated_files_hold_in_every_form(chosen: Small, tmp_path: Path) -> None:
    reference = chosen.reference
    assert write_fp32(tmp_path / FP32, chosen.model, reference).holds
    assert write_int8(tmp_path / INT8, chosen.model, reference, 0.1, len).holds
    checks = write_any_size(tmp_path / ANY_SIZE, chosen.model, reference)["checks"]
    assert all(check.holds for check in checks)
    for name in (FP32, INT8, ANY_SIZE):
        card, content = read_card(tmp_path / name), read_content(tmp_path / name)
        assert (card.operating_point, card.calibration) == (POINT, PLATT)
        constants = find_constants(tmp_path / name, content, CLASSES)
        assert constants.scale.tolist() == [np.float32(scale) for scale in PLATT.scale]
        assert constants.shift.tolist() == [np.float32(shift) for shift in PLATT.shift]


def test_golden_answers_are_those_of_the_recalibrated_graph(
    small: Small, chosen: Small, tmp_path: Path
) -> None:
    write_fp32(tmp_path / "a.onnx", small.model, small.reference)
    write_fp32(tmp_path / "b.onnx", chosen.model, chosen.reference)
    plain, other = (read_card(tmp_path / name).golden for name in ("a.onnx", "b.onnx"))
    assert plain is not None and other is not None
    mapped = PLATT.apply(np.array(plain.logits, dtype=np.float32))
    np.testing.assert_allclose(np.array(other.logits), mapped, atol=1e-4)


def test_the_gate_notices_a_graph_without_the_recalibration_that_its_card_has(
    small: Small, chosen: Small, tmp_path: Path
) -> None:
    parity = write_fp32(tmp_path / FP32, small.model, chosen.reference)
    assert "logits" in [check.name for check in parity.failures] and names_in(tmp_path) == []


def test_two_single_labels_hold_with_a_temperature_and_thresholds(tmp_path: Path) -> None:
    names = ("infected", "normal")
    root = write_split_images(tmp_path / "two", names, {"train": 2, "validation": 8})
    labels = "data.labels={infected: [infected], normal: [normal]}"
    config = load_config(
        PROJECT / "configs/resnet18_multilabel.yaml",
        [f"data.root={root}", f"data.cache_dir={tmp_path / 'cache'}", f"data.image_size={SIZE}",
         "model.weights=none", "task=single_label", "loss.name=cross_entropy", labels],
    )  # fmt: skip
    network = small_network(2)
    point = replace(POINT, thresholds={"infected": 0.3, "normal": 0.7})
    temperature = Recalibration("temperature", (1.7, 1.7), (0.0, 0.0), ON)
    reference = reference_of(network, config, tmp_path, point=point, recalibration=temperature)
    model = export_graph(network, "single_label", SIZE)
    recalibrate(model, temperature)
    assert write_fp32(tmp_path / FP32, model, reference).holds
    assert load(tmp_path / FP32).card.space.thresholds == (0.3, 0.7)


# A disk that is full ------------------------------------------------------------------------


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk that is full after so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_sentence_and_the_older_file_stays(small: Small, tmp_path: Path) -> None:
    (tmp_path / FP32).write_bytes(b"older")
    with files_of_at_most(1000), pytest.raises(StorageError, match="model.onnx: cannot be written"):
        write_fp32(tmp_path / FP32, small.model, small.reference)
    assert names_in(tmp_path) == [FP32] and (tmp_path / FP32).read_bytes() == b"older"


def test_no_temporary_folder_is_one_sentence(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match="temporary folder.*TMPDIR"):
        write(tmp_path, small)


# Any size -----------------------------------------------------------------------------------


def test_an_any_size_file_says_that_it_resizes_itself(small: Small, tmp_path: Path) -> None:
    evaluated = write_any_size(tmp_path / ANY_SIZE, small.model, small.reference)
    assert all(check.holds for check in evaluated["checks"])
    assert names_in(tmp_path) == [ANY_SIZE]
    card = read_card(tmp_path / ANY_SIZE)
    own = {"resize": small.reference.card.resize, "golden": None, "evidence_scale": None}
    assert replace(card, **own) == small.reference.card  # type: ignore[arg-type]
    assert card.resize == RESIZE_IN_GRAPH


def test_an_any_size_file_far_from_the_network_is_not_left(small: Small, tmp_path: Path) -> None:
    write_any_size(tmp_path / ANY_SIZE, small.model, small.reference)
    other = copy.deepcopy(small.network)
    with torch.no_grad():
        other.get_parameter("head.3.bias").add_(3)
    evaluated = write_any_size(tmp_path / ANY_SIZE, small.model, answering(small.reference, other))
    assert "probabilities" in [check.name for check in evaluated["checks"] if not check.holds]
    assert names_in(tmp_path) == []


# Novelty ------------------------------------------------------------------------------------


def test_every_file_says_how_novel_an_image_is_by_its_own_threshold(
    small: Small, tmp_path: Path
) -> None:
    novelty = novelty_of(small.model, small.reference)
    assert novelty is not None
    parity = write_fp32(tmp_path / FP32, small.model, small.reference, novelty)
    write_int8(tmp_path / INT8, small.model, small.reference, DROP, lambda _: None)
    write_any_size(tmp_path / ANY_SIZE, small.model, small.reference, novelty)
    assert "beyond the threshold" in parity.checks[-1].found and parity.holds
    cards = [read_card(tmp_path / name) for name in (FP32, INT8, ANY_SIZE)]
    assert cards[0].novelty_threshold == cards[2].novelty_threshold == novelty.threshold
    assert cards[1].novelty_threshold not in (None, novelty.threshold)
    pixels = small.reference.pixels([0, 1])
    for name in (FP32, INT8):
        given = load(tmp_path / name).run(pixels).novelty
        assert given is not None and given.shape == (2,)
