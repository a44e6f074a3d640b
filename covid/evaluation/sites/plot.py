"""external.png: a forest plot of what a network is worth at each site, and how the sites differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from covid.evaluation.page import FAINT, INK, MARGIN, NORMAL, SMALL, Page, fit, save, text_width
from covid.evaluation.plots import CORRECT, EMPTY, RULE
from covid.evaluation.sites.text import (
    OWN,
    TITLES,
    classes_of,
    figure_text,
    shown_classes,
    traits_table,
)

NAME, COUNT = 2.1, 0.62  # inches: of a site's name, of each of the two counts
PLOT, WORDS, GAP = 1.25, 1.15, 0.16  # inches: of a panel, of the figures beside it, after both
SLOPE = 0.3  # inches that the last panel's figures take beyond WORDS: a slope can be negative
ROW, HEAD, TICKS = 0.26, 0.34, 0.42  # inches: of a site, of a class's name, of the axis below
APART = 0.12  # inches between the run's own test split and the sites outside
HIGH = 0.37  # inches: a row of the table below, two lines of text
LEFT = MARGIN + NAME + 2 * COUNT + 0.3  # where the first panel begins
# Widths of the table's columns below, beside the site's name.
WIDTHS = {"images": 0.65, "patients": 0.75, "age": 1.9, "view": 2.3, "sex": 1.6,
          "grey levels": 1.0, "labels": 3.2}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """One column of intervals: where it lies on the page and what it shows."""

    figure: str
    left: float  # inches
    low: float
    high: float
    ticks: tuple[float, ...]
    reference: float | None  # what it would be of no use, or perfect

    def place(self, value: float) -> float:
        """Inches from the page's left edge; what lies outside is put on the panel's edge."""
        inside = min(max(value, self.low), self.high)
        return self.left + PLOT * (inside - self.low) / (self.high - self.low)


def plot_external(path: Path, report: Mapping[str, Any], title: str) -> None:
    """Writes the picture of what `external_report` gives, which has one site or more.

    `title` names the network and the sites. Raises StorageError where `path` cannot be written;
    what was there stays.
    """
    save(external_figure(report, title), path)


def external_figure(report: Mapping[str, Any], title: str) -> Figure:
    """What `plot_external` writes: a block of rows per class, a row per site, four panels.

    The classes are those of `shown_classes`. Raises ValueError
    where there is no site.
    """
    sites = report["sites"]
    if not sites:
        raise ValueError("no site")
    names = shown_classes(sites)
    pooled = (report["pooled"] or {"per_class": {}})["per_class"]
    blocks = {name: _height(sites, pooled.get(name)) for name in names}
    below = 0.75 + HIGH * len(sites)
    width = LEFT + 4 * (PLOT + WORDS) + 3 * GAP + SLOPE + MARGIN
    heads, foot = 0.45, _foot(report, names)
    lines = fit(foot, width - 2 * MARGIN, SMALL, 3)
    high = heads + sum(blocks.values()) + below + 0.16 * (lines.count("\n") + 1) + 0.1
    page = Page(width, high, "Other hospitals", title, "lines are 95 % intervals")
    panels = _panels(sites, names)
    _heads(page, panels, page.top + 0.18)
    y = page.top + heads
    for name, block in blocks.items():
        _block(page, panels, name, sites, pooled.get(name), y)
        y += block
    _differences(page, report, y + 0.2)
    page.text(MARGIN, page.height - MARGIN - 0.16 * lines.count("\n"), lines, SMALL, FAINT,
              hang=True)  # fmt: skip
    return page.finish()


def _height(sites: Sequence[Mapping[str, Any]], pooled: Mapping[str, Any] | None) -> float:
    rows = len(sites) + bool(pooled and pooled["auroc"])
    return HEAD + rows * ROW + APART * (_is_apart(sites) + (rows > len(sites))) + TICKS


def _is_apart(sites: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the run's own split stands above sites from outside."""
    return bool(sites[0]["own"]) and len(sites) > 1


def _panels(sites: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Panel]:
    areas = [row["per_class"][name]["auroc"] for row in sites for name in names
             if name in row["per_class"]]  # fmt: skip
    lows = [area[end] for area in areas for end in ("value", "low") if area[end] is not None]
    # AUROC of a network that has learnt something lies above 0.5: half the panel would be empty.
    start = 0.4 if min(lows, default=1.0) >= 0.4 else 0.0
    ticks = (0.5, 0.75, 1.0) if start else (0.0, 0.5, 1.0)
    share = (0.0, 1.0, (0.0, 0.5, 1.0), None)
    scales: dict[str, tuple[float, float, tuple[float, ...], float | None]] = {
        "auroc": (start, 1.0, ticks, 0.5), "sensitivity": share, "specificity": share,
        "calibration_slope": (-0.5, 2.5, (0.0, 1.0, 2.0), 1.0),
    }  # fmt: skip
    step = PLOT + WORDS + GAP
    return [
        Panel(figure, LEFT + place * step, *scales[figure]) for place, figure in enumerate(TITLES)
    ]


def _heads(page: Page, panels: Sequence[Panel], y: float) -> None:
    for panel in panels:
        page.text(panel.left, y, TITLES[panel.figure], NORMAL, weight="bold")
    for place, words in enumerate(("images", "patients\nwith it")):
        page.text(MARGIN + NAME + (place + 1) * COUNT, y, words, SMALL, FAINT, ha="right")


def _block(
    page: Page, panels: Sequence[Panel], name: str, sites: Sequence[Mapping[str, Any]],
    pooled: Mapping[str, Any] | None, y: float,
) -> None:  # fmt: skip
    """One class: its name, a row per site, the summary where there is one, the axes."""
    page.box(MARGIN, y, page.width - 2 * MARGIN, HEAD - 0.08, EMPTY)
    page.text(MARGIN + 0.08, y + (HEAD - 0.08) / 2, fit(name, page.width - 1, NORMAL), NORMAL,
              weight="bold")  # fmt: skip
    first, end = y + HEAD, y + _height(sites, pooled) - TICKS
    for panel in panels:
        _axis(page, panel, first, end)
    y = first + ROW / 2
    for place, row in enumerate(sites):
        y += APART if place == 1 and _is_apart(sites) else 0.0
        figures = row["per_class"].get(name)
        own = OWN if row["own"] else ""
        short = fit(row["name"], NAME - 0.3 - (text_width(own, SMALL) if own else 0.0), SMALL)
        page.text(MARGIN + 0.08, y, short + own)
        counts = (row["images"], figures["patients"] if figures else None)
        for column, count in enumerate(counts):
            text = "–" if count is None else f"{count:,}"
            page.text(MARGIN + NAME + (column + 1) * COUNT, y, text, SMALL, FAINT, ha="right")
        for panel in panels:
            none = {"value": None, "reason": "no such class"}
            _interval(page, panel, figures[panel.figure] if figures else none, y, row["own"])
        y += ROW
    if pooled and pooled["auroc"]:
        _summary(page, panels, pooled, y + APART)


def _axis(page: Page, panel: Panel, top: float, bottom: float) -> None:
    for tick in panel.ticks:
        x = panel.place(tick)
        page.axes.plot([x, x], [top, bottom], color=RULE, linewidth=0.6, zorder=0)
        page.text(x, bottom + 0.13, f"{tick:g}", SMALL, FAINT, ha="center")
    if panel.reference is not None:
        x = panel.place(panel.reference)
        page.axes.plot([x, x], [top, bottom], color=FAINT, linewidth=1.0, linestyle=":", zorder=1)
    page.axes.plot([panel.left, panel.left + PLOT], [bottom, bottom], color=RULE, linewidth=0.8)


def _interval(page: Page, panel: Panel, figure: Mapping[str, Any], y: float, own: bool) -> None:
    """A square on a line, and the same in digits; a dash and the reason where there is none."""
    if figure["value"] is None:
        _over_axis(page, panel, y, fit(f"– {figure['reason']}", PLOT + WORDS - 0.1, SMALL))
        return
    color = FAINT if own else CORRECT
    if figure["low"] is not None and figure["high"] is not None:
        ends = (figure["low"], figure["high"])
        page.axes.plot([panel.place(end) for end in ends], [y, y], color=color, linewidth=1.6,
                       solid_capstyle="butt", zorder=2)  # fmt: skip
        for edge, marker, beyond in (
            (panel.low, "<", ends[0] < panel.low), (panel.high, ">", ends[1] > panel.high),
        ):  # fmt: skip
            if beyond:
                page.axes.plot(panel.place(edge), y, marker, color=color, markersize=5, zorder=3)
    if panel.low <= figure["value"] <= panel.high:
        page.axes.plot(panel.place(figure["value"]), y, "s", color=color, markersize=6, zorder=3,
                       markerfacecolor="white" if own else color)  # fmt: skip
    wide = WORDS - 0.12 + (SLOPE if panel.figure == "calibration_slope" else 0.0)
    page.text(panel.left + PLOT + 0.12, y, fit(figure_text(figure), wide, SMALL))


def _over_axis(page: Page, panel: Panel, y: float, words: str) -> None:
    """Words on white, where the lines of a panel's axis are."""
    page.box(panel.left + 0.03, y - 0.09, text_width(words, SMALL) + 0.06, 0.18, "white", zorder=2)
    page.text(panel.left + 0.06, y, words, SMALL, FAINT, zorder=3)


def _summary(
    page: Page, panels: Sequence[Panel], pooled: Mapping[str, Any], y: float
) -> None:
    """A diamond as wide as the interval of the mean, on a line for the sites to come."""
    panel = panels[0]
    page.text(MARGIN + 0.08, y, f"Summary of {pooled['sites']} sites")
    mean, prediction = pooled["auroc"], pooled["prediction"]
    page.axes.plot([panel.place(prediction[end]) for end in ("low", "high")], [y, y], color=INK,
                   linewidth=0.8, zorder=2)  # fmt: skip
    left, middle, right = (panel.place(mean[end]) for end in ("low", "value", "high"))
    page.axes.fill([left, middle, right, middle], [y, y - 0.08, y, y + 0.08], color=INK, zorder=3)
    page.text(panel.left + PLOT + 0.12, y, figure_text(mean))
    ends = f"{prediction['low']:.2f}–{prediction['high']:.2f}"
    _over_axis(page, panels[1], y, f"thin line, 95 % of such sites: {ends}")


def _differences(page: Page, report: Mapping[str, Any], y: float) -> None:
    """How the sites differ: one row a site, a column a trait."""
    several = len(report["sites"]) > 1
    page.text(MARGIN, y, "How the sites differ" if several else "The site", NORMAL, weight="bold")
    table = traits_table(report)
    spare = page.width - 2 * MARGIN - NAME - sum(WIDTHS.values())
    for place, row in enumerate(report["sites"]):
        middle = y + 0.75 + (place - 0.25) * HIGH
        page.axes.plot([MARGIN, page.width - MARGIN], [middle - HIGH / 2] * 2, color=RULE,
                       linewidth=0.6)  # fmt: skip
        page.text(MARGIN + 0.08, middle, fit(row["name"], NAME - 0.3, SMALL, 2))
        x = MARGIN + NAME
        for column, wide in WIDTHS.items():
            wide += spare if column == "labels" else 0.0
            if place == 0:
                page.text(x, y + 0.34, column, SMALL, FAINT)
            page.text(x, middle, fit(table[column][place], wide - 0.15, SMALL, 2))
            x += wide


def _foot(report: Mapping[str, Any], names: Sequence[str]) -> str:
    parts = ["Dotted: AUROC of chance and the slope of perfect calibration. An arrow: the line "
             "goes on."]  # fmt: skip
    if any(row["own"] for row in report["sites"]):
        parts.append("The run's own test split stands apart, hollow, and is never pooled.")
    if report["pooled"] is None:
        parts.append(f"Not pooled: {report['pooled_reason']}.")
    else:
        rows = [row for name, row in report["pooled"]["per_class"].items() if name in names]
        if any(row["auroc"] for row in rows):
            parts.append(f"Summary: {report['pooled']['method']}.")
        parts += [f"Not pooled: {row['reason']}." for row in rows if row["reason"]]
    if len(names) < (every := len(classes_of(report["sites"]))):
        parts.append(f"Shown are the {len(names)} classes of {every} that the most patients have.")
    return " ".join(parts)
