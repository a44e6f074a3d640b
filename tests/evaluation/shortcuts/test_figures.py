"""AUROC and its paired differences, whose label is followed, and what a border is worth."""

import numpy as np
import pytest

from covid.edge.labels import LabelSpace
from covid.evaluation.shortcuts.figures import (
    Evaluated,
    auroc_figures,
    border_weight,
    followed,
    share_changed,
)

SPACE = LabelSpace.from_labels("multilabel", {"sick": ["sick"], "well": ["well"]})
RANDOM = np.random.default_rng(0)
SICK = np.arange(60) % 2 == 0
TARGETS = np.stack([SICK, ~SICK], axis=1).astype(np.float32)
EVALUATED = Evaluated(SPACE, TARGETS, [f"P{n // 2}" for n in range(60)])


def probabilities(signal: float) -> np.ndarray:
    score = 1 / (1 + np.exp(-(signal * (2 * SICK - 1) + RANDOM.normal(size=60))))
    return np.stack([score, 1 - score], axis=1)


def test_a_difference_is_the_figure_less_that_of_the_reference() -> None:
    answers = {"whole": probabilities(2), "hidden": probabilities(0)}
    figures = auroc_figures(EVALUATED, answers, "whole", resamples=200)
    whole, hidden = figures["whole"]["sick"], figures["hidden"]["sick"]
    assert hidden["difference"]["value"] == pytest.approx(hidden["value"] - whole["value"])
    assert hidden["difference"]["high"] < 0 and hidden["low"] < 0.5 < whole["low"]
    assert "difference" not in whole


def test_the_same_answers_differ_by_nothing_for_certain() -> None:
    answers = {"whole": (same := probabilities(1)), "again": same}
    figures = auroc_figures(EVALUATED, answers, "whole", resamples=200)
    assert figures["again"]["macro"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_a_class_without_both_outcomes_has_no_figure() -> None:
    evaluated = Evaluated(SPACE, np.stack([SICK, np.ones(60)], axis=1), EVALUATED.patients)
    figures = auroc_figures(evaluated, {"whole": probabilities(1)}, resamples=50)["whole"]
    assert figures["well"] == {"value": None, "low": None, "high": None}
    assert figures["macro"]["value"] == figures["sick"]["value"]


def test_who_follows_the_border_says_so() -> None:
    centre = TARGETS.astype(np.float64)
    shares = followed(EVALUATED, centre, 1 - centre)["sick"]
    assert [shares[kind]["value"] for kind in ("within", "centre", "border")] == [1.0, 0.0, 1.0]


def test_labels_that_are_not_known_count_in_no_share() -> None:
    targets = TARGETS.copy()
    targets[:, 0] = np.nan
    evaluated = Evaluated(SPACE, targets, EVALUATED.patients)
    assert list(followed(evaluated, TARGETS, TARGETS)) == ["well"]


def test_a_decision_that_differs_in_one_class_is_changed() -> None:
    after = TARGETS.copy()
    after[:15, 1] = 1 - after[:15, 1]
    assert share_changed(EVALUATED, TARGETS, after)["value"] == 0.25


def test_a_border_weighs_as_much_as_the_answer_takes_from_it() -> None:
    centres, borders = RANDOM.normal(size=(2, 2, 60))

    def weight(share: float) -> float:
        mixed = (1 - share) * centres + share * borders
        value = border_weight(EVALUATED, mixed, centres, borders, resamples=100)["value"]
        assert value is not None
        return value

    assert abs(weight(0.0)) < 0.1 < weight(0.2) < weight(0.9)


def test_answers_that_never_change_give_a_border_no_weight() -> None:
    centres, borders = RANDOM.normal(size=(2, 2, 60))
    same = np.full((2, 60), 0.5)
    assert border_weight(EVALUATED, same, centres, borders, resamples=20)["value"] == 0


def test_ten_patients_of_each_outcome_are_enough_and_nine_are_not() -> None:
    few = EVALUATED.take([*range(19), *range(20, 39)])
    assert EVALUATED.enough() == [True, True]
    patients = [f"Q{n}" for n in range(19)]
    assert Evaluated(SPACE, TARGETS[:19], patients).enough() == [False, False]
    assert few.enough() == [True, True]
