"""Losses: logits and labels in, one number out."""

from collections.abc import Callable

import torch
from torch.nn import functional

from covid.config import BCE, CrossEntropy, Focal

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def make_loss(config: BCE | Focal | CrossEntropy) -> Loss:
    """A function of float logits and targets (0 or 1), both `[batch, classes]`."""
    if isinstance(config, BCE):
        return functional.binary_cross_entropy_with_logits
    if isinstance(config, CrossEntropy):
        return cross_entropy
    gamma, alpha = config.gamma, config.alpha
    return lambda logits, targets: focal(logits, targets, gamma, alpha)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Softmax cross-entropy; `targets` has a single 1 in each row."""
    return functional.cross_entropy(logits, targets.argmax(dim=1))


def focal(
    logits: torch.Tensor, targets: torch.Tensor, gamma: float, alpha: float | None
) -> torch.Tensor:
    """The mean over elements of (1 - p_t)^gamma · BCE; `gamma` 0 is BCE.

    p_t is the probability given to what is true. With `alpha` (in 0..1), positive elements
    weigh alpha and negative ones 1 - alpha (Lin et al. 2017, "Focal Loss for Dense Object
    Detection", equation 5).
    """
    loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    # 1 - p_t is the sigmoid of the logit with its sign turned against the target: unlike
    # 1 - exp(-loss) it keeps its digits, and its gradient, where p_t is close to 1.
    missed = torch.sigmoid(logits * (1 - 2 * targets))
    loss = missed**gamma * loss
    if alpha is not None:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return loss.mean()
