"""What is known of a public collection, and what reading its files gives."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from covid.edge.images import image_endings
from covid.errors import DataError

# Called with the number of files or rows that were just done.
Advance = Callable[[int], object]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Row:
    """One image as manifest.csv has it. What a collection does not say is empty."""

    path: str  # below the folder, with '/'
    label: str  # the collection's own names, several joined by `|`, doubtful ones as `NAME?`
    split: str = ""  # one of SPLITS
    patient: str = ""
    view: str = ""
    sex: str = ""  # M or F
    age: str = ""  # years
    source: str = ""  # where the image comes from: another hospital, another collection
    mask: str = ""  # a picture below the folder, white where lung


@dataclass(frozen=True)
class Contents:
    """What was read of a collection's folder."""

    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())  # sentences: what is missing, left out, to be known


@dataclass(frozen=True)
class Collection:
    """A public collection: how its files are laid out, and who is to be thanked for them."""

    name: str  # on the command line
    title: str
    address: str  # where it is described and downloaded
    citation: str
    terms: str  # of use, in our words
    expected: str  # what its folder holds, to end "expected …" where it is not there
    read: Callable[[Path, Advance], Contents]  # raises DataError


def read_table(
    path: Path, columns: Sequence[str], *, delimiter: str = ",", encoding: str = "utf-8-sig"
) -> Iterator[Mapping[str, str]]:
    """The rows of a collection's own table; cells are stripped, a missing cell is empty.

    Raises DataError where it is not there, cannot be read, or lacks one of `columns`.
    """
    try:
        with path.open(encoding=encoding, newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            lacking = [name for name in columns if name not in header]
            if lacking:
                raise DataError(
                    f"{path}: has no column {', '.join(lacking)}; its columns are "
                    f"{', '.join(header)}."
                )
            for row in reader:
                yield {name: (row.get(name) or "").strip() for name in header}
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; download it again.") from None
    except csv.Error as error:
        raise DataError(f"{path}: is not a CSV file ({error}); download it again.") from None


def images_below(folder: Path) -> list[str]:
    """All images below a folder by their ending, relative with '/', sorted; hidden ones not."""
    names = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(place).relative_to(folder)
        names += [
            (below / name).as_posix()
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in image_endings()
        ]
    return sorted(names)


def by_stem(paths: Sequence[str]) -> dict[str, str]:
    """Images by their file's name without its ending, so that .jpg serves where .jpeg is listed.

    Raises DataError where two share a name.
    """
    stems: dict[str, str] = {}
    for path in paths:
        stem = Path(path).stem
        if stem in stems:
            raise DataError(f"{stems[stem]} and {path}: bear one name; keep one of them.")
        stems[stem] = path
    return stems


def not_recognised(collection_folder: Path, expected: str) -> DataError:
    """The sentence for an unknown layout: what was expected and what is there."""
    there = sorted(
        f"{entry.name}/" if entry.is_dir() else entry.name
        for entry in collection_folder.iterdir()
        if not entry.name.startswith(".")
    )
    listed = ", ".join(there[:8]) + (f" and {len(there) - 8} more" if len(there) > 8 else "")
    return DataError(f"{collection_folder}: expected {expected}; it holds {listed or 'nothing'}.")
