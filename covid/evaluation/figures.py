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

from covid.edge.labels import LabelSpace
from covid.errors import DataError
from covid.evaluation.ranks import Curve, Ranking

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Targets = npt.NDArray[np.bool_] | npt.NDArray[np.floating[Any]]  # NaN where not known
# Images of a class, of those whose target is known: those that have it as a target, those that do
# not, those predicted to have it.
Kind = Literal["positive", "negative", "predicted"]


@dataclass(frozen=True)
class Answers:
    """What is true of some images and what a network says of them; all `[images, classes]`."""

    targets: Booleans  # false where not known
    known: Booleans  # whether a target is; what is not known counts in no figure
    decisions: Booleans
    probabilities: npt.NDArray[np.floating[Any]]  # in 0..1

    @classmethod
    def of(
        cls, space: LabelSpace, probabilities: npt.NDArray[np.floating[Any]], targets: Targets
    ) -> Self:
        """With the decisions, once what they are taken from has been checked.

        `targets` are bool, or 1 and 0 with NaN where they are not known. Raises DataError where
        there is no image, or no target of any is known; ValueError where the shapes disagree or a
        probability is not a number.
        """
        if probabilities.shape != targets.shape or targets.shape[1:] != (len(space.classes),):
            raise ValueError(
                f"probabilities {probabilities.shape} and targets {targets.shape} for "
                f"{len(space.classes)} classes"
            )
        if len(targets) == 0:
            raise DataError("There is no image to evaluate; give at least one that can be read.")
        if not np.isfinite(probabilities).all():
            raise ValueError("a probability is not a number")
        known = ~np.isnan(targets)
        if not known.any():
            raise DataError("There is nothing to evaluate by: every label of every image is in "
                            "doubt; give images of which some are known.")  # fmt: skip
        return cls(targets == 1, known, space.decide(probabilities), probabilities)

    @cached_property
    def rankings(self) -> list[Ranking]:
        """One a class, of the images whose target is known."""
        columns = zip(self.probabilities.T, self.targets.T, self.known.T, strict=True)
        return [Ranking.of(*column) for column in columns]

    @cached_property
    def both_outcomes(self) -> Booleans:
        """Whether a class is true of one image and false of another: `[classes]`."""
        positive, negative = (np.any(self.are(kind), axis=0) for kind in ("positive", "negative"))
        return np.asarray(positive & negative)

    @cached_property
    def evaluated(self) -> Booleans:
        """Images of which any target is known: `[images]`."""
        return np.asarray(np.any(self.known, axis=1))

    @cached_property
    def correct(self) -> Booleans:
        """Images of which every known target was decided so, and one is known: `[images]`."""
        agree: Booleans = (self.decisions == self.targets) | ~self.known
        return np.asarray(np.all(agree, axis=1) & self.evaluated)

    def are(self, kind: Kind | None) -> Booleans:
        """Which images are of this kind, all known ones where it is None: `[images, classes]`."""
        if kind is None:
            return self.known
        if kind == "predicted":
            return self.decisions & self.known
        return self.targets if kind == "positive" else self.known & ~self.targets

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
        """Images of which any target is known."""
        return self.sum(self.answers.evaluated)

    @cached_property
    def correct(self) -> Floats:
        """Images whose decision is wholly correct, as far as that is known."""
        return self.sum(self.answers.correct)

    @cached_property
    def positives(self) -> Floats:
        return self.sum(self.answers.are("positive"))

    @cached_property
    def negatives(self) -> Floats:
        return self.sum(self.answers.are("negative"))

    @cached_property
    def predicted_positives(self) -> Floats:
        return self.sum(self.answers.are("predicted"))

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
        """Kinds of image of which there must be one.

        For a figure of all classes, in each that has both outcomes among all images.
        """
        own = [self.denominator] if self.denominator else []
        return list(dict.fromkeys([*self.undefined_without, *own]))

    def evaluate(self, images: Weighted) -> Floats:
        """`[resamples]` or `[resamples, classes]`; NaN where the images do not define it."""
        with np.errstate(divide="ignore", invalid="ignore"):  # the empty resamples, masked below
            figures = self.compute(images)
        defined = np.isfinite(figures)
        for kind in self.requires:
            there = images.have(kind)
            counted = images.answers.both_outcomes
            defined &= there if self.per_class else there[:, counted].all(axis=1)
        return np.where(defined, figures, np.nan)

    def macro(self) -> Self:
        """The plain mean over the classes that have both outcomes among all images.

        Which these are does not differ from resample to resample: it would be another figure.
        """
        return replace(
            self, name=f"macro_{self.name}", title=f"macro {self.title}", per_class=False,
            compute=lambda images: _macro(self.compute(images), images.answers.both_outcomes),
        )  # fmt: skip


def _macro(figures: Floats, counted: Booleans) -> Floats:
    """`[resamples, classes]` to the mean over the classes that count; NaN where there is none."""
    if not counted.any():
        return np.full(len(figures), np.nan)
    mean: Floats = (figures if counted.all() else figures[:, counted]).mean(axis=1)
    return mean


def accuracy(images: Weighted) -> Floats:
    """The share of images whose decision is wholly correct: subset accuracy.

    Of an image some of whose labels are not known, the others must be; one of which none is known
    does not count.
    """
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
