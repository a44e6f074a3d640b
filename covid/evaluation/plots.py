"""Pictures of a run and of its figures: learning curves, confusion.

Each `plot_*` writes one PNG, whole or not at all; the `*_figure` beside it makes what is
written. Two colours carry meaning, one for what is correct or validated and one for what is
wrong; they differ in brightness too, and words say the same. Figures are made without pyplot,
which keeps every figure it has made.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covid.evaluation.page import (
    FAINT,
    INK,
    LARGE,
    MARGIN,
    NORMAL,
    SMALL,
    Page,
    fit,
    save,
    text_width,
)

EpochRecord = Mapping[str, float | int | None]

RULE, TRACK, EMPTY = "#d5dbe1", "#e9edf1", "#f4f6f8"
# A green that leans to blue and a red that leans to orange: people who take plain green and red
# for one colour can tell these apart (Okabe & Ito, Color Universal Design, 2008).
CORRECT, WRONG, TRAINING = "#0b7a75", "#c4441c", "#8a97a6"
MARKED_EPOCHS = 30  # points of longer runs are too close to be told apart


def plot_curves(
    path: Path, history: Sequence[EpochRecord], title: str, best_epoch: int | None = None
) -> None:
    """Loss and accuracy by epoch, with the epoch whose network was kept marked.

    `history` has at least one record, of history.csv's keys; None and NaN leave gaps. `title` names
    run and data. Raises StorageError where `path` cannot be written; what was there stays.
    """
    save(curves_figure(history, title, best_epoch), path)


def plot_confusion(path: Path, metrics: Mapping[str, Any], title: str) -> None:
    """The `confusion` of `compute_metrics`: one matrix per label for multilabel, else one of all.

    `title` names run and data. Raises StorageError where `path` cannot be written.
    """
    save(confusion_figure(metrics, title), path)


def curves_figure(
    history: Sequence[EpochRecord], title: str, best_epoch: int | None = None
) -> Figure:
    """What `plot_curves` writes."""
    best = next((record for record in history if record["epoch"] == best_epoch), None)
    named = (
        ("loss", "validation_loss"), ("accuracy", "validation_accuracy"),
        ("macro F1", "validation_macro_f1"),
    )  # fmt: skip
    figures = [f"{name} {best[key]:.3f}" for name, key in named if best and best[key] is not None]
    line = f"epoch {best_epoch} was kept; on validation: {', '.join(figures)}" if best else ""
    width, high, gap = 4.4, 2.75, 0.6  # of a panel; the gap holds its numbers
    page = Page(2 * (MARGIN + width) + 2 * gap, high + 0.65, "Learning curves", title, line)
    epochs = np.array([record["epoch"] for record in history], dtype=float)
    panels = (
        ("Loss", (("training", "train_loss"), ("validation", "validation_loss"))),
        ("Accuracy", (("training", "train_accuracy"), ("validation", "validation_accuracy"),
                      ("validation macro F1", "validation_macro_f1"))),
    )  # fmt: skip
    for place, (name, curves) in enumerate(panels):
        left = MARGIN + gap / 2 + place * (width + 1.5 * gap)
        axes = page.inset(left, page.top + 0.25, width, high)
        for label, key in curves:
            values = np.array([record[key] for record in history], dtype=float)  # None becomes NaN
            is_f1, is_training = key.endswith("f1"), key.startswith("train")
            color = TRAINING if is_training else CORRECT
            axes.plot(
                epochs, values, label=label, color=color, linewidth=1.0 if is_f1 else 1.8,
                linestyle="--" if is_f1 else "-", markersize=3 if is_f1 else 4,
                marker="o" if len(history) <= MARKED_EPOCHS else "",
            )  # fmt: skip
            if best is not None and not is_training:
                axes.plot(epochs[epochs == best_epoch], values[epochs == best_epoch], "o",
                          markersize=9, markerfacecolor="none", markeredgecolor=color)  # fmt: skip
        if best_epoch is not None:
            axes.axvline(best_epoch, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
        if name == "Accuracy":  # no room above what is possible
            axes.set_ylim(top=min(axes.get_ylim()[1], 1.02))
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch", fontsize=SMALL, color=FAINT)
        axes.tick_params(labelsize=SMALL, colors=FAINT, length=0)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(RULE)
        axes.set_title(name, loc="left", fontsize=NORMAL, color=INK, weight="bold")
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.015, 0.98), ncols=len(curves), frameon=False,
            fontsize=SMALL, labelcolor=INK, handlelength=1.6, columnspacing=1.2,
        )  # fmt: skip
    return page.finish()


def confusion_figure(metrics: Mapping[str, Any], title: str) -> Figure:
    """What `plot_confusion` writes."""
    confusion, classes = metrics["confusion"], list(metrics["classes"])
    pairs = isinstance(confusion, Mapping)
    matrices = [np.array(confusion[name]) for name in classes] if pairs else [np.array(confusion)]
    names = ["absent", "present"] if pairs else classes
    side = max(1.05 - 0.04 * len(names), 0.72)
    labels = max(text_width(fit(name, 1.5, SMALL), SMALL) for name in names) + 0.45
    across = len(matrices) if len(matrices) <= 4 else min(4, -(-len(matrices) // 2))
    panel, gap, head = labels + side * len(names), 0.3, 1.05 if pairs else 0.7
    high = head + 0.8 * side * len(names)
    down = -(-len(matrices) // across)
    width = max(2 * MARGIN + across * panel + (across - 1) * gap, 6.0)
    accuracy = metrics["accuracy"]
    line = f"accuracy {accuracy['value']:.3f} on {_images(metrics['images'])}"
    if accuracy["low"] is not None:
        line += f", 95 % interval {accuracy['low']:.3f} to {accuracy['high']:.3f}"
    page = Page(width, down * high + (down - 1) * gap + 0.35, "Confusion", title, line)
    for place, matrix in enumerate(matrices):
        x = MARGIN + labels + place % across * (panel + gap)
        y = page.top + place // across * (high + gap)
        if pairs:
            threshold = metrics["per_class"][classes[place]]["threshold"]
            name = fit(classes[place], 2 * side, NORMAL)
            page.text(x, y + 0.08, name, NORMAL, weight="bold")
            page.text(x, y + 0.3, f"present from {threshold:.3g}", SMALL, FAINT)
        _draw_matrix(page, x, y + head, matrix, names, side)
    foot = page.height - MARGIN
    page.text(MARGIN, foot, "Percentages are of a row.", SMALL, FAINT)
    return page.finish()


def _draw_matrix(
    page: Page, x: float, y: float, matrix: npt.NDArray[Any], names: Sequence[str], side: float
) -> None:
    """Counts `[target, decision]` as shaded cells, their top left corner at `x`, `y`."""
    high = 0.8 * side
    totals = matrix.sum(axis=1)
    page.text(x + side * len(names) / 2, y - 0.47, "decision", SMALL, FAINT, ha="center")
    page.text(x - 0.1, y - 0.17, "target", SMALL, FAINT, ha="right")
    for row, name in enumerate(names):
        page.text(x - 0.1, y + (row + 0.5) * high, fit(name, 1.5, SMALL, 2), ha="right")
        page.text(x + (row + 0.5) * side, y - 0.17, fit(name, side - 0.06, SMALL, 2), ha="center")
        for column, count in enumerate(matrix[row]):
            share = count / totals[row] if totals[row] else 0.0
            color = np.array(to_rgb(CORRECT if row == column else WRONG))
            shade = 1 - (0.06 + 0.94 * share) * (1 - color) if count else to_rgb(EMPTY)
            left, top = x + column * side, y + row * high
            page.box(left, top, side, high, tuple(shade), edgecolor="white", linewidth=2)
            ink = "white" if share > 0.55 else INK if count else FAINT
            percent = f"{share:.0%}" if totals[row] else "–"
            middle = left + side / 2
            page.text(middle, top + 0.4 * high, f"{count:,}", LARGE - 1, ink, ha="center")
            page.text(middle, top + 0.73 * high, percent, SMALL, ink, ha="center")


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"
