"""A picture of comparisons: each figure's difference with its interval, beside the line of none."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from covid.evaluation.comparison.compare import Comparison
from covid.evaluation.comparison.report import difference_title, images_of_patients, signed
from covid.evaluation.page import FAINT, INK, MARGIN, NORMAL, SMALL, Page, fit, save, text_width
from covid.evaluation.plots import RULE

ROW = 0.22  # inches
PANEL, NUMBERS, GAP = 2.6, 1.75, 0.3  # inches: of the lines, of the numbers beside them, between
WIDEST = 2.6  # inches of a figure's name
ROOM = 1.08  # of the axis, over the limit that is furthest from 0
LEAST = 0.01  # the axis reaches this far where nothing differs


def plot_differences(path: Path, comparisons: Sequence[Comparison]) -> None:
    """A panel for each comparison, all with the same first and the same classes.

    Raises StorageError where `path` cannot be written; what was there stays.
    """
    save(differences_figure(comparisons), path)


def differences_figure(comparisons: Sequence[Comparison]) -> Figure:
    """What `plot_differences` writes."""
    figures = comparisons[0].differences
    titles = [fit(difference_title(each), WIDEST, SMALL) for each in figures]
    labels = max(text_width(title, SMALL) for title in titles) + 0.15
    panel = PANEL + NUMBERS
    width = 2 * MARGIN + labels + len(comparisons) * panel + (len(comparisons) - 1) * GAP
    page = Page(
        width, 0.75 + ROW * len(figures) + 0.45, "Differences",
        f"Figures less those of {comparisons[0].names[0]}",
        "right of 0 where the first has less; lines are 95 % intervals",
    )  # fmt: skip
    ends = [abs(end) for each in comparisons for difference in each.differences
            for end in (difference.value, difference.low, difference.high) if end is not None]
    furthest = ROOM * max([LEAST, *ends])
    top, high = page.top + 0.75, ROW * len(figures)
    for row, (title, difference) in enumerate(zip(titles, figures, strict=True)):
        new = row and difference.of != figures[row - 1].of
        if new:  # a line between one class and the next
            page.box(MARGIN, top + ROW * row - 0.004, width - 2 * MARGIN, 0.008, RULE)
        page.text(MARGIN, top + ROW * (row + 0.5), title)
    for place, comparison in enumerate(comparisons):
        left = MARGIN + labels + place * (panel + GAP)
        page.text(left, top - 0.55, fit(comparison.names[1], panel, NORMAL), NORMAL, weight="bold")
        images = images_of_patients(comparison)
        images += ", the same answers" if comparison.same_answers else ""
        page.text(left, top - 0.28, images, SMALL, FAINT)
        axes = page.inset(left, top, PANEL, high)
        axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
        for row, difference in enumerate(comparison.differences):
            said = signed(difference.value)
            if difference.low is not None and difference.high is not None:
                axes.plot([difference.low, difference.high], [row, row], color=INK, linewidth=1.4)
                said += f"  ({signed(difference.low)} to {signed(difference.high)})"
            if difference.value is not None:
                axes.plot(difference.value, row, "s", color=INK, markersize=4)
            page.text(left + PANEL + 0.1, top + ROW * (row + 0.5), said, SMALL, FAINT)
        axes.set(xlim=(-furthest, furthest), ylim=(len(figures) - 0.5, -0.5), yticks=[])
        axes.patch.set_visible(False)
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(labelsize=SMALL, colors=FAINT, length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(RULE)
    return page.finish()
