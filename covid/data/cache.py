"""Decoded images of an index, each decoded once, whichever run or process comes first.

Two processes may decode the same image at once: both write the same bytes.
"""

import hashlib
import re
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from covid.data.fingerprint import fingerprint
from covid.data.image_store import ImageStore, Records, record_type
from covid.data.index import MAX_LISTED, Index
from covid.data.record_file import RecordFile
from covid.edge.images import PREPROCESSING_VERSION, read_grey, resize
from covid.edge.processors import usable_processors
from covid.errors import DataError, ImageError

# What runs keep in a cache: images here, features in covid/training/prefix.py. Nothing else there
# is ever removed.
CACHE_FILES = re.compile(r"(images|features)-[0-9a-f]{16}\.(rows|checksums|keys)")
IN_USE_SECONDS = 3600.0  # a run reads its files at every step, which takes far less
BLOCK_BYTES = 512  # the unit of st_blocks whatever the disk's own blocks are
CHUNK_IMAGES = 64  # images in memory at once while a set is scanned: 4 MB at 256 pixels


@dataclass(frozen=True)
class Original:
    """What a grey image is, before it is resized."""

    width: int
    height: int
    content: str  # SHA-256 of its pixels, uint8 row by row, as hexadecimal digits

    @classmethod
    def of(cls, grey: Image.Image) -> "Original":
        """Of a mode "L" image."""
        return cls(*grey.size, hashlib.sha256(grey.tobytes()).hexdigest())


@dataclass(frozen=True)
class Scan:
    """What a scan of some images gives; those of several processes add up."""

    histogram: npt.NDArray[np.int64]  # [256]: pixels of each grey level
    unreadable: dict[int, str]  # index -> the sentence that says why
    fingerprints: dict[int, bytes] = field(default_factory=dict)  # index -> `fingerprint`
    originals: dict[int, Original] = field(default_factory=dict)  # index -> where it is readable

    def __add__(self, other: "Scan") -> "Scan":
        return Scan(
            self.histogram + other.histogram,
            self.unreadable | other.unreadable,
            self.fingerprints | other.fingerprints,
            self.originals | other.originals,
        )

    def mean_and_std(self) -> tuple[float, float]:
        """Of all pixels, on a scale of 0..1. The deviation is 1 where all pixels are alike."""
        levels = np.arange(256) / 255
        shares = self.histogram / self.histogram.sum()
        mean = float(shares @ levels)
        return mean, float(np.sqrt(shares @ (levels - mean) ** 2)) or 1.0

    def require_readable(self, images: int) -> None:
        """Raises DataError where an image cannot be read: up to ten of them, and how many."""
        if self.unreadable:
            listed = " ".join(list(self.unreadable.values())[:MAX_LISTED])
            more = len(self.unreadable) - MAX_LISTED
            raise DataError(
                f"{len(self.unreadable)} of {images} images cannot be read: {listed} "
                + (f"(and {more} more) " if more > 0 else "")
                + "Repair or remove them, or set data.skip_unreadable=true."
            )


class Images:
    """The images of an index at one size, by the index of their sample.

    `cache_dir` None: every read decodes. `problem` is None, or the sentence that says why
    nothing can be kept (the disk is full or read-only); reading then goes on without.
    """

    def __init__(self, index: Index, size: int, cache_dir: Path | None):
        self.paths = [sample.path for sample in index.samples]
        self._readers = [sample.read for sample in index.samples]
        self.size = size
        self.cache_dir = cache_dir
        self.opened = time.time()
        self._store = None if cache_dir is None else ImageStore(index, size, cache_dir)
        # Changes with any image; None without a cache.
        self.key = None if self._store is None else self._store.key

    @property
    def problem(self) -> str | None:
        if self._store is None or self._store.error is None:
            return None
        return (
            f"decoded images cannot be kept in {self.cache_dir} ({self._store.error}); "
            f"training goes on without, and decodes them again every epoch."
        )

    @property
    def kept(self) -> bool:
        """Whether decoded images are kept on disk."""
        return self._store is not None and self._store.error is None

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """uint8 `[len(indices), size, size]`. Raises ImageError where one cannot be read."""
        records, unreadable = self._read(indices)
        for sentence in unreadable.values():
            raise ImageError(sentence)
        return np.ascontiguousarray(records["pixels"])

    def scan(self, indices: Sequence[int], advance: Callable[[int], object]) -> Scan:
        """Scans the images at `indices`, keeping what it decodes; `advance(n)` after every n."""
        total = Scan(np.zeros(256, dtype=np.int64), {})
        fingerprints: dict[int, bytes] = {}
        originals: dict[int, Original] = {}
        for start in range(0, len(indices), CHUNK_IMAGES):
            chunk = indices[start : start + CHUNK_IMAGES]
            records, unreadable = self._read(chunk)
            readable = [place for place, i in enumerate(chunk) if i not in unreadable]
            pixels = records["pixels"]
            histogram = np.bincount(pixels[readable].ravel(), minlength=256)
            total += Scan(histogram, unreadable)
            for place in readable:
                fingerprints[chunk[place]] = fingerprint(pixels[place])
                originals[chunk[place]] = _original(records[place])
            advance(len(chunk))
        return replace(total, fingerprints=fingerprints, originals=originals)

    def make_room(self, limit: float) -> str | None:
        """`make_room` in this cache; what this run has used since it opened it stays."""
        if self.cache_dir is None:
            return None
        return make_room(self.cache_dir, limit, unused_since=self.opened - IN_USE_SECONDS)

    def _read(self, indices: Sequence[int]) -> tuple[Records, dict[int, str]]:
        records = np.empty(len(indices), dtype=record_type(self.size))
        absent = list(range(len(indices)))
        if self._store is not None:
            absent = self._store.read(indices, records)
        unreadable: dict[int, str] = {}
        if absent:

            def decode(place: int) -> str | None:
                return self._decode(indices[place], records[place])

            # Pillow lets go of the interpreter's lock while it decodes and resizes.
            with ThreadPoolExecutor(min(usable_processors(), len(absent))) as pool:
                for place, sentence in zip(absent, pool.map(decode, absent), strict=True):
                    if sentence is not None:
                        unreadable[indices[place]] = sentence
            done = [place for place in absent if indices[place] not in unreadable]
            if self._store is not None:
                self._store.write([indices[place] for place in done], records[done])
        return records, unreadable

    def _decode(self, sample_index: int, record: np.void) -> str | None:
        """Fills an image's record but for its key. Returns a sentence where it cannot be read."""
        try:
            grey = self._readers[sample_index](self.paths[sample_index])
        except ImageError as error:
            return str(error)  # not the error, which would hold on to the half-decoded image
        record["pixels"] = resize(grey, self.size)
        original = Original.of(grey)
        record["width"], record["height"] = original.width, original.height
        record["content"] = np.frombuffer(bytes.fromhex(original.content), dtype=np.uint8)
        return None


def open_images(index: Index, size: int, cache_dir: Path | None, greys: int) -> Images:
    """The images of an index, made grey as a trained network learnt them (`covid.edge.images`).

    Only those of this version are kept.
    """
    if greys == PREPROCESSING_VERSION:
        return Images(index, size, cache_dir)
    read = partial(read_grey, greys=greys)
    earlier = tuple(
        replace(sample, read=read) if sample.read is read_grey else sample
        for sample in index.samples
    )
    return Images(replace(index, samples=earlier), size, None)


def _original(record: Any) -> Original:
    width, height = int(record["width"]), int(record["height"])
    return Original(width, height, record["content"].tobytes().hex())


def make_room(folder: Path, limit: float, *, unused_since: float) -> str | None:
    """Removes decoded images and features, least recently used first, down to `limit` GB.

    Those used after `unused_since` (seconds since 1970) stay, even if they alone are more. A run
    that still wants what was removed computes it again. Returns a line that says what was removed.
    """
    used: dict[str, float] = {}
    room: dict[str, int] = {}
    for path in folder.glob("*"):
        with suppress(OSError):  # removed meanwhile by another run
            state = path.lstat()
            if CACHE_FILES.fullmatch(path.name) and stat.S_ISREG(state.st_mode):
                name = path.stem
                used[name] = max(used.get(name, 0.0), state.st_mtime)
                room[name] = room.get(name, 0) + state.st_blocks * BLOCK_BYTES  # holes take none
    surplus = sum(room.values()) - limit * 1e9
    removed: list[str] = []
    for name in sorted(used, key=lambda name: used[name]):
        if surplus <= 0 or used[name] >= unused_since:
            break
        with suppress(OSError):  # another user's, which only its owner may remove
            RecordFile(folder, name, length=0).remove()
            removed.append(name)
            surplus -= room[name]
    if not removed:
        return None
    freed = sum(room[name] for name in removed) / 1e9
    return (
        f"removed {len(removed)} set(s) of decoded images or features, least recently used, "
        f"{freed:.2f} GB, from {folder}: data.cache_limit_gb is {limit:g}"
    )
