"""Two networks on the same images: what differs, how certain that is, and on which images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from covid.errors import DataError
from covid.evaluation.answers import Answers
from covid.evaluation.bootstrap import cluster_images, draw_weights, interval
from covid.evaluation.figures import METRICS, Metric, headlines, per_class
from covid.evaluation.metrics import RESAMPLES
from covid.evaluation.notes import patient_notes
from covid.evaluation.prediction_file import PredictionFile
from covid.evaluation.sign_flip import sign_flip_test

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Right = Literal["first", "second", "both", "neither", "not known"]

RANKED = ("auroc", "average_precision")  # figures that compare one image with another
NETWORKS = (
    "This compares two networks, not two recipes: either recipe, trained again, gives another "
    "network. What a recipe is worth takes several folds or seeds of each."
)
RECIPES = (
    "Each image was judged by the networks of its fold, so this compares two recipes, as far as "
    "one seed and folds that share most of their training images can."
)


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
    differences: tuple[Difference, ...]
    p: float  # of the difference in accuracy
    patients_deciding: int  # who tip the scale in accuracy, this way or that
    disagreements: tuple[Disagreement, ...]  # in the order of their names
    folds: tuple[FoldDifference, ...] | None  # None where they are not paired
    notes: tuple[str, ...]

    @property
    def about(self) -> str:
        """What the comparison is one of."""
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

    Intervals are of the paired bootstrap: patients are drawn once for both sides. The one p value
    is of accuracy: see `sign_flip_test`. Where every image has the same fold on both sides, ranked
    figures are means over folds, whose networks' probabilities do not compare with each other's.
    Neither the order of the rows nor that of the files makes a difference, but for the sign.

    Raises DataError where the two are not about the same images, labels, classes and patients.
    """
    if first.classes != second.classes:
        raise DataError(
            f"{names[1]}: its classes are {', '.join(second.classes)}, and those of {names[0]} "
            f"{', '.join(first.classes)}; compare networks of the same classes."
        )
    first, second, left_out = _paired(first, second, names)
    patients = _patients(first, second, names)
    if not first.answers.known.any():
        raise DataError(f"{names[0]}: of no image that {names[1]} has too is any label known; "
                        f"there is nothing to compare by.")  # fmt: skip
    folds = first.folds if first.folds == second.folds else None
    # By their place in the order of names, which is the same whichever file comes first.
    cluster = cluster_images(patients, np.arange(len(patients), dtype=np.float64)[:, None])
    differences, missing = _differences(
        _Side.of(first.answers, folds), _Side.of(second.answers, folds), first.classes, table,
        cluster, resamples, seed,
    )  # fmt: skip
    gained = second.answers.correct.astype(np.intp) - first.answers.correct
    by_patient = np.bincount(cluster, weights=gained).astype(np.intp)
    same = np.array_equal(first.probabilities, second.probabilities) and np.array_equal(
        first.decisions, second.decisions
    )
    comparison = Comparison(
        names=names,
        classes=first.classes,
        images=len(patients),
        left_out=left_out,
        patients=len(set(patients) - {None}) or None,
        same_answers=same,
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
        *_figure_notes(comparison, missing, resamples),
    ]
    return replace(comparison, notes=tuple(notes))


# Which images ------------------------------------------------------------------------------------


def _paired(
    first: PredictionFile, second: PredictionFile, names: tuple[str, str]
) -> tuple[PredictionFile, PredictionFile, tuple[int, int]]:
    """Both with the images that both have, by name; how many the first and second have alone."""
    places = [{name: n for n, name in enumerate(file.names)} for file in (first, second)]
    common = sorted(places[0].keys() & places[1].keys())
    if not common:
        raise DataError(
            f"{names[1]}: no image of it is in {names[0]} too (the first are {second.names[0]} and "
            f"{first.names[0]}); compare evaluations of the same images."
        )
    left_out = (len(first.names) - len(common), len(second.names) - len(common))
    first, second = (file.take([place[name] for name in common])
                     for file, place in zip((first, second), places, strict=True))  # fmt: skip
    for n, name in enumerate(common):
        if first.cells[n] != second.cells[n]:
            raise DataError(
                f"{names[1]}: {name} is labelled {second.cells[n]} there and {first.cells[n]} in "
                f"{names[0]}; compare evaluations by the same labels."
            )
    agree = (first.targets == second.targets) | (np.isnan(first.targets + second.targets)
             & (np.isnan(first.targets) == np.isnan(second.targets)))  # fmt: skip
    if not agree.all():
        image, column = np.argwhere(~agree)[0].tolist()
        raise DataError(
            f"{names[1]}: the target {first.classes[column]} of {common[image]} is another than in "
            f"{names[0]}; compare networks to which the labels mean the same."
        )
    return first, second, left_out


def _patients(
    first: PredictionFile, second: PredictionFile, names: tuple[str, str]
) -> list[str | None]:
    """Of each image, from whichever file knows."""
    for name, own, other in zip(first.names, first.patients, second.patients, strict=True):
        if own is not None and other is not None and own != other:
            raise DataError(
                f"{names[1]}: {name} is of patient {other} there and of {own} in {names[0]}; "
                f"compare evaluations of the same data."
            )
    return [own or other for own, other in zip(first.patients, second.patients, strict=True)]


# Figures -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """One file's answers, whole and, where folds are paired, each fold's with its images."""

    answers: Answers
    parts: list[tuple[Integers, Answers]]

    @classmethod
    def of(cls, answers: Answers, folds: Sequence[str] | None) -> "_Side":
        parts = []
        for fold in _in_order(folds or ()):
            own = np.flatnonzero(np.array(folds) == fold)
            part = Answers(answers.targets[own], answers.known[own], answers.decisions[own],
                           answers.probabilities[own])  # fmt: skip
            parts.append((own, part))
        return cls(answers, parts)

    def figures(self, metrics: Sequence[Metric], weights: Floats) -> list[Floats]:
        """Of each metric `[resamples]` or `[resamples, classes]`; NaN where not defined.

        A ranked one is the mean over the folds that define it with all their images: which these
        are does not differ from resample to resample, which would make it another figure.
        """
        whole = self.answers.weighted(weights)
        parts = [(part.weighted(weights[:, own]), part) for own, part in self.parts]
        figures = []
        for metric in metrics:
            if metric.name not in RANKED or not parts:
                figures.append(metric.evaluate(whole))
                continue
            defined = np.stack([part.both_outcomes for _, part in parts])
            values = np.stack([metric.evaluate(weighted) for weighted, _ in parts])
            summed = np.where(defined[:, None], values, 0).sum(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):  # classes of no such fold
                figures.append(summed / defined.sum(axis=0))
        return figures


def _differences(
    first: _Side, second: _Side, classes: Sequence[str], table: Sequence[Metric],
    cluster: Integers, resamples: int, seed: int,
) -> tuple[list[Difference], int]:  # fmt: skip
    """Each figure's, and how many resamples at most did not define one that the images define."""
    metrics = [*headlines(table), *per_class(table)]

    def both(weights: Floats) -> Floats:
        """`[2, resamples, figures]`, a column for each figure of all and each of a class."""
        return np.stack([np.column_stack(side.figures(metrics, weights))
                         for side in (first, second)])  # fmt: skip

    values = both(np.ones((1, len(cluster))))[:, 0]
    drawn = np.concatenate(
        [sides[1] - sides[0] for sides in map(both, draw_weights(cluster, resamples, seed))]
    )
    columns = [(metric, of) for metric in metrics
               for of in (classes if metric.per_class else (None,))]  # fmt: skip
    differences, missing = [], 0
    # Class by class, as people read them; the arrays have them metric by metric.
    places = sorted(range(len(columns)), key=lambda n: (None, *classes).index(columns[n][1]))
    for place in places:
        metric, of = columns[place]
        one, two = values[:, place].tolist()
        ends = None
        if not np.isnan(two - one):
            missing = max(missing, int(np.isnan(drawn[:, place]).sum()))
            ends = interval(drawn[:, place])
        low, high = ends or (None, None)
        differences.append(
            Difference(metric, of, _plain(one), _plain(two), _plain(two - one), low, high)
        )
    return differences, missing


def _by_fold(
    evaluated: npt.NDArray[np.bool_], gained: Integers, folds: Sequence[str] | None
) -> tuple[FoldDifference, ...] | None:
    """Folds without an image of which anything is known have no difference."""
    if folds is None:
        return None
    names = np.array(folds)
    return tuple(
        FoldDifference(fold, int(own.sum()), float(gained[own].mean()))
        for fold in _in_order(folds)
        if (own := (names == fold) & evaluated).any()
    )


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
            "The folds of the two are not the same, so they are not paired; AUROC and average "
            "precision rank probabilities of several networks together."
        )
    unknown = int((~first.answers.evaluated).sum())
    if unknown:
        yield f"Of {unknown:,} images no label is known; they count in no figure."


def _figure_notes(comparison: Comparison, missing: int, resamples: int) -> Iterator[str]:
    if missing:
        yield (
            f"Up to {missing:,} of {resamples:,} resamples lack the images that a figure needs; "
            f"they are left out of its interval."
        )
    flat = [d for d in comparison.differences if d.low is not None and d.low == d.high]
    if flat and not comparison.same_answers:
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
