"""95 % intervals of proportions where images of one patient resemble each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
    _, cluster = np.unique(names, return_inverse=True)
    images = np.bincount(cluster).astype(float)
    true = np.bincount(cluster, weights=outcomes).astype(float)
    total, clusters = len(outcomes), len(images)
    share = float(true.sum() / total)
    effective = _effective_number(share, images, true)
    centre = share + Z**2 / (2 * effective)
    spread = Z * np.sqrt(share * (1 - share) / effective + Z**2 / (4 * effective**2))
    scale = 1 + Z**2 / effective
    low, high = float((centre - spread) / scale), float((centre + spread) / scale)
    return Proportion(
        share, max(0.0, min(low, share)), min(1.0, max(high, share)), int(true.sum()), total,
        clusters,
    )  # fmt: skip


def _effective_number(
    share: float, images: npt.NDArray[np.float64], true: npt.NDArray[np.float64]
) -> float:
    """`images` and those for which the outcome is `true`, of each patient."""
    total, clusters = float(images.sum()), len(images)
    if clusters == 1:
        return 1.0
    differing = min(int((true > 0).sum()), int((true < images).sum()))
    if share in (0.0, 1.0) or differing < MIN_DIFFERING_PATIENTS:
        return float(clusters)
    between = clusters / (clusters - 1) * float(((true - share * images) ** 2).sum()) / total**2
    return total / max(1.0, between / (share * (1 - share) / total))
