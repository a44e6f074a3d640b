"""Comparisons: laws that hold for any two networks, what is paired with what, what is refused."""

import random
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from covid.edge.labels import LabelSpace
from covid.evaluation.comparison.compare import (
    NETWORKS,
    OTHER_THRESHOLDS,
    RECIPES,
    SAME_ANSWERS,
    Comparison,
    Difference,
    compare,
)
from covid.evaluation.comparison.report import comparison_fields
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.prediction_file import PredictionFile
from tests.evaluation.examples import MULTILABEL, SPACES, any_doubts
from tests.evaluation.predictions import answering, prediction_file, two_files

FIRST, SECOND = two_files()
SOME = 40  # resamples, where their number makes no difference


def quick(first: PredictionFile, second: PredictionFile, *, resamples: int = SOME) -> Comparison:
    return compare(first, second, ("one.csv", "other.csv"), resamples=resamples)


def of(comparison: Comparison, figure: str, name: str | None = None) -> Difference:
    return next(d for d in comparison.differences if (d.metric.name, d.of) == (figure, name))


def numbers(comparison: Comparison) -> list[list[float]]:
    """Value, low and high of every figure; NaN where there is none."""
    rows = [(d.value, d.low, d.high) for d in comparison.differences]
    return [[np.nan if number is None else number for number in row] for row in rows]


@st.composite
def any_two(draw: st.DrawFn) -> tuple[PredictionFile, PredictionFile]:
    """Few images with doubts, so that figures which are not defined are common."""
    space, (probabilities, targets, patients), known = draw(any_doubts())
    first = prediction_file(space, (probabilities, targets, patients))
    first = replace(first, targets=np.where(known, first.targets, np.float32(np.nan)))
    tenths = draw(arrays.arrays(np.int64, targets.shape, elements=st.integers(0, 10)))
    return first, answering(first, (tenths / 10).astype(np.float32), space)


@given(any_two())
@settings(max_examples=30)
def test_a_network_compared_with_itself_gives_nothing(
    files: tuple[PredictionFile, PredictionFile],
) -> None:
    comparison = quick(files[0], files[0])
    assert comparison.same_answers and comparison.p == 1 and not comparison.disagreements
    for row in comparison.differences:
        assert (row.value, row.low, row.high) in ((0, 0, 0), (None, None, None))
    assert not any("no width" in note for note in comparison.notes)


@given(any_two())
@settings(max_examples=30)
def test_the_files_other_way_round_change_the_sign_alone(
    files: tuple[PredictionFile, PredictionFile],
) -> None:
    there, back = quick(*files), quick(*reversed(files))
    swapped = [[-value, -high, -low] for value, low, high in numbers(back)]
    np.testing.assert_allclose(numbers(there), swapped, atol=1e-12)
    assert (there.p, there.same_answers) == (back.p, back.same_answers)
    other = {"first": "second", "second": "first"}
    assert [(d.name, d.first, d.second, d.right) for d in there.disagreements] == [
        (d.name, d.second, d.first, other.get(d.right, d.right)) for d in back.disagreements
    ]


@given(any_two(), st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_order_of_rows_changes_nothing(
    files: tuple[PredictionFile, PredictionFile], order: random.Random
) -> None:
    shuffled = []
    for file in files:
        places = list(range(len(file.names)))
        order.shuffle(places)
        shuffled.append(file.take(places))
    assert comparison_fields(quick(*shuffled)) == comparison_fields(quick(*files))


@SPACES
def test_figures_are_those_of_metrics(space: LabelSpace) -> None:
    files = two_files(space=space)
    comparison = quick(*files)
    one, two = (
        compute_metrics(space, file.probabilities, file.targets, file.patients, resamples=2)
        for file in files
    )
    for row in comparison.differences:
        name = row.metric.name
        expected = [m[name]["value"] if row.of is None else m["per_class"][row.of][name]
                    for m in (one, two)]  # fmt: skip
        assert [row.first, row.second] == pytest.approx(expected)
        assert row.value == pytest.approx(expected[1] - expected[0])


def test_a_paired_interval_is_narrower_than_one_of_either_figure() -> None:
    first, second = two_files(images=200, noise=0.03)
    accuracy = compute_metrics(MULTILABEL, first.probabilities, first.targets, first.patients)
    paired = of(quick(first, second, resamples=500), "accuracy")
    assert paired.low is not None and paired.high is not None
    alone = accuracy["accuracy"]["high"] - accuracy["accuracy"]["low"]
    assert paired.high - paired.low < 0.6 * alone


def test_the_interval_is_of_patients() -> None:
    """Eight times the same images of a patient say no more than one."""
    first, second = two_files()
    often = [replace(file, patients=file.names).take(range(60)) for file in (first, second)]
    once = of(quick(*often, resamples=400), "accuracy")
    names = tuple(f"{name}-{n}" for n in range(8) for name in first.names)
    eight = [
        replace(file.take(list(range(60)) * 8), names=names) for file in often
    ]
    many = of(quick(*eight, resamples=400), "accuracy")
    assert (many.low, many.high) == pytest.approx((once.low, once.high), abs=0.03)


def test_images_in_one_file_alone_are_left_out_and_counted() -> None:
    comparison = quick(FIRST.take(range(50)), SECOND.take(range(20, 60)))
    assert (comparison.images, comparison.left_out) == (30, (20, 10))
    assert numbers(comparison) == numbers(quick(*(f.take(range(20, 50)) for f in (FIRST, SECOND))))


def test_the_images_decided_otherwise_say_who_is_right() -> None:
    nothing = np.zeros((4, 3), dtype=np.float32)
    targets = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1], [np.nan] * 3], dtype=np.float32)
    file = replace(FIRST.take(range(4)), targets=targets)
    normal = np.array([[0, 1, 0]] * 3 + [[0, 1, 0]], dtype=np.float32)
    comparison = quick(answering(file, nothing), answering(file, normal))
    assert [(d.name, d.first, d.second, d.right) for d in comparison.disagreements] == [
        ("test/000.png", (), ("normal",), "neither"),
        ("test/001.png", (), ("normal",), "first"),
        ("test/002.png", (), ("normal",), "neither"),
        ("test/003.png", (), ("normal",), "not known"),
    ]  # fmt: skip


def test_p_is_of_patients_whose_images_tip_the_scale() -> None:
    targets = np.array([[0, 1, 0]] * 6, dtype=np.float32)
    file = replace(FIRST.take(range(6)), targets=targets, patients=("a", "a", "b", "c", "d", "d"))
    right, wrong = [0, 1, 0], [0, 0, 0]
    first = answering(file, np.array([right] + [wrong] * 5, dtype=np.float32))
    second = answering(file, np.array([wrong] + [right] * 5, dtype=np.float32))
    comparison = quick(first, second)  # a: -1 + 1, b: 1, c: 1, d: 2
    assert (comparison.patients_deciding, comparison.p) == (3, 2 / 8)
    assert any("p could not be below 0.25" in note for note in comparison.notes)


def test_patients_are_taken_from_the_file_that_knows_them() -> None:
    unknown = replace(FIRST, patients=(None,) * 60, earlier=True)
    comparison = quick(unknown, SECOND)
    assert comparison.patients == quick(FIRST, SECOND).patients
    assert any("one.csv is of an earlier version" in note for note in comparison.notes)


def test_without_patients_a_note_says_that_intervals_are_too_narrow() -> None:
    comparison = quick(*(replace(file, patients=(None,) * 60) for file in (FIRST, SECOND)))
    assert comparison.patients is None
    assert any("intervals are over images, and too narrow" in note for note in comparison.notes)


def test_classes_of_few_patients_are_said_to_have_too_narrow_intervals() -> None:
    covid = FIRST.targets[:, 0] == 1
    bearing = {patient for patient, true in zip(FIRST.patients, covid, strict=True) if true}
    targets = np.tile(np.array([1, 0, 1], dtype=np.float32), (60, 1))
    many = replace(FIRST, targets=targets, patients=FIRST.names)
    few, enough = quick(FIRST, SECOND), quick(many, replace(many, decisions=SECOND.decisions))
    assert any("too narrow: in a simulation" in note and f" {len(bearing)} of covid" in note
               for note in few.notes)  # fmt: skip
    assert not any("in a simulation" in note for note in enough.notes)


def test_intervals_without_width_are_said_to_be_no_certainty() -> None:
    barely = answering(FIRST, np.clip(FIRST.probabilities + np.float32(1e-5), 0, 1))
    comparison = quick(FIRST, barely)
    assert not comparison.same_answers and not comparison.disagreements
    assert any("have no width for want of images" in note for note in comparison.notes)


# The same network -------------------------------------------------------------------------------


def test_equal_probabilities_are_of_the_same_network_at_other_thresholds() -> None:
    lower = MULTILABEL.with_thresholds(dict.fromkeys(MULTILABEL.classes, 0.1))
    comparison = quick(FIRST, answering(FIRST, FIRST.probabilities, lower))
    assert comparison.disagreements and comparison.about == OTHER_THRESHOLDS
    assert not any("no width" in note for note in comparison.notes)


def test_probabilities_equal_but_for_rounding_are_the_same_answers() -> None:
    rounded = replace(FIRST, probabilities=FIRST.probabilities.round(6))
    comparison = quick(FIRST, rounded)
    assert not comparison.same_answers and comparison.about == SAME_ANSWERS


def test_one_image_with_another_probability_makes_another_network() -> None:
    probabilities = FIRST.probabilities.copy()
    probabilities[7, 0] = abs(probabilities[7, 0] - np.float32(1e-5))
    assert quick(FIRST, replace(FIRST, probabilities=probabilities)).about == NETWORKS


# Folds -------------------------------------------------------------------------------------------

FOLDS = tuple(str(1 + n % 3) for n in range(60))


def test_two_networks_are_no_two_recipes() -> None:
    comparison = quick(FIRST, SECOND)
    assert comparison.about == NETWORKS and "two networks, not two recipes" in NETWORKS
    assert comparison.folds is None


def test_the_same_folds_are_paired_and_show_their_spread() -> None:
    first, second = (replace(file, folds=FOLDS) for file in (FIRST, SECOND))
    comparison = quick(first, second)
    assert comparison.about == RECIPES and comparison.folds is not None
    assert {fold.fold: fold.images for fold in comparison.folds} == {"1": 20, "2": 20, "3": 20}
    whole = of(comparison, "accuracy").value
    assert np.mean([fold.value for fold in comparison.folds]) == pytest.approx(whole)


def test_areas_are_means_over_folds_whose_probabilities_do_not_compare() -> None:
    first, second = (replace(file, folds=FOLDS) for file in (FIRST, SECOND))
    row = of(quick(first, second), "auroc", "normal")
    areas = [
        np.mean([reference.roc_auc_score(file.targets[n::3, 1], file.probabilities[n::3, 1])
                 for n in range(3)])
        for file in (first, second)
    ]  # fmt: skip
    assert [row.first, row.second] == pytest.approx(areas)


def test_other_folds_are_not_paired() -> None:
    comparison = quick(replace(FIRST, folds=FOLDS), replace(SECOND, folds=FOLDS[::-1]))
    assert comparison.folds is None and comparison.about == NETWORKS
    assert any("folds are not paired" in note for note in comparison.notes)


def test_one_fold_on_both_sides_is_no_comparison_of_recipes() -> None:
    comparison = quick(*(replace(file, folds=("2",) * 60) for file in (FIRST, SECOND)))
    assert comparison.folds is None and comparison.about == NETWORKS


def test_a_second_fold_of_which_nothing_is_known_does_not_count() -> None:
    targets = FIRST.targets.copy()
    targets[40:] = np.nan
    folds = ("1",) * 40 + ("2",) * 20
    comparison = quick(*(replace(f, folds=folds, targets=targets) for f in (FIRST, SECOND)))
    assert comparison.folds is None and comparison.about == NETWORKS
