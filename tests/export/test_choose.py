"""Which 8-bit graph is chosen: safe weights first, and as few layers in float as it takes."""

import copy
import json

import numpy as np
import onnx
import pytest

from covid.export.budget import Agreement, Verdict, agreement, compare, differences
from covid.export.choose import MAX_SHARE_IN_FLOAT, Attempt, answer, choose_int8, layer_errors
from covid.export.graph import export_graph
from covid.export.int8 import Prepared, layers, prepare
from covid.export.rounding import FULL, SAFE
from tests.export.conftest import Small
from tests.export.networks import SIZE, ruin


def examples(small: Small) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return small.reference.images.read(small.reference.calibration[:8])


def agreeing(small: Small, model: onnx.ModelProto) -> Agreement:
    """A graph's answers for calibration images against those of the fp32 graph."""
    reference = small.reference
    fp32, int8 = (
        answer(each, reference.batches_of(reference.calibration), "probability")
        for each in (small.model, model)
    )
    patients = reference.patients_of(reference.calibration)
    return agreement(reference.space, fp32, int8, patients)


def evaluated(small: Small, model: onnx.ModelProto) -> Verdict:
    """The gate itself, on the images that calibration did not use."""
    reference = small.reference
    indices = [*reference.unseen, *reference.indices]
    fp32, int8 = (
        answer(each, reference.batches_of(indices), "probability") for each in (small.model, model)
    )
    # Not of macro F1: on 45 images a hair decides.
    return compare(
        reference.space, fp32, int8, reference.targets, reference.patients_of(indices), max_drop=1
    )


def refuse(_: onnx.ModelProto) -> Verdict:
    """Nothing is good enough."""
    return Verdict.without_answers("never")


def allow(_: onnx.ModelProto) -> Verdict:
    return Verdict(None, None, None, None, {}, [])


@pytest.fixture(scope="module")
def ruined(small: Small) -> Prepared:
    """The same function, one of whose layers 8 bits cannot bear."""
    network = copy.deepcopy(small.network)
    ruin(network.backbone.get_submodule("mixed"))
    reference = small.reference
    return prepare(
        export_graph(network, "multilabel", SIZE),
        lambda: reference.batches_of(reference.calibration),
        lambda _: None,
    )


@pytest.fixture(scope="module")
def refused(small: Small) -> tuple[list[Attempt], list[str]]:
    """All attempts at a graph that nothing is good enough for, and the lines that tell them."""
    lines: list[str] = []
    fine = agreeing(small, small.model)
    attempts = choose_int8(
        small.prepared, lambda _: fine, refuse, examples(small), lines.append
    )
    return attempts, lines


def test_weights_that_no_processor_saturates_are_the_choice_where_they_hold(
    small: Small,
) -> None:
    attempts = choose_int8(
        small.prepared, lambda model: agreeing(small, model),
        lambda model: evaluated(small, model), examples(small), len,
    )  # fmt: skip
    assert [(each.limit, each.kept_in_float, each.holds) for each in attempts] == [(SAFE, [], True)]


def test_weights_of_full_8_bits_are_next(small: Small) -> None:
    verdicts = iter([Verdict.without_answers("first"), allow(small.model)])
    fine = agreeing(small, small.model)
    attempts = choose_int8(
        small.prepared, lambda _: fine, lambda _: next(verdicts), examples(small), len
    )
    assert [(each.limit, each.holds) for each in attempts] == [(SAFE, False), (FULL, True)]


def test_layers_go_back_to_float_one_after_another_worst_first(
    small: Small, refused: tuple[list[Attempt], list[str]]
) -> None:
    errors = layer_errors(small.prepared, small.prepared.round(SAFE), examples(small))
    worst = sorted(errors, key=lambda name: -errors[name])
    most = int(len(worst) * MAX_SHARE_IN_FLOAT)
    assert [each.kept_in_float for each in refused[0][2:]] == [
        worst[:count] for count in range(1, most + 1)
    ]


def test_a_layer_that_8_bits_ruin_has_the_largest_error(small: Small, ruined: Prepared) -> None:
    errors = layer_errors(ruined, ruined.round(SAFE), examples(small))
    assert list(errors) == layers(ruined.centred.model)


def test_what_calibration_images_are_against_is_not_put_to_the_gate(small: Small) -> None:
    none = np.zeros((100, 3), dtype=np.float32)
    far = agreement(small.reference.space, none, none + 1, [None] * 100)
    asked: list[onnx.ModelProto] = []

    def gate(model: onnx.ModelProto) -> Verdict:
        asked.append(model)
        return allow(model)

    attempts = choose_int8(small.prepared, lambda _: far, gate, examples(small), len)
    assert differences(far) and not asked and not attempts[-1].holds


def test_what_is_refused_in_the_end_says_why(refused: tuple[list[Attempt], list[str]]) -> None:
    assert refused[0][-1].reasons == ["never"]


def test_every_attempt_is_told_in_a_line(refused: tuple[list[Attempt], list[str]]) -> None:
    attempts, lines = refused
    assert len(lines) == len(attempts)
    assert lines[0] == "int8, weights up to 64, 0 layers in float: never"


def test_what_the_report_says_of_an_attempt_is_json(
    refused: tuple[list[Attempt], list[str]],
) -> None:
    fields = refused[0][-1].fields()
    json.dumps(fields, allow_nan=False)
    assert set(fields) == {"largest_weight", "kept_in_float", "calibration", "gate", "refused"}
