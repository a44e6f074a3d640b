"""The table of samples that every source of images gives, and that several sources add up to."""

import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from covid.edge.images import read_grey
from covid.edge.labels import LabelSpace, Uncertain, read_cell, write_cell
from covid.errors import DataError

# A file to its grey image, mode "L", upright, of its own size; raises ImageError where it cannot.
Reader = Callable[[Path], Image.Image]

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
UNSPLIT = "none"
MAX_LISTED = 10  # how many of a kind an error names before it only counts


@dataclass(frozen=True)
class Sample:
    """One image and what is known of it."""

    path: Path  # absolute; when this file changes, what was read from it is read again
    name: str  # the path relative to its root, with '/': what tables show
    label: str  # a key of `data.labels`, or several in one cell: see covid.edge.labels.read_cell
    split: str  # UNSPLIT where the collection has none and none was drawn yet
    patient: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # the manifest's other columns
    read: Reader = read_grey


@dataclass(frozen=True)
class Index:
    """All samples of one root or several, sorted by name, and what was noticed on the way."""

    roots: tuple[Path, ...]
    samples: tuple[Sample, ...]
    warnings: tuple[str, ...]

    @property
    def root(self) -> str:
        """The root, or all roots, for a sentence."""
        return ", ".join(map(str, self.roots))

    @property
    def unsplit(self) -> bool:
        """Whether there are images that stand in no split yet."""
        return any(sample.split == UNSPLIT for sample in self.samples)

    @property
    def name(self) -> str:
        """The root's name, or all names joined by `+`, for tables and folders."""
        return "+".join(root.resolve().name for root in self.roots)

    def split(self, name: str) -> list[int]:
        """Indices in `samples` of one split, in order; empty where it has none."""
        return [i for i, sample in enumerate(self.samples) if sample.split == name]

    def counts(self, *, doubtful: bool = True) -> dict[str, dict[str, int]]:
        """split -> label -> images; one with several labels counts for each.

        `doubtful`: labels in doubt count too.
        """
        counted: dict[str, dict[str, int]] = {}
        for sample in self.samples:
            labels = counted.setdefault(sample.split, {})
            for label, certain in read_cell(sample.label).items():
                if certain or doubtful:
                    labels[label] = labels.get(label, 0) + 1
        return counted

    def with_splits(self, splits: Iterable[str]) -> "Index":
        """The same samples, each in the split that `splits` names for it."""
        samples = [
            replace(sample, split=split) for sample, split in zip(self.samples, splits, strict=True)
        ]
        return replace(self, samples=tuple(samples))

    def with_warning(self, sentence: str) -> "Index":
        """The same, with one more thing that was noticed."""
        return replace(self, warnings=(*self.warnings, sentence))


def join(indices: Sequence[Index]) -> Index:
    """One index of all, whose names and patients are led by their root's name where it has several.

    Raises DataError for two roots of one name.
    """
    if len(indices) == 1:
        joined = indices[0]
    else:
        names = [index.name for index in indices]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise DataError(
                f"data.root: two folders are called {some(twice)}, so their images could not be "
                f"told apart; rename one."
            )
        joined = Index(
            roots=tuple(root for index in indices for root in index.roots),
            samples=tuple(
                _led(sample, index.name) for index in indices for sample in index.samples
            ),
            warnings=tuple(sentence for index in indices for sentence in index.warnings),
        )
    by_name = sorted(joined.samples, key=lambda sample: sample.name)
    return replace(joined, samples=tuple(by_name))


def _led(sample: Sample, root: str) -> Sample:
    """The same sample among those of other roots, where another P1 is another patient."""
    patient = None if sample.patient is None else f"{root}/{sample.patient}"
    return replace(sample, name=f"{root}/{sample.name}", patient=patient)


def with_labels(
    index: Index, labels: Sequence[str], renamed: Mapping[str, str] | None = None
) -> Index:
    """The index once each name in it is one of `labels`, capitals aside where that leaves one.

    `renamed` maps other names to one of `labels`, or to "", which leaves a name out, and an image
    that bears no other; None offers no such way in the sentences. Raises DataError for a name that
    is in neither, and for one in `renamed` that no image bears.
    """
    given = sorted({name for sample in index.samples for name in read_cell(sample.label)})
    ours = {name: _known(name, labels, renamed or {}) for name in given}
    unknown = [name for name, our in ours.items() if our is None]
    if unknown:
        offer = ""
        if renamed is not None:
            theirs = shlex.quote(unknown[0])
            offer = (
                f"; say which of these is meant with --label {theirs}=OURS, or leave it out with "
                f"--label {theirs}="
            )
        else:
            offer = "; add it to data.labels, mapped to what is true of such images, or to []"
        raise DataError(
            f"{index.root}: images bear {some(unknown)}, which data.labels does not name "
            f"(it names {', '.join(labels)}){offer}."
        )
    absent = [name for name in renamed or {} if name not in given]
    if absent:
        raise DataError(
            f"{index.root}: --label names {some(absent)}, which no image bears; they bear "
            f"{some(given)}."
        )
    if all(name == our for name, our in ours.items()):
        return index
    samples = []
    for sample in index.samples:
        certain: dict[str, bool] = {}
        for name, sure in read_cell(sample.label).items():
            our = ours[name]
            if our:
                certain[our] = certain.get(our, False) or sure
        if certain:
            samples.append(replace(sample, label=write_cell(certain)))
    left_out = len(index.samples) - len(samples)
    dropped = [name for name, our in ours.items() if not our]
    warnings = list(index.warnings)
    if left_out:
        warnings.append(
            f"{index.root}: {left_out:,} images that bear only {some(dropped)} are left out."
        )
    if not samples:
        raise DataError(f"{index.root}: --label leaves out every image.")
    return replace(index, samples=tuple(samples), warnings=tuple(warnings))


def _known(name: str, labels: Sequence[str], renamed: Mapping[str, str]) -> str | None:
    if name in renamed:
        return renamed[name]
    alike = [label for label in labels if label.lower() == name.lower()]
    return name if name in labels else alike[0] if len(alike) == 1 else None


def require_whole_patients(index: Index, *, allowed: bool) -> Index:
    """Raises DataError where a patient stands in two splits, unless `allowed`: then a warning."""
    overlap = patients_in_two_splits(index.samples)
    if not overlap:
        return index
    sentence = f"{index.root}: {len(overlap)} patients stand in two splits ({some(overlap)})"
    if not allowed:
        raise DataError(
            f"{sentence}; move each to one split, or set data.allow_patient_overlap=true."
        )
    return index.with_warning(f"{sentence}, which data.allow_patient_overlap permits.")


def targets_of(space: LabelSpace, index: Index) -> npt.NDArray[np.float32]:
    """`LabelSpace.encode` of every sample: `[images, classes]`, 1, 0 or NaN where not known.

    Raises DataError where an image bears several labels and `space` gives each image one.
    """
    cells = [sample.label for sample in index.samples]
    several = {cell for cell in set(cells) if len(read_cell(cell)) > 1}
    if space.task == "single_label" and several:
        names = [sample.name for sample in index.samples if sample.label in several]
        raise DataError(
            f"{index.root}: {len(names):,} images bear several labels ({some(names)}), and task "
            f"single_label takes one of each image; choose one, or set task=multilabel."
        )
    return space.encode(cells)


def require_training_splits(
    index: Index, labels: Sequence[str], uncertain: Uncertain = "ignore"
) -> list[str]:
    """Raises DataError unless one can train on `index`; returns warnings about validation.

    A label in doubt is there where `uncertain` takes it for true.
    """
    counts = index.counts(doubtful=uncertain == "positive")
    for split in ("train", "validation"):
        if split not in counts:
            raise DataError(
                f"{index.root}: has no {split} images (found: {', '.join(sorted(counts))}); put "
                f"them under {index.roots[0]}/{split}/LABEL/, or list them in a manifest.csv there."
            )
    present = {label for per_label in counts.values() for label in per_label}
    nowhere = [label for label in labels if label not in present]
    # A reader who finds a label in the manifest must learn why it is none.
    aside = " without doubt" if index.counts(doubtful=True) != counts else ""
    if nowhere:
        raise DataError(
            f"{index.root}: no folder or manifest row bears {some(nowhere)}{aside}, which "
            f"data.labels names; add its images or remove it from the config."
        )
    empty = [label for label in labels if not counts["train"].get(label)]
    if empty:
        raise DataError(f"{index.root}: the train split has no image of {some(empty)}{aside}.")
    absent = [label for label in labels if not counts["validation"].get(label)]
    if not absent:
        return []
    return [f"validation has no image of {some(absent)}, so its figures say nothing of that."]


def patients_in_two_splits(samples: Iterable[Sample]) -> list[str]:
    """The known patients whose images stand in more than one split, sorted."""
    splits = defaultdict(set)
    for sample in samples:
        if sample.patient is not None and sample.split != UNSPLIT:
            splits[sample.patient].add(sample.split)
    return sorted(patient for patient, names in splits.items() if len(names) > 1)


def walk(folder: Path) -> list[str]:
    """All files below a folder, relative with '/', without hidden ones."""
    names = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        prefix = os.path.relpath(place, folder).replace(os.sep, "/")
        prefix = "" if prefix == "." else f"{prefix}/"
        names += [f"{prefix}{name}" for name in files if not name.startswith(".")]
    return names


def some(names: Sequence[str]) -> str:
    """Up to ten names, and how many more there are."""
    more = f", and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
