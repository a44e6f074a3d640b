"""Other hospitals: each site's figures beside how it differs, and a summary from three on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.columns import as_sex, as_view, plausible_age
from covid.edge.labels import read_cell
from covid.evaluation.sites.pooling import METHOD, MIN_SITES, has_error, pool

FIGURES = ("auroc", "sensitivity", "specificity", "calibration_slope")  # in external.json
IN_METRICS = {"auroc": "auroc", "sensitivity": "recall", "specificity": "specificity"}
UNKNOWN, OTHER = "unknown", "other"
MAX_VALUES = 20  # views and labels of a site, the most frequent: the rest is counted together

EXTERNAL = "external.json"  # which holds what `external_report` gives


@dataclass(frozen=True)
class Site:
    """Where images come from, and what a network is worth there."""

    name: str
    metrics: Mapping[str, Any]  # what its metrics.json holds
    traits: Mapping[str, Any]  # what `site_traits` gives


def grey_statistics(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Mean and standard deviation of each image's grey levels, 0..255: `[images, 2]`.

    `images` is `[images, ...]`, as the network gets them; batches can be joined.
    """
    levels = images.reshape(len(images), -1)
    if levels.shape[1] == 0:
        return np.full((len(images), 2), np.nan)
    return np.stack([levels.mean(axis=1), levels.std(axis=1)], axis=1)


def site_traits(
    columns: Sequence[Mapping[str, str]],
    patients: Sequence[str | None],
    cells: Sequence[str],
    greys: npt.NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """What is known of a site's images, to be laid beside another's.

    `columns` are the images' other cells of the manifest, `cells` those of their labels, `greys`
    what `grey_statistics` gives, or None. All are `[images]`. Returns

        {"images", "patients" (None where none is known),
         "age": {"known" (images), "median", "quartiles": [first, third]} (in years, or None),
         "view", "sex": {VALUE: images}, the most frequent first, "unknown" last,
         "grey_levels": {"mean", "standard_deviation"} (of all pixels of all images, or None),
         "labels": {KEY: images that certainly bear it}}

    Raises ValueError where the lengths disagree.
    """
    known_greys = len(cells) if greys is None else len(greys)
    if not len(columns) == len(patients) == len(cells) == known_greys:
        raise ValueError("columns, patients, cells and greys are of different images")
    read = [plausible_age(row.get("age") or "") for row in columns]
    ages = np.array([age for age in read if age is not None])
    quartiles = np.quantile(ages, [0.25, 0.5, 0.75]).tolist() if len(ages) else None
    keys = [key for cell in cells for key, certain in read_cell(cell).items() if certain]
    return {
        "images": len(cells),
        "patients": len(set(patients) - {None}) or None,
        "age": {
            "known": len(ages),
            "median": quartiles[1] if quartiles else None,
            "quartiles": [quartiles[0], quartiles[2]] if quartiles else None,
        },
        "view": _count([as_view(row.get("view") or "") for row in columns]),
        "sex": _count([as_sex((row.get("sex") or "").strip()) for row in columns]),
        "grey_levels": None if greys is None or len(greys) == 0 else _grey_levels(greys),
        "labels": _count(keys),
    }


def _grey_levels(greys: npt.NDArray[np.float64]) -> dict[str, float]:
    # By the law of total variance: images are of one size.
    means, deviations = np.sort(greys[:, 0]), np.sort(greys[:, 1])
    variance = (deviations**2).mean() + means.var()
    return {"mean": float(means.mean()), "standard_deviation": math.sqrt(variance)}


def _count(values: Sequence[str]) -> dict[str, int]:
    """Value -> how often it is there: the most frequent first, then others, then unknown ones."""
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    unknown = counts.pop("", 0)
    largest = sorted(counts, key=lambda value: (-counts[value], value))
    shown = {value: counts[value] for value in largest[:MAX_VALUES]}
    rest = sum(counts[value] for value in largest[MAX_VALUES:])
    for name, images in ((OTHER, rest), (UNKNOWN, unknown)):
        if images:
            shown[name] = shown.get(name, 0) + images
    return shown


def external_report(own: Site | None, sites: Sequence[Site]) -> dict[str, Any]:
    """The content of external.json; `own` is the run's own test split, `sites` lie outside.

        {"sites": [{"name", "own" (bool), "images", "patients",
                    "per_class": {NAME: {"patients" (with the class),
                                         FIGURE: {"value", "low", "high", "reason"}}},
                    "traits"}],
         "pooled": None or {"method", "per_class": {NAME: {"sites", "auroc", "prediction",
                                                           "between", "reason"}}},
         "pooled_reason": why `pooled` is None, or None}

    FIGURE is each of FIGURES; one that is not defined has three None and a `reason` in words. `own`
    comes first where there is one, and is never pooled; nor are fewer than MIN_SITES others. In
    `pooled`, `auroc` is {"value", "low", "high"}, `prediction` {"low", "high"}, the range that
    holds for 95 % of sites like these, and `between` the standard deviation between sites on the
    logit scale; where a class cannot be pooled they are None, and `reason` says why.
    """
    first = [] if own is None else [_site(own, True)]
    outside = [_site(site, False) for site in sites]
    pooled = _pooled(outside) if len(outside) >= MIN_SITES else None
    reason = None if pooled else "fewer than three sites"
    return {"sites": first + outside, "pooled": pooled, "pooled_reason": reason}


def _site(site: Site, own: bool) -> dict[str, Any]:
    metrics = site.metrics
    calibration = metrics.get("calibration") or {}
    return {
        "name": site.name,
        "own": own,
        "images": metrics["images"],
        "patients": metrics["patients"],
        "per_class": {
            name: _figures(name, row, calibration.get(name) or {})
            for name, row in metrics["per_class"].items()
        },
        "traits": dict(site.traits),
    }


def _figures(name: str, row: Mapping[str, Any], calibration: Mapping[str, Any]) -> dict[str, Any]:
    """One class at one site; `row` is metrics.json's `per_class.NAME`."""
    with_it, without = row["recall"] is not None, row["specificity"] is not None
    reasons = {"sensitivity": f"no image with {name}", "specificity": f"no image without {name}"}
    both = reasons["specificity"] if with_it else reasons["sensitivity"]
    if not with_it and not without:
        both = f"{name} is not known of any image"
        reasons = dict.fromkeys(reasons, both)
    figures: dict[str, Any] = {"patients": row["intervals"]["recall"]["patients"] or 0}
    for figure, key in IN_METRICS.items():
        figures[figure] = _figure(
            {"value": row[key], **row["intervals"][key]}, reasons.get(figure, both)
        )
    slope = calibration.get("slope") or {"value": None}
    why = both if not (with_it and without) else calibration.get("reason") or "not determined"
    figures["calibration_slope"] = _figure(slope, why)
    return figures


def _figure(figure: Mapping[str, Any], reason: str) -> dict[str, Any]:
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    if value is None:
        return {"value": None, "low": None, "high": None, "reason": reason}
    return {"value": value, "low": low, "high": high, "reason": None}


def _pooled(outside: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for row in outside for name in row["per_class"])
    return {"method": METHOD, "per_class": {name: _pooled_class(name, outside) for name in names}}


def _pooled_class(name: str, outside: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    own = [(row["name"], row["per_class"][name]["auroc"])
           for row in outside if name in row["per_class"]]  # fmt: skip
    known = [(site, figure) for site, figure in own if figure["value"] is not None]
    empty = {"sites": len(known), "auroc": None, "prediction": None, "between": None}
    if len(known) < MIN_SITES:
        return {**empty, "reason": f"AUROC of {name} is known at fewer than three sites"}
    if not all(has_error(figure) for _, figure in known):
        where = ", ".join(site for site, figure in known if not has_error(figure))
        return {**empty, "reason": f"AUROC of {name} is 0 or 1, or its interval has no width, at "
                                   f"{where}"}  # fmt: skip
    summary = pool([figure for _, figure in known])
    return {
        "sites": len(known),
        "auroc": {"value": summary.value, "low": summary.low, "high": summary.high},
        "prediction": {"low": summary.prediction_low, "high": summary.prediction_high},
        "between": summary.between,
        "reason": None,
    }
