"""Where a network decides: thresholds that reach a target, or say that it cannot be shown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from covid.edge.labels import DEFAULT_THRESHOLD, LabelSpace
from covid.edge.operating_point import ChosenOn, OperatingPoint, Recalibration
from covid.errors import DataError
from covid.evaluation.answers import Answers, Targets
from covid.evaluation.clusters import number_patients, who
from covid.evaluation.intervals import Z, proportion
from covid.evaluation.notes import in_words
from covid.evaluation.operating.targets import Target
from covid.evaluation.operating.thresholds import (
    Outcomes,
    Share,
    choose_threshold,
    forced_by,
    implying,
)

Booleans = npt.NDArray[np.bool_]

DEFAULT_RULE = f"{DEFAULT_THRESHOLD:g}, the default"
MAPPED_RULE = f"{DEFAULT_RULE}, mapped along"
LARGEST_RULE = "the largest probability"
MIRRORED: dict[Share, Share] = {"sensitivity": "specificity", "specificity": "sensitivity"}


def choose(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Targets,
    patients: Sequence[str | None],
    wanted: Mapping[str, Target],
    chosen_on: ChosenOn,
) -> OperatingPoint:
    """Thresholds at which `wanted` is reached, as `parse_targets` gives it, and what they reach.

    `probabilities`, taken as float32, and `targets` (bool, or 1 and 0 with NaN where they are not
    known) are `[images, classes]`. A sensitivity takes the largest threshold at which the lower
    limit of its 95 % interval over patients reaches the target, a specificity the smallest; where
    none shows it, the one at which the share itself does, and a note says so. A class without a
    target keeps its threshold in `space`. A class that others imply is chosen after these, with
    what they switch on.

    The figures of `per_class` are None where no image defines them. Raises DataError where a class
    that has a target is borne by every image or by none, and what `Answers.of` raises.
    """
    single = probabilities.astype(np.float32)
    answers, cluster = Answers.of(space, single, targets), number_patients(patients)
    thresholds, notes = _kept(space), []
    for name, others in implying(space).items():
        if name not in wanted:
            continue
        column, target = space.classes.index(name), wanted[name]
        positive, negative = (answers.are(kind)[:, column] for kind in ("positive", "negative"))
        for chosen, what in ((positive, "bears"), (negative, "does not bear")):
            if not chosen.any():
                raise DataError(
                    f"--target {name}:{target}: no image of {chosen_on.split} {what} {name}, so no "
                    f"threshold can be chosen; leave that target out or give such images."
                )
        forced = forced_by(space, others, single, thresholds)
        if space.task == "multilabel" or column == 0:
            share, probability = target.figure, single[:, column]
        else:  # the second class is decided where the first is not
            share, probability = MIRRORED[target.figure], single[:, 0]
            positive, negative = negative, positive
        chosen = positive if share == "sensitivity" else negative
        outcomes = Outcomes.of(share, chosen, probability, forced, cluster)
        choice = choose_threshold(outcomes, target.value, probability)
        if space.task == "single_label":
            first, second = space.classes
            thresholds = {first: choice.threshold, second: 1 - choice.threshold}
        else:
            thresholds[name] = choice.threshold
        if share == "sensitivity" and forced[chosen].mean() >= target.value:
            notes.append(
                f"{name}: decisions for {in_words(others)}, which imply it, reach a "
                f"{target.figure} of {target.value} by themselves; its own threshold is that of "
                f"its surest image."
            )
    rows = _rows(space, answers, thresholds, patients, wanted)
    notes += [
        note for name in space.classes if name in wanted
        for note in _shortfall(name, wanted[name], rows[name], implying(space)[name],
                               _those(answers, space, name, wanted[name].figure, patients))
    ]  # fmt: skip
    return OperatingPoint(_rule(space, wanted), thresholds, chosen_on, rows, tuple(notes))


def default_point(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Targets,
    patients: Sequence[str | None],
    chosen_on: ChosenOn,
    recalibration: Recalibration | None = None,
) -> OperatingPoint:
    """What is reached at 0.5, where nothing was chosen.

    With a `recalibration`, `probabilities` are those after it, and 0.5 is mapped along, so that the
    decisions stay. More than two classes of `single_label` have no thresholds.
    """
    answers = Answers.of(space, probabilities.astype(np.float32), targets)
    thresholds, rule = {}, LARGEST_RULE
    if space.task == "multilabel" or len(space.classes) == 2:
        thresholds, rule = dict.fromkeys(space.classes, DEFAULT_THRESHOLD), DEFAULT_RULE
        if recalibration is not None:
            thresholds, rule = map_thresholds(thresholds, recalibration, space), MAPPED_RULE
    rows = _rows(space, answers, thresholds, patients, {})
    return OperatingPoint(rule, thresholds, chosen_on, rows)


def map_thresholds(
    thresholds: Mapping[str, float], recalibration: Recalibration, space: LabelSpace
) -> dict[str, float]:
    """Thresholds of probabilities before a recalibration to those after it: no decision changes.

    As far as float32 tells probabilities apart: one that becomes 1 reaches every threshold. 0 and 1
    stay. For two classes of `single_label` a probability's log-odds are the difference of the
    logits, and the thresholds stay t and 1 - t; there are none to map for more.
    """
    lines = zip(space.classes, recalibration.scale, recalibration.shift, strict=True)
    with np.errstate(divide="ignore"):  # the log-odds of 0 and 1 are infinite, and map to these
        mapped = {
            name: float(expit(scale * logit(thresholds[name]) + shift))
            for name, scale, shift in lines
            if name in thresholds
        }
    if space.task == "single_label" and mapped:
        first, second = space.classes
        mapped[second] = 1 - mapped[first]
    return mapped


def map_along(
    point: OperatingPoint, before: Recalibration | None, after: Recalibration, space: LabelSpace
) -> OperatingPoint:
    """`point`, of probabilities that went through `before`, for those that go through `after`."""
    ones, zeros = (1.0,) * len(space.classes), (0.0,) * len(space.classes)
    scale, shift = (ones, zeros) if before is None else (before.scale, before.shift)
    step = replace(
        after,
        scale=tuple(new / old for new, old in zip(after.scale, scale, strict=True)),
        shift=tuple(
            b - a * old / c
            for a, b, c, old in zip(after.scale, after.shift, scale, shift, strict=True)
        ),
    )
    thresholds = map_thresholds(point.thresholds, step, space)
    rows = {
        name: {**row, "threshold": thresholds[name]} if name in thresholds else row
        for name, row in point.per_class.items()
    }
    return replace(point, thresholds=thresholds, per_class=rows)


def keep_targets(
    chosen: OperatingPoint, earlier: OperatingPoint, wanted: Mapping[str, Target]
) -> OperatingPoint:
    """`chosen`, with what `earlier` aimed at in classes that `wanted` does not name."""
    others = {
        name: row for name, row in earlier.per_class.items()
        if name not in wanted and row.get("target") is not None
    }  # fmt: skip
    rows = {
        name: {**row, **{key: others[name][key] for key in ("target", "shown")}}
        if name in others else row
        for name, row in chosen.per_class.items()
    }  # fmt: skip
    notes = [note for note in earlier.notes if note.partition(":")[0] in others]
    return replace(chosen, per_class=rows, notes=(*chosen.notes, *notes))


def _kept(space: LabelSpace) -> dict[str, float]:
    kept = space.thresholds or (DEFAULT_THRESHOLD,) * len(space.classes)
    return {name: float(value) for name, value in zip(space.classes, kept, strict=True)}


def _rule(space: LabelSpace, wanted: Mapping[str, Target]) -> str:
    """As `--target` would have it, then what the other classes keep."""
    if not wanted and set(_kept(space).values()) == {DEFAULT_THRESHOLD}:
        return DEFAULT_RULE
    alike = set(wanted.values())
    if space.task == "multilabel" and len(alike) == 1 and len(wanted) == len(space.classes):
        return str(alike.pop())
    parts = [f"{name}:{wanted[name]}" for name in space.classes if name in wanted]
    if space.task == "single_label" and wanted:
        return parts[0]
    for name, value in _kept(space).items():
        if name not in wanted:
            own = DEFAULT_RULE if value == DEFAULT_THRESHOLD else f"{value:.3g}, kept"
            parts.append(f"{name}: {own}")
    return "; ".join(parts)


def _rows(
    space: LabelSpace,
    answers: Answers,
    thresholds: Mapping[str, float],
    patients: Sequence[str | None],
    wanted: Mapping[str, Target],
) -> dict[str, dict[str, Any]]:
    """Each class's figures at its threshold, beside its target."""
    deciding = space.with_thresholds(thresholds) if thresholds else space
    decisions = deciding.decide(answers.probabilities)
    rows = {}
    for column, name in enumerate(space.classes):
        known, true, decided = (
            each[:, column] for each in (answers.known, answers.targets, decisions)
        )
        shares = {
            "sensitivity": (true & known, decided),
            "specificity": (~true & known, ~decided),
            "ppv": (decided & known, true),
            "npv": (~decided & known, ~true),
        }
        figures = {share: _share(of, right, patients) for share, (of, right) in shares.items()}
        target, shown = wanted.get(name), None
        if target is not None:
            low = figures[target.figure]["low"]
            shown = low is not None and low >= target.value
        rows[name] = {
            "target": None if target is None else vars(target).copy(),
            "threshold": thresholds.get(name),
            **figures,
            "shown": shown,
        }
    return rows


def _share(of: Booleans, right: Booleans, patients: Sequence[str | None]) -> dict[str, Any]:
    places = np.flatnonzero(of)
    if not len(places):
        return {"value": None, "low": None, "high": None, "patients": 0}
    share = proportion(right[places], [patients[place] for place in places.tolist()])
    return {"value": share.value, "low": share.low, "high": share.high, "patients": share.patients}


def _those(
    answers: Answers, space: LabelSpace, name: str, share: Share, patients: Sequence[str | None]
) -> list[str | None]:
    """The patients of the images that a share of a class is of."""
    kind = answers.are("positive" if share == "sensitivity" else "negative")
    of_class: Booleans = kind[:, space.classes.index(name)]
    return [patients[place] for place in np.flatnonzero(of_class).tolist()]


def _shortfall(
    name: str, target: Target, row: Mapping[str, Any], others: Sequence[str],
    patients: Sequence[str | None],
) -> list[str]:  # fmt: skip
    """Why a target is not shown, in a sentence; nothing where it is."""
    figure, value = row[target.figure], target.value
    if row["shown"]:
        return []
    through = f" beside the decisions for {in_words(others)}, which imply it" if others else ""
    if figure["value"] < value:
        return [
            f"{name}: a {target.figure} of {value} cannot be reached{through}, at most "
            f"{figure['value']:.3f}; the threshold is where it is largest."
        ]
    # What Wilson's lower limit is where every patient is decided as they should be.
    best = figure["patients"] / (figure["patients"] + Z**2)
    because = f"with {who(patients)}" if best < value else f"on these images{through}"
    return [
        f"{name}: a {target.figure} of {value} cannot be shown {because}; the threshold is where "
        f"the estimate reaches it."
    ]
