"""Losses against their formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.nn import functional

from covid.config import BCE, CrossEntropy, Focal
from covid.model.losses import focal, make_loss

LOGITS = arrays.arrays(np.float64, (4, 3), elements=st.floats(-20, 20))
TRUTHS = arrays.arrays(np.float64, (4, 3), elements=st.sampled_from([0.0, 1.0]))


def focal_in_numpy(
    logits: np.ndarray, targets: np.ndarray, gamma: float, alpha: float | None
) -> float:
    """The formula, letter by letter, in float64."""
    probability = 1 / (1 + np.exp(-logits))
    p_t = np.where(targets == 1, probability, 1 - probability)
    alpha_t = 1.0 if alpha is None else np.where(targets == 1, alpha, 1 - alpha)
    return float(np.mean(alpha_t * (1 - p_t) ** gamma * -np.log(p_t)))


@given(LOGITS, TRUTHS)
def test_focal_loss_with_gamma_zero_is_bce(logits: np.ndarray, targets: np.ndarray) -> None:
    a, b = torch.from_numpy(logits), torch.from_numpy(targets)
    assert focal(a, b, 0, None) == functional.binary_cross_entropy_with_logits(a, b)


@given(LOGITS, TRUTHS, st.floats(0, 5), st.none() | st.floats(0.1, 0.9))
def test_focal_loss_is_its_formula(
    logits: np.ndarray, targets: np.ndarray, gamma: float, alpha: float | None
) -> None:
    ours = focal(torch.from_numpy(logits), torch.from_numpy(targets), gamma, alpha).item()
    # 1 - p_t loses up to seven of float64's sixteen digits at a logit of 20; the loss does not.
    assert ours == pytest.approx(focal_in_numpy(logits, targets, gamma, alpha), rel=1e-6, abs=1e-12)


@given(LOGITS, TRUTHS, st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.none() | st.just(0.25))
def test_focal_loss_s_gradient_is_that_of_numbers(
    logits: np.ndarray, targets: np.ndarray, gamma: float, alpha: float | None
) -> None:
    inputs = torch.from_numpy(logits).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: focal(x, torch.from_numpy(targets), gamma, alpha), (inputs,)
    )


def test_focal_loss_stays_finite_at_extreme_logits() -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    focal(logits, torch.tensor([[0.0, 1.0]]), 3, 0.25).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_a_larger_gamma_makes_easy_elements_count_less() -> None:
    logits, targets = torch.tensor([[4.0]]), torch.tensor([[1.0]])
    assert focal(logits, targets, 3, None) < focal(logits, targets, 1, None)


def test_cross_entropy_takes_one_hot_truths() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, -1.0]])
    loss = make_loss(CrossEntropy(name="cross_entropy"))
    targets = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert loss(logits, targets) == functional.cross_entropy(logits, torch.tensor([1, 0]))


def test_the_config_s_gamma_and_alpha_reach_the_loss() -> None:
    logits, targets = torch.tensor([[0.3, -2.0]]), torch.tensor([[1.0, 0.0]])
    loss = make_loss(Focal(name="focal", gamma=3, alpha=0.25))
    assert loss(logits, targets) == focal(logits, targets, 3, 0.25)


def test_bce_is_the_mean_over_elements() -> None:
    loss = make_loss(BCE(name="bce"))
    assert loss(torch.zeros(2, 3), torch.ones(2, 3)).item() == pytest.approx(np.log(2))
