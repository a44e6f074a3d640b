"""Lines around the places that hold most of what speaks for a class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SHARES = (0.5, 0.9)  # of all that speaks for a class, inside the thick and the thin line
# Of a map's place: a smaller area gets no line, and no line leaves a smaller hole. The half that a
# single place holds, alone in a map, covers 0.77 of a place, so that it keeps its line.
SMALLEST = 0.5
# Of SMALLEST, what is drawn: the search often ends where a piece has just reached SMALLEST, and at
# another size that would be a hair more or less.
DRAWN = 0.9
# Samples of a place in either direction, for the search: a level's share is within 0.01 of a
# sixteen times finer grid's, unless a piece has just DRAWN; 10 by 10 places take 10 ms.
SAMPLES = 12
# Below a sample's value, since interpolation to another size may round a plateau's value down by a
# few of float32's 2^-24.
SLACK = 1e-6
STEPS = 10  # of the search; levels are then 2^-10 of all samples apart


class Contour(NamedTuple):
    """A line of one height in an interpolated map."""

    level: float  # inside is what is at least that
    held: float  # of the sum of what is above zero, 0..1, inside


def interpolated(evidence: Floats, width: int, height: int) -> Floats:
    """A map at another size, `[height, width]`, by cubic convolution (Keys 1981, a = -0.5).

    What is for and what is against apart, since a cubic curve swings below zero beside a peak:
    nothing is drawn against a class that is not in the map.
    """
    size, cubic = (width, height), Image.Resampling.BICUBIC
    smooth = np.zeros((height, width), np.float32)
    for sign in (1, -1):
        part = np.maximum(sign * evidence, 0)
        if part.any():
            smooth += sign * np.maximum(np.asarray(Image.fromarray(part).resize(size, cubic)), 0)
    return smooth


def contours(evidence: Floats, scale: float) -> list[Contour]:
    """For each of SHARES the smallest area that holds it in the interpolated map, `[h, w]`.

    Pieces smaller than SMALLEST do not count, so `held` is more than a share where the next piece
    comes at once, and less where too much lies in small pieces; a line around nothing is left out.
    None at all where what speaks for the class sums up to less than `scale`, one place in full
    colour: half of next to nothing is no finding.
    """
    if float(evidence[evidence > 0].sum()) < scale:
        return []
    rows, columns = evidence.shape
    smooth = interpolated(evidence, columns * SAMPLES, rows * SAMPLES)
    above = np.sort(smooth[smooth > 0])[::-1]
    total, smallest = float(above.sum(dtype=np.float64)), SMALLEST * SAMPLES**2
    lines = []
    for share in SHARES:
        # The share grows as the level falls, small pieces or not: a piece never becomes smaller.
        few, many = 0, len(above) - 1
        contour = _contour(smooth, _below(above[many]), total, smallest)
        for _ in range(STEPS):
            middle = (few + many) // 2
            tried = _contour(smooth, _below(above[middle]), total, smallest)
            if tried.held >= share:
                many, contour = middle, tried
            else:
                few = middle
        contour = _contour(smooth, contour.level, total, DRAWN * smallest)
        if contour.held:
            lines.append(contour)
    return lines


def _below(sample: np.float32) -> float:
    return float(sample) * (1 - SLACK)


def _contour(smooth: Floats, level: float, total: float, smallest: float) -> Contour:
    area = inside(smooth, level, smallest)
    return Contour(level, float(smooth[area & (smooth > 0)].sum(dtype=np.float64)) / total)


def inside(smooth: Floats, level: float, smallest: float) -> Mask:
    """What is at least `level`, without pieces, and without holes, of fewer than so many pixels."""
    return ~_large(~_large(smooth >= level, smallest), smallest)


def _large(area: Mask, smallest: float) -> Mask:
    """The pieces, connected by their sides, that have at least `smallest` pixels."""
    edges = np.diff(np.pad(area, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]  # in the same order: runs of a row do not overlap
    pieces = _joined(rows.tolist(), starts.tolist(), ends.tolist())
    sizes = np.bincount(pieces, weights=ends - starts, minlength=len(pieces))
    kept = area.copy()
    for run in np.flatnonzero(sizes[pieces] < smallest):
        kept[rows[run], starts[run] : ends[run]] = False
    return kept


def _joined(
    rows: Sequence[int], starts: Sequence[int], ends: Sequence[int]
) -> npt.NDArray[np.intp]:
    """For each horizontal run the number of the piece that it is part of."""
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    above = 0  # the first run of the row before that may touch this one
    for run, row in enumerate(rows):
        while rows[above] < row - 1 or (rows[above] == row - 1 and ends[above] <= starts[run]):
            above += 1
        touching = above
        while rows[touching] == row - 1 and starts[touching] < ends[run]:
            parent[root(touching)] = root(run)
            touching += 1
    return np.array([root(run) for run in range(len(rows))], dtype=np.intp)
