"""Which epoch's network is kept: the figure of validation that `select_by` names."""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.errors import ConfigError
from covid.evaluation.figures import METRICS, Kind, Metric, selectable
from covid.evaluation.notes import WITHOUT

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
    select_by: str,
    space: LabelSpace,
    targets: npt.NDArray[np.bool_],
    *,
    table: Sequence[Metric] = METRICS,
) -> str | None:
    """Why no network could have this figure on these images; None where one could.

    `targets` is `[images, classes]`. What a figure needs of decisions is not known before
    there are any, and may differ from epoch to epoch.
    """
    for metric in selectable(table):
        if metric.name != select_by:
            continue
        lacking_of: dict[Kind, npt.NDArray[np.bool_]] = {
            "positive": ~np.any(targets, axis=0), "negative": np.all(targets, axis=0),
        }  # fmt: skip
        for kind, lacking in lacking_of.items():
            if kind in metric.requires and lacking.any():
                return f"{WITHOUT[kind].lower()} {', '.join(space.names(lacking))}"
    return None
