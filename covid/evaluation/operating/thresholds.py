"""What sensitivity and specificity a class has at many thresholds, and which of these to take."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.evaluation.intervals import wilson

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.intp]
Share = Literal["sensitivity", "specificity"]

# How far a threshold may stand from the probability that it is taken from. Another order of the
# same float32 sums moves probabilities by some 1e-6: a hundredth, so that no decision changes.
APART = 1e-4
CELLS = 2**20  # thresholds x images at once: 8 MB of float64


@dataclass(frozen=True)
class Outcomes:
    """The images that one share of one class is of: those that bear it, or those that do not."""

    share: Share
    probability: Singles  # [images], like the next
    forced: Booleans  # where a class that implies this one is decided, whatever the probability
    patients: Floats  # [clusters]: how many of these images each has; they lie side by side

    @classmethod
    def of(
        cls, share: Share, chosen: Booleans, probability: Singles, forced: Booleans,
        cluster: Integers,
    ) -> "Outcomes":
        """Those of all images `[images]` that are `chosen`, at least one; by patient."""
        places = np.flatnonzero(chosen)
        places = places[np.argsort(cluster[places], kind="stable")]
        _, images = np.unique(cluster[places], return_counts=True)
        return cls(share, probability[places], forced[places], images.astype(np.float64))

    def at(self, thresholds: Singles) -> Iterator[tuple[Floats, Floats, Floats]]:
        """The share and its 95 % limits, some thresholds at a time, as `wilson` has them."""
        starts = np.concatenate([[0], self.patients.cumsum()[:-1]]).astype(np.intp)
        at_once = max(1, CELLS // len(self.probability))
        for start in range(0, len(thresholds), at_once):
            some = thresholds[start : start + at_once, None]
            decided = (self.probability >= some) | self.forced
            correct = decided if self.share == "sensitivity" else ~decided
            yield wilson(np.add.reduceat(correct, starts, axis=1, dtype=np.float64), self.patients)


@dataclass(frozen=True)
class Choice:
    """A threshold for a share that should reach some value."""

    threshold: float
    reached: Literal["limit", "estimate", "neither"]  # which of both reaches it


def choose_threshold(outcomes: Outcomes, value: float, observed: Singles) -> Choice:
    """The threshold furthest from what is trivial at which the share's lower limit reaches `value`.

    That is the largest for a sensitivity, the smallest for a specificity. Where no threshold's
    limit reaches it, that at which the share itself does; where that does not either, because
    other classes force decisions or probabilities are 1, that at which it is largest.

    `observed` `[images]` are the probabilities of all images: the threshold stands beside the one
    that it is taken from, so that it decides every one of them as if it stood on it.
    """
    rising, own = outcomes.share == "specificity", outcomes.probability
    levels = np.unique(observed)
    # Just above what must not be decided: the next larger one that was observed, or 1.
    exact = np.unique(own)[::-1]
    if rising:
        beyond = np.searchsorted(levels, exact[::-1], side="right")
        exact = np.append(levels, np.float32(1))[beyond]
    counts = _correct(outcomes, exact)
    enough = counts / len(own) >= value
    if not enough.any():
        best = exact[int(counts.argmax())]
        return Choice(_beside(best, levels, rising), "neither")
    candidates, place = exact[enough], 0
    for _, low, _ in outcomes.at(candidates):
        reach = np.flatnonzero(low >= value)
        if len(reach):
            chosen = candidates[place + int(reach[0])]
            return Choice(_beside(chosen, levels, rising), "limit")
        place += len(low)
    return Choice(_beside(candidates[0], levels, rising), "estimate")


def _correct(outcomes: Outcomes, thresholds: Singles) -> Floats:
    """How many images are decided as they should be at each threshold."""
    free = np.sort(outcomes.probability[~outcomes.forced])
    below = np.searchsorted(free, thresholds, side="left")
    right = below if outcomes.share == "specificity" else len(outcomes.probability) - below
    return np.asarray(right, dtype=np.float64)


def _beside(exact: np.float32, levels: Singles, rising: bool) -> float:
    """A number that decides `levels`, all that was observed, as `exact`, one of them or 1, does.

    Between `exact` and the next lower level, at most `APART` from the one that it was taken from.
    """
    below = int(np.searchsorted(levels, exact, side="left"))
    lower = float(levels[below - 1]) if below else 0.0
    step = min(APART, (float(exact) - lower) / 2)
    between = lower + step if rising else float(exact) - step
    # Where float32 has nothing between the two, the larger one decides.
    return between if lower < np.float32(between) <= exact else float(exact)


def implying(space: LabelSpace) -> Mapping[str, tuple[str, ...]]:
    """The classes that imply each class, by chains too, in the order in which to choose.

    Those that nothing implies come first, so that what implies a class is chosen before it.
    """
    on = space.close(np.eye(len(space.classes), dtype=bool))  # [class, what it switches on]
    above = {
        name: tuple(other for row, other in enumerate(space.classes)
                    if on[row, column] and row != column)
        for column, name in enumerate(space.classes)
    }  # fmt: skip
    return dict(sorted(above.items(), key=lambda item: len(item[1])))


def forced_by(
    space: LabelSpace,
    others: tuple[str, ...],
    probabilities: npt.NDArray[np.floating[Any]],
    thresholds: Mapping[str, float],
) -> Booleans:
    """Images `[images]` for which one of the `others` reaches its threshold."""
    forced = np.zeros(len(probabilities), dtype=bool)
    for other in others:
        limit = probabilities.dtype.type(thresholds[other])
        forced |= probabilities[:, space.classes.index(other)] >= limit
    return forced
