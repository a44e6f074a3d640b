"""Miniatures of collections: tables with a few rows, and images that are only there."""

from collections.abc import Callable, Sequence
from pathlib import Path

from covid.collections.collection import Collection, Contents, Row


def touch(folder: Path, *names: str) -> None:
    """Empty files; nothing decodes them."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_table(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read(collection: Collection, folder: Path) -> Contents:
    return collection.read(folder, lambda number: None)


def column(contents: Contents, of: Callable[[Row], object]) -> dict[str, object]:
    """Each image's path below the folder, and what `of` gives of its row."""
    return {row.path: of(row) for row in contents.rows}


def note(contents: Contents, words: str) -> str:
    """The one note that holds `words`."""
    notes: Sequence[str] = [text for text in contents.notes if words in text]
    assert len(notes) == 1, contents.notes
    return notes[0]
