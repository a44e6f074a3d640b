"""A file fitted to the place where it will run: a recalibration and thresholds for its images."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from covid.edge.labels import DEFAULT_THRESHOLD, LabelSpace
from covid.edge.operating_point import ChosenOn, Method, OperatingPoint, Recalibration
from covid.errors import DataError
from covid.evaluation.answers import Targets
from covid.evaluation.operating.calibration import (
    fit_class,
    fit_recalibration,
    recalibrated,
    why_one_outcome,
)
from covid.evaluation.operating.point import choose, default_point, map_thresholds
from covid.evaluation.operating.targets import Target

Floats = npt.NDArray[np.float32]

# Images of which some bear a class and others do not: fewer cannot even name a threshold.
MIN_IMAGES = 10


@dataclass(frozen=True)
class Site:
    """What a file answers about labelled images of a place, in the order of the images."""

    space: LabelSpace  # as the file decides now
    logits: Floats  # [images, classes], like the next two
    probabilities: Floats
    targets: Targets  # 1 or 0, NaN where not known
    patients: Sequence[str | None]
    chosen_on: ChosenOn  # what these images are


@dataclass(frozen=True)
class Fitted:
    """What the file becomes there."""

    step: Recalibration | None  # of the file's logits, whatever it does to get these
    point: OperatingPoint | None  # None: nobody chose the thresholds of `space`
    space: LabelSpace
    probabilities: Floats  # [images, classes], of the site's images
    notes: tuple[str, ...] = ()  # sentences: what these images did not allow to fit or to choose


def fit_to_site(
    site: Site,
    method: Method | None,
    wanted: Mapping[str, Target],
    point: OperatingPoint | None,
    named: Collection[str] = (),
) -> Fitted:
    """A recalibration by `method`, if any, then thresholds that reach `wanted`.

    `point` is what chose the file's thresholds so far. Without a `wanted`, thresholds follow the
    recalibration and `point` keeps saying where they come from; with one, classes that it does not
    name do that. Nothing to do leaves everything as it is.

    A class that these images do not allow to recalibrate keeps its probabilities, and one without
    both outcomes its threshold, unless it is among the `named`, which a target of their own is for;
    a note says so. Raises DataError where there are fewer than 10 images of two outcomes, and for
    those `named`; ConfigError as `fit_recalibration` does.
    """
    _require_enough(site)
    step, space, probabilities, notes = None, site.space, site.probabilities, list[str]()
    if method is not None:
        step, notes = _fit(site, method)
    wanted, kept = _possible(site, wanted, named)
    notes += kept
    if step is not None:
        probabilities = recalibrated(space, site.logits, step)
        if space.thresholds is not None:
            space = space.with_thresholds(map_thresholds(_named(space), step, space))
    known = probabilities, site.targets, site.patients
    if wanted:
        point = choose(space, *known, wanted, site.chosen_on)
        space = space.with_thresholds(point.thresholds)
    elif step is None:
        pass
    elif point is not None:
        point = _moved(point, space)
    elif set(site.space.thresholds or ()) == {DEFAULT_THRESHOLD}:
        point = default_point(space, *known, site.chosen_on, step)
        space = space.with_thresholds(point.thresholds)
    return Fitted(step, point, space, probabilities, tuple(notes))


def _require_enough(site: Site) -> None:
    true, false = site.targets == 1, site.targets == 0
    known = (true | false).sum(axis=0)[true.any(axis=0) & false.any(axis=0)]
    most = int(known.max(initial=0))
    if most < MIN_IMAGES:
        raise DataError(
            f"{site.chosen_on.split}: holds {most} images of which some bear a class and others "
            f"do not, and {MIN_IMAGES} are the fewest that say anything; label more of them."
        )


def _fit(site: Site, method: Method) -> tuple[Recalibration | None, list[str]]:
    """What these images allow, None where that is nothing, and notes on what they do not."""
    if method == "temperature" or site.space.task == "single_label":  # which takes no other
        try:
            fitted = fit_recalibration(
                method, site.space, site.logits, site.targets, site.chosen_on
            )
        except DataError as error:
            return None, [f"{error} Probabilities stay as they were."]
        return fitted, []
    lines, notes = [], []
    for column, name in enumerate(site.space.classes):
        try:
            lines.append(fit_class(site.logits[:, column], site.targets[:, column]))
        except ArithmeticError as why:
            lines.append((1.0, 0.0))
            notes.append(f"{name}: {why} here, so its probabilities stay as they were.")
    if len(notes) == len(lines):
        return None, [*notes, "No class is recalibrated."]
    scales, shifts = zip(*lines, strict=True)
    return Recalibration(method, scales, shifts, site.chosen_on), notes


def _possible(
    site: Site, wanted: Mapping[str, Target], named: Collection[str]
) -> tuple[dict[str, Target], list[str]]:
    """Targets that a threshold can be chosen for, or that are an error, and notes on the others."""
    possible, notes = {}, []
    for name, target in wanted.items():
        column = site.targets[:, site.space.classes.index(name)]
        why = None if name in named else why_one_outcome(column[~np.isnan(column)] == 1)
        if why is None:
            possible[name] = target
        else:
            notes.append(f"{name}: {why} here, so its threshold is kept.")
    return possible, notes


def _named(space: LabelSpace) -> dict[str, float]:
    return dict(zip(space.classes, space.thresholds or (), strict=True))


def _moved(point: OperatingPoint, space: LabelSpace) -> OperatingPoint:
    """The same choice, at the thresholds of `space`, which decide what the earlier ones did."""
    thresholds = _named(space)
    per_class = {
        name: {**row, "threshold": thresholds[name]} for name, row in point.per_class.items()
    }
    return replace(point, thresholds=thresholds, per_class=per_class)
