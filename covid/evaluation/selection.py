"""Which epoch's network is kept: the figure of validation that `select_by` names."""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from covid.edge.labels import LabelSpace
from covid.errors import ConfigError
from covid.evaluation.answers import Targets
from covid.evaluation.figures import METRICS, Metric, selectable

LOSS = "loss"


def check_select_by(select_by: str, source: str, *, table: Sequence[Metric] = METRICS) -> None:
    """Raises ConfigError, which names `source`, where nothing has that name."""
    allowed = [*(metric.name for metric in selectable(table)), LOSS]
    if select_by not in allowed:
        close = difflib.get_close_matches(select_by, allowed, n=1)
        hint = f"; did you mean {close[0]}" if close else ""
        raise ConfigError(
            f"{source}: select_by: {select_by!r} is not one of {', '.join(allowed)}{hint}."
        )


def merit(
    select_by: str, figures: Mapping[str, float | None], *, table: Sequence[Metric] = METRICS
) -> float | None:
    """The figure that `select_by` names, turned where smaller is better: larger is better.

    `figures` is what `quick_figures` gives, and the loss. None where it is not defined.
    """
    value = figures[select_by]
    smaller = {LOSS, *(m.name for m in selectable(table) if not m.larger_is_better)}
    return -value if value is not None and select_by in smaller else value


def reason_against(
    select_by: str, space: LabelSpace, targets: Targets, *, table: Sequence[Metric] = METRICS
) -> str | None:
    """Why no network could have this figure on these images; None where one could.

    `targets` is `[images, classes]`, NaN where not known. What a figure needs of decisions is not
    known before there are any, and may differ from epoch to epoch.
    """
    means = [metric.macro().name for metric in table if metric.per_class]
    both = np.any(targets == 1, axis=0) & np.any(targets == 0, axis=0)
    if select_by in means and not both.any():
        return f"each of {', '.join(space.classes)} is true of every image or of none"
    return None
