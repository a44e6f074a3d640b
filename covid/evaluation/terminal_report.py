"""All of an evaluation that is worth a line on the terminal; report.html has the rest."""

from collections.abc import Mapping
from typing import Any

from covid.evaluation.calibration import calibration_table
from covid.evaluation.mistakes import mistakes_sentence
from covid.evaluation.predictive_values import predictive_values_table
from covid.evaluation.subgroups import subgroups_table
from covid.evaluation.terminal import metrics_table


def evaluation_text(
    metrics: Mapping[str, Any], title: str, decides: str, *, predictive: bool
) -> str:
    """What metrics.json holds, for people: figures, what decides, calibration, where it fails.

    `decides` is the sentence on thresholds; `predictive`: predictive values too, which are many.
    """
    parts = (
        metrics_table(metrics, title),
        decides,
        calibration_table(metrics["calibration"]),
        predictive_values_table(metrics["predictive_values"]) if predictive else "",
        subgroups_table(metrics["subgroups"]),
        mistakes_sentence(metrics["mistakes"]),
    )
    return "\n\n".join(part for part in parts if part)

