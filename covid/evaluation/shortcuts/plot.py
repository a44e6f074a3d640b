"""A picture of a test of shortcuts: how each change looks, and what is still told from it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covid.evaluation.page import FAINT, INK, LEADING, MARGIN, NORMAL, SMALL, Page, fit, save
from covid.evaluation.plots import CORRECT, RULE, WRONG
from covid.evaluation.shortcuts.figures import WHOLE
from covid.evaluation.shortcuts.verdict import (
    BORDER,
    HIDDEN,
    WITHOUT_LUNGS,
    evaluated_classes,
    outside,
)

Pixels = npt.NDArray[np.uint8]  # [size, size]

ROW, PICTURE, NAMES, PANEL, GAP = 0.88, 0.82, 1.75, 2.3, 0.25  # inches
HEAD = 0.32  # inches of a group's heading
TICKS = 0.25  # inches below an axis, for its numbers
PANELS = 4  # at most: of the classes that are told best without lungs
GROUPS = (
    ("Where no lungs are seen", WITHOUT_LUNGS),
    ("Where lungs are seen", ("only lungs, grey", "only lungs, black", "lungs hidden by mask, grey",
                              "lungs hidden by mask, black", "only lungs by mask, grey",
                              "only lungs by mask, black")),
    ("Coarse or scattered", ("patches shuffled", "thumbnail")),
    ("Nothing but the marker or the greys differs",
     ("same marker", "equalised", "inverted", "gamma 0.5", "gamma 2")),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of the picture."""

    name: str
    picture: Pixels | None
    figures: Mapping[str, Any]  # by class
    accused: Collection[str]  # the classes for which it is a part of a rule that accuses


@dataclass(frozen=True)
class Group:
    """Rows on one axis."""

    heading: str
    rows: Sequence[Row]
    marks: Sequence[float]  # dotted, besides the AUROC of the whole image where there is one
    is_auroc: bool = True


def plot_shortcuts(path: Path, report: Mapping[str, Any], pictures: Mapping[str, Pixels]) -> None:
    """`report` is shortcuts.json, `pictures` one image under the name of each change.

    Raises StorageError where `path` cannot be written; what was there stays.
    """
    save(shortcuts_figure(report, pictures), path)


def shortcuts_figure(report: Mapping[str, Any], pictures: Mapping[str, Pixels]) -> Figure:
    """What `plot_shortcuts` writes."""
    classes = _shown(report)
    groups = _groups(report, pictures)
    width = 2 * MARGIN + PICTURE + NAMES + len(classes) * (PANEL + GAP)
    width = max(width, 7.0)
    inner = width - 2 * MARGIN
    words = fit(" ".join(report["verdict"]["sentences"]), inner, NORMAL, 9)
    caution = fit(report["verdict"]["caution"] or "", inner, NORMAL, 3)
    high = NORMAL * LEADING / 72
    said = high * len(words.split("\n")) + 0.25
    warned = high * len(caution.split("\n")) + 0.1 if caution else 0.0
    rows = sum(len(group.rows) for group in groups)
    ends = [place for place, group in enumerate(groups)
            if group is groups[-1] or groups[place + 1].is_auroc != group.is_auroc]  # fmt: skip
    height = said + warned + 0.3 + HEAD * len(groups) + ROW * rows + TICKS * len(ends) + 0.1
    line = (
        "AUROC, 95 % intervals; dotted: chance and the whole image. "
        "Red: accuses by the rules; green: does not."
    )
    page = Page(width, height, "Does it cheat?", report["title"], line)
    page.text(MARGIN, page.top + 0.1, words, NORMAL, INK, hang=True)
    if caution:
        page.text(MARGIN, page.top + said, caution, NORMAL, WRONG, hang=True)
    top = page.top + said + warned
    left = MARGIN + PICTURE + NAMES
    evaluated = evaluated_classes(report)
    for place, name in enumerate(classes):
        x = left + place * (PANEL + GAP)
        page.text(x, top + 0.1, fit(name, PANEL, NORMAL), NORMAL, weight="bold")
    y = top + 0.3
    low = _lowest(groups, classes)
    for number, group in enumerate(groups):
        page.box(MARGIN, y + 0.03, width - 2 * MARGIN, 0.008, RULE)
        page.text(MARGIN, y + HEAD / 2 + 0.02, group.heading, SMALL, FAINT)
        y += HEAD
        for place, row in enumerate(group.rows):
            if row.picture is not None:
                axes = page.inset(MARGIN, y + ROW * place + (ROW - PICTURE) / 2, PICTURE, PICTURE)
                axes.imshow(row.picture, cmap="gray", vmin=0, vmax=255)
                axes.set_axis_off()
            text = fit(row.name, NAMES - 0.25, SMALL, 3)
            page.text(MARGIN + PICTURE + 0.12, y + ROW * (place + 0.5), text)
        for place, name in enumerate(classes):
            x = left + place * (PANEL + GAP)
            if name not in evaluated:
                page.text(x, y + ROW * len(group.rows) / 2, "too few patients", SMALL, FAINT)
                continue
            axes = page.inset(x, y, PANEL, ROW * len(group.rows))
            whole = report["tests"][WHOLE]["auroc"][name]["value"]
            marks = [*group.marks, *([whole] if group.is_auroc and whole is not None else [])]
            _draw(axes, group.rows, name, marks)
            _scale(axes, low if group.is_auroc else _lowest_weight(group, classes),
                   (0.5, 0.75, 1) if group.is_auroc else (0, 0.5, 1), number in ends)  # fmt: skip
        y += ROW * len(group.rows) + TICKS * (number in ends)
    return page.finish()


def _shown(report: Mapping[str, Any]) -> list[str]:
    """In the order of the classes, those told best where no lungs are seen."""
    classes = report["classes"]
    evaluated = dict(zip(classes, report["evaluated"], strict=True))

    def told(name: str) -> tuple[bool, float]:
        return evaluated[name], outside(report, name)["value"] or 0.0

    best = sorted(classes, key=told, reverse=True)[:PANELS]
    return [name for name in classes if name in best]


def _groups(report: Mapping[str, Any], pictures: Mapping[str, Pixels]) -> list[Group]:
    tests = {**report["tests"], **(report["masks"] or {})}
    verdict, swap = report["verdict"], report["swap"]
    accused = {
        **dict.fromkeys(HIDDEN, verdict["told_without_lungs"]),
        "equalised": verdict["rests_on_greys"],
    }
    groups = []
    for heading, names in GROUPS:
        rows = [Row(name, pictures.get(name), tests[name]["auroc"], accused.get(name, ()))
                for name in names if name in tests]  # fmt: skip
        if heading == GROUPS[0][0] and report["probe"]:
            rows.append(Row("linear model on the features of borders", None, report["probe"],
                            verdict["rests_on_greys"]))  # fmt: skip
        groups.append(Group(heading, rows, [0.5]))
    if swap:
        figures, follows = swap["auroc"], verdict["follows_the_border"]
        other = next((name for name in pictures if name.startswith("across ")), "")
        groups.append(Group("Centre and border of two images: AUROC of the centre's label", [
            Row("border of an image with the same label", pictures.get("within"),
                figures["within"], ()),
            Row("border of one with the other label", pictures.get(other), figures["across"],
                follows),
        ], [0.5]))  # fmt: skip
        groups.append(Group(
            "How far answers follow the border's image: rank correlation, given the centre's "
            f"(dotted: 0, and the rule's limit of {BORDER})",
            [Row("correlation with the border's image", None, swap["border_weight"], follows)],
            [0, BORDER], is_auroc=False,
        ))  # fmt: skip
    return groups


def _lowest(groups: Sequence[Group], classes: Sequence[str]) -> float:
    """Where the axis of AUROC begins: at 0.3 unless a value lies below it."""
    values = [value for group in groups if group.is_auroc for value in _values(group, classes)]
    return min([0.3, *(value - 0.03 for value in values)])


def _lowest_weight(group: Group, classes: Sequence[str]) -> float:
    return min([-0.2, *(value - 0.03 for value in _values(group, classes))])


def _values(group: Group, classes: Sequence[str]) -> list[float]:
    figures = [row.figures[name] for row in group.rows for name in classes if name in row.figures]
    return [figure["value"] for figure in figures if figure["value"] is not None]


def _draw(axes: Axes, rows: Sequence[Row], name: str, marks: Sequence[float]) -> None:
    """The figures of class `name`, the first on top."""
    for value in marks:
        axes.axvline(value, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
    for place, row in enumerate(rows):
        figure = row.figures.get(name)
        if figure is None or figure["value"] is None:
            axes.text(0.5, place, "–", fontsize=SMALL, color=FAINT, ha="center", va="center")
            continue
        color = WRONG if name in row.accused else CORRECT
        if figure["low"] is not None:
            axes.plot([figure["low"], figure["high"]], [place] * 2, color=color, linewidth=1.6)
        axes.plot(figure["value"], place, "o", color=color, markersize=5)
        axes.annotate(f"{figure['value']:.2f}", (figure["value"], place), (0, 6),
                      textcoords="offset points", ha="center", fontsize=SMALL, color=color)
    axes.set(ylim=(len(rows) - 0.5, -0.5), yticks=[])


def _scale(axes: Axes, low: float, ticks: Sequence[float], numbered: bool) -> None:
    axes.set_xlim(low, 1.04)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks] if numbered else [""] * len(ticks))
    axes.patch.set_visible(False)
    axes.tick_params(labelsize=SMALL, colors=FAINT, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_visible(numbered)
    axes.spines["bottom"].set_color(RULE)
