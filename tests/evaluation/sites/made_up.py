"""Sites to test on: made up, with the keys that metrics.json has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.sites.report import Site, site_traits

SPACE = LabelSpace.from_labels(
    "multilabel", {name: [name] for name in ("covid", "normal", "pneumonia")}
)
NAMES = ("montgomery", "a hospital whose name is far too long to be shown in one line", "jsrt",
         "shenzhen", "kermany", "rsna")  # fmt: skip


def site(
    name: str,
    seed: int = 0,
    images: int = 90,
    space: LabelSpace = SPACE,
    without: str | None = None,
    slope: float | None = 0.8,
) -> Site:
    """One whose probabilities lean to what is true; `without` names a class that nobody has."""
    random = np.random.default_rng(seed)
    keys = [key for key in space.labels if key != without]
    cells = random.choice(keys, images).tolist()
    targets = space.encode(cells)
    shift = random.normal(0, 0.35, targets.shape)
    probabilities = np.clip(0.2 + 0.4 * targets + shift, 0.01, 0.99).astype(np.float32)
    patients: list[str | None] = [f"p{n}" for n in random.integers(0, images, images)]
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=60)
    metrics["calibration"] = slope and {
        key: {"slope": {"value": slope, "low": slope - 0.3, "high": slope + 0.5}}
        for key in space.classes if key != without
    }  # fmt: skip
    columns = [
        {"view": ("PA", "AP", "L")[n], "sex": "MF"[n % 2], "age": f"{30 + 10 * seed + n:03d}Y"}
        for n in random.integers(0, 3, images).tolist()
    ]
    greys = random.normal([120 + seed, 60], 5, (images, 2))
    return Site(name, metrics, site_traits(columns, patients, cells, greys))


def fixed(
    name: str, auroc: Sequence[float | None], classes: Sequence[str] = ("covid",)
) -> Site:
    """One of which each class has this AUROC, with the lower and the upper limit."""
    value, low, high = auroc
    row = {
        "auroc": value, "recall": 0.8, "specificity": 0.9, "support": 30,
        "intervals": {
            "auroc": {"low": low, "high": high, "patients": 60},
            "recall": {"low": 0.7, "high": 0.9, "patients": 25},
            "specificity": {"low": 0.8, "high": 0.95, "patients": 35},
        },
    }  # fmt: skip
    per_class = dict.fromkeys(classes, row)
    metrics: dict[str, Any] = {"images": 80, "patients": 60, "per_class": per_class}
    return Site(name, metrics, site_traits([{}] * 80, [None] * 80, ["covid"] * 80))


def pixels(*levels: int) -> npt.NDArray[np.uint8]:
    """One image of 4 x 4 pixels per level."""
    return np.array(levels, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
