"""Decoded images on disk, each under a key of its own.

A key is made of a file's name below its root, its size and its times of change: a changed image is
never served stale, and a new one leaves the others as they are. Every root has a set of files of
its own, so that it is decoded once, whatever other roots it is read with. What is kept of images
that changed or went away stays until the whole set is removed (`make_room`).
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import PIL

from covid.data.index import Index
from covid.data.record_file import KEY_BYTES, RecordFile
from covid.edge.images import PREPROCESSING_VERSION

DIGEST_BYTES = 32  # of a SHA-256

Records = npt.NDArray[np.void]  # [images] of `record_type`


class _Root(NamedTuple):
    """What is kept of one root."""

    records: RecordFile
    slots: npt.NDArray[np.int64]  # [images of the index]; -1: of another root, or not to be kept


class ImageStore:
    """What is kept in `cache_dir` of the images of an index, by the index of their sample.

    `error` is None, or why nothing more can be kept; what is there is read nevertheless.
    """

    def __init__(self, index: Index, size: int, cache_dir: Path):
        self.error: str | None = None
        keys, roots = _keys_and_roots(index)
        self._keys = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)
        self._roots = []
        digest = hashlib.sha256()
        for place, root in enumerate(index.roots):
            name = _name(root, size)
            records = RecordFile(cache_dir, name, length=record_type(size).itemsize)
            mine = np.flatnonzero(roots == place)
            own = [keys[i] for i in mine]
            try:
                records.make()
                records.add(own)
            except OSError as error:
                self.error = error.strerror or str(error)
            slots = np.full(len(keys), -1, dtype=np.int64)
            slots[mine] = records.slots(own)
            self._roots.append(_Root(records, slots))
            digest.update(name.encode())
        digest.update(self._keys.data)
        self.key = digest.hexdigest()[:16]  # changes with any image

    def read(self, indices: Sequence[int], into: Records) -> list[int]:
        """Fills `into`, `[len(indices)]`; returns the places of what is absent or damaged."""
        chosen = np.asarray(indices, dtype=np.int64)
        absent = np.ones(len(chosen), dtype=bool)
        for root in self._roots:
            here = np.zeros(len(chosen), dtype=bool)
            here[root.records.read(root.slots[chosen].tolist(), _bytes(into))] = True
            absent &= here
        # The slot is another image's where the files were removed in use, and made anew.
        absent |= (into["key"] != self._keys[chosen]).any(axis=1)
        places: list[int] = np.flatnonzero(absent).tolist()
        return places

    def write(self, indices: Sequence[int], records: Records) -> None:
        """Keeps `records`, `[len(indices)]`, whose keys it fills in; nothing after an error."""
        if self.error:
            return
        chosen = np.asarray(indices, dtype=np.int64)
        records["key"] = self._keys[chosen]
        for root in self._roots:
            slots = root.slots[chosen]
            mine = np.flatnonzero(slots >= 0)
            try:
                root.records.write(slots[mine].tolist(), _bytes(records)[mine])
            except OSError as error:
                self.error = error.strerror or str(error)


def record_type(size: int) -> np.dtype[np.void]:
    """What is known of an image, and what it is kept under."""
    return np.dtype([
        ("pixels", np.uint8, (size, size)),
        ("width", "<u4"), ("height", "<u4"),  # before it was resized, like the next
        ("content", np.uint8, DIGEST_BYTES),  # SHA-256 of the grey image
        ("key", np.uint8, KEY_BYTES),
    ])  # fmt: skip


def _bytes(records: Records) -> npt.NDArray[np.uint8]:
    """The same memory, `[len(records), bytes]`."""
    return records.view(np.uint8).reshape(len(records), records.dtype.itemsize)


def _name(root: Path, size: int) -> str:
    """Changes with the root, with the size, and with what decides about a bit of a record."""
    what = [PREPROCESSING_VERSION, PIL.__version__, str(record_type(size)), str(root.resolve())]
    return f"images-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}"


def _keys_and_roots(index: Index) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Of each image its key, and the place of its root in `index.roots`."""
    prefixes = [os.path.join(root, "") for root in index.roots]
    keys = []
    roots = np.zeros(len(index.samples), dtype=np.int64)
    for i, sample in enumerate(index.samples):
        path = str(sample.path)
        for place, prefix in enumerate(prefixes):
            if path.startswith(prefix):
                roots[i] = place
        what: list[str | int] = [path.removeprefix(prefixes[roots[i]])]
        with suppress(OSError):  # who reads it learns what is wrong
            state = os.stat(path)
            what += [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        keys.append(hashlib.blake2b(json.dumps(what).encode(), digest_size=KEY_BYTES).digest())
    return keys, roots
