"""Which 8-bit graph is chosen: the nearest one, with as few layers in float as it takes."""

import copy
import json
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest

from covid.export.budget import Verdict, judge
from covid.export.choose import MOST_IN_FLOAT, Attempt, choose_int8, layer_errors
from covid.export.graph import export_graph
from covid.export.int8 import METHODS, Centred, Pixels, Ranges, centre, layers
from tests.export.conftest import Small
from tests.export.networks import ARCH, SIZE, ruin

Ask = Callable[[onnx.ModelProto], Verdict]


def examples(small: Small) -> Pixels:
    return small.evidence.images.read(small.evidence.calibration[:8])


def judging(small: Small) -> Ask:
    """A graph's answers for all validation images against those of the network."""
    evidence = small.evidence
    pixels = evidence.pixels(list(range(len(evidence.rows))))[:, np.newaxis]

    def ask(model: onnx.ModelProto) -> Verdict:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (found,) = session.run(["probability"], {"image": pixels})
        return judge(
            evidence.space, evidence.probabilities, found, evidence.truths, evidence.patients, 0.005
        )

    return ask


def refuse(model: onnx.ModelProto) -> Verdict:
    """Nothing is good enough."""
    return Verdict({"value": 0.0, "at_least": 0.0}, 0.0, {}, 0.0, ["never"])


def choose(small: Small, ask: Ask, *, say: Callable[[str], object] = len) -> list[Attempt]:
    return choose_int8(small.centred, small.ranges, ask, examples(small), say, reduce_range=False)


@pytest.fixture(scope="module")
def easy(small: Small) -> list[Attempt]:
    return choose(small, judging(small))


@pytest.fixture(scope="module")
def ruined(small: Small) -> tuple[Centred, Ranges]:
    """The same function, one of whose layers 8 bits cannot bear."""
    network = copy.deepcopy(small.network)
    ruin(network.backbone.get_submodule("mixed"))
    centred = centre(export_graph(network, ARCH, "multilabel", SIZE))
    return centred, Ranges(centred, small.evidence.calibration_batches, lambda _: None)


@pytest.fixture(scope="module")
def mended(small: Small, ruined: tuple[Centred, Ranges]) -> list[Attempt]:
    return choose_int8(*ruined, judging(small), examples(small), len, reduce_range=False)


def test_every_calibration_is_tried_with_all_layers_in_8_bits(easy: list[Attempt]) -> None:
    assert {(one.method, len(one.kept_in_float)) for one in easy} == {(m, 0) for m in METHODS}


def test_the_nearest_of_those_within_the_budget_is_the_choice(easy: list[Attempt]) -> None:
    assert easy[-1].verdict.holds
    assert easy[-1].verdict.distance == min(one.verdict.distance for one in easy)


def test_a_farther_one_within_the_budget_beats_a_nearer_one_beyond_it(small: Small) -> None:
    order = iter([0.1, 0.3, 0.2])

    def ask(model: onnx.ModelProto) -> Verdict:
        distance = next(order)
        return Verdict({}, 0.0, {}, distance, ["too near"] if distance == 0.1 else [])

    assert [one.verdict.distance for one in choose(small, ask)] == [0.1, 0.3, 0.2]


def test_a_layer_that_8_bits_ruin_has_the_largest_error(
    small: Small, ruined: tuple[Centred, Ranges]
) -> None:
    errors = layer_errors(*ruined, "minmax", examples(small), reduce_range=False)
    assert list(errors) == layers(ruined[0].model)
    assert max(errors, key=errors.__getitem__) == "backbone.mixed"


def test_the_worst_layer_goes_back_to_float_first_and_alone(mended: list[Attempt]) -> None:
    assert [one.kept_in_float for one in mended] == [[], [], [], ["backbone.mixed"]]
    assert [one.verdict.holds for one in mended] == [False, False, False, True]


def test_layers_go_back_one_after_another_worst_first(small: Small) -> None:
    attempts = choose(small, refuse)
    errors = layer_errors(
        small.centred, small.ranges, attempts[-1].method, examples(small), reduce_range=False
    )
    worst = sorted(errors, key=lambda name: -errors[name])
    most = int(len(worst) * MOST_IN_FLOAT)
    kept = [one.kept_in_float for one in attempts[len(METHODS) :]]
    assert kept == [worst[:count] for count in range(1, most + 1)]


def test_what_is_refused_in_the_end_says_why(small: Small) -> None:
    last = choose(small, refuse)[-1]
    assert (last.verdict.holds, last.verdict.reasons) == (False, ["never"])


def test_every_attempt_is_told_in_a_line(small: Small) -> None:
    said: list[str] = []
    attempts = choose(small, refuse, say=said.append)
    assert len(said) == len(attempts)
    assert said[0] == "int8, minmax, 0 layers in float: never"


def test_a_summary_is_what_the_report_says_of_an_attempt(mended: list[Attempt]) -> None:
    summary = mended[-1].summary()
    json.dumps(summary, allow_nan=False)
    assert set(summary) == {
        "calibration", "kept_in_float", "macro_f1_drop", "decisions_changed", "auroc_fall",
        "mean_difference", "refused",
    }  # fmt: skip
