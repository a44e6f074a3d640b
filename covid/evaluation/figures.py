"""Every figure of an evaluation: one entry of METRICS each, and nothing else to add.

An entry gives the figure in metrics.json with its 95 % interval, on the terminal, and as a
value of `select_by`. docs/architecture.md shows how one is added.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from covid.evaluation.ranks import Curve, Ranking

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
# Images of a class: those that have it as a target, those that do not, those predicted to have it.
Kind = Literal["positive", "negative", "predicted"]


@dataclass(frozen=True)
class Answers:
    """What is true of some images and what a network says of them; all `[images, classes]`."""

    targets: Booleans
    decisions: Booleans
    probabilities: npt.NDArray[np.floating[Any]]  # in 0..1

    @cached_property
    def rankings(self) -> list[Ranking]:
        """One a class."""
        return [
            Ranking.of(probability, target)
            for probability, target in zip(self.probabilities.T, self.targets.T, strict=True)
        ]

    def are(self, kind: Kind | None) -> Booleans:
        """Which images are of this kind, all where it is None: `[images, classes]`."""
        if kind is None:
            return np.ones_like(self.targets)
        if kind == "predicted":
            return self.decisions
        return self.targets if kind == "positive" else ~self.targets

    def weighted(self, weights: Floats | None = None) -> "Weighted":
        """These images with `weights` `[resamples, images]`; None: each once, in one resample."""
        return Weighted(self, np.ones((1, len(self.targets))) if weights is None else weights)


@dataclass(frozen=True)
class Weighted:
    """Images of which each resample holds some several times and others not at all.

    Sums of weights are `[resamples]` where they are of images, `[resamples, classes]` where
    they are of images and a class.
    """

    answers: Answers
    weights: Floats  # [resamples, images]: how often each image is there

    def sum(self, chosen: Booleans) -> Floats:
        """The weight of those chosen, bool `[images]` or `[images, classes]`."""
        summed: Floats = self.weights @ chosen.astype(np.float64)
        return summed

    @cached_property
    def images(self) -> Floats:
        return np.asarray(self.weights.sum(axis=1))

    @cached_property
    def correct(self) -> Floats:
        """Images whose decision is wholly correct."""
        return self.sum(np.all(self.answers.decisions == self.answers.targets, axis=1))

    @cached_property
    def positives(self) -> Floats:
        return self.sum(self.answers.targets)

    @cached_property
    def negatives(self) -> Floats:
        return self.images[:, None] - self.positives

    @cached_property
    def predicted_positives(self) -> Floats:
        return self.sum(self.answers.decisions)

    @cached_property
    def true_positives(self) -> Floats:
        return self.sum(self.answers.targets & self.answers.decisions)

    @cached_property
    def true_negatives(self) -> Floats:
        return self.negatives - self.predicted_positives + self.true_positives

    @cached_property
    def curves(self) -> list[Curve]:
        """One a class: what lies at or above each probability."""
        return [ranking.curve(self.weights) for ranking in self.answers.rankings]

    def have(self, kind: Kind) -> Booleans:
        """Whether a resample has an image of this kind: `[resamples, classes]`."""
        of_kind = {
            "positive": self.positives,
            "negative": self.negatives,
            "predicted": self.predicted_positives,
        }
        return of_kind[kind] > 0


@dataclass(frozen=True)
class Metric:
    """One figure: what it is called, how it is computed, when it is defined."""

    name: str  # in metrics.json; select_by: this, or macro_ and this where it is per class
    title: str  # for people
    compute: Callable[[Weighted], Floats]  # to [resamples], or [resamples, classes] if per class
    per_class: bool = True
    column: str = ""  # the title's short form in the table, where it needs one
    denominator: Kind | None = None  # the images that it is a share of; None: all
    undefined_without: tuple[Kind, ...] = ()  # kinds of image that it needs beside those
    headline: bool = False  # whether its mean over classes stands beside accuracy
    larger_is_better: bool = True

    @property
    def requires(self) -> list[Kind]:
        """Kinds of image of which there must be one; for a figure of all classes, in each."""
        own = [self.denominator] if self.denominator else []
        return list(dict.fromkeys([*self.undefined_without, *own]))

    def evaluate(self, images: Weighted) -> Floats:
        """`[resamples]` or `[resamples, classes]`; NaN where the images do not define it."""
        with np.errstate(divide="ignore", invalid="ignore"):  # the empty resamples, masked below
            figures = self.compute(images)
        defined = np.isfinite(figures)
        for kind in self.requires:
            there = images.have(kind)
            defined = defined & (there if self.per_class else there.all(axis=1))
        return np.where(defined, figures, np.nan)

    def macro(self) -> Self:
        """The plain mean over classes; over fewer classes it would be another figure."""
        return replace(
            self, name=f"macro_{self.name}", title=f"macro {self.title}", per_class=False,
            compute=lambda images: self.compute(images).mean(axis=1),
        )  # fmt: skip


def accuracy(images: Weighted) -> Floats:
    """The share of images whose decision is wholly correct: subset accuracy."""
    return images.correct / images.images


def precision(images: Weighted) -> Floats:
    return images.true_positives / images.predicted_positives


def recall(images: Weighted) -> Floats:
    return images.true_positives / images.positives


def specificity(images: Weighted) -> Floats:
    return images.true_negatives / images.negatives


def f1(images: Weighted) -> Floats:
    return 2 * images.true_positives / (images.predicted_positives + images.positives)


def auroc(images: Weighted) -> Floats:
    return np.stack([curve.auroc() for curve in images.curves], axis=1)


def average_precision(images: Weighted) -> Floats:
    return np.stack([curve.average_precision() for curve in images.curves], axis=1)


METRICS = (
    Metric("accuracy", "accuracy", accuracy, per_class=False),
    Metric("precision", "precision", precision, denominator="predicted"),
    Metric("recall", "recall", recall, denominator="positive"),
    Metric("specificity", "specificity", specificity, denominator="negative"),
    Metric("f1", "F1", f1, undefined_without=("positive",), headline=True),
    Metric("auroc", "AUROC", auroc, undefined_without=("positive", "negative")),
    Metric("average_precision", "average precision", average_precision, column="AP",
           undefined_without=("positive", "negative")),
)  # fmt: skip


def per_class(table: Sequence[Metric]) -> list[Metric]:
    """Those that each class has."""
    return [metric for metric in table if metric.per_class]


def headlines(table: Sequence[Metric]) -> list[Metric]:
    """Those that stand for all classes at the top of metrics.json."""
    whole = [metric for metric in table if not metric.per_class]
    return whole + [metric.macro() for metric in table if metric.headline]


def selectable(table: Sequence[Metric]) -> list[Metric]:
    """One number each: figures of all classes, and the mean over classes of every other."""
    return [metric.macro() if metric.per_class else metric for metric in table]
