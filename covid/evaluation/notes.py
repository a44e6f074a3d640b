"""Sentences beside the figures: why one is not there, what an interval leaves out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from covid.edge.labels import LabelSpace
from covid.evaluation.answers import Answers, Booleans, Floats, Kind
from covid.evaluation.figures import NEAR_ONE, Metric, headlines, per_class

# Why a figure that needs images of a kind is not defined for the classes that are named.
WITHOUT: dict[Kind, str] = {
    "positive": "No image bears",
    "negative": "Every image bears",
    "predicted": "No image was decided to be",
    "predicted_negative": "Every image was decided to be",
}
NOTHING_KNOWN = "Of no image is it known whether it bears"
TOO_NARROW = "Likely too narrow, for want of patients or of mistakes, are the intervals of "
NO_FOLD = "No fold has images that bear and images that do not bear"


def undefined_notes(
    space: LabelSpace, answers: Answers, values: Mapping[str, Floats], table: Sequence[Metric]
) -> Iterator[str]:
    """One sentence a reason, naming the classes that it holds for.

    `values` has each figure `[1, classes]`, or `[1]` where it is of all classes.
    """
    explained = {metric.name: np.zeros(len(space.classes), bool) for metric in per_class(table)}
    nothing = ~np.any(answers.known, axis=0)
    unknown = [m for m in per_class(table) if np.isnan(values[m.name][0, nothing]).all()]
    reasons = [(NOTHING_KNOWN, nothing, unknown)]
    for kind, reason in WITHOUT.items():
        lacking = ~np.any(answers.are(kind), axis=0) & ~nothing
        reasons.append((reason, lacking, [m for m in table if kind in m.requires]))
    if answers.folds:
        nowhere = answers.both_outcomes & ~np.any(_both_by_fold(answers), axis=0)
        reasons.append((NO_FOLD, nowhere, [m for m in table if m.by_fold]))
    for reason, lacking, metrics in reasons:
        needy = [metric for metric in metrics if metric.per_class]
        for metric in needy:
            explained[metric.name] |= lacking
        if not lacking.any() or not needy:
            continue
        classes, titles = ", ".join(space.names(lacking)), in_words([m.title for m in needy])
        means = [metric.macro().title for metric in needy if metric.headline]
        counts = (lacking & answers.both_outcomes).any() and means
        nor = f", nor {in_words(means)}, which takes that in" if counts else ""
        yield f"{reason} {classes}: {titles} cannot be determined there{nor}."
    for metric in per_class(table):
        others = np.isnan(values[metric.name][0]) & ~explained[metric.name]
        if others.any():
            classes = ", ".join(space.names(others))
            yield f"By its formula {metric.title} is not defined for these answers: {classes}."


def unknown_notes(space: LabelSpace, answers: Answers) -> Iterator[str]:
    """How many targets of each class count in no figure, and images of which none is known."""
    counts = (~answers.known).sum(axis=0).tolist()
    parts = [f"{n:,} of {name}" for name, n in zip(space.classes, counts, strict=True) if n]
    if parts:
        images = int((~answers.evaluated).sum())
        also = f", nor in accuracy {images:,} images of which none is known" if images else ""
        yield f"Targets that are not known count in no figure: {', '.join(parts)}{also}."


def macro_notes(space: LabelSpace, answers: Answers, table: Sequence[Metric]) -> Iterator[str]:
    """Which classes a mean over classes leaves out, because they have one outcome only."""
    means = [metric.macro().title for metric in table if metric.per_class and metric.headline]
    left_out = ~answers.both_outcomes
    if not means or not left_out.any():
        return
    if left_out.all():
        yield f"No class is both borne and not borne: {in_words(means)} cannot be determined."
    else:
        yield (
            f"Left out of {in_words(means)}: {', '.join(space.names(left_out))}; a mean over "
            f"classes is of those that some images bear and others do not."
        )


def fold_notes(space: LabelSpace, answers: Answers, table: Sequence[Metric]) -> Iterator[str]:
    """Which folds a mean over folds leaves out, because they have one outcome only."""
    means = [metric.title for metric in table if metric.by_fold]
    if not answers.folds or not means:
        return
    both = _both_by_fold(answers)
    counts = (~both).sum(axis=0) * (answers.both_outcomes & both.any(axis=0))
    parts = [f"{n} of {len(both)} for {name}"
             for name, n in zip(space.classes, counts.tolist(), strict=True) if n]  # fmt: skip
    yield f"{in_words(means)} are means over folds, whose networks have no common scale."
    if parts:
        yield (
            f"Left out of these means: {', '.join(parts)}; a fold counts where some of its images "
            f"bear a class and others do not."
        )


def _both_by_fold(answers: Answers) -> Booleans:
    """Whether a fold has both outcomes of a class: `[folds, classes]`."""
    return np.stack([fold.both_outcomes for _, fold in answers.folds])


def patient_notes(patients: Sequence[str | None]) -> Iterator[str]:
    """Whether the intervals are over patients or, for want of names, over images."""
    unknown = sum(patient is None for patient in patients)
    if unknown == len(patients):
        yield (
            "No patient is known: the intervals are over images, and too narrow if several "
            "images show one patient."
        )
    elif unknown:
        yield (
            f"{unknown:,} of {len(patients):,} images name no patient; in the intervals each "
            f"counts as a patient of its own."
        )


def left_out_notes(
    space: LabelSpace,
    values: Mapping[str, Floats],
    drawn: Mapping[str, Floats],
    table: Sequence[Metric],
) -> Iterator[str]:
    """One sentence on resamples that, other than the images themselves, do not define a figure.

    `drawn` has each figure, shares apart, `[resamples]` or `[resamples, classes]`.
    """
    missing = {
        name: np.isnan(resampled).sum(axis=0) * ~np.isnan(values[name][0])
        for name, resampled in drawn.items()
    }
    parts = [
        f"{missing[metric.name]:,} of {metric.title}"
        for metric in headlines(table)
        if metric.share is None and missing[metric.name]
    ]
    for column, name in enumerate(space.classes):
        titles: dict[int, list[str]] = {}
        for metric in (m for m in per_class(table) if m.share is None):
            titles.setdefault(int(missing[metric.name][column]), []).append(metric.title)
        parts += [f"{times:,} of {name}'s {in_words(titles[times])}" for times in titles if times]
    if parts:
        resamples = max(map(len, drawn.values()))
        yield (
            f"Of {resamples:,} resamples those without the images that a figure needs are left "
            f"out of its interval: {'; '.join(parts)}."
        )


def few_patients_notes(
    metrics: Mapping[str, Any], outcomes: Mapping[str, tuple[int, int]], table: Sequence[Metric]
) -> Iterator[str]:
    """One sentence on intervals of fewer patients than are enough for them to hold.

    `metrics` is what metrics.json holds; `outcomes` says of each class how many patients have it,
    and how many do not.
    """
    # Of an outcome that no image has, no figure says anything.
    rarer = {name: min(count for count in both if count)
             for name, both in outcomes.items() if any(both)}  # fmt: skip
    titles = [
        metric.title
        for metric in headlines(table)
        if _is_of_too_few(metric, metrics[metric.name], min(rarer.values()))
    ]
    for metric in per_class(table):
        classes = [
            name
            for name, row in metrics["per_class"].items()
            if _is_of_too_few(
                metric, {"value": row[metric.name], **row["intervals"][metric.name]},
                rarer.get(name, 0),
            )
        ]  # fmt: skip
        titles += [f"{metric.title} of {in_words(classes)}"] if classes else []
    if titles:
        yield (
            f"{TOO_NARROW}{'; '.join(titles)}: of studies like these, fewer than 92 in 100 have "
            f"one that holds the truth (benchmarks/coverage.py)."
        )


def _is_of_too_few(metric: Metric, figure: Mapping[str, Any], least: int) -> bool:
    """`figure` has value, interval and patients; `least` patients have the rarer outcome."""
    if figure["low"] is None:
        return False
    enough = metric.needed
    near_one = figure["value"] > NEAR_ONE and least < enough.of_each_near_one
    return least < enough.of_each or figure["patients"] < enough.in_all or near_one


def width_notes(metrics: Mapping[str, Any], table: Sequence[Metric]) -> Iterator[str]:
    """One sentence on intervals whose ends are the same; `metrics` is what metrics.json holds."""
    flat = [metric.title for metric in headlines(table) if _is_flat(metrics[metric.name])]
    for metric in per_class(table):
        classes = [
            name
            for name, row in metrics["per_class"].items()
            if _is_flat(row["intervals"][metric.name])
        ]
        flat += [f"{metric.title} of {' and '.join(classes)}"] if classes else []
    if flat:
        yield (
            f"Every resample gives the same {'; '.join(flat)}: the interval has no width for "
            f"want of images or of mistakes, not because the figure is certain."
        )


def _is_flat(interval: Mapping[str, float | None]) -> bool:
    return interval["low"] is not None and interval["low"] == interval["high"]


def in_words(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
