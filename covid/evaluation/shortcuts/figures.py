"""How well classes are told from changed images, and how far that is from the whole ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from covid.edge.labels import LabelSpace
from covid.evaluation.answers import Answers, Booleans, Floats, Targets, Weighted
from covid.evaluation.bootstrap import (
    bca_interval,
    cluster_images,
    draw_weights,
    leave_out_weights,
)
from covid.evaluation.clusters import number_patients
from covid.evaluation.figures import auroc
from covid.evaluation.intervals import proportion
from covid.evaluation.metrics import RESAMPLES

Probabilities = npt.NDArray[np.floating[Any]]
Figure = dict[str, float | None]  # "value", "low", "high"
WHOLE, MACRO = "whole", "macro"  # unchanged images; the mean over classes with both outcomes
# Patients with a class, and without it, below whom its figures say nothing. At 10 and 10 the
# standard error of an AUROC of 0.5 is 0.13 (Hanley & McNeil 1982).
MIN_PATIENTS = 10


@dataclass(frozen=True)
class Evaluated:
    """The images that a suite is run on, in the order of every array of answers."""

    space: LabelSpace  # with the thresholds that are in use
    targets: Targets  # [images, classes], NaN where not known
    patients: Sequence[str | None]

    def take(self, places: Sequence[int]) -> "Evaluated":
        """Some of them."""
        chosen = np.asarray(places, dtype=np.intp)
        return Evaluated(self.space, self.targets[chosen], [self.patients[n] for n in places])

    def enough(self) -> list[bool]:
        """Of each class: whether `MIN_PATIENTS` have it and as many others do not."""
        cluster = number_patients(self.patients)
        return [
            all(len(np.unique(cluster[column == outcome])) >= MIN_PATIENTS for outcome in (0, 1))
            for column in self.targets.T
        ]


def auroc_figures(
    evaluated: Evaluated,
    answers: Mapping[str, Probabilities],
    reference: str | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, Any]]]:
    """name -> class, or `macro` -> `value`, `low`, `high`, and `difference` from the reference.

    `answers` are probabilities `[images, classes]`. All are resampled with the same patients
    (`bca_interval`), so differences are paired. What the images do not define is None.
    """
    names = list(answers)
    sides = [Answers.of(evaluated.space, each, evaluated.targets) for each in answers.values()]
    places = np.arange(len(evaluated.patients), dtype=np.float64)[:, None]
    cluster = cluster_images(evaluated.patients, places)
    both = sides[0].both_outcomes

    def figures_of(weights: Floats) -> Floats:
        """`[answers, resamples, classes and their mean]`."""
        return np.stack([_with_macro(side.weighted(weights), both) for side in sides])

    def all_of(weightings: Iterator[Floats]) -> Floats:
        return np.concatenate([figures_of(weights) for weights in weightings], axis=1)

    values = figures_of(np.ones((1, len(cluster))))[:, 0]
    drawn = all_of(draw_weights(cluster, resamples, seed))
    left_out = all_of(leave_out_weights(cluster, seed))
    base = None if reference is None else names.index(reference)
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for row, name in enumerate(names):
        figures[name] = {}
        for column, of in enumerate([*evaluated.space.classes, MACRO]):
            here = row, slice(None), column
            figure: dict[str, Any] = _figure(values[row, column], drawn[here], left_out[here])
            if base is not None and row != base:
                there = base, slice(None), column
                figure["difference"] = _figure(
                    values[row, column] - values[base, column],
                    drawn[here] - drawn[there], left_out[here] - left_out[there],
                )  # fmt: skip
            figures[name][of] = figure
    return figures


def _with_macro(images: Weighted, both: Booleans) -> Floats:
    of_classes = auroc(images)
    if not both.any():
        return np.column_stack([of_classes, np.full(len(of_classes), np.nan)])
    return np.column_stack([of_classes, of_classes[:, both].mean(axis=1)])


def _figure(value: float, drawn: Floats, left_out: Floats) -> Figure:
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    low, high = bca_interval(float(value), drawn, left_out) or (None, None)
    return {"value": float(value), "low": low, "high": high}


def share_changed(evaluated: Evaluated, before: Probabilities, after: Probabilities) -> Figure:
    """The share of images whose decision differs in any class, by Wilson's interval."""
    decided = [evaluated.space.decide(each) for each in (before, after)]
    return _share((decided[0] != decided[1]).any(axis=1), evaluated.patients)


def followed(
    evaluated: Evaluated, within: Probabilities, across: Probabilities
) -> dict[str, dict[str, Figure]]:
    """class -> the shares of composites that are decided as their centre's and border's label.

    `within`: the border is of an image with the same label of the class, `across` of one with the
    other, so that there what is not decided as the centre's label is decided as the border's.
    Images whose label is not known count in neither.
    """
    decisions = {"within": evaluated.space.decide(within), "across": evaluated.space.decide(across)}
    shares: dict[str, dict[str, Figure]] = {}
    for column, name in enumerate(evaluated.space.classes):
        target = evaluated.targets[:, column]
        known = np.flatnonzero(~np.isnan(target)).tolist()
        if not known:
            continue
        patients = [evaluated.patients[n] for n in known]
        centre = {
            kind: decided[known, column] == (target[known] == 1)
            for kind, decided in decisions.items()
        }
        shares[name] = {
            "within": _share(centre["within"], patients),
            "centre": _share(centre["across"], patients),
            "border": _share(~centre["across"], patients),
        }
    return shares


def _share(outcomes: Booleans, patients: Sequence[str | None]) -> Figure:
    share = proportion(outcomes, patients)
    return {"value": share.value, "low": share.low, "high": share.high}


def border_weight(
    evaluated: Evaluated,
    composites: Floats,
    centres: Floats,
    borders: Floats,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Figure:
    """The partial rank correlation of composites with their borders' images, given the centres'.

    All are one class's probabilities `[kinds, images]`: of composites, of the whole image that each
    took its centre from, and of the one that it took its border from. No label has a part in it, so
    it shows what a border is worth where labels and borders no longer go together. 0 is nothing.
    """
    images = len(evaluated.patients)
    cluster = cluster_images(evaluated.patients, np.arange(images, dtype=np.float64)[:, None])
    # Ranks over all; resampling weights them, as it does in a bootstrap of ranked data.
    ranks = np.stack([rankdata(each.ravel()).reshape(each.shape)
                      for each in (composites, centres, borders)])  # fmt: skip
    ranks = (ranks - ranks.mean()) / max(float(ranks.std()), 1e-12)
    sums = ranks.sum(axis=1)  # [3, images]
    products = np.einsum("aki,bki->abi", ranks, ranks).reshape(9, images)

    def figures_of(weights: Floats) -> Floats:
        total = (weights.sum(axis=1) * len(composites))[:, None]
        means = weights @ sums.T / total
        second = (weights @ products.T / total).reshape(-1, 3, 3)
        covariance = second - means[:, :, None] * means[:, None, :]
        deviation = np.sqrt(np.maximum(np.einsum("naa->na", covariance), 1e-12))
        r = covariance / (deviation[:, :, None] * deviation[:, None, :])
        own, border, between = r[:, 0, 1], r[:, 0, 2], r[:, 1, 2]
        left = np.sqrt(np.maximum((1 - own**2) * (1 - between**2), 1e-12))
        return np.asarray((border - own * between) / left)

    drawn = np.concatenate([figures_of(w) for w in draw_weights(cluster, resamples, seed)])
    left_out = np.concatenate([figures_of(w) for w in leave_out_weights(cluster, seed)])
    return _figure(float(figures_of(np.ones((1, images)))[0]), drawn, left_out)
