"""Logistic regression: its maximum, whether there is one, and its interval over patients."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from covid.evaluation.operating.logistic import fit_line, fit_shift, interval, why_no_slope

Floats = npt.NDArray[np.float64]


def drawn(images: int = 300, slope: float = 0.7) -> tuple[Floats, npt.NDArray[np.bool_]]:
    generator = np.random.default_rng(0)
    x = generator.normal(-1, 2, images)
    return x, generator.random(images) < expit(slope * x + 0.3)


@pytest.mark.parametrize("slope", [-0.5, 0.7, 3.0])
def test_the_maximum_is_scikit_learn_s(slope: float) -> None:
    x, outcomes = drawn(slope=slope)
    line = fit_line(x, outcomes)
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], outcomes)
    assert line.slope == pytest.approx(other.coef_[0, 0], rel=1e-4)
    assert line.intercept == pytest.approx(other.intercept_[0], rel=1e-3)


@given(st.lists(st.tuples(st.integers(-8, 8), st.booleans()), min_size=4, max_size=30))
@settings(max_examples=100)
def test_the_gradient_is_0_at_the_maximum(cells: list[tuple[int, bool]]) -> None:
    x = np.array([value for value, _ in cells], dtype=np.float64)
    outcomes = np.array([true for _, true in cells])
    assume(outcomes.any() and not outcomes.all() and why_no_slope(x, outcomes) is None)
    line = fit_line(x, outcomes)
    left = outcomes - expit(line.slope * x + line.intercept)
    assert (left.sum(), (left * x).sum()) == pytest.approx((0, 0), abs=1e-6)


def test_images_that_are_alone_have_the_sandwich_of_white() -> None:
    x, outcomes = drawn()
    line = fit_line(x, outcomes, np.arange(len(x)))
    design = np.stack([x, np.ones_like(x)], axis=1)
    likely = expit(line.slope * x + line.intercept)
    bread = np.linalg.inv(design.T * (likely * (1 - likely)) @ design)
    meat = design.T * (outcomes - likely) ** 2 @ design * len(x) / (len(x) - 1)
    assert line.slope_error == pytest.approx(np.sqrt((bread @ meat @ bread)[0, 0]), rel=1e-8)


def test_copies_of_images_say_nothing_new() -> None:
    x, outcomes = drawn()
    alone = fit_line(x, outcomes, np.arange(len(x)))
    twice = fit_line(np.tile(x, 2), np.tile(outcomes, 2), np.tile(np.arange(len(x)), 2))
    assert twice.slope_error == pytest.approx(alone.slope_error)


def test_a_shift_makes_the_mean_right() -> None:
    x, outcomes = drawn()
    shift, error = fit_shift(x, outcomes, np.arange(len(x)))
    assert expit(x + shift).mean() == pytest.approx(outcomes.mean(), abs=1e-9)
    assert error is not None and 0 < error < 1


def test_one_patient_has_no_error() -> None:
    x, outcomes = drawn()
    alone = np.zeros(len(x), dtype=np.intp)
    assert fit_line(x, outcomes, alone).slope_error is None
    assert fit_shift(x, outcomes, alone)[1] is None


@pytest.mark.parametrize(("x", "outcomes", "reason"), [
    ([1, 2, 3, 4], [0, 0, 1, 1], "separate"),
    ([1, 2, 2, 3], [0, 0, 1, 1], "separate"),  # if only just
    ([1, 2, 3, 4], [1, 1, 0, 0], "separate"),
    ([2, 2, 2, 2], [0, 1, 0, 1], "same probability"),
])  # fmt: skip
def test_what_has_no_maximum_is_said(x: list[int], outcomes: list[int], reason: str) -> None:
    why = why_no_slope(np.array(x, dtype=np.float64), np.array(outcomes) == 1)
    assert why is not None and reason in why


def test_a_maximum_out_of_reach_is_no_huge_number() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0, 1e12])
    with pytest.raises(ArithmeticError):
        fit_line(x, np.array([False, True, False, True, True]))


def test_few_patients_have_wide_intervals() -> None:
    assert interval(1.0, 0.1, 3) == pytest.approx((1 - 0.43027, 1 + 0.43027), abs=1e-4)
