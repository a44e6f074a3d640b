"""What a network says of images beside what is true of them, once or weighted as resamples are."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.errors import DataError
from covid.evaluation.ranks import Curve, Ranking

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Targets = npt.NDArray[np.bool_] | npt.NDArray[np.floating[Any]]  # NaN where not known
# Images of a class, of those whose target is known: those that have it as a target, those that do
# not, those predicted to have it, those predicted not to.
Kind = Literal["positive", "negative", "predicted", "predicted_negative"]
# Squared differences are whole multiples of this, so that sums of up to 2**19 of them are exact in
# float64, whatever the order of images; what that rounds away is below a float32's own rounding.
SQUARE_STEP = 2.0**-34


@dataclass(frozen=True)
class Answers:
    """What is true of some images and what a network says of them; `[images, classes]`."""

    targets: Booleans  # false where not known
    known: Booleans  # whether a target is; what is not known counts in no figure
    decisions: Booleans
    probabilities: npt.NDArray[np.floating[Any]]  # in 0..1
    fold: Integers | None = None  # [images]: from 0 on; None: one network answered all

    @classmethod
    def of(
        cls,
        space: LabelSpace,
        probabilities: npt.NDArray[np.floating[Any]],
        targets: Targets,
        fold: Integers | None = None,
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
        return cls(targets == 1, known, space.decide(probabilities), probabilities, fold)

    @cached_property
    def folds(self) -> list[tuple[Integers, Self]]:
        """The places of each fold's images, and these alone; empty where there are no folds."""
        if self.fold is None:
            return []
        every = [np.flatnonzero(self.fold == number) for number in range(self.fold.max() + 1)]
        return [(places, self._at(places)) for places in every]

    def _at(self, places: Integers) -> Self:
        return type(self)(
            self.targets[places], self.known[places], self.decisions[places],
            self.probabilities[places],
        )  # fmt: skip

    @cached_property
    def squared_differences(self) -> Floats:
        """Of probability and target `[images, classes]`, 0 where that is not known."""
        squares = (self.probabilities.astype(np.float64) - self.targets) ** 2 * self.known
        return np.asarray(np.round(squares / SQUARE_STEP) * SQUARE_STEP)

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
        if kind == "predicted_negative":
            return self.known & ~self.decisions
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

    def sum(self, amounts: Booleans | Floats) -> Floats:
        """Of `amounts` `[images]` or `[images, classes]`, each times its weight; true is 1."""
        summed: Floats = self.weights @ amounts.astype(np.float64)
        return summed

    @cached_property
    def folds(self) -> list[Self]:
        """The images of each fold alone, as their weights are here; empty without folds."""
        return [
            type(self)(answers, self.weights.take(places, axis=1))
            for places, answers in self.answers.folds
        ]

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
    def known(self) -> Floats:
        """Images whose target is known."""
        return self.sum(self.answers.known)

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
            "predicted_negative": self.known - self.predicted_positives,
        }
        return of_kind[kind] > 0
