"""Figures that follow from the order of probabilities alone, for many weightings at once."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Ranking:
    """The images whose target is known, by descending probability of a class.

    Sorted once for all weightings.

    Its levels are the distinct probabilities that an image which bears the class has: both
    figures are sums over these. All arrays but the first two have one entry a level.
    """

    order: Integers  # [known images]: the most probable one first
    positives: Integers  # places in `order` of images that bear the class
    starts: Integers  # the first place in `order` that has this probability
    ends: Integers  # the last one
    last: Integers  # the last place in `positives` that has this probability

    @classmethod
    def of(
        cls,
        probability: npt.NDArray[np.floating[Any]],
        target: npt.NDArray[np.bool_],
        known: npt.NDArray[np.bool_],
    ) -> Self:
        """`probability`, `target` and whether that is `known` (both bool) are `[images]`."""
        images = np.flatnonzero(known)
        order = images[np.argsort(-probability[images], kind="stable")]
        positives = np.flatnonzero(target[order])
        falls = np.flatnonzero(np.diff(probability[order]))
        starts = np.concatenate([[0], falls + 1])
        level = np.searchsorted(starts, positives, side="right") - 1
        last = np.flatnonzero(np.diff(level, append=len(starts)))
        ends = np.append(falls, len(order) - 1)
        return cls(order, positives, starts[level[last]], ends[level[last]], last)

    def curve(self, weights: Floats) -> "Curve":
        """`weights` is `[resamples, images]`, not negative, in the images' first order."""
        ordered = weights.take(self.order, axis=1)
        positives = ordered.take(self.positives, axis=1).cumsum(axis=1).take(self.last, axis=1)
        images = ordered.cumsum(axis=1)
        before = images.take(self.starts - 1, axis=1)
        if len(self.starts) and self.starts[0] == 0:
            before[:, 0] = 0
        total = images[:, -1] if len(self.order) else np.zeros(len(weights))
        return Curve(positives, images.take(self.ends, axis=1), before, total)


@dataclass(frozen=True)
class Curve:
    """The weight of what is at least as probable as each level, all `[resamples, levels]`.

    Weights that are whole numbers, as a bootstrap's are, make these sums exact, so that nothing
    depends on the order of images that are equally probable.
    """

    positives: Floats  # of images that bear the class
    images: Floats  # of all images
    before: Floats  # of all images that are more probable
    total: Floats  # [resamples]: of all images, whatever their probability

    @property
    def gained(self) -> Floats:
        """The weight of images that bear the class and have just this probability."""
        gained = self.positives.copy()
        gained[:, 1:] -= self.positives[:, :-1]
        return gained

    def auroc(self) -> Floats:
        """The area under the ROC curve `[resamples]`: NaN without both outcomes.

        The share of pairs of an image that bears the class and one that does not in which the
        first is more probable; those that are equally probable count half (Hanley & McNeil
        1982, "The meaning and use of the area under a ROC curve").
        """
        if not self.positives.shape[1]:
            return np.full(len(self.total), np.nan)
        gained, positives = self.gained, self.positives[:, -1]
        negatives = self.total - positives
        # Those above each level, and half of those on it, twice.
        above = self.images - self.positives
        above += self.before - self.positives + gained
        twice = (gained * (2 * negatives[:, None] - above)).sum(axis=1)
        return _share(twice, 2 * positives * negatives)

    def average_precision(self) -> Floats:
        """The sum over levels of precision times the recall gained: NaN without a positive.

        Manning, Raghavan & Schütze 2008, "Introduction to information retrieval", section 8.4.
        Returns `[resamples]`.
        """
        if not self.positives.shape[1]:
            return np.full(len(self.total), np.nan)
        precision = np.zeros_like(self.images)  # where nothing was drawn yet no recall is gained
        np.divide(self.positives, self.images, out=precision, where=self.images > 0)
        return _share((self.gained * precision).sum(axis=1), self.positives[:, -1])


def _share(part: Floats, whole: Floats) -> Floats:
    """NaN where the whole is nothing."""
    shares: Floats = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
