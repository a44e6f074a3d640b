"""A manifest.csv to samples."""

import csv
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from covid.data.index import SPLIT_NAMES, UNSPLIT, Index, Sample, some, walk
from covid.edge.images import image_endings
from covid.edge.labels import read_cell, write_cell
from covid.errors import DataError


class Manifest:
    """Images listed in ROOT/manifest.csv: `path,label`, and what else is known of them."""

    def __init__(self, root: Path):
        self.root = root

    def index(self) -> Index:
        """See `covid.data.source.Source`."""
        manifest = self.root / "manifest.csv"
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
            raise DataError(f"{manifest}: has no column {some(missing)}; it needs path and label.")
        if not rows:
            raise DataError(f"{manifest}: lists no images.")
        samples, warnings = _samples_of_rows(self.root, manifest, rows)
        return Index((self.root,), tuple(samples), tuple(warnings))


def _samples_of_rows(
    root: Path,
    manifest: Path,
    rows: Sequence[Mapping[str, str | None]],
) -> tuple[list[Sample], list[str]]:
    folders: dict[str, str] = {}
    names = [
        _inside(manifest, line, row.get("path"), folders) for line, row in enumerate(rows, start=2)
    ]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{manifest}: {len(twice)} files have two rows ({some(twice)}); keep one.")
    labels = [_labels_of_row(manifest, line, row) for line, row in enumerate(rows, start=2)]
    on_disk = set(walk(root))
    absent = [name for name in names if name not in on_disk and not (root / name).is_file()]
    if absent:
        raise DataError(
            f"{manifest}: {len(absent)} of {len(names)} rows name a file that is not there "
            f"({some(absent)})."
        )
    patients = [(row.get("patient") or "").strip() or None for row in rows]
    splits = [_split_of_row(manifest, line, row) for line, row in enumerate(rows, start=2)]
    known = ("path", "label", "split", "patient")
    samples = [
        Sample(
            root / name, name, label, split, patient,
            {key: value or "" for key, value in row.items() if key and key not in known},
        )
        for name, label, split, patient, row in zip(
            names, labels, splits, patients, rows, strict=True
        )
    ]  # fmt: skip
    endings = image_endings()
    masks = {
        os.path.normpath((row.get(column) or "").strip().replace("\\", "/"))
        for row in rows for column in ("mask", "lesion")
    }  # fmt: skip
    unlisted = [n for n in on_disk - {*names, *masks} if os.path.splitext(n)[1].lower() in endings]
    if not unlisted:
        return samples, []
    return samples, [
        f"{manifest} does not list {len(unlisted)} images that lie beside it "
        f"({some(sorted(unlisted))}); they are left out."
    ]


def _inside(manifest: Path, line: int, path: str | None, folders: dict[str, str]) -> str:
    """A row's path with '/', once it is known to stay below the root.

    `folders` remembers where those of earlier rows truly lie, which takes long to find out.
    """
    name = os.path.normpath((path or "").strip().replace("\\", "/"))
    if name == ".":
        raise DataError(f"{manifest} line {line}: the column path is empty.")
    if os.path.isabs(name) or re.match(r"[A-Za-z]:", name) or name.split("/")[0] == "..":
        raise DataError(f"{manifest} line {line}: {path} leads outside {manifest.parent}.")
    folder, file = os.path.split(name)
    for each in ("", folder):
        if each not in folders:
            folders[each] = os.path.realpath(manifest.parent / each)
    place = os.path.join(folders[folder], file)
    if os.path.islink(place):
        place = os.path.realpath(place)
    if not place.startswith(os.path.join(folders[""], "")):
        raise DataError(f"{manifest} line {line}: {path} is a link outside {manifest.parent}.")
    return name


def _labels_of_row(manifest: Path, line: int, row: Mapping[str, str | None]) -> str:
    """Its cell, without spaces around names and without names that stand there twice."""
    given = (row.get("label") or "").strip()
    if not given:
        raise DataError(
            f"{manifest} line {line}: the column label is empty; where nothing is true of an "
            f"image, write a name such as No Finding, and map it to [] in data.labels."
        )
    try:
        return write_cell(read_cell(given))
    except ValueError as error:
        raise DataError(f"{manifest} line {line}: the column label has {error}.") from None


def _split_of_row(manifest: Path, line: int, row: Mapping[str, str | None]) -> str:
    if "split" not in row:
        return UNSPLIT
    given = (row.get("split") or "").strip()
    if given.lower() not in SPLIT_NAMES:
        raise DataError(
            f"{manifest} line {line}: the split {given!r} is none of train, validation, test."
        )
    return SPLIT_NAMES[given.lower()]
