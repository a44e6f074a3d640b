"""The cluster bootstrap: patients are drawn with replacement, and all their images come along.

Field & Welsh, Bootstrapping clustered data, JRSS B 69, 2007: images of one patient resemble
each other, so drawing images would make intervals too narrow.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

INTERVAL = (0.025, 0.975)  # what 95 % lie between
CELLS = 2**16  # resamples x images at once: 512 KB of weights, which stay in a core's cache


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


def interval(drawn: Floats) -> tuple[float, float] | None:
    """The 95 % percentile interval of `drawn` `[resamples]`; NaN is left out, None if all are.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return None
    low, high = np.quantile(drawn, INTERVAL)
    return float(low), float(high)
