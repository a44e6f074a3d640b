"""What a benchmark measured: one object per figure, as JSON for programs and a table for people."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covid.edge.files import write_atomically
from covid.edge.table import format_table

Figure = dict[str, Any]


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    least: float | None = None,
    most: float | None = None,
    details: Mapping[str, Any] | None = None,
) -> Figure:
    """A measured `value`; `least` or `most` is its target, where it has one."""
    target = least if least is not None else most
    holds = None
    if least is not None:
        holds = value >= least
    elif most is not None:
        holds = value <= most
    return {
        "name": name,
        "value": float(f"{value:.6g}"),  # six digits: more are noise
        "unit": unit,
        "target": target,
        "holds": holds,
        "details": dict(details or {}),
    }


def figures_table(figures: Sequence[Figure]) -> str:
    """One line per figure; what has no target has a dash."""
    rows = [
        [
            figure["name"],
            f"{_readable(figure['value'])} {figure['unit']}".strip(),
            "–" if figure["target"] is None else f"{figure['target']:g}",
            {None: "–", True: "holds", False: "falls short"}[figure["holds"]],
        ]
        for figure in figures
    ]
    return format_table(["figure", "measured", "target", ""], rows)


def _readable(value: float) -> str:
    """Three digits, or all before the point: 0.0012, 2.71, 1,395."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def report_figures(figures: Sequence[Figure], path: Path | None) -> int:
    """Prints the table; writes the JSON too where `path` names a file. 0, the exit code."""
    print(figures_table(figures))
    if path:
        write_figures(path, figures)
    return 0


def write_figures(path: Path, figures: Sequence[Figure]) -> None:
    write_atomically(path, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
