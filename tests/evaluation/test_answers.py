"""Answers beside targets: kinds of images, weights, folds, and sums that are exact."""

import numpy as np
import pytest

from covid.errors import DataError
from covid.evaluation.answers import Answers, Kind
from tests.evaluation.examples import MULTILABEL

TARGETS = np.array([[True, False], [True, True], [False, False]])
DECISIONS = np.array([[True, True], [False, True], [False, False]])
KNOWN = np.ones_like(TARGETS)
PROBABILITIES = np.array([[0.75, 0.5], [0.25, 1], [0.25, 0]], dtype=np.float32)
ANSWERS = Answers(TARGETS, KNOWN, DECISIONS, PROBABILITIES, np.array([1, 0, 1]))


def test_weights_count_images() -> None:
    weighted = ANSWERS.weighted(np.array([[2.0, 1, 3]]))
    assert weighted.positives.tolist() == [[3, 1]]
    assert weighted.true_positives.tolist() == [[2, 1]]
    assert weighted.known.tolist() == [[6, 6]]
    assert weighted.correct.tolist() == [3]


@pytest.mark.parametrize(
    ("kind", "images"),
    [("positive", [2, 1]), ("negative", [1, 2]), ("predicted", [1, 2]),
     ("predicted_negative", [2, 1])],
)  # fmt: skip
def test_a_class_has_images_of_each_kind(kind: Kind, images: list[int]) -> None:
    assert ANSWERS.are(kind).sum(axis=0).tolist() == images


@pytest.mark.parametrize("kind", ["positive", "negative", "predicted", "predicted_negative"])
def test_what_is_not_known_is_of_no_kind(kind: Kind) -> None:
    known = np.array([[True, False], [False, True], [True, True]])
    answers = Answers(TARGETS & known, known, DECISIONS, PROBABILITIES)
    assert not (answers.are(kind) & ~known).any()


@pytest.mark.parametrize("kind", ["positive", "negative", "predicted", "predicted_negative"])
def test_a_resample_has_images_of_the_kinds_of_those_that_weigh_anything(kind: Kind) -> None:
    weights = np.array([[0.0, 2, 0], [1, 0, 1]])
    expected = [ANSWERS.are(kind)[row > 0].any(axis=0).tolist() for row in weights]
    assert ANSWERS.weighted(weights).have(kind).tolist() == expected


def test_each_fold_has_its_images_and_their_weights() -> None:
    first, second = ANSWERS.weighted(np.array([[2.0, 1, 3]])).folds
    assert (first.weights.tolist(), second.weights.tolist()) == ([[1]], [[2, 3]])
    assert np.array_equal(second.answers.probabilities, PROBABILITIES[[0, 2]])


def test_what_one_network_answered_has_no_folds() -> None:
    answers = Answers(TARGETS, KNOWN, DECISIONS, PROBABILITIES)
    assert answers.folds == [] and answers.weighted().folds == []


def test_squared_differences_are_of_probability_and_target() -> None:
    assert ANSWERS.squared_differences.tolist() == [[0.0625, 0.25], [0.5625, 0], [0.0625, 0]]


def test_squared_differences_sum_to_the_bit_in_any_order() -> None:
    draw = np.random.default_rng(0)
    probabilities = draw.random((5000, 1), dtype=np.float32)
    targets = draw.random((5000, 1)) < 0.5
    answers = Answers(targets, np.ones_like(targets), targets, probabilities)
    squares = answers.squared_differences[:, 0]
    assert sum(squares.tolist()) == sum(sorted(squares.tolist()))
    assert squares == pytest.approx((probabilities.astype(float) - targets)[:, 0] ** 2, abs=1e-10)


def test_no_image_is_the_users_mistake() -> None:
    with pytest.raises(DataError, match="no image to evaluate"):
        Answers.of(MULTILABEL, np.zeros((0, 3)), np.zeros((0, 3), bool))
