"""Operating points: what is chosen, and what cannot be shown."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from covid.edge.labels import LabelSpace
from covid.edge.operating_point import ChosenOn, Method, OperatingPoint, Recalibration
from covid.errors import DataError
from covid.evaluation.intervals import proportion
from covid.evaluation.operating.calibration import recalibrated
from covid.evaluation.operating.point import (
    choose,
    default_point,
    map_thresholds,
)
from covid.evaluation.operating.targets import parse_targets
from tests.evaluation.examples import MULTILABEL, SINGLE_LABEL, Evaluated, any_doubts, evaluated

ON = ChosenOn("validation", 200, 100, "0" * 64)
TWO = LabelSpace.from_labels("single_label", {"infected": ["infected"], "normal": ["normal"]})
Singles = npt.NDArray[np.float32]


def chosen(
    space: LabelSpace, texts: list[str], case: Evaluated | None = None
) -> OperatingPoint:
    return choose(space, *(case or evaluated(space)), parse_targets(texts, space), ON)


def rare() -> Evaluated:
    """Fourteen covid images of ten patients, all of them found, and forty others."""
    targets = MULTILABEL.encode(["covid"] * 14 + ["normal"] * 40) == 1
    probabilities = np.where(targets, 0.9, 0.1).astype(np.float32)
    return probabilities, targets, [*(f"c{n % 10}" for n in range(14)), *map(str, range(40))]


@pytest.mark.parametrize("figure", ["sensitivity", "specificity"])
@pytest.mark.parametrize("space", [MULTILABEL, TWO], ids=["multilabel", "two"])
def test_what_is_chosen_reaches_its_target(space: LabelSpace, figure: str) -> None:
    case = evaluated(space)
    # What implies pneumonia must leave room for it.
    first = f"{space.classes[0]}:{figure}=0.9"
    point = chosen(space, [f"{figure}=0.7", first], case)
    probabilities, targets, patients = case
    decisions = space.with_thresholds(point.thresholds).decide(probabilities)
    for column, name in enumerate(space.classes):
        row = point.per_class[name]
        if row["target"] is None:
            continue
        of = targets[:, column] == (figure == "sensitivity")
        right = decisions[of, column] == (figure == "sensitivity")
        share = proportion(right, [patients[place] for place in np.flatnonzero(of)])
        assert row[figure] == {"value": share.value, "low": share.low, "high": share.high,
                               "patients": share.patients}  # fmt: skip
        assert row["shown"] and share.low >= row["target"]["value"]
        assert row["threshold"] == point.thresholds[name]


@given(any_doubts(), st.sampled_from(["sensitivity", "specificity"]), st.floats(0.05, 0.95))
@settings(max_examples=100)
def test_shown_is_a_lower_limit_and_all_else_has_a_note(
    case: tuple[LabelSpace, Evaluated, npt.NDArray[np.bool_]], figure: str, value: float
) -> None:
    space, (probabilities, targets, patients), known = case
    assume(space.task == "multilabel")
    wanted = parse_targets([f"{figure}={value}"], space)
    try:
        point = choose(
            space, probabilities, np.where(known, targets, np.nan), patients, wanted, ON
        )
    except DataError:
        return
    assert all(0 <= threshold <= 1 for threshold in point.thresholds.values())
    for name, row in point.per_class.items():
        assert row["shown"] == (row[figure]["low"] >= value)
        said = any(note.startswith(f"{name}: a {figure}") for note in point.notes)
        assert said != row["shown"]
    assert OperatingPoint.from_fields(json.loads(json.dumps(point.fields()))) == point


def test_ten_patients_can_never_show_nine_in_ten() -> None:
    point = chosen(MULTILABEL, ["covid:sensitivity=0.9"], rare())
    assert point.notes == (
        "covid: a sensitivity of 0.9 cannot be shown with 10 patients; the threshold is where the "
        "estimate reaches it.",
    )
    assert point.per_class["covid"]["shown"] is False
    assert point.per_class["covid"]["sensitivity"]["patients"] == 10


def test_without_patients_images_are_named() -> None:
    probabilities, targets, _ = rare()
    point = chosen(MULTILABEL, ["covid:sensitivity=0.9"], (probabilities, targets, [None] * 54))
    assert "cannot be shown with 14 images" in point.notes[0]


def test_the_largest_threshold_with_the_estimate_is_taken() -> None:
    targets = MULTILABEL.encode(["covid"] * 4 + ["normal"] * 2) == 1
    probabilities = np.tile(np.array([[0.1], [0.2], [0.3], [0.4], [0.25], [0.0]]), 3)
    nobody: list[str | None] = [None] * 6
    case = probabilities.astype(np.float32), targets, nobody
    point = chosen(MULTILABEL, ["covid:sensitivity=0.75"], case)
    assert point.thresholds["covid"] == pytest.approx(0.2 - 1e-4, abs=1e-6)


def test_the_second_of_two_classes_is_chosen_for_by_the_first_s_threshold() -> None:
    point = chosen(TWO, ["normal:sensitivity=0.8"])
    first, second = point.thresholds["infected"], point.thresholds["normal"]
    assert second == 1 - first and point.per_class["normal"]["shown"]
    assert point.thresholds == chosen(TWO, ["infected:specificity=0.8"]).thresholds
    assert point.rule == "normal:sensitivity=0.8"


@pytest.mark.parametrize(("texts", "rule"), [
    ([], "0.5, the default"),
    (["sensitivity=0.8"], "sensitivity=0.8"),
    (["sensitivity=0.8", "covid:specificity=0.9"],
     "covid:specificity=0.9; normal:sensitivity=0.8; pneumonia:sensitivity=0.8"),
    (["covid:specificity=0.9"],
     "covid:specificity=0.9; normal: 0.5, the default; pneumonia: 0.5, the default"),
])  # fmt: skip
def test_the_rule_says_what_was_asked_of_each_class(texts: list[str], rule: str) -> None:
    assert chosen(MULTILABEL, texts).rule == rule


def test_two_classes_name_the_one_that_the_rule_is_about() -> None:
    assert chosen(TWO, ["sensitivity=0.95"]).rule == "infected:sensitivity=0.95"


def test_a_threshold_that_is_kept_is_said_to_be() -> None:
    space = MULTILABEL.with_thresholds({"covid": 0.4, "normal": 0.25, "pneumonia": 0.5})
    point = chosen(space, ["covid:sensitivity=0.8"])
    assert point.thresholds["normal"] == 0.25
    assert point.rule.endswith("normal: 0.25, kept; pneumonia: 0.5, the default")


def test_what_implies_a_class_is_chosen_first_and_counts_for_it() -> None:
    probabilities, targets, patients = evaluated(MULTILABEL)
    probabilities[:, 2] = 0.01  # pneumonia's own output says nothing: covid decides it
    case = (probabilities, targets, patients)
    point = chosen(MULTILABEL, ["covid:specificity=0.5", "pneumonia:sensitivity=0.3"], case)
    row = point.per_class["pneumonia"]
    assert row["sensitivity"]["value"] >= 0.3 and "by themselves" in point.notes[0]


def test_a_specificity_that_implications_put_out_of_reach_is_said() -> None:
    probabilities, targets, patients = evaluated(MULTILABEL)
    space = MULTILABEL.with_thresholds({"covid": 0.1, "normal": 0.5, "pneumonia": 0.5})
    point = chosen(space, ["pneumonia:specificity=0.95"], (probabilities, targets, patients))
    assert "cannot be reached beside the decisions for covid, which imply it" in point.notes[0]


@pytest.mark.parametrize(("bears", "words"), [(0, "bears covid"), (1, "does not bear covid")])
def test_a_class_without_both_outcomes_allows_no_choice(bears: int, words: str) -> None:
    probabilities, targets, patients = evaluated(MULTILABEL)
    targets[:, 0] = bears == 1
    with pytest.raises(DataError, match=f"no image of validation {words}"):
        chosen(MULTILABEL, ["covid:sensitivity=0.8"], (probabilities, targets, patients))


def test_figures_without_images_are_none() -> None:
    targets = MULTILABEL.encode(["normal"] * 3) == 1
    point = chosen(MULTILABEL, [], (np.full((3, 3), 0.1, np.float32), targets, [None] * 3))
    nothing = {"value": None, "low": None, "high": None, "patients": 0}
    assert point.per_class["covid"]["sensitivity"] == point.per_class["covid"]["ppv"] == nothing
    assert point.per_class["covid"]["shown"] is None


def test_the_default_is_said_to_be_one_and_is_mapped_along() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (200, 3)).astype(np.float32)
    _, targets, patients = evaluated(MULTILABEL)
    platt = Recalibration("platt", (0.5, 1.0, 2.0), (1.0, 0.0, -1.0), ON)
    before = default_point(MULTILABEL, expit(logits), targets, patients, ON)
    likely = recalibrated(MULTILABEL, logits, platt)
    after = default_point(MULTILABEL, likely, targets, patients, ON, platt)
    assert before.rule == "0.5, the default" and after.rule == "0.5, the default, mapped along"
    assert after.thresholds == pytest.approx(
        {"covid": expit(1.0), "normal": 0.5, "pneumonia": expit(-1.0)}
    )
    assert [row["sensitivity"] for row in after.per_class.values()] == [
        row["sensitivity"] for row in before.per_class.values()
    ]


def test_more_than_two_exclusive_classes_have_no_thresholds() -> None:
    point = default_point(SINGLE_LABEL, *evaluated(SINGLE_LABEL), ON)
    assert point.thresholds == {} and point.rule == "the largest probability"


@given(
    st.lists(st.tuples(*[st.floats(-8, 8, width=32)] * 3), min_size=1, max_size=20),
    st.tuples(*[st.floats(0.01, 0.99)] * 3), st.tuples(*[st.floats(0.25, 1.5)] * 3),
    st.tuples(*[st.floats(-1, 1)] * 3), st.sampled_from(["temperature", "platt"]),
)  # fmt: skip
def test_no_decision_changes_with_a_recalibration(
    rows: list[tuple[float, ...]], limits: tuple[float, ...], scale: tuple[float, ...],
    shift: tuple[float, ...], method: Method,
) -> None:  # fmt: skip
    space: Any = MULTILABEL
    logits = np.array(rows, dtype=np.float32)
    if method == "temperature":
        space, logits = TWO, logits[:, :2]
        scale, shift, limits = (scale[0],) * 2, (0.0, 0.0), (limits[0], 1 - limits[0])
    recalibration = Recalibration(method, scale, shift, ON)
    plain = recalibrated(space, logits, Recalibration(method, (1.0,) * len(scale),
                                                      (0.0,) * len(scale), ON))  # fmt: skip
    # A probability within rounding of its threshold may fall on either side.
    assume((np.abs(np.log(plain / (1 - plain)) - np.log(np.array(limits) / (1 - np.array(limits))))
            > 2e-3).all())  # fmt: skip
    thresholds = dict(zip(space.classes, limits, strict=True))
    mapped = map_thresholds(thresholds, recalibration, space)
    after = recalibrated(space, logits, recalibration)
    wanted = space.with_thresholds(thresholds).decide(plain)
    assert (space.with_thresholds(mapped).decide(after) == wanted).all()


def test_0_and_1_stay() -> None:
    ends = {"covid": 0.0, "normal": 1.0, "pneumonia": 0.5}
    platt = Recalibration("platt", (0.5, 0.5, 0.5), (3.0, 3.0, 0.0), ON)
    assert map_thresholds(ends, platt, MULTILABEL) == ends
