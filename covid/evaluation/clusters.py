"""Patients as clusters of images, and what the spread between them says of a mean."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


def number_patients(patients: Sequence[str | None]) -> Integers:
    """Each image's cluster `[images]`, counted from 0; an image without a patient is its own."""
    numbers: dict[str | int, int] = {}
    return np.array(
        [
            numbers.setdefault(place if name is None else name, len(numbers))
            for place, name in enumerate(patients)
        ],
        dtype=np.intp,
    )


def covariance_of_sums(scores: Floats, cluster: Integers) -> Floats:
    """The covariance `[k, k]` of the sum of `scores` `[images, k]`, which sum to about zero.

    Images of one cluster may resemble each other in any way: the sum over clusters of the outer
    product of a cluster's summed scores, the middle of the sandwich of Liang & Zeger 1986,
    "Longitudinal data analysis using generalized linear models", times m / (m - 1) for m clusters.
    Raises ValueError where there are fewer than two.
    """
    _, places = np.unique(cluster, return_inverse=True)
    count = int(places.max(initial=-1)) + 1
    if count < 2:
        raise ValueError("one cluster has no spread")
    summed = np.stack([np.bincount(places, weights=column) for column in scores.T], axis=1)
    covariance: Floats = count / (count - 1) * summed.T @ summed
    return covariance


def who(patients: Sequence[str | None]) -> str:
    """How many clusters there are, in words: `10 patients`, or images where no patient is known."""
    count = len(set(patients) - {None}) + sum(patient is None for patient in patients)
    word = "image" if all(patient is None for patient in patients) else "patient"
    return f"{count:,} {word}" + "s" * (count != 1)
