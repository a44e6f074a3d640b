"""What 8 bits may cost: a paired comparison of two files on the same validation images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from covid.edge.labels import LabelSpace
from covid.evaluation.metrics import macro_f1_drop

Floats = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]

MOST_CHANGED = 0.02  # share of images whose decision may differ
MOST_AUROC = 0.005  # by which a class's AUROC may fall


@dataclass(frozen=True)
class Verdict:
    """Whether an int8 file may go out, and the figures that say so."""

    drop: dict[str, float | None]  # of macro F1: `value`, and `at_least` with 95 % confidence
    changed: float  # share of images whose decision differs
    auroc_fall: dict[str, float | None]  # class -> AUROC lost; None where it is not defined
    distance: float  # mean absolute difference of a probability
    reasons: list[str]  # why not, one a broken rule

    @property
    def holds(self) -> bool:
        return not self.reasons

    @classmethod
    def without_answers(cls, reason: str) -> "Verdict":
        """Of a file that answers nothing that could be judged."""
        return cls({"value": None, "at_least": None}, 1.0, {}, math.inf, [reason])


def judge(
    space: LabelSpace,
    fp32: Floats,
    int8: Floats,
    truths: Booleans,
    patients: Sequence[str | None],
    max_drop: float,
) -> Verdict:
    """Arrays are `[images, classes]`: probabilities by two files, and what is true.

    Refuses where macro F1 falls by more than `max_drop` with 95 % confidence, where more than
    2 % of the images are decided otherwise, and where a class's AUROC falls by more than 0.005.
    """
    drop = macro_f1_drop(space, fp32, int8, truths, patients)
    changed = float((space.decide(fp32) != space.decide(int8)).any(axis=1).mean())
    falls = {
        name: _auroc_fall(truths[:, column], fp32[:, column], int8[:, column])
        for column, name in enumerate(space.classes)
    }
    reasons = []
    if drop["at_least"] is not None and drop["at_least"] > max_drop:
        reasons.append(
            f"macro F1 falls by more than {max_drop:g} with 95 % confidence "
            f"(by {drop['value']:.4f})"
        )
    if changed > MOST_CHANGED:
        reasons.append(f"{changed:.1%} of decisions change (at most {MOST_CHANGED:.0%})")
    reasons += [
        f"AUROC of {name} falls by {fall:.4f} (at most {MOST_AUROC:g})"
        for name, fall in falls.items()
        if fall is not None and fall > MOST_AUROC
    ]
    distance = float(np.abs(fp32 - int8).mean())
    return Verdict(drop, changed, falls, distance, reasons)


def _auroc_fall(truth: Booleans, before: Floats, after: Floats) -> float | None:
    if truth.all() or not truth.any():
        return None
    fall: Any = roc_auc_score(truth, before) - roc_auc_score(truth, after)
    return float(fall)
