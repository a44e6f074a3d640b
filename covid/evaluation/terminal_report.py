"""All of an evaluation that is worth a line on the terminal; report.html has the rest."""

import textwrap
from collections.abc import Mapping
from typing import Any

from covid.evaluation.evidence import evidence_table
from covid.evaluation.mistakes import mistakes_sentence
from covid.evaluation.operating.calibration import calibration_table
from covid.evaluation.operating.predictive_values import predictive_values_table
from covid.evaluation.terminal import COLUMNS, metrics_table


def evaluation_text(
    metrics: Mapping[str, Any], title: str, decides: str, *, predictive: bool
) -> str:
    """What metrics.json holds, for people: figures, what decides, calibration, where it fails.

    `decides` is the sentence on thresholds; `predictive`: predictive values too, which are many.
    """
    parts = (
        metrics_table(metrics, title),
        textwrap.fill(decides, COLUMNS),
        calibration_table(metrics["calibration"]),
        predictive_values_table(metrics["predictive_values"]) if predictive else "",
        evidence_table(metrics.get("evidence_in_mask"), COLUMNS),
        textwrap.fill(mistakes_sentence(metrics["mistakes"]), COLUMNS),
    )
    return "\n\n".join(part for part in parts if part)

