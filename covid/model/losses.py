"""Losses: logits and labels in, one number out."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from covid.config import BCE, ClassWeights, CrossEntropy, Focal
from covid.errors import DataError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def make_loss(
    config: BCE | Focal | CrossEntropy,
    classes: Sequence[str],
    training_targets: npt.NDArray[np.bool_ | np.float32],
) -> Loss:
    """A function of float logits and targets, both `[batch, classes]`, targets 0..1 or NaN.

    A target that is NaN, not known, adds nothing: the loss is the mean over the elements that are
    known (for cross-entropy over the images all of whose targets are), and 0 where none is.

    `training_targets`, `[images, classes]`, is what `positive_weight: balanced` counts.
    Raises DataError where a class is true of all of them or of none, and so has no such weight.
    """
    weights = class_weights(config, classes, training_targets)
    if isinstance(config, CrossEntropy):
        return lambda logits, targets: _of_known(
            cross_entropy, logits, targets, ~targets.isnan().any(dim=1), weights
        )
    elements: Callable[..., torch.Tensor] = binary_cross_entropy
    if isinstance(config, Focal):
        elements = partial(focal, gamma=config.gamma, alpha=config.alpha)
    return lambda logits, targets: _of_known(elements, logits, targets, ~targets.isnan(), weights)


def _of_known(
    loss: Callable[..., torch.Tensor],
    logits: torch.Tensor,
    targets: torch.Tensor,
    known: torch.Tensor,
    weights: torch.Tensor | None,
) -> torch.Tensor:
    """`loss` of what is `known`: bool `[batch]`, whole images, or `[batch, classes]`.

    What is left out has no part in the computation, so its gradient is exactly 0.
    """
    weights = None if weights is None else weights.to(logits.device)
    if known.all():
        return loss(logits, targets, weights=weights)
    if not known.any():
        return logits[known].sum()  # 0, and still a function of the logits
    if weights is not None and known.dim() == 2:
        weights = weights.expand_as(logits)[known]
    return loss(logits[known], targets[known], weights=weights)


def class_weights(
    config: BCE | Focal | CrossEntropy,
    classes: Sequence[str],
    training_targets: npt.NDArray[np.bool_ | np.float32],
) -> torch.Tensor | None:
    """`positive_weight` as float32 `[classes]`; None where all classes weigh the same.

    Training targets that are NaN, not known, are not counted.
    """
    given: ClassWeights | None = config.positive_weight
    if given is None:
        return None
    if isinstance(given, dict):
        return torch.tensor([given.get(name, 1.0) for name in classes])
    if not isinstance(given, str):
        return torch.tensor(given)
    # Comparisons with NaN are false.
    positives, negatives = ((training_targets == value).sum(axis=0) for value in (1, 0))
    images = positives + negatives
    for name, count, known in zip(classes, positives.tolist(), images.tolist(), strict=True):
        if count in (0, known):
            raise DataError(
                f"loss.positive_weight: balanced weighs images of {name} against others, but "
                f"{count} of {known} training images are of it; give numbers instead."
            )
    if isinstance(config, CrossEntropy):
        return torch.from_numpy(images / (len(classes) * positives)).float()
    return torch.from_numpy(negatives / positives).float()


def binary_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """The mean over elements; `weights` multiply what a positive one adds."""
    return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Softmax cross-entropy, the mean over images; each row of `targets` sums to 1.

    `weights`, `[classes]`, multiply what an image of a class adds; the sum is still divided by the
    number of images, so that the loss does not depend on which of them share a batch.
    """
    return functional.cross_entropy(logits, targets, weight=weights)


def focal(
    logits: torch.Tensor,
    targets: torch.Tensor,
    gamma: float,
    alpha: float | None,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The mean over elements of (1 - p_t)^gamma · BCE; `gamma` 0 is BCE.

    p_t is the probability given to what is true. With `alpha` (in 0..1), positive elements
    weigh alpha and negative ones 1 - alpha (Lin et al. 2017, "Focal Loss for Dense Object
    Detection", equation 5); with `weights`, which broadcast, positive ones that much more. A target
    between 0 and 1 mixes the two losses, as it does for BCE.
    """
    # 1 - p_t is the sigmoid of the logit with its sign turned against the target: unlike
    # 1 - exp(-loss) it keeps its digits, and its gradient, where p_t is close to 1.
    bce = functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(targets), torch.zeros_like(targets)
    positive = torch.sigmoid(-logits) ** gamma * bce(logits, ones, reduction="none")
    negative = torch.sigmoid(logits) ** gamma * bce(logits, zeros, reduction="none")
    if alpha is not None:
        positive, negative = positive * alpha, negative * (1 - alpha)
    if weights is not None:
        positive = positive * weights
    return (targets * positive + (1 - targets) * negative).mean()
