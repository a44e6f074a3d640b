"""The table of figures: its entries, and when a figure is not defined."""

import numpy as np
import numpy.typing as npt
import pytest

from covid.evaluation.figures import (
    METRICS,
    Answers,
    Metric,
    Weighted,
    headlines,
    recall,
    selectable,
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


def test_weights_count_images() -> None:
    weighted = ANSWERS.weighted(np.array([[2.0, 1, 3]]))
    assert weighted.positives.tolist() == [[3, 1]]
    assert weighted.true_positives.tolist() == [[2, 1]]
    assert weighted.true_negatives.tolist() == [[3, 3]]
    assert weighted.correct.tolist() == [3]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_an_image_that_weighs_two_counts_as_two_images(metric: Metric) -> None:
    twice = [0, 0, 1, 2]
    double = Answers(TARGETS[twice], KNOWN[twice], DECISIONS[twice], ANSWERS.probabilities[twice])
    weights = np.array([[2.0, 1, 1]])
    assert np.array_equal(
        metric.evaluate(ANSWERS.weighted(weights)), metric.evaluate(double.weighted())
    )


def test_a_resample_without_the_images_that_a_figure_needs_is_not_a_number() -> None:
    metric = Metric("recall", "recall", recall, denominator="positive")
    figures = metric.evaluate(ANSWERS.weighted(np.array([[1.0, 0, 1], [1, 1, 0]])))
    assert np.array_equal(figures, [[1, np.nan], [0.5, 1]], equal_nan=True)


def test_a_mean_over_classes_needs_every_class() -> None:
    metric = Metric("recall", "recall", recall, denominator="positive").macro()
    figures = metric.evaluate(ANSWERS.weighted(np.array([[1.0, 0, 1], [1, 1, 0]])))
    assert np.array_equal(figures, [np.nan, 0.75], equal_nan=True)


@pytest.mark.filterwarnings("error")
def test_a_division_by_zero_is_undefined_and_no_warning() -> None:
    def infinite(images: Weighted) -> npt.NDArray[np.float64]:
        return images.positives / 0

    assert np.isnan(Metric("a", "a", infinite).evaluate(ANSWERS.weighted())).all()
