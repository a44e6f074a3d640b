"""What is known of a public collection, and what reading its files gives."""

import csv
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from covid.edge.columns import MAX_AGE
from covid.edge.images import image_endings
from covid.errors import DataError

# Called with the number of files or rows that were just done.
Advance = Callable[[int], object]
SPLITS = ("train", "validation", "test")
PER_YEAR = {"Y": 1, "M": 12, "W": 52, "D": 365}  # DICOM's units of an age (PS3.5, 6.2: AS)
# What folders of splits are called.
SPLIT_NAMES = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "validation": "validation", "val": "validation", "valid": "validation",
}  # fmt: skip
MAX_LISTED = 3  # how many files a note names before it only counts
# What macOS puts beside the files of an archive: copies of their names without their content.
NOT_ENTERED = (".", "__MACOSX")


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
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None


def find_base(folder: Path, *marks: str) -> Path | None:
    """The folder itself, or the one folder in it, that holds one of `marks`; None where none does.

    `marks` are names or patterns of `Path.glob`. Archives are often unpacked one level deeper.
    Raises DataError where several folders hold one.
    """
    if _holds(folder, marks):
        return folder
    inside = [entry for entry in sorted(folder.iterdir())
              if entry.is_dir() and not entry.name.startswith(NOT_ENTERED)]  # fmt: skip
    bases = [entry for entry in inside if _holds(entry, marks)]
    if len(bases) > 1:
        names = ", ".join(base.name for base in bases)
        raise DataError(f"{folder}: holds the collection several times ({names}); name one.")
    return bases[0] if bases else None


def _holds(folder: Path, marks: Sequence[str]) -> bool:
    return any(path.exists() for mark in marks for path in folder.glob(mark))


def images_below(folder: Path, place: Path | None = None) -> list[str]:
    """All images below a folder by their ending, relative with '/', sorted; hidden ones not.

    With `place`, a folder below `folder`, only those in there; none where it is missing.
    Raises DataError where a folder cannot be read.
    """
    endings, names = image_endings(), list[str]()
    if place is not None and not place.is_dir():
        return names
    for where, folders, files in os.walk(place or folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(NOT_ENTERED)]
        below = os.path.relpath(where, folder).replace(os.sep, "/")
        lead = "" if below == "." else f"{below}/"
        names += [
            f"{lead}{name}"
            for name in files
            if os.path.splitext(name)[1].lower() in endings and not name.startswith(".")
        ]
    return sorted(names)


def refuse(error: OSError) -> None:
    """Raises DataError for a folder that `os.walk` cannot list, which it would pass by."""
    raise DataError(f"{error.filename}: cannot be read ({error.strerror}).")


def by_stem(paths: Sequence[str]) -> dict[str, str]:
    """Images by their file's name without its ending, so that .jpg serves where .jpeg is listed.

    Raises DataError where two share a name.
    """
    stems: dict[str, str] = {}
    for path in paths:
        stem = stem_of(path)
        if stem in stems:
            raise DataError(f"{stems[stem]} and {path}: bear one name; keep one of them.")
        stems[stem] = path
    return stems


def stem_of(path: str) -> str:
    """A file's name without folders and ending; `path` is written with '/'."""
    return os.path.splitext(path.rpartition("/")[2])[0]


def as_age(text: str) -> str:
    """Whole years of "63", "63.0", "063Y" or "018M" (DICOM's months), empty where that is no age.

    Nobody is older than MAX_AGE.
    """
    parts = re.fullmatch(r"(\d+)(?:\.\d+)?([YMWD]?)", text.upper())
    if parts is None:
        return ""
    years = int(parts[1]) // PER_YEAR[parts[2] or "Y"]
    return str(years) if years <= MAX_AGE else ""


def counted(number: int, noun: str) -> str:
    """ "1 image", "2,000 images"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def presence_notes(absent: Sequence[str], unlisted: Sequence[str]) -> list[str]:
    """Notes of images that a collection's tables list and the folder lacks, and the reverse."""
    notes = []
    if absent:
        notes.append(
            f"Left out because they are not in the folder: {counted(len(absent), 'image')} that "
            f"the tables list ({some(absent)})."
        )
    if unlisted:
        notes.append(
            f"Left out because the tables do not list them: {counted(len(unlisted), 'image')} "
            f"in the folder ({some(unlisted)})."
        )
    return notes


def not_recognised(collection_folder: Path, expected: str) -> DataError:
    """The sentence for an unknown layout: what was expected and what is there."""
    there = sorted(
        f"{entry.name}/" if entry.is_dir() else entry.name
        for entry in collection_folder.iterdir()
        if not entry.name.startswith(".")
    )
    listed = ", ".join(there[:8]) + (f" and {len(there) - 8} more" if len(there) > 8 else "")
    return DataError(f"{collection_folder}: expected {expected}; it holds {listed or 'nothing'}.")
