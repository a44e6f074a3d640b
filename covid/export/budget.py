"""What 8 bits may cost: a paired comparison of two files on images that calibration never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.evaluation.answers import Targets
from covid.evaluation.intervals import Proportion, proportion
from covid.evaluation.metrics import quick_figures
from covid.evaluation.ranks import Ranking

Floats = npt.NDArray[np.float32]

MAX_CHANGED = 0.02  # share of images whose decision may differ
# What its upper 95 % limit may be: with fewer than 73 patients nothing can show as little.
MAX_CHANGED_HIGH = 0.05
MAX_MEAN_DIFFERENCE = 0.01  # mean absolute difference of a probability
MAX_AUROC_FALL = 0.005  # by which a class's AUROC may fall


@dataclass(frozen=True)
class Agreement:
    """How far two files agree on some images; needs no labels."""

    changed: Proportion  # images decided otherwise
    mean_difference: float  # of a probability
    largest_difference: float

    def fields(self) -> dict[str, Any]:
        """As report.json has it."""
        return {
            "images": self.changed.images,
            "patients": self.changed.patients,
            "decisions_changed": self.changed.count,
            "share_changed": self.changed.value,
            "share_changed_high": self.changed.high,
            "mean_difference": self.mean_difference,
            "largest_difference": self.largest_difference,
        }

    def __str__(self) -> str:
        changed = self.changed
        return (
            f"{changed.count} of {changed.images:,} decisions change ({changed.value:.1%}, at "
            f"most {changed.high:.1%} with 95 % confidence, {changed.patients:,} patients); "
            f"a probability moves by {self.mean_difference:.4f} on average"
        )


def agreement(
    space: LabelSpace, fp32: Floats, int8: Floats, patients: Sequence[str | None]
) -> Agreement:
    """Probabilities by two files, `[images, classes]` each."""
    changed = (space.decide(fp32) != space.decide(int8)).any(axis=1)
    difference = np.abs(fp32 - int8)
    return Agreement(
        proportion(changed, patients), float(difference.mean()), float(difference.max())
    )


@dataclass(frozen=True)
class Verdict:
    """Whether an int8 file may go out, and the figures that say so."""

    unseen: Agreement | None  # on all images that calibration did not use; None: no answers
    training: Agreement | None  # those of the training split alone, which flatter; None: none
    validation: Agreement | None
    drop: float | None  # of macro F1 on validation; None where it is not defined
    auroc_fall: dict[str, float | None]  # class -> AUROC lost on validation
    reasons: list[str]  # why not, one per broken rule

    @property
    def holds(self) -> bool:
        return not self.reasons

    @classmethod
    def without_answers(cls, reason: str) -> "Verdict":
        """Of a file that answers nothing that could be compared."""
        return cls(None, None, None, None, {}, [reason])

    def fields(self) -> dict[str, Any]:
        """As report.json has it."""
        return {
            "unseen": self.unseen and self.unseen.fields(),
            "training": self.training and self.training.fields(),
            "validation": self.validation and self.validation.fields(),
            "macro_f1_drop": self.drop,
            "auroc_fall": self.auroc_fall,
            "refused": self.reasons,
        }


def compare(
    space: LabelSpace,
    fp32: Floats,
    int8: Floats,
    targets: Targets,
    patients: Sequence[str | None],
    max_drop: float,
) -> Verdict:
    """Whether the answers of an 8-bit file are near enough to those of the fp32 file.

    Probabilities are `[images, classes]`: training images that calibration did not use, then
    all validation images, with their `targets` (`[validation images, classes]`, NaN where one is
    not known); `patients` of all of them.

    Refuses where more than 2 % of all these images are decided otherwise, where that cannot be
    excluded to be 5 % (with 95 % confidence), where a probability moves by more than 0.01 on
    average; and where on validation macro F1 falls by more than `max_drop` or a class's AUROC
    by more than 0.005.
    """
    if not (np.isfinite(int8).all() and np.isfinite(fp32).all()):
        return Verdict.without_answers("gives probabilities that are no numbers")
    first = len(fp32) - len(targets)
    unseen = agreement(space, fp32, int8, patients)
    training = agreement(space, fp32[:first], int8[:first], patients[:first]) if first else None
    validation = agreement(space, fp32[first:], int8[first:], patients[first:])
    before, after = fp32[first:], int8[first:]
    drop = _fall(*(quick_figures(space, given, targets)["macro_f1"] for given in (before, after)))
    falls = {
        name: _auroc_fall(targets[:, column], before[:, column], after[:, column])
        for column, name in enumerate(space.classes)
    }
    reasons = _disagreements(unseen)
    if drop is not None and drop > max_drop:
        reasons.append(f"macro F1 on validation falls by {drop:.4f} (at most {max_drop:g})")
    reasons += [
        f"AUROC of {name} on validation falls by {fall:.4f} (at most {MAX_AUROC_FALL:g})"
        for name, fall in falls.items()
        if fall is not None and fall > MAX_AUROC_FALL
    ]
    return Verdict(unseen, training, validation, drop, falls, reasons)


def _disagreements(unseen: Agreement) -> list[str]:
    changed, reasons = unseen.changed, differences(unseen)
    if changed.value <= MAX_CHANGED and changed.high > MAX_CHANGED_HIGH:
        reasons.append(
            f"{changed.count} of {changed.images:,} decisions change, which could be "
            f"{changed.high:.1%} (at most {MAX_CHANGED_HIGH:.0%}); more images of more patients "
            f"than these {changed.patients:,} could show that it is less"
        )
    return reasons


def differences(agreement: Agreement) -> list[str]:
    """Why two files differ too much, as far as these images themselves say: no limit of them."""
    changed, reasons = agreement.changed, []
    if changed.value > MAX_CHANGED:
        reasons.append(f"{changed.value:.1%} of decisions change (at most {MAX_CHANGED:.0%})")
    if not agreement.mean_difference <= MAX_MEAN_DIFFERENCE:  # or no number
        reasons.append(
            f"a probability moves by {agreement.mean_difference:.5f} on average "
            f"(at most {MAX_MEAN_DIFFERENCE:g})"
        )
    return reasons


def _fall(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


def _auroc_fall(target: Targets, before: Floats, after: Floats) -> float | None:
    true, known = target == 1, ~np.isnan(target)
    if not true.any() or not (known & ~true).any():
        return None
    once = np.ones((1, len(target)))
    earlier, later = (Ranking.of(each, true, known).curve(once).auroc() for each in (before, after))
    return float(earlier[0] - later[0])
