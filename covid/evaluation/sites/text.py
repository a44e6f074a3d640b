"""Other hospitals in words: tables and sentences for the terminal, figures for the picture."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from covid.edge.table import fold_table
from covid.evaluation.sites.report import UNKNOWN

TITLES = {
    "auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity",
    "calibration_slope": "calibration slope",
}  # fmt: skip
WIDTH = 90  # characters of a table, as in metrics_table
MAX_NAME = 30  # characters of a site's or a class's name there
MAX_VALUE, MAX_PARTS = 14, 3  # characters of a view or label in a cell, and how many stand there
MAX_CLASSES = 6  # tables of rows per site, or blocks in the picture: more would not be looked at
OWN = " (own test)"  # after the name of what lies not outside


def external_table(report: Mapping[str, Any]) -> str:
    """What `external_report` gives, for the terminal: a table a class, of how sites differ, notes.

    Lines stay within 90 characters; empty where there is no site. Of more than MAX_CLASSES classes
    those with the most patients.
    """
    sites = report["sites"]
    if not sites:
        return ""
    names = [
        _short(row["name"], MAX_NAME - len(OWN)) + OWN if row["own"] else _short(row["name"])
        for row in sites
    ]
    parts: list[str] = []
    for name in shown_classes(sites):
        rows = [row["per_class"].get(name) for row in sites]
        patients = [f"{row['patients']:,}" if row else "–" for row in rows]
        table = {_short(name): names, "patients": patients}
        for figure, title in TITLES.items():
            table[title] = [figure_text(row[figure]) if row else "–" for row in rows]
        parts += fold_table(table, WIDTH)
    parts += fold_table({"site": names, **traits_table(report)}, WIDTH)
    notes = [textwrap.fill(f"Note: {note}", WIDTH, subsequent_indent="      ")
             for note in external_notes(report)]  # fmt: skip
    return "\n\n".join([*parts, "\n".join(notes)]).rstrip()


def external_notes(report: Mapping[str, Any]) -> Iterator[str]:
    """Sentences: why figures are missing, what the summary says of each class."""
    shown, reasons = shown_classes(report["sites"]), dict[str, list[str]]()
    for row in report["sites"]:
        for figures in (row["per_class"][name] for name in shown if name in row["per_class"]):
            for figure in TITLES:
                reason = figures[figure]["reason"]
                if reason and row["name"] not in reasons.setdefault(reason, []):
                    reasons[reason].append(row["name"])
    for reason, names in reasons.items():
        yield f"A dash at {', '.join(names)}: {reason}."
    pooled = report["pooled"]
    if pooled is None:
        yield f"Not pooled: {report['pooled_reason']}."
        return
    for name, row in ((name, pooled["per_class"].get(name)) for name in shown):
        if row is None:
            continue
        if row["auroc"] is None:
            yield f"{name} is not pooled: {row['reason']}."
        else:
            yield (
                f"AUROC of {name} over {row['sites']} sites: {figure_text(row['auroc'])}; for 95 % "
                f"of sites like these {row['prediction']['low']:.2f} to "
                f"{row['prediction']['high']:.2f}."
            )


def classes_of(sites: Sequence[Mapping[str, Any]]) -> list[str]:
    """The classes of a report's sites, in the network's order."""
    return list(dict.fromkeys(name for row in sites for name in row["per_class"]))


def shown_classes(sites: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those MAX_CLASSES of them that the most patients have, in the network's order."""
    names = classes_of(sites)
    patients = {
        name: sum(row["per_class"][name]["patients"] for row in sites if name in row["per_class"])
        for name in names
    }
    most = sorted(names, key=lambda name: -patients[name])[:MAX_CLASSES]
    return [name for name in names if name in most]


def traits_table(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """How sites differ: column -> a cell per site, a dash where nothing is known."""
    rows = [row["traits"] for row in report["sites"]]
    return {
        "images": [f"{row['images']:,}" for row in rows],
        "patients": [f"{row['patients']:,}" if row["patients"] else "–" for row in rows],
        "age": [_age(row["age"], row["images"]) for row in rows],
        "view": [_shares(row["view"], row["images"]) for row in rows],
        "sex": [_shares(row["sex"], row["images"]) for row in rows],
        "grey levels": [_greys(row["grey_levels"]) for row in rows],
        "labels": [_some([f"{n:,} {_short(key, MAX_VALUE)}" for key, n in row["labels"].items()])
                   for row in rows],
    }  # fmt: skip


def _age(age: Mapping[str, Any], images: int) -> str:
    if age["median"] is None:
        return "–"
    first, third = age["quartiles"]
    known = f", {_percent(age['known'], images)} known" if age["known"] < images else ""
    return f"{age['median']:.0f} ({first:.0f}–{third:.0f}){known}"


def _shares(counts: Mapping[str, int], images: int) -> str:
    if not counts or list(counts) == [UNKNOWN]:
        return "–"
    shares = [f"{_short(value, MAX_VALUE)} {_percent(n, images)}" for value, n in counts.items()]
    return _some(shares)


def _some(parts: Sequence[str]) -> str:
    """The first MAX_PARTS, and how many more there are; a dash where there is none."""
    more = f" +{len(parts) - MAX_PARTS}" if len(parts) > MAX_PARTS else ""
    return ", ".join(parts[:MAX_PARTS]) + more or "–"


def _percent(part: int, whole: int) -> str:
    """Whole percents; 0 % and 100 % only where it is none and all."""
    rounded = round(100 * part / whole)
    return f"{min(99, max(1, rounded)) if 0 < part < whole else rounded} %"


def _greys(levels: Mapping[str, float] | None) -> str:
    return "–" if levels is None else f"{levels['mean']:.0f} ± {levels['standard_deviation']:.0f}"


def figure_text(figure: Mapping[str, Any]) -> str:
    """`0.92 (0.85–0.96)`; `to` between ends of which one is negative, a dash for no figure."""
    if figure["value"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return _number(figure["value"])
    between = " to " if figure["low"] < 0 else "–"
    return (
        f"{_number(figure['value'])} ({_number(figure['low'])}{between}{_number(figure['high'])})"
    )


def _number(value: float) -> str:
    """Two decimals, fewer where they say nothing: 0.92, 12.3, 123."""
    size = abs(value)
    return f"{value:.{2 if size < 10 else 1 if size < 100 else 0}f}".replace("-", "−")


def _short(name: str, width: int = MAX_NAME) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"
