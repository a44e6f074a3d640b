"""Turns a public collection, as it was downloaded, into a manifest.csv that training reads.

    python prepare.py                     the collections by name
    python prepare.py NAME FOLDER         reads FOLDER, writes manifest.csv and SOURCE.md into it
"""

import argparse
import io
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from covid.errors import ConfigError, DataError, exit_code

if TYPE_CHECKING:
    from covid.collections.collection import Advance, Collection, Row

VALIDATION_SHARE = 1 / 8  # of the training patients, where a collection has no validation split
VALIDATION_SEED = 0  # the same patients on every machine
SECONDS_PER_DRAWING = 0.1  # of the bar: drawing it for every row would take longer than reading


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write manifest.csv and SOURCE.md for a public collection of chest X-rays as "
        "it was downloaded and unpacked. No image is copied, changed or decoded."
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="of a collection; left out: lists all names"
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="what was downloaded lies here"
    )
    return parser.parse_args()


def prepare(arguments: argparse.Namespace) -> int:
    """From a folder to its manifest. Returns the exit code."""
    # Imported here because numpy and Pillow take their time, and --help should not.
    from covid.collections import COLLECTIONS
    from covid.collections.files import MANIFEST, SOURCE, manifest_text, source_text, write_files
    from covid.collections.summary import summary_table
    from covid.edge.formatters import printable

    if arguments.name is None:
        print(listing(COLLECTIONS.values()))
        return 0
    if arguments.name not in COLLECTIONS:
        raise ConfigError(
            f"{arguments.name}: there is no such collection; there are {', '.join(COLLECTIONS)}."
        )
    collection, folder = COLLECTIONS[arguments.name], arguments.folder
    require_folder(collection.name, folder)

    with progress(folder) as advance:
        contents = collection.read(folder, advance)
    if not contents.rows:
        raise DataError(f"{folder}: holds no image of {collection.name}; "
                        f"expected {collection.expected}.")  # fmt: skip
    rows, more = settle_splits(contents.rows)
    notes = [printable(note) for note in (*contents.notes, *more)]  # they hold files' names
    table, manifest = summary_table(rows), manifest_text(rows)
    write_files(folder, manifest, source_text(collection, table, notes, manifest))

    print(f"{collection.title}\n\n{table}\n")
    for note in notes:
        print(f"- {note}")
    print(
        f"\nTerms: {collection.terms}\n"
        f"{folder / MANIFEST} lists {len(rows):,} images; {folder / SOURCE} says whose they are.\n"
        f"Next: a config whose data.root is this folder and whose data.labels names the labels."
    )
    return 0


def listing(collections: "Iterable[Collection]") -> str:
    from covid.edge.table import format_table

    rows = [[collection.name, collection.title] for collection in collections]
    width = max(len(title) for _, title in rows)
    return format_table(["name", "collection".ljust(width)], [[n, t.ljust(width)] for n, t in rows])


def require_folder(name: str, folder: Path | None) -> None:
    """Raises ConfigError or DataError unless `folder` can be read."""
    if folder is None:
        raise ConfigError(f"{name}: name the folder that it was unpacked into, too.")
    if folder.is_file():
        raise DataError(f"{folder}: is a file; unpack it and name the folder.")
    try:
        os.listdir(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}).") from None


@contextmanager
def progress(folder: Path) -> "Iterator[Advance]":
    """What to call with every number of images that were done; a bar where there is a terminal.

    Its end is the number of images in the folder, and of files that have no ending, as DICOM's
    often do.
    """
    from covid.edge.images import image_endings
    from covid.edge.progress import Progress

    endings, total = {"", *image_endings()}, 0
    if sys.stderr.isatty():
        for _, _, files in os.walk(folder):
            total += sum(os.path.splitext(name)[1].lower() in endings for name in files)
    bar: Progress | None = None
    done, drawn_at = 0, 0.0

    def advance(number: int) -> None:
        nonlocal bar, done, drawn_at
        # It measures speed from its beginning, which is that of the first row.
        bar = bar or Progress(total, sys.stderr)
        done = min(done + number, total)
        if time.monotonic() - drawn_at > SECONDS_PER_DRAWING:
            bar.draw(done)
            drawn_at = time.monotonic()

    try:
        yield advance
    finally:
        if bar is not None:
            bar.clear()


def settle_splits(rows: "Sequence[Row]") -> "tuple[Sequence[Row], list[str]]":
    """Rows that training can split by, and what was done to that end.

    Where some have a split, those without are left out. Where training images have no
    validation beside them, VALIDATION_SHARE of their patients become that.
    """
    from covid.collections.collection import counted
    from covid.collections.summary import overlap_note
    from covid.data.splits import hold_out

    if not any(row.split for row in rows):
        return rows, ["There is no official split: training draws one by patient, from its seed."]
    notes = []
    placed = [row for row in rows if row.split]
    if len(placed) < len(rows):
        notes.append(
            f"Left out because the official split does not name them: "
            f"{counted(len(rows) - len(placed), 'image')}."
        )
    if overlap := overlap_note(placed):
        notes.append(overlap)
    if all(row.split != "validation" for row in placed):
        train = [row for row in placed if row.split == "train"]
        held = hold_out(
            [row.label.split("|") for row in train],
            [row.patient or None for row in train],
            VALIDATION_SHARE,
            VALIDATION_SEED,
        )
        moved = {row.path for row, is_held in zip(train, held, strict=True) if is_held}
        placed = [replace(row, split="validation") if row.path in moved else row for row in placed]
        if moved:
            notes.append(
                f"There is no official validation split here: 1/8 of the training patients, with "
                f"{counted(len(moved), 'image')}, became one, the same on every machine."
            )
    return placed, notes


def main() -> int:
    arguments = parse_arguments()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack a name's characters
        sys.stdout.reconfigure(errors="backslashreplace")
    return exit_code(lambda: prepare(arguments), "Interrupted; no half-written file was left.")


if __name__ == "__main__":
    sys.exit(main())
