"""95 % intervals of proportions where images of one patient resemble each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Z = 1.959964  # what 95 % of a standard normal distribution lie within
MIN_DIFFERING_PATIENTS = 3  # patients who must differ before their variance says anything


@dataclass(frozen=True)
class Proportion:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int  # images for which it is true
    images: int
    patients: int  # clusters: patients, and images without one


def proportion(outcomes: npt.NDArray[np.bool_], patients: Sequence[str | None]) -> Proportion:
    """The share of `outcomes` (bool `[images]`) that are true, by Wilson's interval.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", on the
    effective number of images n / max(1, deff), where deff is the variance between patients
    over that of independent images (Kish 1965, "Survey sampling", section 8.2). Where outcomes
    are all alike, or fewer than three patients differ from the rest, that variance is not known
    and each patient counts once. An image whose patient is None is a patient of its own. Raises
    ValueError where there is no image.
    """
    if len(outcomes) == 0 or len(outcomes) != len(patients):
        raise ValueError(f"{len(outcomes)} outcomes of {len(patients)} images")
    names = [f"image {place}" if one is None else f"patient {one}"
             for place, one in enumerate(patients)]  # fmt: skip
    return proportion_of_clusters(outcomes, np.unique(names, return_inverse=True)[1])


def proportion_of_clusters(
    outcomes: npt.NDArray[np.bool_], cluster: npt.NDArray[np.intp]
) -> Proportion:
    """The same, of images whose patients have numbers `cluster` `[images]`, from 0 on."""
    images = np.bincount(cluster).astype(float)
    true = np.bincount(cluster, weights=outcomes).astype(float)
    images, true = images[images > 0], true[images > 0]
    share, low, high = (float(each) for each in wilson(true, images))
    return Proportion(share, low, high, int(true.sum()), len(outcomes), len(images))


def wilson(true: Floats, images: Floats) -> tuple[Floats, Floats, Floats]:
    """Share, lower and upper limit, `[...]`, of many proportions of the same images at once.

    `images` `[clusters]` is how many images each patient has, at least one; `true`
    `[..., clusters]` of how many the outcome is true, in each proportion. See `proportion`.
    """
    total = images.sum()
    share = true.sum(axis=-1) / total
    effective = _effective_number(share, images, true)
    centre = share + Z**2 / (2 * effective)
    spread = Z * np.sqrt(share * (1 - share) / effective + Z**2 / (4 * effective**2))
    scale = 1 + Z**2 / effective
    low = np.maximum(0.0, np.minimum((centre - spread) / scale, share))
    high = np.minimum(1.0, np.maximum((centre + spread) / scale, share))
    return share, low, high


def _effective_number(share: Floats, images: Floats, true: Floats) -> Floats:
    total, clusters = images.sum(), len(images)
    if clusters == 1:
        return np.ones_like(share)
    differing = np.minimum((true > 0).sum(axis=-1), (true < images).sum(axis=-1))
    deviation = ((true - share[..., None] * images) ** 2).sum(axis=-1)
    between = clusters / (clusters - 1) * deviation / total**2
    with np.errstate(divide="ignore", invalid="ignore"):  # shares of 0 and 1, not used below
        clustered = total / np.maximum(1.0, between / (share * (1 - share) / total))
    unknown = (share == 0) | (share == 1) | (differing < MIN_DIFFERING_PATIENTS)
    return np.where(unknown, float(clusters), clustered)
