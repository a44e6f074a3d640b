"""Images that stand in two splits, as they are or almost: what makes figures too good."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.data.fingerprint import EXACT, LENGTH
from covid.data.index import Index
from covid.errors import DataError

# Bits of 256 in which images that are almost the same differ at most. Measured on two sets of
# real radiographs, xray3 and xray2, at 32 and at 256 pixels: of their 2.3 million pairs of images
# of different patients the closest differ in 14 bits. Of copies that were compressed to JPEG at
# quality 50, halved, re-exposed by a gamma of 0.7, or had a marker put on them, 99 % and more
# differ in 12 bits or fewer; of copies that are a sixth brighter, 87 % (xray3) and all (xray2).
MAX_DIFFERENT_BITS = 12
MAX_NAMED_PAIRS = 3  # pairs that a sentence names
MAX_REPORTED_PAIRS = 100  # pairs that data_audit.json lists, of each kind
MAX_COMPARED_PAIRS = 250_000  # pairs compared at once: 2 MB, which stays in a processor's cache

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Duplicates:
    """What is in an index more than once. Pairs are names, in the order of the index."""

    shared: list[tuple[str, str]]  # of each picture that stands in several splits, the first two
    within: dict[str, int]  # split -> images that repeat an earlier one of the same split
    near: int  # pairs between splits that differ a little
    # The MAX_REPORTED_PAIRS closest, with the number of bits they differ in.
    near_pairs: list[tuple[str, str, int]]

    def warnings(self, index: Index, *, allowed: bool) -> list[str]:
        """Sentences for the user. Raises DataError where splits share pictures, unless `allowed`.

        `allowed` is `data.allow_duplicates`.
        """
        sentences = []
        if self.shared:
            sentence = (
                f"{index.root}: {_count(len(self.shared), 'picture')} with the same pixels in two "
                f"splits ({_named([f'{a} = {b}' for a, b in self.shared])})"
            )
            if not allowed:
                raise DataError(
                    f"{sentence}; keep each in one split, or set data.allow_duplicates=true."
                )
            sentences.append(f"{sentence}, which data.allow_duplicates permits.")
        if self.near:
            pairs = [f"{a} ~ {b}" for a, b, _ in self.near_pairs]
            sentences.append(
                f"{index.root}: {_count(self.near, 'pair')} of images in different splits that "
                f"look almost the same ({_named(pairs)}); where they are copies, figures are too "
                f"good, and data_audit.json lists them."
            )
        return sentences

    def to_json(self) -> dict[str, Any]:
        """For data_audit.json: counts, and the names of up to MAX_REPORTED_PAIRS of each kind."""
        return {
            "between_splits": len(self.shared),
            "pairs": [list(pair) for pair in self.shared[:MAX_REPORTED_PAIRS]],
            "within_splits": self.within,
            "near_between_splits": self.near,
            "near_pairs": [
                {"images": [a, b], "different_bits": bits} for a, b, bits in self.near_pairs
            ],
        }


def find_duplicates(index: Index, fingerprints: Mapping[int, bytes]) -> Duplicates:
    """Compares all images whose `fingerprint` is known, by index of the sample.

    112,120 images take half a minute of one core. A mirrored or turned copy is not found.
    """
    splits: dict[str, list[int]] = {}
    alike: dict[bytes, list[int]] = defaultdict(list)
    for i in sorted(fingerprints):
        splits.setdefault(index.samples[i].split, []).append(i)
        alike[fingerprints[i][:EXACT]].append(i)
    shared = []
    within = dict.fromkeys(splits, 0)
    for indices in alike.values():
        first: dict[str, int] = {}
        for i in indices:
            split = index.samples[i].split
            within[split] += split in first
            first.setdefault(split, i)
        if len(first) > 1:
            one, other = sorted(first.values())[:2]
            shared.append((index.samples[one].name, index.samples[other].name))

    near = 0
    pairs: list[tuple[int, ...]] = []  # bits, then the indices of both
    for one_split, other_split in combinations(splits.values(), 2):
        one_digest, one_hash = _words(fingerprints, one_split)
        other_digest, other_hash = _words(fingerprints, other_split)
        for a, b, bits in near_pairs(one_hash, other_hash):
            other_pixels = np.any(one_digest[a] != other_digest[b], axis=1)
            near += int(other_pixels.sum())
            closest = np.argsort(
                np.where(other_pixels, bits, MAX_DIFFERENT_BITS + 1), kind="stable"
            )[:MAX_REPORTED_PAIRS]
            for place in closest[other_pixels[closest]].tolist():
                indices = sorted((one_split[a[place]], other_split[b[place]]))
                pairs.append((int(bits[place]), *indices))
            pairs = sorted(pairs)[:MAX_REPORTED_PAIRS]
    name = [sample.name for sample in index.samples]
    return Duplicates(shared, within, near, [(name[a], name[b], bits) for bits, a, b in pairs])


def near_pairs(ones: Words, others: Words) -> Iterator[tuple[Integers, Integers, Integers]]:
    """Positions in `ones` and `others` of hashes at most MAX_DIFFERENT_BITS apart, and the bits.

    Hashes are uint64 `[images, 4]`. Block after block, so that memory stays at
    MAX_COMPARED_PAIRS pairs whatever the number of images. A hash without a bit, of a blank
    image, is like no other.
    """
    at_once = max(1, MAX_COMPARED_PAIRS // max(1, len(others)))
    seen = np.any(others, axis=1)
    for start in range(0, len(ones), at_once):
        block = ones[start : start + at_once]
        distance = np.zeros((len(block), len(others)), dtype=np.uint16)
        for word in range(ones.shape[1]):
            distance += np.bitwise_count(block[:, None, word] ^ others[None, :, word])
        seeable = np.any(block, axis=1)
        # Of a flat array, since NumPy finds the few that are close in that far sooner.
        rows, columns = np.divmod(np.flatnonzero(distance <= MAX_DIFFERENT_BITS), len(others))
        kept = seeable[rows] & seen[columns]
        rows, columns = rows[kept], columns[kept]
        yield rows + start, columns, distance[rows, columns].astype(np.int64)


def _words(fingerprints: Mapping[int, bytes], indices: list[int]) -> tuple[Words, Words]:
    """Digests `[images, 2]` and hashes `[images, 4]`."""
    joined = b"".join(fingerprints[i] for i in indices)
    words = np.frombuffer(joined, dtype=np.uint64).reshape(len(indices), LENGTH // 8)
    return words[:, : EXACT // 8], words[:, EXACT // 8 :]


def _count(number: int, noun: str) -> str:
    return f"there is 1 {noun}" if number == 1 else f"there are {number:,} {noun}s"


def _named(pairs: list[str]) -> str:
    more = f", and {len(pairs) - MAX_NAMED_PAIRS:,} more" if len(pairs) > MAX_NAMED_PAIRS else ""
    return ", ".join(pairs[:MAX_NAMED_PAIRS]) + more
