"""Several sites beside each other, and beside the run's own images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covid.assessment.assess import Assessment, about_run
from covid.assessment.shortcuts import SHORTCUTS
from covid.data.predictor import Predictor, open_own_images
from covid.errors import DataError
from covid.evaluation.html.report import write_html
from covid.evaluation.report import METRICS, read_json, write_json
from covid.evaluation.sites.plot import plot_external
from covid.evaluation.sites.report import EXTERNAL, Site, external_report
from covid.evaluation.sites.text import external_table


def lay_beside(predictor: Predictor, sites: Sequence[Assessment], folder: Path) -> str:
    """external.json and external.png, in `folder`; returns the table.

    Where the run's own images were evaluated there before, they are the first row, and their
    report takes the others in.
    """
    metrics = read_json(folder / METRICS)
    own, note = None, ""
    if predictor.open_own is not None and metrics is not None and metrics.get("site") is not None:
        if _is_of(predictor, metrics):
            own = Site(f"{metrics['data']}, {metrics['split']}", metrics, metrics["site"])
        else:
            note = (
                f"\n\nNote: {folder} was evaluated with another network or at other thresholds, so "
                f"the own images\n      are left out; evaluate them again, then the sites."
            )
    outside = [Site(each.name, each.metrics, each.metrics["site"]) for each in sites]
    report = external_report(own, outside)
    write_json(folder / EXTERNAL, report)
    plot_external(folder / "external.png", report, f"{predictor.name} at {len(sites)} sites")
    if own is not None:
        try:
            index = open_own_images(predictor)
        except DataError:  # they lie elsewhere now; their ages and views alone are missed
            index = None
        write_html(
            folder, f"{predictor.name} on {own.name}", own.metrics,
            **about_run(predictor, index), external=report,
            shortcuts=read_json(folder / SHORTCUTS),
        )  # fmt: skip
    return external_table(report) + note


def _is_of(predictor: Predictor, metrics: Mapping[str, Any]) -> bool:
    """Whether an earlier evaluation is of this very network, deciding as it does now."""
    point, recalibration = predictor.operating_point, predictor.recalibration
    now = {
        **predictor.about,
        "operating_point": None if point is None else point.fields(),
        "recalibration": None if recalibration is None else recalibration.fields(),
    }
    return all(metrics.get(key) == value for key, value in now.items())
