"""Sites beside each other, as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from covid.evaluation.report import write_json
from covid.evaluation.sites.plot import plot_external

EXTERNAL = "external.json"


def write_external(folder: Path, report: Mapping[str, Any], title: str) -> None:
    """external.json, what `external_report` gives, and external.png. Raises StorageError."""
    write_json(folder / EXTERNAL, report)
    plot_external(folder / "external.png", report, title)
