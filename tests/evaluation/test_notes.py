"""Sentences beside figures: each names what it is about, and nothing is said twice."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from covid.evaluation.answers import Weighted
from covid.evaluation.figures import METRICS, Enough, Metric
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.notes import TOO_NARROW, few_patients_notes
from tests.evaluation.examples import MULTILABEL, SINGLE_LABEL, evaluated


def notes_of(keys: list[str], patients: list[str | None], **options: Any) -> list[str]:
    targets = SINGLE_LABEL.encode(keys)
    probabilities = targets.astype(np.float32)
    metrics = compute_metrics(SINGLE_LABEL, probabilities, targets, patients, **options)
    notes: list[str] = metrics["notes"]
    return notes


def test_resamples_that_are_left_out_are_counted_by_figure() -> None:
    notes = notes_of(["covid", "covid", "normal", "normal", "normal", "pneumonia"], list("abcdef"))
    [note] = [note for note in notes if note.startswith("Of 2,000 resamples")]
    # A patient is in none of six draws with probability (5/6)^6 = 0.335; 0.011 is its deviation.
    share = float(note.split("; ")[-1].split(" of ")[0].replace(",", "")) / 2000
    assert abs(share - (5 / 6) ** 6) < 0.05
    assert "of pneumonia's F1, AUROC and average precision" in note


def test_no_resample_left_out_is_no_sentence() -> None:
    metrics = compute_metrics(MULTILABEL, *evaluated(MULTILABEL, images=600), resamples=500)
    assert metrics["notes"] == []


def test_an_interval_without_width_names_its_figure_and_classes() -> None:
    notes = notes_of(["covid", "normal", "pneumonia"] * 5, [f"p{n}" for n in range(15)])
    [note] = [note for note in notes if "no width" in note]
    assert "the same macro F1; F1 of covid and normal and pneumonia; AUROC of covid" in note


def test_a_formula_that_fails_has_a_sentence_too() -> None:
    def odds(images: Weighted) -> npt.NDArray[np.float64]:
        return images.true_positives / (images.predicted_positives - images.true_positives)

    notes = notes_of(["covid", "normal"], ["a", "b"], table=(Metric("odds", "odds", odds),))
    assert any("odds is not defined for these answers: covid, normal" in note for note in notes)


def test_classes_without_both_outcomes_are_named_as_left_out_of_the_mean() -> None:
    notes = notes_of(["covid", "normal"], ["a", "b"], resamples=5)
    assert any("Left out of macro F1: pneumonia; a mean over" in note for note in notes)


def test_where_no_class_has_both_outcomes_there_is_no_mean() -> None:
    notes = notes_of(["covid"], ["a"], resamples=5)
    assert "No class is both borne and not borne: macro F1 cannot be determined." in notes


def test_targets_that_are_not_known_are_counted_by_class() -> None:
    targets = MULTILABEL.encode(["covid?", "covid?|pneumonia", "normal", "normal"])
    targets[3] = np.nan
    probabilities = np.full(targets.shape, 0.5, dtype=np.float32)
    notes = compute_metrics(MULTILABEL, probabilities, targets, list("abcd"), resamples=5)["notes"]
    assert (
        "Targets that are not known count in no figure: 3 of covid, 1 of normal, 2 of pneumonia, "
        "nor in accuracy 1 images of which none is known."
    ) in notes


def test_a_class_of_which_nothing_is_known_has_one_reason() -> None:
    targets = MULTILABEL.encode(["covid?|pneumonia", "covid?|pneumonia"])
    probabilities = np.full(targets.shape, 0.5, dtype=np.float32)
    notes = compute_metrics(MULTILABEL, probabilities, targets, list("ab"), resamples=5)["notes"]
    [reason] = [note for note in notes if "cannot be determined there" in note and "covid" in note]
    assert reason.startswith("Of no image is it known whether it bears covid: precision, recall,")


def test_some_images_without_a_patient_are_counted() -> None:
    notes = notes_of(["covid", "normal", "pneumonia"], ["a", None, None], resamples=5)
    assert any(note.startswith("2 of 3 images name no patient") for note in notes)


def test_a_mean_over_folds_says_so_and_which_folds_it_leaves_out() -> None:
    keys = ["covid", "normal", "normal", "pneumonia"]
    notes = notes_of(keys, list("abcd"), resamples=5, folds=["1", "1", "2", "2"])
    assert "AUROC and average precision are means over folds, whose networks have no common scale."\
        in notes  # fmt: skip
    assert any(
        note.startswith("Left out of these means: 1 of 2 for covid, 1 of 2 for pneumonia; a fold")
        for note in notes
    )


def test_a_class_without_both_outcomes_in_any_fold_has_one_reason() -> None:
    notes = notes_of(["covid", "normal"], ["a", "b"], resamples=5, folds=["1", "2"])
    assert (
        "No fold has images that bear and images that do not bear covid, normal: AUROC and average "
        "precision cannot be determined there." in notes
    )
    assert not any("Left out of these" in note or "By its formula" in note for note in notes)


def test_without_folds_nothing_is_said_of_them() -> None:
    assert not any("fold" in note for note in notes_of(["covid", "normal"], ["a", "b"]))


# Intervals of too few patients ------------------------------------------------------------------


def too_narrow(
    value: float, both: tuple[int, int], table: Sequence[Metric] = METRICS, low: float | None = 0.1
) -> list[str]:
    """Titles that the note has, of a class all of whose figures are `value`."""
    interval = {"low": low, "high": low, "patients": sum(both)}
    row = {metric.name: value for metric in table}
    metrics = {
        "accuracy": {"value": value, **interval}, "macro_f1": {"value": value, **interval},
        "per_class": {"a": row | {"intervals": dict.fromkeys(row, interval)}},
    }  # fmt: skip
    [*notes] = few_patients_notes(metrics, {"a": both}, table)
    return [part for note in notes
            for part in note.removeprefix(TOO_NARROW).split(":")[0].split("; ")]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "both", "titles"),
    [
        (0.5, (14, 500), ["macro F1", "F1 of a", "AUROC of a", "average precision of a"]),
        (0.5, (500, 14), ["macro F1", "F1 of a", "AUROC of a", "average precision of a"]),
        (0.5, (15, 85), []),
        (0.5, (15, 84), ["Brier of a"]),
        (0.95, (99, 100), ["AUROC of a", "average precision of a"]),
        (0.9, (99, 100), []),
        (0.95, (100, 100), []),
    ],
)
def test_intervals_that_are_likely_too_narrow_are_named_by_figure(
    value: float, both: tuple[int, int], titles: list[str]
) -> None:
    assert too_narrow(value, both) == titles


@pytest.mark.parametrize(
    ("both", "titles"), [((7, 7), ["precision of a", "NPV of a"]), ((7, 8), [])]
)
def test_of_shares_those_of_decisions_need_some_patients(
    both: tuple[int, int], titles: list[str]
) -> None:
    shares = [metric for metric in METRICS if metric.share is not None]
    assert too_narrow(0.95, both, shares) == titles


def test_where_there_is_no_interval_none_is_too_narrow() -> None:
    assert too_narrow(0.95, (3, 3), low=None) == []


def test_an_outcome_that_no_image_has_is_not_of_too_few() -> None:
    assert too_narrow(0.95, (500, 0), [m for m in METRICS if m.name == "f1"]) == []


def test_a_figure_more_has_its_note_from_the_start_and_may_say_when() -> None:
    def odds(images: Weighted) -> npt.NDArray[np.float64]:
        return images.positives / images.negatives

    assert too_narrow(0.5, (14, 99), [Metric("odds", "odds", odds)]) == ["odds of a"]
    assert too_narrow(0.5, (14, 99), [Metric("odds", "odds", odds, enough=Enough(10))]) == []


def test_the_note_names_classes_together_and_says_where_that_was_measured() -> None:
    notes = notes_of(["covid", "normal", "pneumonia"] * 5, [f"p{n}" for n in range(15)])
    [note] = [note for note in notes if note.startswith(TOO_NARROW)]
    assert note.startswith(
        f"{TOO_NARROW}macro F1; precision of covid, normal and pneumonia; NPV of covid, normal and "
    )
    assert note.endswith("one that holds the truth (benchmarks/coverage.py).")
