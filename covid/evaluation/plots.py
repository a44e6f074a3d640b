"""Pictures of a run and of its evaluation: learning curves, confusion, correct and wrong images.

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

from covid.edge.labels import DOUBT, LabelSpace, read_cell
from covid.evaluation.figures import Answers
from covid.evaluation.page import (
    FAINT,
    INK,
    LARGE,
    LEADING,
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
EXAMPLES_PER_CLASS = 3  # correct images, and wrong ones, of a class in examples.png
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


def plot_examples(
    path: Path,
    images: npt.NDArray[np.uint8],
    chosen: Mapping[str, Sequence[int]],
    answers: Answers,
    cells: Sequence[str],
    space: LabelSpace,
    title: str,
) -> None:
    """Correct and wrong images of each key, with what the network said of them.

    `images`: uint8 `[chosen, size, size]`, those that `choose_examples` chose, key by key, and no
    others. `answers` and `cells` are of all images, so that the picture can say how many of a key
    are correct. `title` names run and data. Raises StorageError where `path` cannot be written.
    """
    save(examples_figure(images, chosen, answers, cells, space, title), path)


def choose_examples(
    answers: Answers, cells: Sequence[str], each: int = EXAMPLES_PER_CLASS
) -> dict[str, list[int]]:
    """The images worth looking at: per key up to `each` correct ones and `each` wrong ones.

    `cells` are the images' own, `[images]`. Returns rows, key by key, correct before wrong. The
    correct ones spread evenly from the most to the least confident; the wrong ones are the most
    confident. Images that are equally confident keep their order. An image of several keys stands
    under the first of them that has room for it; one of which no target is known under none.
    """
    decisions, known = answers.decisions, answers.known
    # How probable the network holds each of its own answers, the absence of a label included.
    belief = np.where(decisions, answers.probabilities, 1 - answers.probabilities)
    mistaken = known & (decisions != answers.targets)
    # A correct decision is as firm as its weakest answer, a wrong one as its firmest mistake.
    confidence = np.where(
        answers.correct,
        np.where(known, belief, np.inf).min(axis=1),
        np.where(mistaken, belief, -np.inf).max(axis=1),
    )
    left = answers.judged.copy()
    chosen: dict[str, list[int]] = {}
    for key, of_key in _images_of_keys(cells).items():
        chosen[key] = []
        for correct in (True, False):
            rows = of_key[left[of_key] & (answers.correct[of_key] == correct)]
            rows = rows[np.argsort(-confidence[rows], kind="stable")]
            if correct and len(rows) > each:
                rows = rows[np.linspace(0, len(rows) - 1, each).round().astype(int)]
            chosen[key] += rows[:each].tolist()
        left[chosen[key]] = False
    return {key: places for key, places in chosen.items() if places}


def _images_of_keys(cells: Sequence[str]) -> dict[str, npt.NDArray[np.intp]]:
    """The images that bear each key, in doubt or not, in order."""
    images: dict[str, list[int]] = {}
    for image, cell in enumerate(cells):
        for key in read_cell(cell):
            images.setdefault(key, []).append(image)
    return {key: np.array(places) for key, places in images.items()}


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


def examples_figure(
    images: npt.NDArray[np.uint8],
    chosen: Mapping[str, Sequence[int]],
    answers: Answers,
    cells: Sequence[str],
    space: LabelSpace,
    title: str,
) -> Figure:
    """What `plot_examples` writes."""
    tile, gap, name_width, between = 1.85, 0.2, 1.2, 0.35  # between correct and wrong
    high = tile + 0.6 + 0.16 * len(space.classes) + 0.3
    rows = [key for key in space.labels if key in chosen]
    of_keys, pictures = _images_of_keys(cells), iter(images)
    shown = {key: [(place, next(pictures)) for place in places] for key, places in chosen.items()}
    examples = {
        (key, good): [pair for pair in shown[key] if bool(answers.correct[pair[0]]) == good]
        for key in rows for good in (True, False)
    }  # fmt: skip
    columns = {good: max(len(examples[key, good]) for key in rows) for good in (True, False)}
    blocks = [good for good in (True, False) if columns[good]]
    width = 2 * MARGIN + name_width + sum(columns.values()) * (tile + gap) - gap
    width = max(width + between * (len(blocks) - 1), 6.5)
    line = f"{int(answers.correct.sum()):,} of {_images(int(answers.judged.sum()))} correct"
    page = Page(width, 0.35 + high * len(rows), "Examples", title, line)
    x = MARGIN + name_width
    for good in blocks:
        heading = "Correct, most to least confident" if good else "Wrong, most confident first"
        inner = columns[good] * (tile + gap) - gap
        color = CORRECT if good else WRONG
        page.text(x, page.top + 0.08, fit(heading, inner, NORMAL), NORMAL, color, weight="bold")
        for row, key in enumerate(rows):
            y = page.top + 0.35 + row * high
            for column, (place, picture) in enumerate(examples[key, good]):
                left = x + column * (tile + gap)
                page.axes.imshow(picture, cmap="gray", vmin=0, vmax=255,
                                 extent=(left, left + tile, y + tile, y))  # fmt: skip
                page.box(left, y, tile, tile, "none", edgecolor=color, linewidth=2.5)
                said = "correct" if good else "wrong"
                _draw_answer(page, left, y + tile + 0.14, tile, said, color, answers, place, space)
            if not examples[key, good]:
                page.text(x, y + tile / 2, "none", SMALL, FAINT)
        x += inner + gap + between - gap
    for row, key in enumerate(rows):
        y = page.top + 0.35 + row * high
        of_key = of_keys[key][answers.judged[of_keys[key]]]
        correct = int(answers.correct[of_key].sum())
        name = fit(key, name_width - 0.15, NORMAL, 3)
        page.text(MARGIN, y + 0.07, name, NORMAL, weight="bold", hang=True)
        below = y + 0.07 + (name.count("\n") + 1) * NORMAL * LEADING / 72
        page.text(MARGIN, below, f"{correct:,} of {len(of_key):,} correct", SMALL, FAINT)
    foot = "Bars are probabilities, dark where decided" + " or implied" * bool(space.implies)
    foot += "; the tick is the threshold." if space.thresholds else "."
    page.text(MARGIN, page.height - MARGIN, foot, SMALL, FAINT)
    return page.finish()


def _draw_answer(
    page: Page, x: float, y: float, width: float, said: str, color: str,
    answers: Answers, image: int, space: LabelSpace,
) -> None:  # fmt: skip
    """Below an image: the verdict, the target, the decision, and one bar per class.

    A target that is not known stands there with a question mark.
    """
    page.text(x, y, said, SMALL, color, weight="bold")
    decision, probabilities = answers.decisions[image], answers.probabilities[image]
    target = [*space.names(answers.targets[image]),
              *(f"{name}{DOUBT}" for name in space.names(~answers.known[image]))]  # fmt: skip
    both = (("target", target), ("decision", space.names(decision)))
    for line, (what, listed) in enumerate(both, start=1):
        names = ", ".join(listed) or "none"
        page.text(x, y + 0.16 * line, what, SMALL - 1, FAINT)
        page.text(x + 0.5, y + 0.16 * line, fit(names, width - 0.5, SMALL - 1), SMALL - 1)
    label, bar = 0.44 * width, 0.39 * width
    for place, name in enumerate(space.classes):
        middle = y + 0.52 + 0.16 * place
        value = float(probabilities[place])
        page.text(x, middle, fit(name, label - 0.06, SMALL - 1), SMALL - 1)
        page.box(x + label, middle - 0.04, bar, 0.08, TRACK)
        page.box(x + label, middle - 0.04, bar * value, 0.08, INK if decision[place] else TRAINING)
        if space.thresholds:
            tick = x + label + bar * space.thresholds[place]
            page.box(tick - 0.004, middle - 0.065, 0.008, 0.13, FAINT)
        page.text(x + width, middle, f"{value:.2f}", SMALL - 1, ha="right")


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"
