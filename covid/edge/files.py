"""Files that are either whole or not there: written beside, flushed to disk, renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from covid.errors import StorageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes `path`'s name once the block has ended well.

    The name keeps its ending, so that libraries which look at endings understand it.
    Raises StorageError where the disk is full or read-only; `path` is then as it was.
    """
    if path.exists() and not path.is_file():  # renaming over /dev/null would remove it
        raise StorageError(f"{path}: is a folder or a device, not a file; name another place.")
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); make room or name another "
            f"place, and what was there before is untouched."
        ) from error


def write_atomically(path: Path, content: bytes | str) -> None:
    """`content` under `path`, whole or not at all; text is written as UTF-8."""
    if isinstance(content, str):  # names of files on Linux can hold what UTF-8 cannot
        content = content.encode(errors="backslashreplace")
    with replacing(path) as beside:
        beside.write_bytes(content)
