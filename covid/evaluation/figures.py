"""Every figure of an evaluation: one entry of METRICS each, and nothing else to add.

An entry gives the figure in metrics.json with its 95 % interval, on the terminal, and as a
value of `select_by`. docs/architecture.md shows how one is added.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from covid.evaluation.answers import Answers, Booleans, Floats, Kind, Weighted


@dataclass(frozen=True)
class Share:
    """A proportion: the share of some images for which something is true.

    Called with weighted images it is computed, as any other figure. Being a share, its interval
    is Wilson's and takes no resample.
    """

    true: Callable[[Answers], Booleans]  # [images, classes]; [images] in a figure of all classes
    among: Kind | None = None  # the images of a class that it is a share of; None: all known ones

    def sets(self, answers: Answers) -> tuple[Booleans, Booleans]:
        """The images that are counted, and those that they are a share of, of one shape."""
        true = self.true(answers)
        whole = answers.evaluated if true.ndim == 1 else answers.are(self.among)
        return true & whole, whole

    def __call__(self, images: Weighted) -> Floats:
        part, whole = self.sets(images.answers)
        return images.sum(part) / images.sum(whole)


@dataclass(frozen=True)
class Enough:
    """Of how many patients on an interval holds; a note stands beside it before.

    It holds where it has the truth in at least 92 of 100 studies that benchmarks/coverage.py
    simulates. Of intervals by resampling those of nearly perfect figures fail first: too few
    patients show mistakes for resamples to differ as studies do.
    """

    of_each: int = 0  # patients with the class, and without it
    of_each_near_one: int = 0  # the same, where the figure is above 0.9
    in_all: int = 0  # patients with an image that it is a share of, or with any that is known


NEAR_ONE = 0.9  # AUROC and average precision above this
BY_RESAMPLING = Enough(of_each=15)


@dataclass(frozen=True)
class Metric:
    """One figure: what it is called, how it is computed, when it is defined."""

    name: str  # in metrics.json; select_by: this, or macro_ and this where it is per class
    title: str  # for people
    # A Share, or a function to [resamples], or to [resamples, classes] where it is per class.
    compute: Callable[[Weighted], Floats]
    per_class: bool = True
    column: str = ""  # the title's short form in the table, where it needs one
    undefined_without: tuple[Kind, ...] = ()  # kinds of image that it needs; a share's own is known
    by_fold: bool = False  # of several folds: the mean of each one's own, for want of one network
    enough: Enough | None = None  # None: any number for a share, else BY_RESAMPLING
    headline: bool = False  # whether its mean over classes stands beside accuracy
    larger_is_better: bool = True

    @property
    def share(self) -> Share | None:
        """What it is a share of, where it is a proportion."""
        return self.compute if isinstance(self.compute, Share) else None

    @property
    def denominator(self) -> Kind | None:
        """The images that it is a share of; None: all."""
        return self.share.among if self.share else None

    @property
    def needed(self) -> Enough:
        """Of how many patients on its interval holds."""
        return self.enough or (Enough() if self.share else BY_RESAMPLING)

    @property
    def requires(self) -> list[Kind]:
        """Kinds of image of which there must be one.

        For a figure of all classes, in each that has both outcomes among all images.
        """
        own = [self.denominator] if self.denominator else []
        return list(dict.fromkeys([*self.undefined_without, *own]))

    def evaluate(self, images: Weighted) -> Floats:
        """`[resamples]` or `[resamples, classes]`; NaN where the images do not define it.

        Of folds the mean is over those that define it. In a resample too: to leave out resamples
        in which one does not would leave those that happen to spread rare images evenly, and make
        the interval narrower than the figure is uncertain.
        """
        if self.by_fold and images.folds:
            return _mean_of_defined([self._evaluate(fold) for fold in images.folds])
        return self._evaluate(images)

    def _evaluate(self, images: Weighted) -> Floats:
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
            compute=lambda images: _macro(self.evaluate(images), images.answers.both_outcomes),
            undefined_without=tuple(self.requires), by_fold=False,
            enough=None if self.share else self.enough,
        )  # fmt: skip


def _macro(figures: Floats, counted: Booleans) -> Floats:
    """`[resamples, classes]` to the mean over the classes that count; NaN where there is none."""
    if not counted.any():
        return np.full(len(figures), np.nan)
    mean: Floats = (figures if counted.all() else figures[:, counted]).mean(axis=1)
    return mean


def _mean_of_defined(figures: Sequence[Floats]) -> Floats:
    """Over the figures that are not NaN, element by element; NaN where all are."""
    stacked = np.stack(figures)
    defined = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):  # none is defined: 0 / 0
        mean: Floats = np.where(defined, stacked, 0).sum(axis=0) / defined.sum(axis=0)
    return mean


# Images whose decision is wholly correct: subset accuracy. Of an image some of whose labels are not
# known, the others must be; one of which none is known does not count.
accuracy = Share(lambda answers: answers.correct)
precision = Share(lambda answers: answers.targets, among="predicted")
recall = Share(lambda answers: answers.decisions, among="positive")
specificity = Share(lambda answers: ~answers.decisions, among="negative")
npv = Share(lambda answers: ~answers.targets, among="predicted_negative")


def f1(images: Weighted) -> Floats:
    return 2 * images.true_positives / (images.predicted_positives + images.positives)


def auroc(images: Weighted) -> Floats:
    return np.stack([curve.auroc() for curve in images.curves], axis=1)


def average_precision(images: Weighted) -> Floats:
    return np.stack([curve.average_precision() for curve in images.curves], axis=1)


def brier(images: Weighted) -> Floats:
    """The mean squared difference of probability and target: smaller is better.

    Brier 1950, "Verification of forecasts expressed in terms of probability", for one class: half
    of what his sum over a class and its opposite gives.
    """
    return images.sum(images.answers.squared_differences) / images.known


METRICS = (
    Metric("accuracy", "accuracy", accuracy, per_class=False),
    Metric("precision", "precision", precision, enough=Enough(in_all=15)),
    Metric("recall", "recall", recall),
    Metric("specificity", "specificity", specificity),
    Metric("npv", "NPV", npv, enough=Enough(in_all=15)),
    Metric("f1", "F1", f1, undefined_without=("positive",), headline=True),
    Metric("auroc", "AUROC", auroc, undefined_without=("positive", "negative"), by_fold=True,
           enough=Enough(of_each=15, of_each_near_one=100)),
    Metric("average_precision", "average precision", average_precision, column="AP",
           undefined_without=("positive", "negative"), by_fold=True,
           enough=Enough(of_each=15, of_each_near_one=100)),
    Metric("brier", "Brier", brier, larger_is_better=False, enough=Enough(in_all=100)),
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
