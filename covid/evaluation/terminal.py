"""An evaluation on the terminal: headline, one row per class, intervals, folds, notes."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from covid.edge.table import fold_table
from covid.evaluation.figures import METRICS, Metric, headlines, per_class

COLUMNS = 90  # of a table, so that it fits most terminals


def metrics_table(
    metrics: Mapping[str, Any], title: str, *, table: Sequence[Metric] = METRICS
) -> str:
    """What `compute_metrics` gives by `table`, for people; a dash for what is undefined.

    Lines stay within 90 characters: a table that would be wider goes on below itself, as far as
    the classes' names leave room for a column.
    """
    images = "1 image" if metrics["images"] == 1 else f"{metrics['images']:,} images"
    if metrics["patients"]:
        images += f" of {metrics['patients']:,} patient" + "s" * (metrics["patients"] > 1)
    rows = metrics["per_class"]
    names = [metric.column or metric.title for metric in per_class(table)]
    columns = {"class": list(rows), "support": [f"{row['support']:,}" for row in rows.values()]}
    if metrics["patients"]:
        columns["patients"] = [_count(row["patients"]) for row in rows.values()]
    intervals = {"95 % intervals": list(rows)}
    for name, metric in zip(names, per_class(table), strict=True):
        columns[name] = [_three_decimals(row[metric.name]) for row in rows.values()]
        intervals[name] = [_range(row["intervals"][metric.name]) for row in rows.values()]
    if any(row["threshold"] is not None for row in rows.values()):
        columns["threshold"] = [f"{row['threshold']:.3g}" for row in rows.values()]
    notes = [
        textwrap.fill(f"Note: {sentence}", COLUMNS, subsequent_indent="      ")
        for sentence in metrics["notes"]
    ]
    parts = (
        "\n".join([*textwrap.wrap(title, COLUMNS), images]),
        _headlines(metrics, table),
        *fold_table(columns, COLUMNS),
        *fold_table(intervals, COLUMNS),
        *(fold_table(_over_folds(metrics, table), COLUMNS) if metrics["folds"] else ()),
        "\n".join(notes),
    )
    return "\n\n".join(part for part in parts if part)


def _headlines(metrics: Mapping[str, Any], table: Sequence[Metric]) -> str:
    """One line each, the values below each other."""
    width = max((len(metric.title) for metric in headlines(table)), default=0)
    lines = []
    for metric in headlines(table):
        figure = metrics[metric.name]
        line = f"{metric.title:{width}}  {_three_decimals(figure['value'])}"
        if figure["low"] is not None:
            line += f"  (95 % interval {figure['low']:.3f} to {figure['high']:.3f})"
        spread = metrics["folds"] and metrics["folds"]["spread"].get(metric.name)
        if spread:
            line += f", in folds {spread['lowest']:.3f} to {spread['highest']:.3f}"
        lines.append(line)
    return "\n".join(lines)


def _over_folds(metrics: Mapping[str, Any], table: Sequence[Metric]) -> dict[str, list[str]]:
    """The columns of what each fold has of its own: lowest to highest."""
    folds = metrics["folds"]
    columns = {f"range of {folds['folds']} folds": list(metrics["per_class"])}
    for metric in per_class(table):
        if metric.by_fold:
            spreads = folds["spread"][metric.name].values()
            columns[metric.column or metric.title] = [
                "–" if spread is None else f"{spread['lowest']:.2f}–{spread['highest']:.2f}"
                for spread in spreads
            ]
    return columns


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _three_decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(interval: Mapping[str, float | None]) -> str:
    """Two decimals: an interval says no more of a third."""
    low, high = interval["low"], interval["high"]
    return "–" if low is None else f"{low:.2f}–{high:.2f}"
