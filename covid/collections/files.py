"""`manifest.csv` and `SOURCE.md` in a collection's folder, and how earlier ones are recognised."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from covid.collections.collection import Collection, Row
from covid.edge.files import write_atomically
from covid.edge.table import FORMULA, exact_csv_line
from covid.errors import DataError

MANIFEST, SOURCE = "manifest.csv", "SOURCE.md"
ALWAYS = ("path", "label")  # the columns that every manifest has
PATHS = ("path", "mask")
MARK = re.compile(r"`manifest\.csv` as prepare\.py wrote it: SHA-256 ([0-9a-f]{64})")


def manifest_text(rows: Sequence[Row]) -> str:
    """One line per image, sorted by path, with the columns that any of them knows.

    Raises DataError for a file whose name a manifest cannot hold.
    """
    names = [field.name for field in fields(Row)]
    columns = [
        name for name in names if name in ALWAYS or any(getattr(row, name) for row in rows)
    ]
    lines = [exact_csv_line(columns)]
    for row in sorted(rows, key=lambda row: row.path):
        lines.append(exact_csv_line(_cell(name, getattr(row, name)) for name in columns))
    return "".join(lines)


def _cell(column: str, text: str) -> str:
    """What `covid.data.manifest` reads as `text`, and a spreadsheet not as a formula.

    `csv_line`'s apostrophe would be another file and another patient. The reader sets paths in
    order and strips labels and patients, so that `./` and a blank change nothing.
    """
    if column not in PATHS:
        return f" {text}" if text.startswith(FORMULA) else text
    try:
        text.encode()
        holds = "\\" not in text and not re.match(r"[A-Za-z]:", text)
    except UnicodeEncodeError:
        holds = False
    if not holds:
        raise DataError(
            f"{text!r}: a manifest cannot hold this file's name (a backslash, a colon behind one "
            f"letter, or no UTF-8); rename the file."
        )
    return f"./{text}" if text.startswith((*FORMULA, " ")) else text


def source_text(
    collection: Collection, table: str, notes: Sequence[str], manifest: str
) -> str:
    """What SOURCE.md says: whose images these are, on what terms, and what was read of them."""
    indented = "\n".join(f"    {line}" for line in table.splitlines())
    remarks = "\n".join(f"- {note}" for note in notes)
    return (
        f"# {collection.title}\n\n"
        f"- Address: <{collection.address}>\n"
        f"- Terms: {collection.terms}\n"
        f"- To cite: {collection.citation}\n\n"
        f"Read by `python prepare.py {collection.name} FOLDER`:\n\n"
        f"{indented}\n\n"
        f"{remarks}\n\n"
        f"`{MANIFEST}` as prepare.py wrote it: SHA-256 {_digest(manifest.encode())}\n"
    )


def write_files(folder: Path, manifest: str, source: str) -> None:
    """Both files, each whole or not at all, in place of those that were written here before.

    Raises DataError where one is there that `prepare.py` did not write or that was changed
    since, and StorageError where the disk is full or read-only.
    """
    there = _read(folder / MANIFEST)
    mark = MARK.search((_read(folder / SOURCE) or b"").decode(errors="replace"))
    if there is not None and there != manifest.encode():
        if mark is None or mark[1] != _digest(there):
            raise DataError(
                f"{folder / MANIFEST}: was not written by prepare.py or was changed since; move "
                f"it away first."
            )
    if mark is None and (folder / SOURCE).exists():
        raise DataError(f"{folder / SOURCE}: was not written by prepare.py; move it away first.")
    write_atomically(folder / MANIFEST, manifest)
    write_atomically(folder / SOURCE, source)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
