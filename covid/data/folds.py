"""Cross-validation: images to folds by patient, and one fold held out of a run.

Folds are of training and validation images together; a set's own test split stays out of all of
them. A run of one fold trains on the others, but for those that its validation takes of them, so
that nothing about its network was chosen on what is held out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from covid.data.index import Index
from covid.data.splits import SHARES, SPLITS, deal
from covid.errors import ConfigError, DataError

HELD_OUT = "fold"  # the split of the images of the fold that a run is evaluated on
MAX_FOLDS = 100  # more than any study has; every fold is a whole training
FOLDER = re.compile(r"fold-(\d+)of(\d+)")
# Of the images that are not held out, as without folds.
VALIDATION = SHARES["validation"] / (SHARES["train"] + SHARES["validation"])


@dataclass(frozen=True)
class Fold:
    """Fold `number` of `folds`, counted from 1."""

    number: int
    folds: int

    @classmethod
    def parse(cls, text: str) -> "Fold":
        """`2/5`. Raises ConfigError."""
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
        number, folds = map(int, match.groups()) if match else (0, 0)
        if not (2 <= folds <= MAX_FOLDS and 1 <= number <= folds):
            raise ConfigError(
                f"--fold {text}: must look like K/N, fold K of N, with N from 2 to {MAX_FOLDS} and "
                f"K from 1 to N, such as 2/5."
            )
        return cls(number, folds)

    @classmethod
    def of_folder(cls, name: str) -> "Fold | None":
        """What `folder` names; None for any other name."""
        match = FOLDER.fullmatch(name)
        return cls(*map(int, match.groups())) if match else None

    @property
    def name(self) -> str:
        """In tables and files."""
        return f"{self.number}of{self.folds}"

    @property
    def folder(self) -> str:
        """Its folder's name, in the run's own."""
        return f"fold-{self.name}"

    def __str__(self) -> str:
        return f"fold {self.number} of {self.folds}"


def deal_folds(
    labels: Sequence[str], patients: Sequence[str | None], folds: int, seed: int
) -> list[int]:
    """The number of each image's fold, 1 to `folds`: see `deal`; the same for every run."""
    names = {str(number): 1 / folds for number in range(1, folds + 1)}
    return [int(name) for name in deal(labels, patients, names, seed)]


def hold_out_fold(index: Index, fold: Fold, seed: int) -> Index:
    """The index with one fold as the split HELD_OUT, and a validation split from the others.

    Images of train, validation and HELD_OUT take part; other splits stay as they are. Raises
    DataError where the fold would be empty.
    """
    samples = index.samples
    places = [i for i, sample in enumerate(samples) if sample.split in (*SPLITS[:2], HELD_OUT)]
    splits = [sample.split for sample in samples]

    def known(chosen: list[int]) -> tuple[list[str], list[str | None]]:
        return [samples[i].label for i in chosen], [samples[i].patient for i in chosen]

    folds = deal_folds(*known(places), fold.folds, seed)
    others = []
    if fold.number not in folds:
        raise DataError(
            f"{index.root}: {fold} holds out no image, since there are too few patients for "
            f"{fold.folds} folds; choose fewer."
        )
    for place, number in zip(places, folds, strict=True):
        splits[place] = HELD_OUT
        if number != fold.number:
            others.append(place)
    shares = {"train": 1 - VALIDATION, "validation": VALIDATION}
    for place, split in zip(others, deal(*known(others), shares, seed), strict=True):
        splits[place] = split
    return index.with_splits(splits)
