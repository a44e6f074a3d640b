"""What a test of shortcuts shows, on the terminal."""

import textwrap
from collections.abc import Mapping
from typing import Any

from covid.edge.table import fold_table
from covid.evaluation.shortcuts.figures import MACRO
from covid.evaluation.terminal import COLUMNS


def shortcuts_text(report: Mapping[str, Any]) -> str:
    """`report` is shortcuts.json. Lines stay within 90 characters where names of classes allow."""
    images = f"{report['images']:,} images"
    if report["patients"]:
        images += f" of {report['patients']:,} patients"
    rows = {**report["tests"], **(report["masks"] or {})}
    columns = {
        "AUROC of": list(rows),
        **{
            name: [_value(row["auroc"][name]) for row in rows.values()]
            for name in [*report["classes"], MACRO]
        },
        "macro less whole": [_with_range(row["auroc"][MACRO].get("difference"))
                              for row in rows.values()],
        "changed": [_percent(row["changed"]) for row in rows.values()],
    }  # fmt: skip
    parts = [
        "\n".join(textwrap.wrap(f"Does it cheat? {report['title']}", COLUMNS)) + f"\n{images}",
        *fold_table(columns, COLUMNS),
        *_swap_and_probe(report),
        *(textwrap.fill(sentence, COLUMNS) for sentence in report["verdict"]["sentences"]),
    ]
    if report["verdict"]["caution"]:
        parts.append(textwrap.fill(report["verdict"]["caution"], COLUMNS))
    return "\n\n".join(parts)


def _swap_and_probe(report: Mapping[str, Any]) -> list[str]:
    swap, probe, names = report["swap"], report["probe"], report["classes"]
    columns: dict[str, list[str]] = {"class": list(names)}
    if swap:
        figures, shares = swap["auroc"], swap["followed"]
        columns["own class's border"] = [_value(figures["within"][name]) for name in names]
        columns["another's"] = [_value(figures["across"][name]) for name in names]
        columns["difference"] = [_with_range(figures["across"][name]["difference"])
                                 for name in names]  # fmt: skip
        columns["wrong in own"] = [_wrong(shares.get(name), "within") for name in names]
        columns["in another's"] = [_wrong(shares.get(name), "centre") for name in names]
        columns["rank correlation"] = [_with_range(swap["border_weight"].get(name))
                                       for name in names]  # fmt: skip
    if probe:
        columns["border probe"] = [_with_range(probe.get(name)) for name in names]
    return list(fold_table(columns, COLUMNS)) if swap or probe else []


def _value(figure: Mapping[str, Any]) -> str:
    return "–" if figure["value"] is None else f"{figure['value']:.2f}"


def _wrong(shares: Mapping[str, Any] | None, kind: str) -> str:
    """How many composites are not decided as their centre's label."""
    return "–" if shares is None else f"{100 * (1 - shares[kind]['value']):.0f} %"


def _percent(figure: Mapping[str, Any] | None) -> str:
    return "–" if figure is None else f"{100 * figure['value']:.0f} %"


def _with_range(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return f"{figure['value']:.2f}"
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"
