"""A file fitted to the place where it will run: a recalibration and thresholds for its images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from covid.edge.labels import DEFAULT_THRESHOLD, LabelSpace
from covid.edge.operating_point import ChosenOn, Method, OperatingPoint, Recalibration
from covid.errors import DataError
from covid.evaluation.answers import Targets
from covid.evaluation.operating.calibration import fit_recalibration, recalibrated
from covid.evaluation.operating.point import Target, choose, default_point, map_thresholds

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


def fit_to_site(
    site: Site,
    method: Method | None,
    wanted: Mapping[str, Target],
    point: OperatingPoint | None,
) -> Fitted:
    """A recalibration by `method`, if any, then thresholds that reach `wanted`.

    `point` is what chose the file's thresholds so far. Without a `wanted`, thresholds follow the
    recalibration and `point` keeps saying where they come from; with one, classes that it does not
    name do that. Raises DataError where there are fewer than 10 images of two outcomes, and what
    `fit_recalibration` and `choose` raise.
    """
    _require_enough(site)
    step, space, probabilities = None, site.space, site.probabilities
    if method is not None:
        step = _fit(site, method)
        probabilities = recalibrated(space, site.logits, step)
        if space.thresholds is not None:
            space = space.with_thresholds(map_thresholds(_named(space), step, space))
    known = probabilities, site.targets, site.patients
    if wanted:
        point = choose(space, *known, wanted, site.chosen_on)
        space = space.with_thresholds(point.thresholds)
    elif point is not None:
        point = _moved(point, space)
    elif set(site.space.thresholds or ()) == {DEFAULT_THRESHOLD}:
        point = default_point(space, *known, site.chosen_on, step)
        space = space.with_thresholds(point.thresholds)
    return Fitted(step, point, space, probabilities)


def _require_enough(site: Site) -> None:
    true, false = site.targets == 1, site.targets == 0
    known = (true | false).sum(axis=0)[true.any(axis=0) & false.any(axis=0)]
    most = int(known.max(initial=0))
    if most < MIN_IMAGES:
        raise DataError(
            f"{site.chosen_on.split}: holds {most} images of which some bear a class and others "
            f"do not, and {MIN_IMAGES} are the fewest that say anything; label more of them."
        )


def _fit(site: Site, method: Method) -> Recalibration:
    try:
        return fit_recalibration(method, site.space, site.logits, site.targets, site.chosen_on)
    except DataError as error:
        raise DataError(f"{str(error).removesuffix('.')} with --recalibrate none.") from None


def _named(space: LabelSpace) -> dict[str, float]:
    return dict(zip(space.classes, space.thresholds or (), strict=True))


def _moved(point: OperatingPoint, space: LabelSpace) -> OperatingPoint:
    """The same choice, at the thresholds of `space`, which decide what the earlier ones did."""
    thresholds = _named(space)
    per_class = {
        name: {**row, "threshold": thresholds[name]} for name, row in point.per_class.items()
    }
    return replace(point, thresholds=thresholds, per_class=per_class)
