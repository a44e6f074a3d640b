"""Signs that a run is not what it seems: seen where they are, and not where they are not."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covid.training.run import EpochRecord
from covid.training.watch import (
    MAX_ACCURACY_GAP,
    ONE_DECISION,
    after_epoch,
    far_apart,
    has_gradient,
)

SEEN = np.array([[True, False], [False, True], [True, False]])
SAME = np.array([[True, False]] * 3)


def records(*pairs: tuple[float, float]) -> list[EpochRecord]:
    """History whose epochs have these training and validation accuracies."""
    return [{"train_accuracy": train, "validation_accuracy": seen} for train, seen in pairs]


HEALTHY = records((0.4, 0.5))


def gradients(*values: list[float] | None) -> torch.optim.Optimizer:
    parameters = []
    for value in values:
        parameter = torch.nn.Parameter(torch.zeros(2))
        parameter.grad = None if value is None else torch.tensor(value)
        parameters.append(parameter)
    return torch.optim.SGD(parameters, 0.1)


@pytest.mark.parametrize(
    "values, expected",
    [
        (([0.0, 0.0], [0.0, 0.0]), False),
        (([0.0, 0.0], None), False),
        (([0.0, 0.0], [0.0, 1e-30]), True),
        (([0.0, float("nan")],), True),
    ],
)
def test_only_exact_zeros_everywhere_are_no_gradient(
    values: tuple[list[float] | None, ...], expected: bool
) -> None:
    assert has_gradient(gradients(*values)) == expected


def test_one_decision_for_all_is_seen() -> None:
    assert after_epoch(SAME, SEEN, HEALTHY) == [ONE_DECISION]


def test_targets_of_one_outcome_as_far_as_they_are_known_deserve_one_decision() -> None:
    unknown = np.array([[1, 0], [np.nan, 0], [1, np.nan]], dtype=np.float32)
    assert after_epoch(SAME, unknown, HEALTHY) == []


def test_different_decisions_are_fine() -> None:
    assert after_epoch(SEEN, SAME, HEALTHY) == []


def test_one_decision_is_right_where_there_is_one_truth() -> None:
    assert after_epoch(SAME, SAME, HEALTHY) == []


@pytest.mark.parametrize("pairs", [((0.9, 0.3), (0.99, 0.4)), ((0.2, 0.9), (0.3, 0.95))])
def test_accuracies_far_apart_are_seen_after_the_second_epoch(
    pairs: tuple[tuple[float, float], ...]
) -> None:
    (sentence,) = after_epoch(SEEN[[0, 1] * 200], SEEN[[0, 1] * 200], records(*pairs))
    assert f"{pairs[0][0]:.2f} against {pairs[0][1]:.2f}" in sentence


@pytest.mark.parametrize(
    "pairs",
    [((0.9, 0.3),), ((0.9, 0.3), (0.9, 0.8)), ((0.9, 0.3), (0.3, 0.9)), ((0.9, 0.3),) * 3],
    ids=["one epoch", "mended", "the other way", "later"],
)
def test_accuracies_are_evaluated_once_and_only_where_both_epochs_agree(
    pairs: tuple[tuple[float, float], ...]
) -> None:
    assert after_epoch(SEEN[[0, 1] * 200], SEEN[[0, 1] * 200], records(*pairs)) == []


def test_few_images_may_be_far_apart_by_chance() -> None:
    pairs = records((0.9, 0.5), (0.9, 0.5))
    assert (far_apart(pairs, images=6), far_apart(pairs, images=600)) == (False, True)


accuracies = st.floats(0, 1)


@given(accuracies, accuracies, st.integers(1, 10_000))
def test_what_is_within_the_bound_never_warns(train: float, seen: float, images: int) -> None:
    if abs(train - seen) <= MAX_ACCURACY_GAP:
        assert not far_apart(records((train, seen), (train, seen)), images)


@given(accuracies, accuracies, st.integers(1, 10_000))
def test_it_makes_no_difference_which_of_both_is_better(
    one: float, other: float, images: int
) -> None:
    there, back = records((one, other)), records((other, one))
    assert far_apart(there, images) == far_apart(back, images)
