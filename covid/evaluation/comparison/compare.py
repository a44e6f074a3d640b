"""Two networks on the same images: what differs, how certain that is, and on which images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from covid.evaluation.answers import Answers, Booleans, Floats, Integers
from covid.evaluation.bootstrap import (
    bca_interval,
    cluster_images,
    draw_weights,
    leave_out_weights,
)
from covid.evaluation.comparison.pairing import paired
from covid.evaluation.comparison.sign_flip import sign_flip_test
from covid.evaluation.figures import METRICS, Metric, headlines, per_class
from covid.evaluation.metrics import RESAMPLES
from covid.evaluation.notes import patient_notes
from covid.evaluation.prediction_file import PredictionFile

Right = Literal["first", "second", "both", "neither", "not known"]

# Of a difference: rounding makes up less, and one image in a million more, of any figure.
DECIMALS = 12
# Patients who bear a class, below whom intervals are too narrow. Of 250 simulated pairs of networks
# (two classes, one to four images a patient) those of the difference in recall held the true one
# in 0.95 with 50 patients of the class, in 0.90 with 15 and in 0.81 with 5.
FEW = 50
NETWORKS = (
    "This compares two networks, not two recipes: either recipe, trained again, gives another "
    "network. What a recipe is worth takes several folds or seeds of each."
)
RECIPES = (
    "Each image was evaluated by the networks of its fold, so this compares two recipes, as far as "
    "one seed and folds that share most of their training images can."
)
SAME_ANSWERS = "Both give the same answers to every image: no two networks are compared."
OTHER_THRESHOLDS = "Probabilities are equal for every image: the same network at other thresholds."
# Of a probability of at most 1: files of earlier versions round it to half of this.
SAME = 1e-6


@dataclass(frozen=True)
class Difference:
    """One figure of both, and the second's less the first's; None where it is not defined."""

    metric: Metric
    of: str | None  # the class; None: of all
    first: float | None
    second: float | None
    value: float | None
    low: float | None  # of the 95 % interval, like the next
    high: float | None


@dataclass(frozen=True)
class Disagreement:
    """An image that the two decided otherwise."""

    name: str
    cell: str
    first: tuple[str, ...]  # the classes decided
    second: tuple[str, ...]
    right: Right


@dataclass(frozen=True)
class FoldDifference:
    """The difference in accuracy between two networks that were trained on the same images."""

    fold: str
    images: int
    value: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds."""

    names: tuple[str, str]  # of the first and the second
    classes: tuple[str, ...]
    images: int  # in both
    left_out: tuple[int, int]  # images in the first or the second alone
    patients: int | None
    same_answers: bool  # to the last digit
    same_probabilities: bool  # to 1e-6, whatever is decided by them
    differences: tuple[Difference, ...]
    p: float  # of the difference in accuracy
    patients_deciding: int  # who tip the scale in accuracy, this way or that
    disagreements: tuple[Disagreement, ...]  # in the order of their names
    folds: tuple[FoldDifference, ...] | None  # None where folds are not paired
    notes: tuple[str, ...]

    @property
    def about(self) -> str:
        """What the comparison is one of."""
        if self.same_probabilities:
            return OTHER_THRESHOLDS if self.disagreements else SAME_ANSWERS
        return NETWORKS if self.folds is None else RECIPES


def compare(
    first: PredictionFile,
    second: PredictionFile,
    names: tuple[str, str] = ("the first", "the second"),
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    table: Sequence[Metric] = METRICS,
) -> Comparison:
    """The second less the first, of each figure of `table`, over the images that both have.

    Intervals are of the paired bootstrap over patients (`bca_interval`), who are drawn once for
    both sides. The one p value is of accuracy: see `sign_flip_test`. Of a file with folds, figures
    that compare probabilities are means over these; folds are paired where there are two or more
    and each image has the same one on both sides. Neither the order of the rows nor that of the
    files makes a difference, but for the sign.

    Raises DataError where the two are not about the same images, labels, classes and patients.
    """
    pair = paired(first, second, names)
    first, second, patients = pair.first, pair.second, pair.patients
    folds = first.folds if first.folds == second.folds else None
    # By their place in the order of names, which is the same whichever file comes first.
    cluster = cluster_images(patients, np.arange(len(patients), dtype=np.float64)[:, None])
    differences, missing = _differences(
        first.answers, second.answers, first.classes, table, cluster, resamples, seed
    )
    gained = second.answers.correct.astype(np.intp) - first.answers.correct
    by_patient = np.bincount(cluster, weights=gained).astype(np.intp)
    apart = np.abs(second.probabilities.astype(np.float64) - first.probabilities)
    same = np.array_equal(first.probabilities, second.probabilities) and np.array_equal(
        first.decisions, second.decisions
    )
    comparison = Comparison(
        names=names,
        classes=first.classes,
        images=len(patients),
        left_out=pair.left_out,
        patients=len(set(patients) - {None}) or None,
        same_answers=same,
        same_probabilities=bool(apart.max() <= SAME),
        differences=tuple(differences),
        p=sign_flip_test(by_patient),
        patients_deciding=int((by_patient != 0).sum()),
        disagreements=tuple(_disagreements(first, second)),
        folds=_by_fold(first.answers.evaluated, gained, folds),
        notes=(),
    )
    notes = [
        *_file_notes(first, second, names),
        *patient_notes(patients),
        *_few_notes(first, cluster),
        *_figure_notes(comparison, missing, resamples),
    ]
    return replace(comparison, notes=tuple(notes))


# Figures -----------------------------------------------------------------------------------------


def _differences(
    first: Answers, second: Answers, classes: Sequence[str], table: Sequence[Metric],
    cluster: Integers, resamples: int, seed: int,
) -> tuple[list[Difference], int]:  # fmt: skip
    """Each figure's, and how many resamples at most did not define one that the images define."""
    metrics = [*headlines(table), *per_class(table)]
    columns = [(metric, of) for metric in metrics
               for of in (classes if metric.per_class else (None,))]  # fmt: skip

    def both(weights: Floats) -> Floats:
        """`[2, resamples, columns]`: both figures of each column."""
        sides = (answers.weighted(weights) for answers in (first, second))
        return np.stack([np.column_stack([metric.evaluate(side) for metric in metrics])
                         for side in sides])  # fmt: skip

    def differing(weightings: Iterator[Floats]) -> Floats:
        return np.concatenate([_less(*both(weights)) for weights in weightings])

    values = both(np.ones((1, len(cluster))))[:, 0]
    drawn = differing(draw_weights(cluster, resamples, seed))
    left_out = differing(leave_out_weights(cluster, seed))
    differences, missing = [], 0
    # Class by class, as people read them; the arrays have them metric by metric.
    places = sorted(range(len(columns)), key=lambda n: (None, *classes).index(columns[n][1]))
    for place in places:
        one, two = values[:, place].tolist()
        value, ends = float(_less(one, two)), None
        if not np.isnan(value):
            missing = max(missing, int(np.isnan(drawn[:, place]).sum()))
            ends = bca_interval(value, drawn[:, place], left_out[:, place])
        low, high = ends or (None, None)
        differences.append(
            Difference(*columns[place], _plain(one), _plain(two), _plain(value), low, high)
        )
    return differences, missing


def _less(first: Floats | float, second: Floats | float) -> Floats:
    """The second less the first, without what rounding makes of equal differences."""
    less = np.round(np.subtract(second, first), DECIMALS) + 0.0  # + 0: no zero has a sign
    return np.asarray(less, dtype=np.float64)


def _by_fold(
    evaluated: Booleans, gained: Integers, folds: Sequence[str] | None
) -> tuple[FoldDifference, ...] | None:
    """Of folds with an image of which anything is known; None where these are fewer than two."""
    if folds is None:
        return None
    names = np.array(folds)
    differences = tuple(
        FoldDifference(fold, int(own.sum()), float(gained[own].mean()))
        for fold in _in_order(folds)
        if (own := (names == fold) & evaluated).any()
    )
    return differences if len(differences) > 1 else None


def _in_order(folds: Sequence[str]) -> list[str]:
    """Each once, 10 after 9."""
    return sorted(set(folds), key=lambda fold: (len(fold), fold))


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value


# Images and notes --------------------------------------------------------------------------------


def _disagreements(first: PredictionFile, second: PredictionFile) -> Iterator[Disagreement]:
    decided = [[tuple(name for name, yes in zip(file.classes, row, strict=True) if yes)
                for row in file.decisions.tolist()] for file in (first, second)]  # fmt: skip
    right: dict[tuple[bool | None, bool | None], Right] = {
        (True, False): "first", (False, True): "second", (True, True): "both",
        (False, False): "neither", (None, None): "not known",
    }  # fmt: skip
    rows = zip(first.names, first.cells, *decided, first.correct(), second.correct(), strict=True)
    for name, cell, one, two, *correct in rows:
        if one != two:
            yield Disagreement(name, cell, one, two, right[correct[0], correct[1]])


def _file_notes(
    first: PredictionFile, second: PredictionFile, names: tuple[str, str]
) -> Iterator[str]:
    for file, name in zip((first, second), names, strict=True):
        if file.earlier:
            yield (
                f"{name} is of an earlier version, with six digits of a probability and no "
                f"patients; evaluate again for figures to the last digit."
            )
    if first.folds != second.folds:
        yield (
            "Not every image has the same fold on both sides, so folds are not paired; figures "
            "that compare probabilities are means over each side's own folds, where it has any."
        )
    unknown = int((~first.answers.evaluated).sum())
    if unknown:
        yield f"Of {unknown:,} images no label is known; they count in no figure."


def _few_notes(file: PredictionFile, cluster: Integers) -> Iterator[str]:
    """Classes that too few patients bear, or images that name none; `cluster` is `[images]`."""
    counts = {name: len(np.unique(cluster[bearing]))
              for name, bearing in zip(file.classes, file.answers.targets.T, strict=True)}
    few = [f"{count} of {name}" for name, count in counts.items() if 0 < count < FEW]
    if few:
        yield (
            f"With fewer than {FEW} patients of a class intervals are too narrow: in a simulation "
            f"they held the true difference in recall in 90 of 100 cases with 15 patients, in 81 "
            f"with 5, where 95 are meant; here there are {', '.join(few)}."
        )


def _figure_notes(comparison: Comparison, missing: int, resamples: int) -> Iterator[str]:
    if missing:
        yield (
            f"Up to {missing:,} of {resamples:,} resamples lack the images that a figure needs; "
            f"they are left out of its interval."
        )
    flat = [d for d in comparison.differences if d.low is not None and d.low == d.high]
    if flat and not comparison.same_probabilities:
        yield (
            f"{len(flat)} of the intervals have no width for want of images that are decided "
            f"otherwise, not because those differences are certain."
        )
    deciding = comparison.patients_deciding
    # The two signings that are furthest from 0 are two of 2^n.
    if 0 < deciding and 2 / 2**deciding > 0.05:
        yield (
            f"Only {deciding} {'patient differs' if deciding == 1 else 'patients differ'} in "
            f"accuracy: p could not be below {2 / 2**deciding:.2g}, whatever they showed."
        )
