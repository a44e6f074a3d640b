"""Classes, labels that imply others, thresholds and decisions: the one place where they meet.

A sample bears a *key* (its folder's name, or its manifest's `label`), or several in one cell, and
each key stands for the set of *labels* that are true of it. A network gives one probability a
*class*, and the classes are all labels that occur.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Task = Literal["multilabel", "single_label"]
Uncertain = Literal["ignore", "positive", "negative"]  # what a key in doubt is taken for
DEFAULT_THRESHOLD = 0.5  # where sigmoid's two outcomes are equally likely
# By which t and 1 - t may miss a sum of 1: either may have been float32, some 1e-7 apart there.
ROUNDING = 1e-6
SEPARATOR = "+"  # between labels that share one cell: covid+pneumonia
JOINED = "|"  # between the keys of one image: Effusion|Infiltration, as NIH writes them
DOUBT = "?"  # after a key that may be true: Effusion?


def read_cell(cell: str) -> dict[str, bool]:
    """The keys that stand in one cell, in order, and whether each is certain.

    A key that stands there twice, once without doubt, is certain. Raises ValueError where a
    name between the bars is empty.
    """
    keys: dict[str, bool] = {}
    for part in cell.split(JOINED):
        name = part.strip()
        certain = not name.endswith(DOUBT)
        name = name.removesuffix(DOUBT).rstrip()
        if not name:
            raise ValueError(f"an empty name in {cell!r}")
        keys[name] = keys.get(name, False) or certain
    return keys


def write_cell(keys: Mapping[str, bool]) -> str:
    """The cell that `read_cell` reads as `keys`."""
    return JOINED.join(name if certain else f"{name}{DOUBT}" for name, certain in keys.items())


def are_complementary(thresholds: Sequence[float]) -> bool:
    """Whether these are t and 1 - t, by which two classes of `single_label` can be decided."""
    return len(thresholds) == 2 and abs(sum(thresholds) - 1) <= ROUNDING


@dataclass(frozen=True)
class LabelSpace:
    """What can be true of an image, and how probabilities become decisions.

    `labels` maps a key to the labels true of it, for `multilabel` to none too; `implies` a label
    to those that follow from it; `thresholds` has one number per class. For `single_label` it is
    None, or t and 1 - t where two classes are decided by another probability than the larger one.
    """

    task: Task
    classes: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    implies: Mapping[str, tuple[str, ...]]
    thresholds: tuple[float, ...] | None
    uncertain: Uncertain = "ignore"

    @classmethod
    def from_labels(
        cls, task: Task, labels: Mapping[str, Sequence[str]], uncertain: Uncertain = "ignore"
    ) -> "LabelSpace":
        """The space that a config's `data.labels` and `data.uncertain` describe.

        Classes are in the order in which labels first appear as keys; labels that are nobody's
        key follow, in the order in which the sets name them. A label implies what its own key
        carries beside it.
        """
        named = list(dict.fromkeys(label for true in labels.values() for label in true))
        classes = [key for key in labels if key in named]
        classes += [label for label in named if label not in labels]
        implies = {
            key: tuple(label for label in true if label != key)
            for key, true in labels.items()
            if key in true and len(set(true)) > 1
        }
        thresholds = (DEFAULT_THRESHOLD,) * len(classes) if task == "multilabel" else None
        frozen = {key: tuple(true) for key, true in labels.items()}
        return cls(task, tuple(classes), frozen, implies, thresholds, uncertain)

    def naming_classes(self) -> "LabelSpace":
        """The same, in which a cell may name any class beside the keys, for images of others.

        So `pneumonia` can be said where only `bacteria` and `virus`, which carry it, are keys.
        """
        own = {name: (name,) for name in self.classes if name not in self.labels}
        return replace(self, labels={**self.labels, **own})

    def encode(self, cells: Iterable[str]) -> npt.NDArray[np.float32]:
        """Cells to targets `[images, classes]`: 1 true, 0 false, NaN not known.

        Labels of certain keys are true, those of no key false. A key without labels adds none:
        CheXpert has `No Finding|Support Devices`. What a key in doubt carries beyond that follows
        `uncertain`; where it is ignored it is not known, and in `single_label` neither is the
        rest of the row. A lone `No Finding?` says nothing of any label, unless it is taken for
        true. Raises KeyError for a key that `labels` lacks, ValueError for an empty one and for
        several in a cell where the task is `single_label`.
        """
        cells = list(cells)
        rows = {cell: self._row(cell) for cell in dict.fromkeys(cells)}  # many images share few
        every = np.array([rows[cell] for cell in cells], dtype=np.float32)
        return every.reshape(len(cells), len(self.classes))

    def _row(self, cell: str) -> list[float]:
        keys = read_cell(cell)
        if self.task == "single_label" and len(keys) > 1:
            raise ValueError(f"{cell} are several keys, and single_label takes one")
        taken = {key: certain or self.uncertain == "positive" for key, certain in keys.items()}
        true = {label for key in keys if taken[key] for label in self.labels[key]}
        carried = {label for key in keys for label in self.labels[key]}
        unknown = carried if self.uncertain == "ignore" else set()  # but for what is true
        if not any(taken.values()) and (self.task == "single_label" or not carried):
            unknown = set(self.classes)
        return [
            1.0 if name in true else math.nan if name in unknown else 0.0 for name in self.classes
        ]

    def decide(self, probabilities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
        """Probabilities `[images, classes]` in 0..1 to decisions: bool, the same shape.

        `single_label`: the largest probability, the first of equals, or where there are
        thresholds, the first class where it reaches its own and else the second. `multilabel`: each
        probability that reaches its threshold, then everything that those labels imply.
        """
        if self.thresholds is None:
            decided = np.zeros(probabilities.shape, dtype=bool)
            decided[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
            return decided
        decided = probabilities >= np.array(self.thresholds, dtype=probabilities.dtype)
        if self.task == "single_label":
            decided[:, 1] = ~decided[:, 0]
            return decided
        return self.close(decided)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> "LabelSpace":
        """The same, deciding by other thresholds, one of each class. Raises KeyError."""
        return replace(self, thresholds=tuple(thresholds[name] for name in self.classes))

    def close(self, decided: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Switches on what the labels that are on imply, chains of implication included."""
        closed = decided.copy()
        position = {name: column for column, name in enumerate(self.classes)}
        for _ in self.classes:  # a chain is at most this long
            for label, implied in self.implies.items():
                for other in implied:
                    closed[:, position[other]] |= closed[:, position[label]]
        return closed

    def names(self, row: npt.NDArray[np.bool_]) -> list[str]:
        """The classes that are true in one row, in the order of the classes."""
        return [name for name, true in zip(self.classes, row, strict=True) if true]

    def join(self, row: npt.NDArray[np.bool_]) -> str:
        """One cell for one row: `covid+pneumonia`; nothing true is the empty string."""
        return SEPARATOR.join(self.names(row))
