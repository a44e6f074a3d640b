"""Records of bytes in one file and one checksum per record in another: what caches are made of.

A record counts only once its checksum stands in the second file and matches, so a record that is
half written, by a killed process or a full disk, is as good as absent. Two processes may write the
same record at once, as long as both mean the same bytes by it.

A record's slot is its place in the file. Who knows records by keys keeps these in a third file,
where the n-th key has slot n. Keys are only ever added, whatever other processes do meanwhile. A
record should hold its key too: after the files were removed and made anew, a process that has them
open already takes their slots for those of other keys.

Records are read with plain reads, not through a memory map: pages of a map count as this
process's memory, which would grow with the number of records, and a map's write to a full disk
is a crash (SIGBUS) where a plain write is an error that can be handled.
"""

import errno
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

ABSENT = 0  # the checksum of a record that was never written: what a hole in a file reads as
KEY_BYTES = 16  # of 2^64 keys two are equal with even odds
ADDING_ATTEMPTS = 3  # one does, unless several processes mend a list that was cut short


class RecordFile:
    """Records of `length` bytes each: FOLDER/NAME.rows, FOLDER/NAME.checksums and, where they
    are known by keys, FOLDER/NAME.keys.
    """

    def __init__(self, folder: Path, name: str, *, length: int):
        self.folder, self.length = folder, length
        self.content, self.checksums = folder / f"{name}.rows", folder / f"{name}.checksums"
        self.keys = folder / f"{name}.keys"

    def make(self) -> None:
        """Makes the files where they are not there yet. Raises OSError.

        They grow as records are written, with holes in between, which take no room.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self.content, self.checksums):
            with suppress(FileExistsError):
                path.touch(exist_ok=False)

    def slots(self, keys: Sequence[bytes]) -> npt.NDArray[np.int64]:
        """The slot of each key of KEY_BYTES bytes, -1 where it has none."""
        try:
            listed = self.keys.read_bytes()
        except OSError:  # not made yet, or removed
            listed = b""
        slots: dict[bytes, int] = {}
        for slot in range(len(listed) // KEY_BYTES):
            # Where two processes added one key at once the first counts, for both of them.
            slots.setdefault(listed[slot * KEY_BYTES : (slot + 1) * KEY_BYTES], slot)
        return np.array([slots.get(key, -1) for key in keys], dtype=np.int64)

    def add(self, keys: Sequence[bytes]) -> None:
        """Gives each key a slot that has none yet. Raises OSError."""
        for _ in range(ADDING_ATTEMPTS):
            slots = self.slots(keys)
            missing = dict.fromkeys(
                key for key, slot in zip(keys, slots.tolist(), strict=True) if slot < 0
            )
            if not missing:
                return
            with self.keys.open("ab", buffering=0) as file:
                # What a full disk cut short is filled up, so that later keys stand in their slots.
                filler = bytes(-os.fstat(file.fileno()).st_size % KEY_BYTES)
                # In one write, which the system appends as a whole, whoever else appends.
                file.write(filler + b"".join(missing))
        raise OSError(errno.EAGAIN, "its list of keys changes while it is read")

    def read(self, slots: Sequence[int], into: npt.NDArray[np.uint8]) -> list[int]:
        """Fills `into`, uint8 `[len(slots), …]` of `length` bytes per record.

        Returns the places in `slots` of those that are absent or damaged, whose bytes in `into`
        mean nothing. A slot of -1 is absent, and its bytes are left as they are.
        """
        absent = []
        try:
            known = self._known()
            with self.content.open("rb", buffering=0) as file:
                for place, slot in enumerate(slots):
                    if not 0 <= slot < len(known) or known[slot] == ABSENT:
                        absent.append(place)
                        continue
                    file.seek(slot * self.length)
                    file.readinto(memoryview(into[place]).cast("B"))
                    if _checksum(into[place]) != known[slot]:
                        absent.append(place)
        except OSError:  # not made, or removed while in use, which is safe
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
        except OSError:
            return 0
        wanted = np.asarray(slots, dtype=np.int64)
        return int(np.count_nonzero(known[wanted[wanted < len(known)]]))

    def _known(self) -> npt.NDArray[np.uint32]:
        """The checksums, up to the last one written. Their time of change says when last used."""
        with suppress(OSError):  # another user's file, which may still be readable
            os.utime(self.checksums)
        return np.fromfile(self.checksums, dtype=np.uint32)

    def remove(self) -> None:
        """Removes the files; who still reads finds every record absent. Raises OSError."""
        for path in (self.content, self.checksums, self.keys):
            path.unlink(missing_ok=True)


def _checksum(record: npt.NDArray[np.uint8]) -> int:
    return zlib.crc32(record.data) or 1  # 0 is ABSENT
