"""Losses against their formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.nn import functional

from covid.config import BCE, CrossEntropy, Focal
from covid.errors import DataError
from covid.model.losses import Loss, class_weights, focal, make_loss

LOGITS = arrays.arrays(np.float64, (4, 3), elements=st.floats(-20, 20))
NAMES, TARGETS = ("a", "b"), np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=bool)
TARGET_ARRAYS = arrays.arrays(np.float64, (4, 3), elements=st.sampled_from([0.0, 1.0]))


def focal_in_numpy(
    logits: np.ndarray, targets: np.ndarray, gamma: float, alpha: float | None
) -> float:
    """The formula, letter by letter, in float64."""
    probability = 1 / (1 + np.exp(-logits))
    p_t = np.where(targets == 1, probability, 1 - probability)
    alpha_t = 1.0 if alpha is None else np.where(targets == 1, alpha, 1 - alpha)
    return float(np.mean(alpha_t * (1 - p_t) ** gamma * -np.log(p_t)))


@given(LOGITS, TARGET_ARRAYS)
def test_focal_loss_with_gamma_zero_is_bce(logits: np.ndarray, targets: np.ndarray) -> None:
    a, b = torch.from_numpy(logits), torch.from_numpy(targets)
    assert focal(a, b, 0, None) == functional.binary_cross_entropy_with_logits(a, b)


@given(LOGITS, TARGET_ARRAYS, st.floats(0, 5), st.none() | st.floats(0.1, 0.9))
def test_focal_loss_is_its_formula(
    logits: np.ndarray, targets: np.ndarray, gamma: float, alpha: float | None
) -> None:
    ours = focal(torch.from_numpy(logits), torch.from_numpy(targets), gamma, alpha).item()
    # 1 - p_t loses up to seven of float64's sixteen digits at a logit of 20; the loss does not.
    assert ours == pytest.approx(focal_in_numpy(logits, targets, gamma, alpha), rel=1e-6, abs=1e-12)


@given(LOGITS, TARGET_ARRAYS, st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.none() | st.just(0.25))
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


def test_cross_entropy_of_one_hot_targets_is_that_of_classes() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, -1.0]])
    loss = make_loss(CrossEntropy(name="cross_entropy"), NAMES, TARGETS)
    targets = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    expected = functional.cross_entropy(logits, torch.tensor([1, 0])).item()
    assert loss(logits, targets).item() == pytest.approx(expected, rel=1e-6)  # float32


def test_the_config_s_gamma_and_alpha_reach_the_loss() -> None:
    logits, targets = torch.tensor([[0.3, -2.0]]), torch.tensor([[1.0, 0.0]])
    loss = make_loss(Focal(name="focal", gamma=3, alpha=0.25), NAMES, TARGETS)
    assert loss(logits, targets) == focal(logits, targets, 3, 0.25)


def test_bce_is_the_mean_over_elements() -> None:
    loss = make_loss(BCE(name="bce"), NAMES, TARGETS)
    assert loss(torch.zeros(2, 3), torch.ones(2, 3)).item() == pytest.approx(np.log(2))


LOSSES = [
    BCE(name="bce"), Focal(name="focal", gamma=3, alpha=0.25),
    CrossEntropy(name="cross_entropy"),
]  # fmt: skip


@pytest.mark.parametrize("config", LOSSES, ids=lambda config: config.name)
@given(arrays.arrays(np.float64, (4, 2), elements=st.floats(-20, 20)), st.floats(0.5, 1))
def test_the_loss_of_mixed_targets_is_the_mixture_of_losses(
    config: BCE | Focal | CrossEntropy, logits: np.ndarray, share: float
) -> None:
    loss, scores = make_loss(config, NAMES, TARGETS), torch.from_numpy(logits)
    own = torch.tensor([[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 2, dtype=torch.float64)
    other = own.flip(0)
    mixed = loss(scores, share * own + (1 - share) * other)
    expected = share * loss(scores, own) + (1 - share) * loss(scores, other)
    assert mixed.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("config", LOSSES, ids=lambda config: config.name)
def test_an_image_of_a_class_of_weight_five_counts_five_times(
    config: BCE | Focal | CrossEntropy,
) -> None:
    heavy = config.model_copy(update={"positive_weight": {"b": 5.0}})
    logits = torch.tensor([[0.3, -0.2]])
    plain, weighted = (make_loss(each, NAMES, TARGETS) for each in (config, heavy))
    # What one label adds, by making the other almost certain.
    certain = torch.tensor([[-30.0, 0.4]])
    positive, negative = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    assert weighted(certain, positive).item() == pytest.approx(5 * plain(certain, positive).item())
    assert weighted(logits, negative) == plain(logits, negative)


def test_weights_are_in_the_order_of_the_classes() -> None:
    given = BCE.model_validate({"name": "bce", "positive_weight": [2, 3]})
    named = BCE(name="bce", positive_weight={"b": 3.0})
    both = [class_weights(config, NAMES, TARGETS) for config in (given, named)]
    assert [each.tolist() for each in both if each is not None] == [[2, 3], [1, 3]]


@pytest.mark.parametrize(("config", "expected"), [
    (BCE(name="bce", positive_weight="balanced"), [1 / 3, 3]),
    (Focal(name="focal", positive_weight="balanced"), [1 / 3, 3]),
    (CrossEntropy(name="cross_entropy", positive_weight="balanced"), [4 / 6, 4 / 2]),
])  # fmt: skip
def test_balanced_weights_follow_from_the_training_images(
    config: BCE | Focal | CrossEntropy, expected: list[float]
) -> None:
    weights = class_weights(config, NAMES, TARGETS)
    assert weights is not None and weights.tolist() == pytest.approx(expected)


def test_a_class_of_all_images_has_no_balanced_weight() -> None:
    targets = np.array([[1, 0], [1, 1]], dtype=bool)
    with pytest.raises(DataError, match="2 of 2 training images are of it"):
        make_loss(BCE(name="bce", positive_weight="balanced"), NAMES, targets)


# Targets that are not known ------------------------------------------------------------------

WEIGHTED = [
    BCE(name="bce"), BCE.model_validate({"name": "bce", "positive_weight": [2, 3, 5]}),
    Focal(name="focal", gamma=2, alpha=0.25),
    Focal.model_validate({"name": "focal", "positive_weight": [2, 3, 5]}),
]  # fmt: skip
KNOWN = arrays.arrays(np.bool_, (4, 3))
THREE = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)


def loss_and_gradient(
    loss: Loss, logits: np.ndarray, targets: np.ndarray
) -> tuple[float, torch.Tensor]:
    inputs = torch.from_numpy(logits).requires_grad_()
    value = loss(inputs, torch.from_numpy(targets))
    value.backward()
    assert inputs.grad is not None
    return value.item(), inputs.grad


@pytest.mark.parametrize("config", WEIGHTED)
@given(LOGITS, TARGET_ARRAYS, KNOWN)
def test_the_loss_is_the_mean_over_what_is_known(
    config: BCE | Focal, logits: np.ndarray, targets: np.ndarray, known: np.ndarray
) -> None:
    loss = make_loss(config, "abc", THREE)
    value, gradient = loss_and_gradient(loss, logits, np.where(known, targets, np.nan))
    # One element at a time, beside logits that are certain and add nothing to a sum.
    alone = []
    for row, column in np.argwhere(known):
        certain = np.where(targets[row : row + 1] == 1, 1e4, -1e4)
        certain[0, column] = logits[row, column]
        one, _ = loss_and_gradient(loss, certain, targets[row : row + 1])
        alone.append(3 * one)
    assert value == pytest.approx(np.mean(alone) if alone else 0, rel=1e-9, abs=1e-12)
    assert (gradient[torch.from_numpy(~known)] == 0).all() and gradient.isfinite().all()


@pytest.mark.parametrize("config", WEIGHTED)
@given(LOGITS, TARGET_ARRAYS, KNOWN)
def test_what_is_not_known_makes_no_difference(
    config: BCE | Focal, logits: np.ndarray, targets: np.ndarray, known: np.ndarray
) -> None:
    loss, unknown = make_loss(config, "abc", THREE), np.where(known, targets, np.nan)
    value, gradient = loss_and_gradient(loss, logits, unknown)
    other, same = loss_and_gradient(loss, np.where(known, logits, 1e30), unknown)
    assert (value, gradient.tolist()) == (other, same.tolist())


@given(LOGITS, arrays.arrays(np.bool_, 4), st.booleans())
def test_cross_entropy_leaves_out_images_that_are_not_known(
    logits: np.ndarray, known: np.ndarray, weighted: bool
) -> None:
    weights = {"positive_weight": [2, 3, 5]} if weighted else {}
    config = CrossEntropy.model_validate({"name": "cross_entropy", **weights})
    loss, targets = make_loss(config, "abc", THREE), np.eye(3)[[0, 1, 2, 0]]
    # The weights are float32, as the logits of a network are.
    logits, targets = logits.astype(np.float32), targets.astype(np.float32)
    unknown = np.where(known[:, None], targets, np.float32(np.nan))
    value, gradient = loss_and_gradient(loss, logits, unknown)
    expected = loss_and_gradient(loss, logits[known], targets[known])[0] if known.any() else 0
    assert value == expected
    assert (gradient[torch.from_numpy(~known)] == 0).all() and gradient.isfinite().all()


def test_balanced_weights_count_what_is_known() -> None:
    targets = np.array([[1, 1], [0, np.nan], [0, 0], [np.nan, 0]], dtype=np.float32)
    weights = class_weights(BCE(name="bce", positive_weight="balanced"), NAMES, targets)
    assert weights is not None and weights.tolist() == [2, 2]
    with pytest.raises(DataError, match="2 of 2 training images are of it"):
        class_weights(
            BCE(name="bce", positive_weight="balanced"), NAMES,
            np.array([[1, 1], [1, 0], [np.nan, 0]], dtype=np.float32),
        )  # fmt: skip
