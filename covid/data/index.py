"""Folders or a manifest to a table of samples, split by patient."""

import csv
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from covid.data.splits import split_by_patient
from covid.edge.images import image_endings
from covid.errors import DataError

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
LISTED = 10  # how many of a kind an error names before it only counts


@dataclass(frozen=True)
class Sample:
    """One image and what is known of it."""

    path: Path  # absolute
    name: str  # the path relative to its root, with '/': what tables show
    label: str  # a key of `data.labels`
    split: str
    patient: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # the manifest's other columns


@dataclass(frozen=True)
class Index:
    """All samples of a root, sorted by name, and what was noticed while they were listed."""

    root: Path
    samples: tuple[Sample, ...]
    warnings: tuple[str, ...]
    drawn: bool = False  # whether its split was made here, from a seed

    def split(self, name: str) -> list[int]:
        """Positions in `samples` of one split, in order; empty where it has none."""
        return [row for row, sample in enumerate(self.samples) if sample.split == name]

    def counts(self) -> dict[str, dict[str, int]]:
        """split -> label -> images."""
        counted: dict[str, dict[str, int]] = {}
        for sample in self.samples:
            labels = counted.setdefault(sample.split, {})
            labels[sample.label] = labels.get(sample.label, 0) + 1
        return counted


def load_index(
    root: Path, labels: Sequence[str], *, seed: int = 0, allow_patient_overlap: bool = False
) -> Index:
    """Lists ROOT/manifest.csv, or ROOT/SPLIT/LABEL/…, or ROOT/LABEL/… (all of it `test`).

    `labels` are the keys of `data.labels`; `seed` makes the split where a manifest has none.
    Raises DataError: no images, a label that `labels` does not name, an empty folder, a
    manifest row without a file or twice, a patient in two splits.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder.")
    manifest = root / "manifest.csv"
    if manifest.is_file():
        samples, warnings, drawn = _from_manifest(root, manifest, labels, seed)
    else:
        samples, warnings = _from_folders(root, labels)
        drawn = False
    overlap = patients_in_two_splits(samples)
    if overlap:
        sentence = f"{root}: {len(overlap)} patients stand in two splits ({_some(overlap)})"
        if not allow_patient_overlap:
            raise DataError(
                f"{sentence}; move each to one split, or set data.allow_patient_overlap=true."
            )
        warnings.append(f"{sentence}, which data.allow_patient_overlap permits.")
    by_name = sorted(samples, key=lambda sample: sample.name)
    return Index(root, tuple(by_name), tuple(warnings), drawn)


def require_training_splits(index: Index, labels: Sequence[str]) -> list[str]:
    """Raises DataError unless one can train on `index`; returns warnings about validation."""
    counts = index.counts()
    for split in ("train", "validation"):
        if split not in counts:
            raise DataError(
                f"{index.root}: has no {split} images (found: {', '.join(sorted(counts))}); put "
                f"them under {index.root}/{split}/LABEL/, or list them in a manifest.csv there."
            )
    nowhere = [label for label in labels if not any(label in found for found in counts.values())]
    if nowhere:
        raise DataError(
            f"{index.root}: no folder or manifest row bears {_some(nowhere)}, which data.labels "
            f"names; add its images or remove it from the config."
        )
    empty = [label for label in labels if not counts["train"].get(label)]
    if empty:
        raise DataError(f"{index.root}: the train split has no image of {_some(empty)}.")
    absent = [label for label in labels if not counts["validation"].get(label)]
    if not absent:
        return []
    return [f"validation has no image of {_some(absent)}, so its figures say nothing of that."]


def patients_in_two_splits(samples: Iterable[Sample]) -> list[str]:
    """The known patients whose images stand in more than one split, sorted."""
    splits = defaultdict(set)
    for sample in samples:
        if sample.patient is not None:
            splits[sample.patient].add(sample.split)
    return sorted(patient for patient, found in splits.items() if len(found) > 1)


def _from_manifest(
    root: Path, manifest: Path, labels: Sequence[str], seed: int
) -> tuple[list[Sample], list[str], bool]:
    """Samples, warnings, and whether the split was drawn."""
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            rows = list(reader)
    except UnicodeDecodeError:
        raise DataError(f"{manifest}: is not UTF-8 text; save it as UTF-8.") from None
    except csv.Error as error:
        raise DataError(f"{manifest}: is not a CSV file ({error}).") from None
    missing = [column for column in ("path", "label") if column not in header]
    if missing:
        raise DataError(f"{manifest}: has no column {_some(missing)}; it needs path and label.")
    if not rows:
        raise DataError(f"{manifest}: lists no images.")
    return *_samples_of_rows(root, manifest, rows, labels, seed), "split" not in header


def _samples_of_rows(
    root: Path,
    manifest: Path,
    rows: Sequence[Mapping[str, str | None]],
    labels: Sequence[str],
    seed: int,
) -> tuple[list[Sample], list[str]]:
    names = [_inside(manifest, line, row.get("path")) for line, row in enumerate(rows, start=2)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{manifest}: {len(twice)} files have two rows ({_some(twice)}); keep one.")
    found = [(row.get("label") or "").strip() for row in rows]
    if "" in found:
        raise DataError(f"{manifest} line {found.index('') + 2}: the column label is empty.")
    _all_known(f"{manifest}: the column label", set(found), labels)
    on_disk = set(_walk(root))
    absent = [name for name in names if name not in on_disk and not (root / name).is_file()]
    if absent:
        raise DataError(
            f"{manifest}: {len(absent)} of {len(names)} rows name a file that is not there "
            f"({_some(absent)})."
        )
    patients = [(row.get("patient") or "").strip() or None for row in rows]
    if "split" in rows[0]:
        splits = [_split_of_row(manifest, line, row) for line, row in enumerate(rows, start=2)]
    else:
        splits = split_by_patient(found, patients, seed)
    known = ("path", "label", "split", "patient")
    samples = [
        Sample(
            root / name, name, label, split, patient,
            {key: value or "" for key, value in row.items() if key and key not in known},
        )
        for name, label, split, patient, row in zip(
            names, found, splits, patients, rows, strict=True
        )
    ]  # fmt: skip
    endings = image_endings()
    unlisted = [n for n in on_disk - set(names) if os.path.splitext(n)[1].lower() in endings]
    if not unlisted:
        return samples, []
    return samples, [
        f"{manifest} does not list {len(unlisted)} images that lie beside it "
        f"({_some(sorted(unlisted))}); they are left out."
    ]


def _inside(manifest: Path, line: int, path: str | None) -> str:
    """A row's path with '/', once it is known to stay below the root."""
    name = os.path.normpath((path or "").strip().replace("\\", "/"))
    if name == ".":
        raise DataError(f"{manifest} line {line}: the column path is empty.")
    if os.path.isabs(name) or re.match(r"[A-Za-z]:", name) or name.split("/")[0] == "..":
        raise DataError(f"{manifest} line {line}: {path} leads outside {manifest.parent}.")
    if not (manifest.parent / name).resolve().is_relative_to(manifest.parent.resolve()):
        raise DataError(f"{manifest} line {line}: {path} is a link outside {manifest.parent}.")
    return name


def _split_of_row(manifest: Path, line: int, row: Mapping[str, str | None]) -> str:
    given = (row.get("split") or "").strip()
    if given.lower() not in SPLIT_NAMES:
        raise DataError(
            f"{manifest} line {line}: the split {given!r} is none of train, validation, test."
        )
    return SPLIT_NAMES[given.lower()]


def _from_folders(root: Path, labels: Sequence[str]) -> tuple[list[Sample], list[str]]:
    folders = {
        entry.name: entry
        for entry in root.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    }
    splits = {name: SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES}
    _no_split_twice(root, splits)
    # Without folders of splits the labels' folders stand directly under the root.
    places = [(folders[name], split) for name, split in sorted(splits.items())]
    places = places or [(root, "test")]
    samples: list[Sample] = []
    others: Counter[str] = Counter()
    found: set[str] = set()
    for place, split in places:
        for folder in sorted(place.iterdir()):
            if not folder.is_dir() or folder.name.startswith("."):
                continue
            label = _label_of_folder(folder.name, labels)
            found.add(label)
            images = []
            for name in sorted(_walk(folder)):
                ending = os.path.splitext(name)[1].lower()
                if ending in image_endings():
                    images.append(name)
                else:
                    others[ending or name] += 1
            if not images:
                raise DataError(f"{folder}: holds no images; fill it or remove the folder.")
            for name in images:
                path = folder / name
                samples.append(Sample(path, path.relative_to(root).as_posix(), label, split))
    if not samples:
        raise DataError(
            f"{root}: holds no images; expected {root}/train/{labels[0]}/image.png and so on, "
            f"or {root}/manifest.csv."
        )
    _all_known(f"{root}: the folders", found, labels)
    warnings = []
    ignored = sorted(name for name in folders if splits and name not in splits)
    if ignored:
        warnings.append(f"{root}: the folders {_some(ignored)} are no splits and are left out.")
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(LISTED))
        warnings.append(f"{root}: files that are no images by their ending are left out ({kinds}).")
    return samples, warnings


def _no_split_twice(root: Path, splits: Mapping[str, str]) -> None:
    for split, times in Counter(splits.values()).items():
        if times > 1:
            names = _some(sorted(name for name, meant in splits.items() if meant == split))
            raise DataError(f"{root}: the folders {names} all mean {split}; keep one.")


def _label_of_folder(name: str, labels: Sequence[str]) -> str:
    """The label whose name is the folder's, capitals aside where that leaves one."""
    alike = [label for label in labels if label.lower() == name.lower()]
    return name if name in labels or len(alike) != 1 else alike[0]


def _all_known(where: str, found: set[str], labels: Sequence[str]) -> None:
    unknown = sorted(found - set(labels))
    if unknown:
        raise DataError(
            f"{where} has {_some(unknown)}, which data.labels does not name "
            f"(it names {', '.join(labels)})."
        )


def _walk(folder: Path) -> list[str]:
    """All files below a folder, relative with '/', without hidden ones."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        prefix = os.path.relpath(place, folder).replace(os.sep, "/")
        prefix = "" if prefix == "." else f"{prefix}/"
        found += [f"{prefix}{name}" for name in files if not name.startswith(".")]
    return found


def _some(names: Sequence[str]) -> str:
    """Up to ten names, and how many more there are."""
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
