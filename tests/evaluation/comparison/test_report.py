"""Comparisons as people and programs get them: nothing lost, nothing too wide, nothing obeyed."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from covid.evaluation.comparison.compare import NETWORKS, Comparison, compare
from covid.evaluation.comparison.report import (
    comparison_csv,
    comparison_fields,
    comparison_text,
    signed,
)
from covid.evaluation.prediction_file import PredictionFile
from tests.evaluation.predictions import answering, two_files

FIRST, SECOND = two_files()


def compared(
    second: PredictionFile = SECOND, name: str = "runs/other", first: PredictionFile = FIRST
) -> Comparison:
    return compare(first, second, ("runs/one", name), resamples=40)


COMPARISON = compared()
TEXT = comparison_text(COMPARISON)


def test_it_begins_with_what_is_compared_on_how_many_images() -> None:
    text = comparison_text(compared(SECOND.take(range(50))))
    patients = len({*FIRST.patients[:50]})
    assert text.splitlines()[:3] == [
        "first   runs/one", "second  runs/other",
        f"50 images of {patients} patients in both; left out: 10 images of the first alone",
    ]  # fmt: skip


def test_every_figure_has_a_row_with_both_values_difference_and_interval() -> None:
    rows = TEXT.split("\n\n")[1].splitlines()[2:]
    assert len(rows) == len(COMPARISON.differences)
    accuracy = COMPARISON.differences[0]
    assert rows[0].split() == [
        "accuracy", f"{accuracy.first:.3f}", f"{accuracy.second:.3f}", signed(accuracy.value),
        signed(accuracy.low), "to", signed(accuracy.high),
    ]  # fmt: skip
    assert any(row.startswith("pneumonia: average precision ") for row in rows)


def test_images_decided_otherwise_are_counted_and_the_first_ten_shown() -> None:
    count = len(COMPARISON.disagreements)
    assert count > 10
    assert f"\n{count} images decided otherwise: the first alone is right in " in TEXT
    shown = [line for line in TEXT.splitlines() if line.startswith("test/")]
    assert len(shown) == 10 and f"\nand {count - 10} more\n" in TEXT


def test_one_p_value_stands_beside_accuracy_and_no_other() -> None:
    assert TEXT.count("p = ") + TEXT.count("p < ") == 1
    assert f"Sign-flip test of the difference in accuracy: p = {COMPARISON.p:.2g}, from " in TEXT


def test_it_says_that_networks_are_no_recipes() -> None:
    assert NETWORKS in " ".join(TEXT.split())


def test_the_same_answers_are_called_so() -> None:
    text = comparison_text(compared(FIRST))
    assert "Both give the same answers, to the last digit. No image is decided otherwise." in text
    assert "two networks, not two recipes" not in " ".join(text.split())
    assert ": p = 1, from no patient that decides" in text and "test/" not in text


def test_the_spread_over_folds_is_said() -> None:
    folds = tuple(str(1 + n % 2) for n in range(60))
    comparison = compared(replace(SECOND, folds=folds), first=replace(FIRST, folds=folds))
    assert comparison.folds is not None
    by_fold = [signed(fold.value) for fold in comparison.folds]
    text = " ".join(comparison_text(comparison).split())
    assert f"Accuracy by fold differs by {by_fold[0]} in 1, {by_fold[1]} in 2 (standard dev" in text


def test_lines_fit_a_terminal_and_names_cannot_command_it() -> None:
    long = tuple(f"{'folder/' * 20}{n}\x1b[2J.png" for n in range(60))
    classes = ("c" * 50, "n" * 50, "p" * 50)
    files = [replace(file, names=long, classes=classes) for file in (FIRST, SECOND)]
    text = comparison_text(compared(files[1], "x" * 40, files[0]))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120  # what is called by 50 letters has its way


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.1234, "+0.123"), (-0.1234, "-0.123"), (-0.0004, "0.000"), (0.0, "0.000"), (None, "–")],
)
def test_a_difference_has_its_sign(value: float | None, said: str) -> None:
    assert signed(value) == said


def test_json_has_every_figure_by_its_name_in_metrics_json() -> None:
    fields = json.loads(json.dumps(comparison_fields(COMPARISON), allow_nan=False))
    assert list(fields["accuracy"]) == ["first", "second", "difference", "low", "high"]
    assert list(fields["per_class"]) == list(FIRST.classes)
    assert fields["per_class"]["normal"]["auroc"]["difference"] == next(
        d.value for d in COMPARISON.differences if (d.of, d.metric.name) == ("normal", "auroc")
    )
    assert sum(fields["decided_otherwise"]["right"].values()) == len(COMPARISON.disagreements)
    assert fields["sign_flip_test"]["p"] == COMPARISON.p and fields["folds"] is None


def test_csv_has_a_row_for_each_image_and_network() -> None:
    nothing = answering(FIRST, np.zeros_like(FIRST.probabilities))
    third = compared(nothing, "=third")
    rows = list(csv.DictReader(io.StringIO(comparison_csv([COMPARISON, third]))))
    assert len(rows) == len(COMPARISON.disagreements) + len(third.disagreements)
    assert list(rows[0]) == ["second_file", "path", "label", "first", "second", "right"]
    assert rows[-1]["second_file"] == "'=third" and rows[-1]["second"] == ""
