"""Signs that a training run is not what it seems, in words: functions of numbers only."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from covid.training.run import EpochRecord

# Training and validation accuracy this far apart in each of the first two epochs are no accident
# of learning: in fifteen healthy runs on real and rendered radiographs, three architectures, both
# epochs were at most 0.15 apart (one epoch alone up to 0.28: training accuracy is counted while
# the weights still move, and the first validation of a moving average or of batch statistics can
# be poor). Beside that, what chance can do: two standard errors of the validation accuracy.
MAX_ACCURACY_GAP = 0.3

NO_GRADIENT = (
    "every gradient was exactly zero in an update, so nothing was learned in it; look at what "
    "model.trainable leaves to train, at the loss, or try precision=no."
)
ONE_DECISION = (
    "after an epoch the network decided the same for every validation image; unless later epochs "
    "mend that, it learned which class is frequent and nothing else."
)


def has_gradient(optimizer: torch.optim.Optimizer) -> bool:
    """Whether any gradient of what `optimizer` trains is not exactly zero (NaN is not)."""
    parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
    gradients = (parameter.grad for parameter in parameters)
    # The first tensor nearly always ends this, so that it costs nothing beside a step.
    return any(bool(gradient.any()) for gradient in gradients if gradient is not None)


def after_epoch(
    decisions: npt.NDArray[np.bool_],
    targets: npt.NDArray[np.bool_ | np.float32],
    history: Sequence[EpochRecord],
) -> list[str]:
    """Sentences about the epoch that ended, the last record of `history`.

    `decisions` and `targets` are those of the validation images, `[images, classes]`; a target is
    NaN where it is not known. Each sentence is the same however often it holds, so that repeated
    ones can be dropped.
    """
    sentences = []
    if _all_alike(decisions) and not _all_alike(targets):
        sentences.append(ONE_DECISION)
    if len(history) == 2 and far_apart(history, len(targets)):
        sentences.append(_apart_sentence(history))
    return sentences


def far_apart(history: Sequence[EpochRecord], images: int) -> bool:
    """Whether train and validation accuracy differ by much, and alike, in all records.

    `images` are those of validation.
    """
    gaps = [_gap(record) for record in history]
    bound = MAX_ACCURACY_GAP + 2 * 0.5 / math.sqrt(images)
    return all(gap > bound for gap in gaps) or all(gap < -bound for gap in gaps)


def _apart_sentence(history: Sequence[EpochRecord]) -> str:
    figures = " and ".join(
        f"{record['train_accuracy']:.2f} against {record['validation_accuracy']:.2f}"
        for record in history
    )
    return (
        f"training and validation accuracy are far apart from the first epoch on ({figures}): "
        f"the splits may hold different things, or leak, or what is frozen may not fit the data."
    )


def _gap(record: EpochRecord) -> float:
    return float(record["train_accuracy"] or 0) - float(record["validation_accuracy"] or 0)


def _all_alike(labels: npt.NDArray[np.bool_ | np.float32]) -> bool:
    """Whether no label is true of one image and false of another."""
    return not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any()
