"""How good a network is: figures with their uncertainty, and a reason where there is none.

Every figure follows from decisions that `LabelSpace.decide` takes, but for AUROC and average
precision, which follow from the probabilities' order. A figure that the images do not determine is
None, and a sentence in `notes` says why; it is never 0, 1 or NaN by convention.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.errors import DataError
from covid.evaluation.bootstrap import cluster_images, draw_weights, interval
from covid.evaluation.figures import METRICS, Answers, Metric, headlines, per_class, selectable
from covid.evaluation.notes import left_out_notes, patient_notes, undefined_notes, width_notes

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

RESAMPLES = 2000  # Efron & Tibshirani 1993, section 14.3: above 1,000 for a percentile interval


def compute_metrics(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Booleans,
    patients: Sequence[str | None],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    table: Sequence[Metric] = METRICS,
) -> dict[str, Any]:
    """The content of metrics.json: plain numbers, strings, lists, dictionaries and None.

    `probabilities` in 0..1 and `targets` (bool) are `[images, classes]`; `patients` names each
    image's patient, or None. The order of the images makes no difference.

    `table` says which figures there are. Those of all classes are `{"value", "low", "high"}`;
    those of a class are plain numbers in `per_class`, with `{"low", "high", "patients"}` in its
    `intervals`: how many patients, or images without one, have an image that the figure is a
    share of. `low` and `high` are 95 % intervals over patients: see `bootstrap`. A resample
    that does not define a figure is left out of its interval, and a note says how many.

    Raises DataError where there is no image; ValueError where the shapes disagree or a
    probability is not a number.
    """
    answers = _answers(space, probabilities, targets)
    if len(patients) != len(targets):
        raise ValueError(f"{len(patients)} patients for {len(targets)} images")
    cluster = cluster_images(patients, np.column_stack([probabilities, targets]))
    figures = [*headlines(table), *per_class(table)]
    values = evaluate(figures, answers)
    parts: dict[str, list[Floats]] = {metric.name: [] for metric in figures}
    for weights in draw_weights(cluster, resamples, seed):
        for name, part in evaluate(figures, answers, weights).items():
            parts[name].append(part)
    drawn = {name: np.concatenate(part) for name, part in parts.items()}
    metrics = {
        "images": len(targets),
        "patients": len(set(patients) - {None}) or None,
        "classes": list(space.classes),
        **{
            metric.name: {
                "value": _plain(values[metric.name][0]),
                **_interval(values[metric.name][0], drawn[metric.name]),
            }
            for metric in headlines(table)
        },
        "per_class": {
            name: {
                **{m.name: _plain(values[m.name][0, column]) for m in per_class(table)},
                "support": int(targets[:, column].sum()),
                "threshold": None if space.thresholds is None else float(space.thresholds[column]),
                "intervals": {
                    m.name: {
                        **_interval(values[m.name][0, column], drawn[m.name][:, column]),
                        "patients": None
                        if np.isnan(values[m.name][0, column])
                        else len(np.unique(cluster[answers.are(m.denominator)[:, column]])),
                    }
                    for m in per_class(table)
                },
            }
            for column, name in enumerate(space.classes)
        },
        "confusion": _confusion(space, answers.decisions, targets),
    }
    notes = [
        *undefined_notes(space, answers, values, table),
        *patient_notes(patients),
        *left_out_notes(space, values, drawn, table),
        *width_notes(metrics, table),
    ]
    return metrics | {"notes": notes}


def quick_figures(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Booleans,
    *,
    table: Sequence[Metric] = METRICS,
) -> dict[str, float | None]:
    """What `select_by` can name, but for the loss, without intervals: milliseconds.

    Arrays are `[images, classes]`. A figure of all classes has its name, the mean over classes
    of another is `macro_` and its name; it is None where a class has none. Raises what
    `compute_metrics` raises.
    """
    values = evaluate(selectable(table), _answers(space, probabilities, targets))
    return {name: _plain(value[0]) for name, value in values.items()}


def evaluate(
    figures: Sequence[Metric], answers: Answers, weights: Floats | None = None
) -> dict[str, Floats]:
    """Each figure by name, `[resamples]` or `[resamples, classes]`, NaN where not defined."""
    images = answers.weighted(weights)
    return {metric.name: metric.evaluate(images) for metric in figures}


def _answers(
    space: LabelSpace, probabilities: npt.NDArray[np.floating[Any]], targets: Booleans
) -> Answers:
    """With the decisions, once what they are taken from has been checked."""
    if probabilities.shape != targets.shape or targets.shape[1:] != (len(space.classes),):
        raise ValueError(
            f"probabilities {probabilities.shape} and targets {targets.shape} for "
            f"{len(space.classes)} classes"
        )
    if len(targets) == 0:
        raise DataError("There is no image to evaluate; give at least one that can be read.")
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is not a number")
    return Answers(targets, space.decide(probabilities), probabilities)


def _interval(value: np.float64, drawn: Floats) -> dict[str, float | None]:
    """`drawn` is `[resamples]`; there is no interval of what is not defined."""
    ends = None if np.isnan(value) else interval(drawn)
    low, high = ends or (None, None)
    return {"low": low, "high": high}


def _confusion(
    space: LabelSpace, decisions: Booleans, targets: Booleans
) -> dict[str, list[list[int]]] | list[list[int]]:
    """Rows are targets, columns decisions: 2 x 2 per class for multilabel, else one K x K."""
    if space.task == "single_label":
        square: list[list[int]] = (targets.astype(np.int64).T @ decisions).tolist()
        return square
    confusion = {}
    for column, name in enumerate(space.classes):
        cells = np.bincount(2 * targets[:, column] + decisions[:, column], minlength=4)
        confusion[name] = cells.reshape(2, 2).tolist()
    return confusion


def _plain(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
