"""How good a network is: figures with their uncertainty, and a reason where there is none.

Every figure follows from decisions that `LabelSpace.decide` takes, but for AUROC and average
precision, which follow from the probabilities' order, and the Brier score. A figure that the images
do not determine is None, and a sentence in `notes` says why; it is never 0, 1 or NaN by convention.
A target that is not known counts in no figure, and means over classes are of those with both
outcomes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.evaluation.answers import Answers, Booleans, Floats, Integers, Targets
from covid.evaluation.bootstrap import (
    bca_interval,
    cluster_images,
    draw_weights,
    leave_out_weights,
)
from covid.evaluation.figures import METRICS, Metric, headlines, per_class, selectable
from covid.evaluation.intervals import proportion_of_clusters
from covid.evaluation.notes import (
    few_patients_notes,
    fold_notes,
    left_out_notes,
    macro_notes,
    patient_notes,
    undefined_notes,
    unknown_notes,
    width_notes,
)

RESAMPLES = 2000  # Efron & Tibshirani 1993, section 14.3: above 1,000 for these intervals


def compute_metrics(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Targets,
    patients: Sequence[str | None],
    *,
    folds: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    table: Sequence[Metric] = METRICS,
) -> dict[str, Any]:
    """The content of metrics.json: plain numbers, strings, lists, dictionaries and None.

    `probabilities` in 0..1 and `targets` (bool, or 1 and 0 with NaN where they are not known) are
    `[images, classes]`; `patients` names each image's patient, or None. The order of the images
    makes no difference.

    `table` says which figures there are. Those of all classes are `{"value", "low", "high",
    "patients"}`; those of a class are plain numbers in `per_class`, with `{"low", "high",
    "patients"}` in its `intervals`: how many patients, or images without one, have an image that
    the figure is a share of. `per_class.NAME.patients` counts those known to have the class, None
    where its images name none. `low` and `high` are 95 % intervals over patients: of a share
    Wilson's (see `intervals`), of all else by resampling (see `bootstrap`). A resample that does
    not define a figure is left out of its interval, and a note says how many.

    `folds` names, where several networks answered, the one that answered each image. What compares
    probabilities, AUROC and average precision, is then the mean over folds of each one's own, since
    those of two networks have no common scale; all else is of all images together. The figures of
    each fold stand in `folds`, in the order of its `names`.

    Raises DataError where there is no image, or no target of any is known; ValueError where the
    shapes disagree or a probability is not a number.
    """
    names, fold = _numbered(folds)
    answers = Answers.of(space, probabilities, targets, fold)
    for what, given in (("patients", patients), ("folds", folds)):
        if given is not None and len(given) != len(targets):
            raise ValueError(f"{len(given)} {what} for {len(targets)} images")
    # Between the two outcomes: NaN would be no value that images can share.
    contributed = np.where(answers.known, answers.targets, np.float32(0.5))
    content = [probabilities, contributed] + ([] if fold is None else [fold])
    cluster = cluster_images(patients, np.column_stack(content))
    figures = [*headlines(table), *per_class(table)]
    values = evaluate(figures, answers)
    resampled = [metric for metric in figures if metric.share is None]
    drawn = _evaluate_each(resampled, answers, draw_weights(cluster, resamples, seed))
    left_out = _evaluate_each(resampled, answers, leave_out_weights(cluster, seed))

    def interval(metric: Metric, column: int | None = None) -> dict[str, Any]:
        """Of a class, or of all where `column` is None; there is none of what is not defined."""
        at = np.s_[:] if column is None else np.s_[:, column]
        value = float(values[metric.name][at][0])
        if np.isnan(value):
            return {"low": None, "high": None, "patients": None}
        if metric.share is not None:
            part, whole = (images[at] for images in metric.share.sets(answers))
            share = proportion_of_clusters(part[whole], cluster[whole])
            return {"low": share.low, "high": share.high, "patients": share.patients}
        ends = bca_interval(value, drawn[metric.name][at], left_out[metric.name][at])
        low, high = ends or (None, None)
        images = answers.evaluated if column is None else answers.known[:, column]
        return {"low": low, "high": high, "patients": len(np.unique(cluster[images]))}

    metrics = {
        "images": len(targets),
        "patients": len(set(patients) - {None}) or None,
        "classes": list(space.classes),
        **{
            metric.name: {"value": _plain(values[metric.name][0]), **interval(metric)}
            for metric in headlines(table)
        },
        "per_class": {
            name: {
                **{m.name: _plain(values[m.name][0, column]) for m in per_class(table)},
                "support": int(answers.targets[:, column].sum()),
                "patients": _named(patients, answers.targets[:, column]),
                "threshold": None if space.thresholds is None else float(space.thresholds[column]),
                "intervals": {m.name: interval(m, column) for m in per_class(table)},
            }
            for column, name in enumerate(space.classes)
        },
        "confusion": _confusion(space, answers),
        "folds": _folds(space, answers, names, table),
    }
    notes = [
        *unknown_notes(space, answers),
        *undefined_notes(space, answers, values, table),
        *macro_notes(space, answers, table),
        *fold_notes(space, answers, table),
        *patient_notes(patients),
        *left_out_notes(space, values, drawn, table),
        *few_patients_notes(metrics, _patients_by_outcome(space, answers, cluster), table),
        *width_notes(metrics, table),
    ]
    return metrics | {"notes": notes}


def quick_figures(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Targets,
    *,
    table: Sequence[Metric] = METRICS,
) -> dict[str, float | None]:
    """What `select_by` can name, but for the loss, without intervals: milliseconds.

    Arrays are `[images, classes]`. A figure of all classes has its name, the mean over classes
    of another is `macro_` and its name; it is None where a class has none. Raises what
    `compute_metrics` raises.
    """
    values = evaluate(selectable(table), Answers.of(space, probabilities, targets))
    return {name: _plain(value[0]) for name, value in values.items()}


def evaluate(
    figures: Sequence[Metric], answers: Answers, weights: Floats | None = None
) -> dict[str, Floats]:
    """Each figure by name, `[resamples]` or `[resamples, classes]`, NaN where not defined."""
    images = answers.weighted(weights)
    return {metric.name: metric.evaluate(images) for metric in figures}


def _evaluate_each(
    figures: Sequence[Metric], answers: Answers, weightings: Iterable[Floats]
) -> dict[str, Floats]:
    """`evaluate` for weights that come some resamples at a time."""
    if not figures:
        return {}
    parts = [evaluate(figures, answers, weights) for weights in weightings]
    return {metric.name: np.concatenate([part[metric.name] for part in parts])
            for metric in figures}  # fmt: skip


def _numbered(folds: Sequence[str] | None) -> tuple[list[str], Integers | None]:
    """The folds' names, `2` before `10`, and the number of each image's fold `[images]`."""
    if folds is None:
        return [], None
    names = sorted(set(folds), key=lambda name: (len(name), name))
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.array([numbers[name] for name in folds], dtype=np.intp)


def _folds(
    space: LabelSpace, answers: Answers, names: list[str], table: Sequence[Metric]
) -> dict[str, Any] | None:
    """What each fold says by itself, and the lowest and highest of these."""
    if not answers.folds:
        return None
    whole = [metric for metric in table if not metric.per_class]
    ranked = [metric for metric in per_class(table) if metric.by_fold]
    each = [evaluate([*whole, *ranked], of_fold) for _, of_fold in answers.folds]
    figures: dict[str, Any] = {m.name: [_plain(fold[m.name][0]) for fold in each] for m in whole}
    spread: dict[str, Any] = {m.name: _spread(figures[m.name]) for m in whole}
    for metric in ranked:
        columns = enumerate(space.classes)
        figures[metric.name] = {
            name: [_plain(fold[metric.name][0, column]) for fold in each]
            for column, name in columns
        }
        spread[metric.name] = {
            name: _spread(own) for name, own in figures[metric.name].items()
        }
    return {"folds": len(names), "names": names, **figures, "spread": spread}


def _spread(figures: Sequence[float | None]) -> dict[str, float] | None:
    defined = [figure for figure in figures if figure is not None]
    return {"lowest": min(defined), "highest": max(defined)} if defined else None


def _patients_by_outcome(
    space: LabelSpace, answers: Answers, cluster: Integers
) -> dict[str, tuple[int, int]]:
    """How many patients, or images without one, have each class, and how many do not."""
    positive, negative = answers.are("positive"), answers.are("negative")
    return {
        name: (len(np.unique(cluster[positive[:, column]])),
               len(np.unique(cluster[negative[:, column]])))
        for column, name in enumerate(space.classes)
    }  # fmt: skip


def _named(patients: Sequence[str | None], images: Booleans) -> int | None:
    """How many patients these images name; None where there are images, and none names one."""
    named = {patients[place] for place in np.flatnonzero(images).tolist()} - {None}
    nobody = images.any() or all(patient is None for patient in patients)
    return len(named) or (None if nobody else 0)


def _confusion(
    space: LabelSpace, answers: Answers
) -> dict[str, list[list[int]]] | list[list[int]]:
    """Rows are targets, columns decisions: 2 x 2 per class for multilabel, else one K x K.

    Only what is known is counted.
    """
    if space.task == "single_label":
        square: list[list[int]] = (answers.targets.astype(np.int64).T @ answers.decisions).tolist()
        return square
    confusion = {}
    for column, name in enumerate(space.classes):
        known = answers.known[:, column]
        pairs = 2 * answers.targets[known, column] + answers.decisions[known, column]
        confusion[name] = np.bincount(pairs, minlength=4).reshape(2, 2).tolist()
    return confusion


def _plain(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
