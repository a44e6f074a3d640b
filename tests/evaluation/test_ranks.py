"""AUROC and average precision with weights, against scikit-learn."""

from random import Random

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from covid.evaluation.ranks import Curve, Ranking

# An image: its probability in tenths, so that ties are common; what it bears; its weight.
IMAGES = st.lists(st.tuples(st.integers(0, 10), st.booleans(), st.integers(0, 3)), min_size=1)


def curve_of(images: list[tuple[int, bool, int]]) -> Curve:
    tenths, targets, weights = map(np.array, zip(*images, strict=True))
    ranking = Ranking.of(tenths.astype(np.float32) / 10, targets, np.ones(len(targets), bool))
    return ranking.curve(weights[None, :].astype(float))


def outcomes(images: list[tuple[int, bool, int]]) -> set[bool]:
    """Those of images that weigh anything."""
    return {target for _, target, weight in images if weight}


@given(IMAGES.filter(lambda images: len(outcomes(images)) == 2))
def test_weighted_auroc_is_that_of_scikit_learn(images: list[tuple[int, bool, int]]) -> None:
    tenths, targets, weights = zip(*images, strict=True)
    expected = reference.roc_auc_score(targets, tenths, sample_weight=weights)
    assert curve_of(images).auroc()[0] == pytest.approx(expected, abs=1e-12)


@given(IMAGES.filter(lambda images: len(outcomes(images)) == 2))
def test_weighted_average_precision_is_that_of_scikit_learn(
    images: list[tuple[int, bool, int]],
) -> None:
    tenths, targets, weights = zip(*images, strict=True)
    expected = reference.average_precision_score(targets, tenths, sample_weight=weights)
    assert curve_of(images).average_precision()[0] == pytest.approx(expected, abs=1e-12)


@given(IMAGES, st.randoms(use_true_random=False))
def test_the_order_of_images_makes_no_difference_to_the_bit(
    images: list[tuple[int, bool, int]], random: Random
) -> None:
    shuffled = list(images)
    random.shuffle(shuffled)
    first, second = curve_of(images), curve_of(shuffled)
    assert np.array_equal(first.auroc(), second.auroc(), equal_nan=True)
    assert np.array_equal(first.average_precision(), second.average_precision(), equal_nan=True)


@pytest.mark.parametrize("target", [True, False])
def test_one_outcome_has_no_auroc(target: bool) -> None:
    assert np.isnan(curve_of([(3, target, 1), (5, target, 2)]).auroc()[0])


def test_each_resample_has_its_own_figure() -> None:
    targets = np.array([True, False, True])
    ranking = Ranking.of(np.array([0.9, 0.5, 0.1]), targets, np.ones(3, bool))
    weights = np.array([[1.0, 1, 0], [0, 1, 1], [1, 1, 1]])
    assert ranking.curve(weights).auroc().tolist() == [1, 0, 0.5]


def test_images_that_are_not_known_have_no_part() -> None:
    probability, target = np.array([0.9, 0.5, 0.1, 0.7]), np.array([True, False, True, False])
    known = np.array([True, True, True, False])
    weights = np.array([[1.0, 2, 3, 4]])
    curve = Ranking.of(probability, target, known).curve(weights)
    alone = Ranking.of(probability[:3], target[:3], known[:3]).curve(weights[:, :3])
    assert (curve.auroc(), curve.average_precision(), curve.total) == (
        alone.auroc(), alone.average_precision(), alone.total,
    )  # fmt: skip


def test_where_no_image_is_known_there_is_no_figure() -> None:
    ranking = Ranking.of(np.array([0.9]), np.array([False]), np.array([False]))
    curve = ranking.curve(np.array([[1.0], [0]]))
    assert np.isnan([curve.auroc(), curve.average_precision()]).all()
