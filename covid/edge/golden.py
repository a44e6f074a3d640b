"""Golden answers: what a file must say of images that a formula makes, asked where it runs.

Processors multiply 8-bit integers differently, and not all of them rightly: on x86 without VNNI
two products are added in 16 bits, which saturate. A file brings along what it answers in exact
arithmetic, so that a session that answers otherwise is seen before it is believed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FORMULA = "hashed-squares"  # what `render` does
MAX_IMAGES = 2  # each costs every start of a session one answer
MAX_SEED = 2**16 - 1
# Of a logit. The same float sums in another order differ by some 1e-6 of their size; bf16, which
# some providers take for float32 by default, by some 1e-2.
FLOAT_TOLERANCE = 1e-3
DECIMALS = 6  # of a logit: a thousandth of the smallest tolerance


@dataclass(frozen=True)
class Pattern:
    """An image made by `render`: no patient's."""

    seed: int  # 0 to 65,535
    side: int  # of a square, in pixels

    def render(self, size: int) -> Pixels:
        """uint8 `[size, size]`: squares of random grey levels, the same on every machine.

        The level of the square in row i and column j is the highest byte of
        `h(h(h(seed) + i) + j)`, where h(x) is, in unsigned integers of 32 bits,
        x ^= x >> 16; x *= 0x7FEB352D; x ^= x >> 15; x *= 0x846CA68B; x ^= x >> 16
        (the integer hash "lowbias32": C. Wellons 2018, "Prospecting for hash functions").
        """
        squares = np.arange(size, dtype=np.uint32) // np.uint32(self.side)
        rows = _hash(_hash(np.array([self.seed], dtype=np.uint32)) + squares)
        levels = _hash(rows[:, np.newaxis] + squares) >> np.uint32(24)
        return levels.astype(np.uint8)


@dataclass(frozen=True)
class Golden:
    """Images by formula, and the logits of exact arithmetic for them."""

    patterns: tuple[Pattern, ...]
    logits: tuple[tuple[float, ...], ...]  # an image, a class
    tolerance: float  # by which a logit may differ

    def difference(self, size: int, answer: Callable[[Pixels], Floats]) -> float:
        """The largest difference of a logit. Images are asked one at a time.

        `answer` takes uint8 `[1, size, size]` and gives logits `[1, classes]`. A logit that is
        no number is infinitely far away.
        """
        given = np.concatenate(
            [answer(pattern.render(size)[np.newaxis]) for pattern in self.patterns]
        )
        largest = float(np.abs(given.astype(np.float64) - np.array(self.logits)).max())
        return largest if np.isfinite(largest) else float("inf")

    def mapped(
        self, scale: Sequence[float], shift: Sequence[float], *, exact: bool
    ) -> "Golden":
        """The same images' answers once each logit z became `scale * z + shift`, class by class.

        `exact`: of a graph in float, whose tolerance follows its logits. In 8 bits it stays what
        it is, since it is a share of a probability, whatever the logits' scale.
        """
        logits = np.array(self.logits) * np.array(scale) + np.array(shift)
        rows = tuple(tuple(round(value, DECIMALS) for value in row) for row in logits.tolist())
        tolerance = float_tolerance(logits) if exact else self.tolerance
        return replace(self, logits=rows, tolerance=tolerance)

    def fields(self) -> dict[str, Any]:
        """As plain values, for JSON; `from_fields` reads them."""
        return {
            "formula": FORMULA,
            "images": [{"seed": pattern.seed, "side": pattern.side} for pattern in self.patterns],
            "logits": [list(row) for row in self.logits],
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], classes: int) -> "Golden":
        """Raises KeyError, TypeError or ValueError where `fields` make no sense."""
        if fields["formula"] != FORMULA:
            raise ValueError("golden: an unknown formula")
        images, logits = fields["images"], fields["logits"]
        if not 1 <= len(images) <= MAX_IMAGES or len(logits) != len(images):
            raise ValueError("golden: images and logits")
        patterns = tuple(
            Pattern(_whole(image["seed"], 0, MAX_SEED), _whole(image["side"], 1, MAX_SEED))
            for image in images
        )
        rows = tuple(tuple(_finite(value) for value in row) for row in logits)
        tolerance = _finite(fields["tolerance"])
        if tolerance <= 0 or any(len(row) != classes for row in rows):
            raise ValueError("golden: logits or tolerance")
        return cls(patterns, rows, tolerance)


def float_tolerance(logits: npt.NDArray[np.floating[Any]]) -> float:
    """By which the logits of a graph in float may differ from these."""
    return FLOAT_TOLERANCE * max(1.0, float(np.nan_to_num(np.abs(logits), posinf=0.0).max()))


def _hash(values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    values = values ^ (values >> np.uint32(16))
    values = values * np.uint32(0x7FEB352D)
    values = values ^ (values >> np.uint32(15))
    values = values * np.uint32(0x846CA68B)
    return values ^ (values >> np.uint32(16))


def _whole(value: Any, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError("golden: images")
    return value


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise TypeError("golden: logits or tolerance")
    return float(value)
