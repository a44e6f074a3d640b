"""Whether what speaks for a decision lies where the lungs are, or the lesion.

A map `[height, width]` says how much each place adds to a logit; it is taken to lie evenly over
its place. Of each image the maps of the classes that were decided count, since they are what the
network looked at when it said so; where nothing was decided, the image has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.table import fold_table
from covid.evaluation.bootstrap import bca_interval, cluster_images, draw_weights, leave_out_weights
from covid.evaluation.metrics import RESAMPLES

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]

SEED = 0
HALF = 0.5  # of a place that a mask must cover for a maximum there to count as inside


@dataclass(frozen=True)
class Placed:
    """Where the evidence of some images lies: `[images, classes]`, and of masks `[images]`.

    An image without a mask, or with an empty one, is NaN everywhere.
    """

    share: Floats  # of positive evidence, inside the mask; NaN where nothing is positive
    hit: Floats  # 1 where the largest evidence is inside, else 0; NaN where nothing is positive
    area: Floats  # share of the image that the mask covers
    inside: Floats  # share of the places that count as inside

    @classmethod
    def of(cls, evidence: Maps, covered: Floats) -> "Placed":
        """`evidence` `[images, classes, h, w]`; `covered` `[images, h, w]`, 0..1 of each place."""
        images, classes, height, width = evidence.shape
        flat = np.maximum(evidence, 0).reshape(images, classes, height * width).astype(np.float64)
        mask = np.where((covered.sum(axis=(1, 2)) > 0)[:, None, None], covered, np.nan)
        mask = mask.reshape(images, 1, height * width)
        total = flat.sum(axis=2)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as it should be
            share = (flat * mask).sum(axis=2) / total
        largest = np.take_along_axis(
            np.broadcast_to(mask, flat.shape), flat.argmax(axis=2)[:, :, None], axis=2
        )[:, :, 0]
        inside = np.where(np.isnan(mask), np.nan, mask >= HALF).mean(axis=2)[:, 0]
        return cls(
            share=share,
            hit=np.where(np.isnan(share), np.nan, largest >= HALF),
            area=mask.mean(axis=2)[:, 0],
            inside=inside,
        )

    @classmethod
    def joined(cls, parts: Sequence["Placed"]) -> "Placed":
        """Of all images of `parts`, one after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts])
                     for name in ("share", "hit", "area", "inside")))  # fmt: skip

    @classmethod
    def averaged(cls, networks: Sequence["Placed"]) -> "Placed":
        """Of the same images, the mean over several networks; NaN where one of them has none."""
        return cls(*(np.mean([getattr(each, name) for each in networks], axis=0)
                     for name in ("share", "hit", "area", "inside")))  # fmt: skip


def placement(
    placed: Placed, decisions: Booleans, classes: Sequence[str], patients: Sequence[str | None]
) -> dict[str, Any] | None:
    """What metrics.json holds of one kind of mask; None where no image has evidence and a mask.

    `ratio`: the share of positive evidence inside the mask over the mask's share of the area, both
    as means over images; 1 is chance. `share` and `area` are its two parts. `pointing`: how often
    the place of largest evidence is inside, that is covered by half at least (the pointing game of
    Zhang et al. 2018, "Top-down neural attention by excitation backprop"), and
    `pointing_by_chance` how often a place drawn at random would be. An image counts as the mean
    over the classes that were decided, `decisions` `[images, classes]`; `per_class.NAME` is of
    those images where that one was. Each figure is {"value", "low", "high"}, 95 % by the bootstrap
    over patients. `images` are those counted, `left_out` those with a mask of which nothing was
    decided or to which no place adds.
    """
    whole = _figures(placed, decisions, patients)
    if whole is None:
        return None
    columns = {name: np.arange(len(classes)) == place for place, name in enumerate(classes)}
    of_classes = {
        name: _figures(placed, decisions & column, patients) for name, column in columns.items()
    }
    masked = int(np.count_nonzero(~np.isnan(placed.area)))
    return {
        **whole,
        "left_out": masked - whole["images"],
        "per_class": {name: row for name, row in of_classes.items() if row is not None},
    }


def _figures(
    placed: Placed, counted: Booleans, patients: Sequence[str | None]
) -> dict[str, Any] | None:
    """Over images of which any class is `counted` `[images, classes]`."""
    counted = counted & ~np.isnan(placed.share)
    images = np.flatnonzero(counted.any(axis=1))
    if not len(images):
        return None
    weights = counted[images] / counted[images].sum(axis=1, keepdims=True)
    share = (np.where(counted, placed.share, 0)[images] * weights).sum(axis=1)
    hit = (np.where(counted, placed.hit, 0)[images] * weights).sum(axis=1)
    area, inside = placed.area[images], placed.inside[images]
    parts = np.stack([share, area, hit, inside, np.ones(len(images))], axis=1)
    names = [patients[place] for place in images.tolist()]
    cluster = cluster_images(names, parts)
    drawn = np.concatenate([each @ parts for each in draw_weights(cluster, RESAMPLES, SEED)])
    left_out = np.concatenate([each @ parts for each in leave_out_weights(cluster, SEED)])
    total = parts.sum(axis=0)[np.newaxis]

    def figure(part: int, over: int) -> dict[str, float | None]:
        value = float(_over(total, part, over)[0])
        ends = bca_interval(value, _over(drawn, part, over), _over(left_out, part, over))
        low, high = ends or (None, None)
        return {"value": value, "low": low, "high": high}

    return {
        "images": len(images),
        "patients": len(set(names) - {None}) or None,
        "ratio": figure(0, 1),
        "share": figure(0, 4),
        "area": figure(1, 4),
        "pointing": figure(2, 4),
        "pointing_by_chance": figure(3, 4),
    }


def _over(sums: Floats, part: int, over: int) -> Floats:
    """One column over another; NaN where there is nothing below."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[:, over] > 0, sums[:, part] / sums[:, over], np.nan)


def evidence_rows(in_mask: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What metrics.json holds under `evidence_in_mask`, row by row, as tables name it."""
    named = {
        "in the lungs": in_mask, "the same, weights shuffled": in_mask["shuffled"],
        "in the lesion": in_mask["lesion"],
        "in the lesion, weights shuffled": in_mask["shuffled_lesion"],
    }  # fmt: skip
    return {name: row for name, row in named.items() if row}


def evidence_table(in_mask: Mapping[str, Any] | None, columns: int) -> str:
    """For the terminal; empty where no masks are known."""
    if not in_mask:
        return ""
    rows = evidence_rows(in_mask)
    table = {
        "evidence for what was decided": list(rows),
        "ratio (1 is chance)": [_said(row["ratio"]) for row in rows.values()],
        "largest inside": [_said(row["pointing"]) for row in rows.values()],
        "by chance": [f"{row['pointing_by_chance']['value']:.2f}" for row in rows.values()],
        "images": [f"{row['images']:,}" for row in rows.values()],
    }
    return "\n\n".join(fold_table(table, columns))


def _said(figure: Mapping[str, float | None]) -> str:
    if figure["low"] is None:
        return f"{figure['value']:.2f}"
    return f"{figure['value']:.2f} ({figure['low']:.2f}–{figure['high']:.2f})"
