"""The table of figures: its entries, and when a figure is not defined."""

import numpy as np
import numpy.typing as npt
import pytest

from covid.evaluation.answers import Answers, Weighted
from covid.evaluation.figures import (
    METRICS,
    Metric,
    Share,
    auroc,
    headlines,
    npv,
    precision,
    recall,
    selectable,
    specificity,
)

TARGETS = np.array([[True, False], [True, True], [False, False]])
DECISIONS = np.array([[True, True], [False, True], [False, False]])
KNOWN = np.ones_like(TARGETS)
ANSWERS = Answers(TARGETS, KNOWN, DECISIONS, DECISIONS.astype(np.float32))


def test_no_two_figures_have_one_name() -> None:
    names = [metric.name for metric in (*METRICS, *selectable(METRICS)) if metric.per_class]
    names += [metric.name for metric in selectable(METRICS)]
    assert len(set(names)) == len(names)


def test_accuracy_and_macro_f1_stand_for_all_classes() -> None:
    assert [metric.name for metric in headlines(METRICS)] == ["accuracy", "macro_f1"]


@pytest.mark.parametrize(
    ("share", "counted", "whole"),
    [(precision, [1, 1], [1, 2]), (recall, [1, 1], [2, 1]),
     (specificity, [1, 1], [1, 2]), (npv, [1, 1], [2, 1])],
    ids=["precision", "recall", "specificity", "npv"],
)  # fmt: skip
def test_a_share_is_of_some_images_among_others(
    share: Share, counted: list[int], whole: list[int]
) -> None:
    part, among = share.sets(ANSWERS)
    assert (part.sum(axis=0).tolist(), among.sum(axis=0).tolist()) == (counted, whole)
    assert not (part & ~among).any()


def test_what_is_not_known_is_in_no_share() -> None:
    known = np.array([[True, False], [False, False], [True, True]])
    answers = Answers(TARGETS & known, known, DECISIONS, ANSWERS.probabilities)
    for metric in METRICS:
        if metric.share is not None:
            part, whole = metric.share.sets(answers)
            assert not (part & ~whole).any()
            assert not (whole & ~(known if metric.per_class else known.any(axis=1))).any()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_an_image_that_weighs_two_counts_as_two_images(metric: Metric) -> None:
    twice = [0, 0, 1, 2]
    double = Answers(TARGETS[twice], KNOWN[twice], DECISIONS[twice], ANSWERS.probabilities[twice])
    weights = np.array([[2.0, 1, 1]])
    assert np.array_equal(
        metric.evaluate(ANSWERS.weighted(weights)), metric.evaluate(double.weighted())
    )


def test_a_resample_without_the_images_that_a_figure_needs_is_not_a_number() -> None:
    metric = Metric("recall", "recall", recall)
    figures = metric.evaluate(ANSWERS.weighted(np.array([[1.0, 0, 1], [1, 1, 0]])))
    assert np.array_equal(figures, [[1, np.nan], [0.5, 1]], equal_nan=True)


def test_a_mean_over_classes_needs_every_class() -> None:
    metric = Metric("recall", "recall", recall).macro()
    figures = metric.evaluate(ANSWERS.weighted(np.array([[1.0, 0, 1], [1, 1, 0]])))
    assert np.array_equal(figures, [np.nan, 0.75], equal_nan=True)


@pytest.mark.filterwarnings("error")
def test_a_division_by_zero_is_undefined_and_no_warning() -> None:
    def infinite(images: Weighted) -> npt.NDArray[np.float64]:
        return images.positives / 0

    assert np.isnan(Metric("a", "a", infinite).evaluate(ANSWERS.weighted())).all()


# Several folds ------------------------------------------------------------------------------

# Two networks on other scales: each orders its own two images rightly, and together they do not.
SCORES = np.array([[0.9], [0.8], [0.2], [0.1]], dtype=np.float32)
TRUE = np.array([[True], [False], [True], [False]])
FOLDS = Answers(TRUE, np.ones_like(TRUE), TRUE, SCORES, np.array([0, 0, 1, 1]))
RANKED = Metric("auroc", "AUROC", auroc, undefined_without=("positive", "negative"), by_fold=True)


def test_what_compares_probabilities_is_the_mean_of_each_fold_s_own() -> None:
    assert RANKED.evaluate(FOLDS.weighted()).tolist() == [[1]]
    assert RANKED.macro().evaluate(FOLDS.weighted()).tolist() == [1]


def test_other_figures_are_of_all_folds_together() -> None:
    pooled = Metric("auroc", "AUROC", auroc, undefined_without=("positive", "negative"))
    assert pooled.evaluate(FOLDS.weighted()).tolist() == [[0.75]]


def test_a_fold_that_does_not_define_a_figure_is_left_out_of_its_mean() -> None:
    weights = np.array([[1.0, 1, 0, 1], [0, 1, 0, 1]])
    figures = RANKED.evaluate(FOLDS.weighted(weights))
    assert figures[:, 0] == pytest.approx([1, np.nan], nan_ok=True)
