"""How good a network is: figures with their uncertainty, and a reason where there is none.

Every figure follows from decisions that `LabelSpace.decide` takes, but for AUROC and average
precision, which follow from the probabilities' order. A figure that the images cannot tell is
None, and a sentence in `notes` says why; it is never 0, 1 or NaN by convention.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from covid.edge.labels import LabelSpace
from covid.edge.table import format_table
from covid.errors import DataError

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

RESAMPLES = 2000  # Efron & Tibshirani 1993, section 14.3: above 1,000 for a percentile interval
INTERVAL = (0.025, 0.975)  # what 95 % lie between
CELLS = 1_000_000  # of resamples x clusters at once: 8 MB, and as much again for the product
COLUMNS = 90  # of the table on a terminal
FIGURES = ("precision", "recall", "specificity", "f1", "auroc", "average_precision")


def compute_metrics(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Booleans,
    patients: Sequence[str | None],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of metrics.json: plain numbers, strings, lists, dictionaries and None.

    `probabilities` in 0..1 and `targets` (bool) are `[images, classes]`; `patients` names each
    image's patient, or None. The order of the images makes no difference.

    `accuracy` is the share of images whose decision is wholly right, `macro_f1` the plain mean
    of the classes' F1. Their `low` and `high` are 95 % percentile intervals (Efron & Tibshirani,
    An Introduction to the Bootstrap, 1993, chapter 13) of the cluster bootstrap (Field & Welsh,
    Bootstrapping clustered data, JRSS B 69, 2007): patients are drawn with replacement, and all
    their images come along, because images of one patient resemble each other. An image without
    a patient is a cluster of its own.

    Raises DataError where there is no image; ValueError where the shapes disagree or a
    probability is not a number.
    """
    decisions = _decide(space, probabilities, targets)
    if len(patients) != len(targets):
        raise ValueError(f"{len(patients)} patients for {len(targets)} images")
    counts = _count(decisions, targets)
    per_class = {
        name: {
            **_class_figures(targets[:, column], decisions[:, column], probabilities[:, column]),
            "support": int(targets[:, column].sum()),
            "threshold": None if space.thresholds is None else float(space.thresholds[column]),
        }
        for column, name in enumerate(space.classes)
    }
    accuracy, macro_f1 = _headline(counts.sum(axis=0))
    drawn = _headline(_resample(_by_patient(counts, patients), resamples, seed))
    metrics = {
        "images": len(targets),
        "patients": len(set(patients) - {None}) or None,
        "classes": list(space.classes),
        "accuracy": _with_interval(accuracy, drawn[0]),
        "macro_f1": _with_interval(macro_f1, drawn[1]),
        "per_class": per_class,
        "confusion": _confusion(space, decisions, targets),
    }
    left_out = 0 if np.isnan(macro_f1) else int(np.isnan(drawn[1]).sum())
    notes = _undefined_notes(space, decisions, targets)
    notes += _interval_notes(metrics, patients, resamples, left_out)
    return metrics | {"notes": notes}


def quick_figures(
    space: LabelSpace, probabilities: npt.NDArray[np.floating[Any]], targets: Booleans
) -> tuple[float, float | None]:
    """Accuracy and macro F1 as `compute_metrics` has them, without intervals: milliseconds.

    Arrays are `[images, classes]`. Macro F1 is None where a class has no image. Raises what
    `compute_metrics` raises.
    """
    decisions = _decide(space, probabilities, targets)
    accuracy, macro_f1 = _headline(_count(decisions, targets).sum(axis=0))
    return float(accuracy), _plain(macro_f1)


def metrics_table(metrics: Mapping[str, Any], title: str) -> str:
    """The same for people: headline, one row per class, notes; a dash for what is undefined.

    Lines stay within 90 characters unless a class has a name of more than 20.
    """
    images = "1 image" if metrics["images"] == 1 else f"{metrics['images']:,} images"
    if metrics["patients"]:
        images += f" of {metrics['patients']:,} patient" + "s" * (metrics["patients"] > 1)
    with_threshold = any(row["threshold"] is not None for row in metrics["per_class"].values())
    header = ["class", "images", "precision", "recall", "specificity", "F1", "AUROC", "AP"]
    rows = [
        [name, f"{row['support']:,}", *(_three_decimals(row[figure]) for figure in FIGURES)]
        + ([f"{row['threshold']:.3g}"] if with_threshold else [])
        for name, row in metrics["per_class"].items()
    ]
    headline = [
        f"{name}  {_three_decimals(figure['value'])}"
        + ("" if figure["low"] is None else
           f"  (95 % interval {figure['low']:.3f} to {figure['high']:.3f})")
        for name, figure in (("accuracy", metrics["accuracy"]), ("macro F1", metrics["macro_f1"]))
    ]  # fmt: skip
    notes = [
        textwrap.fill(f"Note: {sentence}", COLUMNS, subsequent_indent="      ")
        for sentence in metrics["notes"]
    ]
    parts = (
        [*textwrap.wrap(title, COLUMNS), images],
        headline,
        [format_table(header + ["threshold"] * with_threshold, rows)],
        notes,
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _decide(
    space: LabelSpace, probabilities: npt.NDArray[np.floating[Any]], targets: Booleans
) -> Booleans:
    """The decisions `[images, classes]`, once what they are taken from has been checked."""
    if probabilities.shape != targets.shape or targets.shape[1:] != (len(space.classes),):
        raise ValueError(
            f"probabilities {probabilities.shape} and targets {targets.shape} for "
            f"{len(space.classes)} classes"
        )
    if len(targets) == 0:
        raise DataError("There is no image to evaluate; give at least one that can be read.")
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is not a number")
    return space.decide(probabilities)


def _count(decisions: Booleans, targets: Booleans) -> Integers:
    """Per image what `_headline` needs summed: int64 `[images, 2 + 3 * classes]`."""
    one = np.ones(len(targets), dtype=bool)
    right = (decisions == targets).all(axis=1)
    columns = np.column_stack([one, right, decisions & targets, decisions, targets])
    return columns.astype(np.int64)


def _headline(totals: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Sums of `_count` `[..., 2 + 3 * classes]` to accuracy and macro F1, each `[...]`.

    Macro F1 is NaN where a class has no image: over fewer classes it would be another figure.
    """
    images, right = totals[..., 0], totals[..., 1]
    true_positives, decided, true = np.split(totals[..., 2:], 3, axis=-1)
    f1 = 2 * true_positives / np.maximum(decided + true, 1)
    return right / images, np.where((true > 0).all(axis=-1), f1.mean(axis=-1), np.nan)


def _by_patient(counts: Integers, patients: Sequence[str | None]) -> Integers:
    """Sums of counts per cluster: `[clusters, columns]`."""
    clusters: dict[str | int, int] = {}
    codes = [
        clusters.setdefault(place if patient is None else patient, len(clusters))
        for place, patient in enumerate(patients)
    ]
    sums = np.zeros((len(clusters), counts.shape[1]), dtype=np.int64)
    np.add.at(sums, codes, counts)
    return sums


def _resample(clusters: Integers, resamples: int, seed: int) -> Floats:
    """Sums of counts over as many clusters as there are, drawn anew: `[resamples, columns]`.

    Clusters with the same counts are interchangeable, so what is drawn is how often each kind
    of cluster occurs: the same distribution, mostly far fewer numbers, and no trace of order.
    """
    kinds, frequency = np.unique(clusters, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    at_once = max(1, CELLS // len(kinds))
    totals = np.empty((resamples, clusters.shape[1]))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = generator.multinomial(len(clusters), frequency / len(clusters), size=size)
        totals[start : start + size] = drawn.astype(np.float64) @ kinds
    return totals


def _with_interval(value: Floats, drawn: Floats) -> dict[str, float | None]:
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(drawn):
        return {"value": _plain(value), "low": None, "high": None}
    low, high = np.quantile(drawn, INTERVAL)
    return {"value": float(value), "low": float(low), "high": float(high)}


def _class_figures(
    target: Booleans, decided: Booleans, probability: npt.NDArray[np.floating[Any]]
) -> dict[str, float | None]:
    """One class's figures; arrays are `[images]`."""
    true_positives, true_negatives = int((target & decided).sum()), int((~target & ~decided).sum())
    positives, predicted = int(target.sum()), int(decided.sum())
    negatives = len(target) - positives
    both = positives > 0 and negatives > 0
    return {
        "precision": true_positives / predicted if predicted else None,
        "recall": true_positives / positives if positives else None,
        "specificity": true_negatives / negatives if negatives else None,
        "f1": 2 * true_positives / (predicted + positives) if positives else None,
        "auroc": float(roc_auc_score(target, probability)) if both else None,
        "average_precision": float(average_precision_score(target, probability)) if both else None,
    }


def _confusion(
    space: LabelSpace, decisions: Booleans, targets: Booleans
) -> dict[str, list[list[int]]] | list[list[int]]:
    """Rows are targets, columns decisions: 2 x 2 a class for multilabel, else one K x K."""
    if space.task == "single_label":
        square: list[list[int]] = (targets.astype(np.int64).T @ decisions).tolist()
        return square
    confusion = {}
    for column, name in enumerate(space.classes):
        cells = np.bincount(2 * targets[:, column] + decisions[:, column], minlength=4)
        confusion[name] = cells.reshape(2, 2).tolist()
    return confusion


def _undefined_notes(space: LabelSpace, decisions: Booleans, targets: Booleans) -> list[str]:
    """One sentence a reason, naming the classes that it holds for."""
    true, decided, images = targets.sum(axis=0), decisions.sum(axis=0), len(targets)
    reasons = (
        (
            true == 0,
            "No image bears {}: recall, F1, AUROC and average precision cannot be told there, "
            "nor macro F1, the mean over all classes.",
        ),
        (
            true == images,
            "Every image bears {}: specificity, AUROC and average precision cannot be told there.",
        ),
        (decided == 0, "No image was decided to be {}: precision cannot be told there."),
    )
    return [
        sentence.format(", ".join(space.names(holds))) for holds, sentence in reasons if holds.any()
    ]


def _interval_notes(
    metrics: Mapping[str, Any], patients: Sequence[str | None], resamples: int, left_out: int
) -> list[str]:
    """What a reader of the intervals should know."""
    notes, unknown = [], sum(patient is None for patient in patients)
    if unknown == len(patients):
        notes.append(
            "No patient is known: the intervals are over images, and too narrow if several "
            "images show one patient."
        )
    elif unknown:
        notes.append(
            f"{unknown:,} of {len(patients):,} images name no patient; in the intervals each "
            f"counts as a patient of its own."
        )
    if left_out:
        notes.append(
            f"{left_out:,} of {resamples:,} resamples held no image of some class and are left "
            f"out of macro F1's interval."
        )
    flat = [
        name
        for name, figure in (("accuracy", "accuracy"), ("macro F1", "macro_f1"))
        if metrics[figure]["low"] is not None and metrics[figure]["low"] == metrics[figure]["high"]
    ]
    if flat:
        notes.append(
            f"Every resample gives the same {' and '.join(flat)}: the interval has no width for "
            f"want of images or of mistakes, not because the figure is certain."
        )
    return notes


def _plain(value: Floats) -> float | None:
    return None if np.isnan(value) else float(value)


def _three_decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
