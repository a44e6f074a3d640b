"""The cluster bootstrap: patients are drawn with replacement, and all their images come along.

Field & Welsh, Bootstrapping clustered data, JRSS B 69, 2007: images of one patient resemble
each other, so drawing images would make intervals too narrow.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

INTERVAL = (0.025, 0.975)  # what 95 % lie between
CELLS = 2**16  # resamples x images at once: 512 KB of weights, which stay in a core's cache
# Of clusters that are left out together. The skewness that acceleration is measured by is then
# known to about sqrt(6 / groups), acceleration to some 0.002, and a limit, which it moves by about
# 4 times itself, to a hundredth of a standard error: resampling moves it by more.
MAX_GROUPS = 200
NORMAL = NormalDist()


def cluster_images(patients: Sequence[str | None], content: npt.NDArray[np.float64]) -> Integers:
    """The number of each image's cluster `[images]`; an image without a patient is its own.

    `content` is `[images, columns]`: all that an image contributes to any figure. Clusters are
    numbered by what they hold, so neither the order of images nor the names of patients make a
    difference to what is drawn: clusters that hold the same are interchangeable.
    """
    order = np.lexsort(content.T[::-1])
    differs = (content[order[1:]] != content[order[:-1]]).any(axis=1)
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.concatenate([[0], np.cumsum(differs)])
    members: dict[str | int, list[int]] = {}
    for place, patient in enumerate(patients):
        members.setdefault(place if patient is None else patient, []).append(place)
    ranks = rank.tolist()
    numbered = sorted(members.values(), key=lambda places: sorted(ranks[n] for n in places))
    cluster = np.empty(len(order), dtype=np.intp)
    for number, places in enumerate(numbered):
        cluster[places] = number
    return cluster


def draw_weights(cluster: Integers, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each image was drawn, some resamples at a time: `[some, images]`.

    Each resample draws as many clusters as there are; an image weighs as its cluster.
    """
    clusters = int(cluster.max()) + 1
    generator = np.random.default_rng(seed)
    at_once = max(1, CELLS // len(cluster))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = generator.integers(clusters, size=(size, clusters))
        drawn += clusters * np.arange(size)[:, None]  # a range of numbers for each resample
        times = np.bincount(drawn.ravel(), minlength=size * clusters).astype(np.float64)
        yield times.reshape(size, clusters).take(cluster, axis=1)


def leave_out_weights(cluster: Integers, seed: int) -> Iterator[Floats]:
    """All images but those of one group of clusters, for each group: `[some groups, images]`.

    A group is one cluster, or, of more than 200 clusters, as many as give 200 groups, drawn at
    random: for acceleration that makes no difference but for chance. It is the skewness of what
    clusters add to a figure over 6 times the root of their number; the sum of k of them has
    1 / sqrt(k) of their skewness, and there are 1 / k as many sums.
    """
    clusters = int(cluster.max()) + 1
    groups = min(clusters, MAX_GROUPS)
    group = np.random.default_rng([seed, 1]).permutation(clusters)[cluster] % groups
    at_once = max(1, CELLS // len(cluster))
    for start in range(0, groups, at_once):
        left_out = np.arange(start, min(start + at_once, groups))
        yield (group != left_out[:, None]).astype(np.float64)


def bca_interval(value: float, drawn: Floats, left_out: Floats) -> tuple[float, float] | None:
    """The 95 % interval of a figure that is `value`, corrected for bias and acceleration.

    Efron 1987, "Better bootstrap confidence intervals"; Efron & Tibshirani 1993, section 14.3.
    `drawn` `[resamples]` is the figure of each resample, `left_out` `[groups]` without each group
    of patients; NaN is left out of both. Resamples that give `value` itself count half as below
    it. Where the correction is not defined (all resamples lie on one side, or no group makes a
    difference) the percentile interval is given instead, None where no resample has the figure.
    Always `low <= value <= high`.
    """
    drawn, left_out = drawn[~np.isnan(drawn)], left_out[~np.isnan(left_out)]
    if not len(drawn):
        return None
    levels = _corrected_levels(value, drawn, left_out) or INTERVAL
    low, high = np.quantile(drawn, levels)
    return min(float(low), value), max(float(high), value)


def _corrected_levels(value: float, drawn: Floats, left_out: Floats) -> tuple[float, float] | None:
    """Which quantiles of `drawn` are the limits, instead of 0.025 and 0.975."""
    below = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn <= value)) / (2 * len(drawn))
    acceleration = acceleration_of(left_out)
    if not 0 < below < 1 or acceleration is None:
        return None
    bias = NORMAL.inv_cdf(below)
    levels = []
    for level in INTERVAL:
        deviation = bias + NORMAL.inv_cdf(level)
        if acceleration * deviation >= 1:  # beyond the pole of the formula
            return None
        levels.append(NORMAL.cdf(bias + deviation / (1 - acceleration * deviation)))
    return levels[0], levels[1]


def acceleration_of(left_out: Floats) -> float | None:
    """Efron & Tibshirani 1993, equation 14.15; None where all of `left_out` are the same."""
    if len(left_out) < 2:
        return None
    deviations = left_out.mean() - left_out
    squares = float((deviations**2).sum())
    cubes = float((deviations**3).sum())
    # Equal figures differ by rounding from their mean; so does what is no difference.
    if math.sqrt(squares / len(left_out)) < 1e-12:
        return None
    return cubes / (6 * squares * math.sqrt(squares))


def interval(drawn: Floats) -> tuple[float, float] | None:
    """The 95 % percentile interval of `drawn` `[resamples]`; NaN is left out, None if all are.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return None
    low, high = np.quantile(drawn, INTERVAL)
    return float(low), float(high)
