"""How good a network is: figures with their uncertainty, and a reason where there is none.

Every figure follows from decisions that `LabelSpace.decide` takes, but for AUROC and average
precision, which follow from the probabilities' order. A figure that the images do not determine is
None, and a sentence in `notes` says why; it is never 0, 1 or NaN by convention. A target that is
not known counts in no figure, and means over classes are of those with both outcomes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.evaluation.bootstrap import cluster_images, draw_weights, interval
from covid.evaluation.figures import (
    METRICS,
    Answers,
    Metric,
    Targets,
    headlines,
    per_class,
    selectable,
)
from covid.evaluation.notes import (
    left_out_notes,
    macro_notes,
    patient_notes,
    undefined_notes,
    unknown_notes,
    width_notes,
)

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000  # Efron & Tibshirani 1993, section 14.3: above 1,000 for a percentile interval


def compute_metrics(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Targets,
    patients: Sequence[str | None],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    table: Sequence[Metric] = METRICS,
) -> dict[str, Any]:
    """The content of metrics.json: plain numbers, strings, lists, dictionaries and None.

    `probabilities` in 0..1 and `targets` (bool, or 1 and 0 with NaN where they are not known) are
    `[images, classes]`; `patients` names each image's patient, or None. The order of the images
    makes no difference.

    `table` says which figures there are. Those of all classes are `{"value", "low", "high"}`;
    those of a class are plain numbers in `per_class`, with `{"low", "high", "patients"}` in its
    `intervals`: how many patients, or images without one, have an image that the figure is a
    share of. `low` and `high` are 95 % intervals over patients: see `bootstrap`. A resample
    that does not define a figure is left out of its interval, and a note says how many.

    Raises DataError where there is no image, or no target of any is known; ValueError where the
    shapes disagree or a probability is not a number.
    """
    answers = Answers.of(space, probabilities, targets)
    if len(patients) != len(targets):
        raise ValueError(f"{len(patients)} patients for {len(targets)} images")
    # Between the two outcomes: NaN would be no value that images can share.
    contributed = np.where(answers.known, answers.targets, np.float32(0.5))
    cluster = cluster_images(patients, np.column_stack([probabilities, contributed]))
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
                "support": int(answers.targets[:, column].sum()),
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
        "confusion": _confusion(space, answers),
    }
    notes = [
        *unknown_notes(space, answers),
        *undefined_notes(space, answers, values, table),
        *macro_notes(space, answers, table),
        *patient_notes(patients),
        *left_out_notes(space, values, drawn, table),
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


def _interval(value: np.float64, drawn: Floats) -> dict[str, float | None]:
    """`drawn` is `[resamples]`; there is no interval of what is not defined."""
    ends = None if np.isnan(value) else interval(drawn)
    low, high = ends or (None, None)
    return {"low": low, "high": high}


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
