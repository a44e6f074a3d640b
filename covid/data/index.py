"""The table of samples that every source of images gives, and that several sources add up to."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from covid.edge.images import read_grey
from covid.errors import DataError

# A file to its grey image, mode "L", upright, of its own size; raises ImageError where it cannot.
Reader = Callable[[Path], Image.Image]

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
MAX_LISTED = 10  # how many of a kind an error names before it only counts


@dataclass(frozen=True)
class Sample:
    """One image and what is known of it."""

    path: Path  # absolute; when this file changes, what was read from it is read again
    name: str  # the path relative to its root, with '/': what tables show
    label: str  # a key of `data.labels`
    split: str
    patient: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # the manifest's other columns
    read: Reader = read_grey


@dataclass(frozen=True)
class Index:
    """All samples of one root or several, sorted by name, and what was noticed on the way."""

    roots: tuple[Path, ...]
    samples: tuple[Sample, ...]
    warnings: tuple[str, ...]
    drawn: bool = False  # whether a split was made here, from a seed

    @property
    def root(self) -> str:
        """The root, or all roots, for a sentence."""
        return ", ".join(map(str, self.roots))

    @property
    def name(self) -> str:
        """The root's name, or all names joined by `+`, for tables and folders."""
        return "+".join(root.resolve().name for root in self.roots)

    def split(self, name: str) -> list[int]:
        """Indices in `samples` of one split, in order; empty where it has none."""
        return [i for i, sample in enumerate(self.samples) if sample.split == name]

    def counts(self) -> dict[str, dict[str, int]]:
        """split -> label -> images."""
        counted: dict[str, dict[str, int]] = {}
        for sample in self.samples:
            labels = counted.setdefault(sample.split, {})
            labels[sample.label] = labels.get(sample.label, 0) + 1
        return counted


def join(indices: Sequence[Index], *, allow_patient_overlap: bool = False) -> Index:
    """One index of all, whose names and patients are led by their root's name where it has several.

    Raises DataError: two roots of one name, a patient in two splits.
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
            drawn=any(index.drawn for index in indices),
        )
    warnings = list(joined.warnings)
    overlap = patients_in_two_splits(joined.samples)
    if overlap:
        sentence = f"{joined.root}: {len(overlap)} patients stand in two splits ({some(overlap)})"
        if not allow_patient_overlap:
            raise DataError(
                f"{sentence}; move each to one split, or set data.allow_patient_overlap=true."
            )
        warnings.append(f"{sentence}, which data.allow_patient_overlap permits.")
    by_name = sorted(joined.samples, key=lambda sample: sample.name)
    return replace(joined, samples=tuple(by_name), warnings=tuple(warnings))


def _led(sample: Sample, root: str) -> Sample:
    """The same sample among those of other roots, where another P1 is another patient."""
    patient = None if sample.patient is None else f"{root}/{sample.patient}"
    return replace(sample, name=f"{root}/{sample.name}", patient=patient)


def require_training_splits(index: Index, labels: Sequence[str]) -> list[str]:
    """Raises DataError unless one can train on `index`; returns warnings about validation."""
    counts = index.counts()
    for split in ("train", "validation"):
        if split not in counts:
            raise DataError(
                f"{index.root}: has no {split} images (found: {', '.join(sorted(counts))}); put "
                f"them under {index.roots[0]}/{split}/LABEL/, or list them in a manifest.csv there."
            )
    present = {label for per_label in counts.values() for label in per_label}
    nowhere = [label for label in labels if label not in present]
    if nowhere:
        raise DataError(
            f"{index.root}: no folder or manifest row bears {some(nowhere)}, which data.labels "
            f"names; add its images or remove it from the config."
        )
    empty = [label for label in labels if not counts["train"].get(label)]
    if empty:
        raise DataError(f"{index.root}: the train split has no image of {some(empty)}.")
    absent = [label for label in labels if not counts["validation"].get(label)]
    if not absent:
        return []
    return [f"validation has no image of {some(absent)}, so its figures say nothing of that."]


def patients_in_two_splits(samples: Iterable[Sample]) -> list[str]:
    """The known patients whose images stand in more than one split, sorted."""
    splits = defaultdict(set)
    for sample in samples:
        if sample.patient is not None:
            splits[sample.patient].add(sample.split)
    return sorted(patient for patient, names in splits.items() if len(names) > 1)


def require_known(where: str, given: set[str], labels: Sequence[str]) -> None:
    """Raises DataError for a label, of those `given`, that `labels` does not name."""
    unknown = sorted(given - set(labels))
    if unknown:
        raise DataError(
            f"{where} has {some(unknown)}, which data.labels does not name "
            f"(it names {', '.join(labels)})."
        )


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
