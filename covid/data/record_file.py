"""Records of bytes in one file and one checksum per record in another: what caches are made of.

A record counts only once its checksum stands in the second file and matches, so a record that is
half written, by a killed process or a full disk, is as good as absent. Two processes may write the
same record at once, as long as both mean the same bytes by it.

Records are read with plain reads, not through a memory map: pages of a map count as this
process's memory, which would grow with the number of records, and a map's write to a full disk
is a crash (SIGBUS) where a plain write is an error that can be handled.
"""

import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

ABSENT = 0  # the checksum of a record that was never written: what a hole in a file reads as


class RecordFile:
    """`count` records of `length` bytes each, in FOLDER/NAME.rows and FOLDER/NAME.checksums."""

    def __init__(self, folder: Path, name: str, *, count: int, length: int):
        self.folder, self.count, self.length = folder, count, length
        self.content, self.checksums = folder / f"{name}.rows", folder / f"{name}.checksums"

    def make(self) -> None:
        """Makes the files where they are not there yet, of their full length. Raises OSError.

        Holes take no room until they are written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for path, length in ((self.content, self.length), (self.checksums, 4)):
            with path.open("ab") as file:
                file.truncate(self.count * length)

    def read(self, slots: Sequence[int], into: npt.NDArray[np.uint8]) -> list[int]:
        """Fills `into`, uint8 `[len(slots), …]` of `length` bytes per record.

        Returns the places in `slots` of those that are absent or damaged, whose bytes in `into`
        mean nothing.
        """
        absent = []
        try:
            known = self._known()
            with self.content.open("rb", buffering=0) as file:
                for place, slot in enumerate(slots):
                    if known[slot] == ABSENT:
                        absent.append(place)
                        continue
                    file.seek(slot * self.length)
                    file.readinto(memoryview(into[place]).cast("B"))
                    if _checksum(into[place]) != known[slot]:
                        absent.append(place)
        except (OSError, IndexError):  # not made, or removed while in use, which is safe
            return list(range(len(slots)))
        return absent

    def write(self, slots: Sequence[int], content: npt.NDArray[np.uint8]) -> None:
        """Writes uint8 `[len(slots), …]`, each where it belongs, after `make`. Raises OSError."""
        with self.content.open("r+b") as file:
            for slot, record in zip(slots, content, strict=True):
                file.seek(slot * self.length)
                file.write(record.tobytes())
        # Only now, with the records written: a checksum says that its record is there.
        with self.checksums.open("r+b") as file:
            for slot, record in zip(slots, content, strict=True):
                file.seek(slot * 4)
                file.write(np.uint32(_checksum(record)).tobytes())

    def written(self, slots: Sequence[int]) -> int:
        """How many of `slots` have a checksum; whether it matches, only reading shows."""
        try:
            known = self._known()
            return int(np.count_nonzero(known[np.asarray(slots, dtype=np.int64)]))
        except (OSError, IndexError):
            return 0

    def _known(self) -> npt.NDArray[np.uint32]:
        """Every record's checksum. Their file's time of change says when it was last used."""
        with suppress(OSError):  # another user's file, which may still be readable
            os.utime(self.checksums)
        return np.fromfile(self.checksums, dtype=np.uint32)

    def remove(self) -> None:
        """Removes the files; who still reads finds every record absent. Raises OSError."""
        self.content.unlink(missing_ok=True)
        self.checksums.unlink(missing_ok=True)


def _checksum(record: npt.NDArray[np.uint8]) -> int:
    return zlib.crc32(record.data) or 1  # 0 is ABSENT
