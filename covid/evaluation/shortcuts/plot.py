"""A picture of a test of shortcuts: how each change looks, and what is still told from it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covid.evaluation.page import FAINT, INK, MARGIN, NORMAL, SMALL, Page, fit, save
from covid.evaluation.plots import CORRECT, RULE, WRONG
from covid.evaluation.shortcuts.figures import WHOLE
from covid.evaluation.shortcuts.verdict import OUTSIDE, WITHOUT_LUNGS, outside

Pixels = npt.NDArray[np.uint8]  # [size, size]

ROW, PICTURE, NAMES, PANEL, GAP = 0.66, 0.6, 1.75, 2.3, 0.25  # inches
HEAD = 0.32  # inches of a group's heading
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


def plot_shortcuts(
    path: Path, report: Mapping[str, Any], pictures: Mapping[str, Pixels], title: str
) -> None:
    """`report` is shortcuts.json, `pictures` one image under the name of each change.

    Raises StorageError where `path` cannot be written; what was there stays.
    """
    save(shortcuts_figure(report, pictures, title), path)


def shortcuts_figure(
    report: Mapping[str, Any], pictures: Mapping[str, Pixels], title: str
) -> Figure:
    """What `plot_shortcuts` writes."""
    classes = _shown(report)
    groups = _groups(report, pictures)
    width = 2 * MARGIN + PICTURE + NAMES + len(classes) * (PANEL + GAP)
    width = max(width, 7.0)
    words = fit(" ".join(report["verdict"]["sentences"]), width - 2 * MARGIN, NORMAL, 9)
    said = 0.2 * (words.count("\n") + 1) + 0.25
    rows = sum(len(group) for _, group in groups)
    height = said + 0.3 + HEAD * len(groups) + ROW * rows + 0.35
    line = "AUROC with 95 % intervals over patients; dotted: chance, and the whole image"
    page = Page(width, height, "Does it cheat?", title, line)
    page.text(MARGIN, page.top + 0.1, words, NORMAL, INK, hang=True)
    top = page.top + said
    left = MARGIN + PICTURE + NAMES
    for place, name in enumerate(classes):
        x = left + place * (PANEL + GAP)
        page.text(x, top + 0.1, fit(name, PANEL, NORMAL), NORMAL, weight="bold")
    y = top + 0.3
    low = _lowest(groups, classes)
    for heading, group in groups:
        page.box(MARGIN, y + 0.03, width - 2 * MARGIN, 0.008, RULE)
        page.text(MARGIN, y + HEAD / 2 + 0.02, heading, SMALL, FAINT)
        y += HEAD
        for row, (name, picture, _) in enumerate(group):
            if picture is not None:
                axes = page.inset(MARGIN, y + ROW * row + (ROW - PICTURE) / 2, PICTURE, PICTURE)
                axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
                axes.set_axis_off()
            text = fit(name, NAMES - 0.25, SMALL, 2)
            page.text(MARGIN + PICTURE + 0.12, y + ROW * (row + 0.5), text)
        for place, name in enumerate(classes):
            x = left + place * (PANEL + GAP)
            axes = page.inset(x, y, PANEL, ROW * len(group))
            last = heading == groups[-1][0]
            _draw(axes, [figures.get(name) for *_, figures in group],
                  report["tests"][WHOLE]["auroc"][name]["value"], low, last,
                  hidden=heading == GROUPS[0][0])  # fmt: skip
        y += ROW * len(group)
    return page.finish()


def _shown(report: Mapping[str, Any]) -> list[str]:
    """In the order of the classes, those told best where no lungs are seen."""
    classes = report["classes"]

    def told(name: str) -> float:
        return outside(report, name)["value"] or 0.0

    best = sorted(classes, key=told, reverse=True)[:PANELS]
    return [name for name in classes if name in best]


Group = list[tuple[str, Pixels | None, Mapping[str, Any]]]  # a name, a picture, figures by class


def _groups(
    report: Mapping[str, Any], pictures: Mapping[str, Pixels]
) -> list[tuple[str, Group]]:
    tests = {**report["tests"], **(report["masks"] or {})}
    groups = []
    for heading, names in GROUPS:
        group: Group = [(name, pictures.get(name), tests[name]["auroc"])
                        for name in names if name in tests]  # fmt: skip
        if heading == GROUPS[0][0] and report["probe"]:
            group.append(("linear model on the features of borders", None, report["probe"]))
        groups.append((heading, group))
    if report["swap"]:
        figures = report["swap"]["auroc"]
        other = next((name for name in pictures if name.startswith("across ")), "")
        groups.append(("Centre and border of two images: AUROC of the centre's label", [
            ("border of an image with the same label", pictures.get("within"), figures["within"]),
            ("border of one with the other label", pictures.get(other), figures["across"]),
        ]))  # fmt: skip
    return groups


def _lowest(groups: Sequence[tuple[str, Group]], classes: Sequence[str]) -> float:
    """Where the axis begins: at 0.3 unless a value lies below it."""
    values: list[float] = [figures[name]["value"] for _, group in groups for *_, figures in group
              for name in classes if figures.get(name) and figures[name]["value"] is not None]
    return min([0.3, *(value - 0.03 for value in values)])


def _draw(
    axes: Axes, figures: Sequence[Mapping[str, Any] | None], whole: float | None, low: float,
    last: bool, *, hidden: bool,
) -> None:  # fmt: skip
    for value in (0.5, whole):
        if value is not None:
            axes.axvline(value, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
    for row, figure in enumerate(figures):
        if figure is None or figure["value"] is None:
            axes.text(0.5, row, "–", fontsize=SMALL, color=FAINT, ha="center", va="center")
            continue
        told = hidden and figure["low"] is not None and figure["low"] > OUTSIDE
        color = WRONG if told else CORRECT
        if figure["low"] is not None:
            axes.plot([figure["low"], figure["high"]], [row, row], color=color, linewidth=1.6)
        axes.plot(figure["value"], row, "o", color=color, markersize=5)
        axes.annotate(f"{figure['value']:.2f}", (figure["value"], row), (0, 6),
                      textcoords="offset points", ha="center", fontsize=SMALL, color=color)
    axes.set(xlim=(low, 1.04), ylim=(len(figures) - 0.5, -0.5), yticks=[])
    axes.set_xticks([0.5, 0.75, 1], ["0.5", "0.75", "1"] if last else [])
    axes.patch.set_visible(False)
    axes.tick_params(labelsize=SMALL, colors=FAINT, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_visible(last)
    axes.spines["bottom"].set_color(RULE)
