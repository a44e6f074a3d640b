"""examples.png: wrong and correct images of each label, with what the network said of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from covid.edge.contours import contours
from covid.edge.labels import DOUBT, LabelSpace, read_cell
from covid.edge.overlay import legend, overlay
from covid.evaluation.answers import Answers
from covid.evaluation.page import (
    FAINT,
    INK,
    LEADING,
    MARGIN,
    NORMAL,
    SMALL,
    Page,
    fit,
    save,
    text_width,
)  # fmt: skip
from covid.evaluation.plots import CORRECT, TRACK, TRAINING, WRONG

EXAMPLES_PER_CLASS = 3  # correct images, and wrong ones, of a class
# PadChest has 174 labels: beyond these the picture would be too high to be looked at.
MAX_KEYS = 12  # rows: the keys of most images
MUCH = 97.5  # percentile of a place's evidence, as exported files have it
MAX_CLASSES = 8  # bars below an image: those that are true, then the most probable


def plot_examples(
    path: Path,
    images: npt.NDArray[np.uint8],
    chosen: Mapping[str, Sequence[int]],
    answers: Answers,
    cells: Sequence[str],
    space: LabelSpace,
    title: str,
    evidence: npt.NDArray[np.float32] | None = None,
) -> None:
    """Wrong and correct images of each key, with what the network said of them.

    `images`: uint8 `[chosen, size, size]`, those that `choose_examples` chose, key by key, and no
    others. `answers` and `cells` are of all images, so that the picture can say how many of a key
    are correct. `title` names run and data. `evidence`, float32 `[chosen, classes, h, w]`, is what
    places of these images add to logits; below each image is then its map of the class in question.
    Raises StorageError where `path` cannot be written.
    """
    save(examples_figure(images, chosen, answers, cells, space, title, evidence), path)


def choose_examples(
    answers: Answers, cells: Sequence[str], each: int = EXAMPLES_PER_CLASS
) -> dict[str, list[int]]:
    """The images worth looking at: per key up to `each` correct ones and `each` wrong ones.

    `cells` are the images' own, `[images]`. Returns rows, key by key, correct before wrong. The
    correct ones spread evenly from the most to the least confident; the wrong ones are the most
    confident. Images that are equally confident keep their order. An image of several keys stands
    under the first of them that has room for it; one of which no target is known under none. Of
    more than MAX_KEYS keys those with the most images are shown.
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
    left = answers.evaluated.copy()
    chosen: dict[str, list[int]] = {}
    of_keys = _images_of_keys(cells)
    frequent = sorted(of_keys, key=lambda key: -len(of_keys[key]))[:MAX_KEYS]
    for key, of_key in of_keys.items():
        if key not in frequent:
            continue
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


def examples_figure(
    images: npt.NDArray[np.uint8],
    chosen: Mapping[str, Sequence[int]],
    answers: Answers,
    cells: Sequence[str],
    space: LabelSpace,
    title: str,
    evidence: npt.NDArray[np.float32] | None = None,
) -> Figure:
    """What `plot_examples` writes."""
    tile, gap, name_width, between = 1.85, 0.2, 1.2, 0.35  # between correct and wrong
    mapped = 0.0 if evidence is None else tile + 0.22  # a map below an image, under its own line
    high = tile + mapped + 0.6 + 0.16 * min(MAX_CLASSES, len(space.classes)) + 0.3
    rows = [key for key in space.labels if key in chosen]
    of_keys, pictures = _images_of_keys(cells), iter(images)
    maps = {} if evidence is None else _maps(images, chosen, answers, evidence)
    shown = {key: [(place, next(pictures)) for place in places] for key, places in chosen.items()}
    examples = {
        (key, good): [pair for pair in shown[key] if bool(answers.correct[pair[0]]) == good]
        for key in rows for good in (False, True)
    }  # fmt: skip
    columns = {good: max(len(examples[key, good]) for key in rows) for good in (False, True)}
    blocks = [good for good in (False, True) if columns[good]]
    width = 2 * MARGIN + name_width + sum(columns.values()) * (tile + gap) - gap
    width = max(width + between * (len(blocks) - 1), 6.5)
    evaluated = int(answers.evaluated.sum())
    line = f"{int(answers.correct.sum()):,} of {evaluated:,} image{'s' * (evaluated != 1)} correct"
    foot_lines = 0 if evidence is None else 1  # below the first, which stands in the margin
    page = Page(width, 0.35 + high * len(rows) + 0.18 * foot_lines, "Examples", title, line)
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
                if place in maps:
                    column_shown, drawn = maps[place]
                    what = fit(f"evidence for {space.classes[column_shown]}", tile, SMALL - 1)
                    page.text(left, y + tile + 0.12, what, SMALL - 1, FAINT)
                    page.axes.imshow(drawn, extent=(left, left + tile, y + tile + mapped,
                                                    y + mapped))  # fmt: skip
                _draw_answer(page, left, y + tile + mapped + 0.14, tile, said, color, answers,
                             place, space)  # fmt: skip
            if not examples[key, good]:
                page.text(x, y + tile / 2, "none", SMALL, FAINT)
        x += inner + gap + between - gap
    for row, key in enumerate(rows):
        y = page.top + 0.35 + row * high
        of_key = of_keys[key][answers.evaluated[of_keys[key]]]
        correct = int(answers.correct[of_key].sum())
        name = fit(key, name_width - 0.15, NORMAL, 3)
        page.text(MARGIN, y + 0.07, name, NORMAL, weight="bold", hang=True)
        below = y + 0.07 + (name.count("\n") + 1) * NORMAL * LEADING / 72
        page.text(MARGIN, below, f"{correct:,} of {len(of_key):,} correct", SMALL, FAINT)
    foot = "Bars are probabilities, dark where decided" + " or implied" * bool(space.implies)
    foot += "; the tick is the threshold." if space.thresholds else "."
    if len(space.classes) > MAX_CLASSES:
        foot += f" Of {len(space.classes)} classes, those that are true and the most probable."
    y = page.height - MARGIN - 0.18 * foot_lines
    page.text(MARGIN, y, fit(foot, width - 2 * MARGIN, SMALL), SMALL, FAINT)
    if evidence is not None:
        _draw_scale(page, y + 0.18, width - MARGIN, much(evidence))
    return page.finish()


def class_in_question(answers: Answers, image: int) -> int:
    """The class whose evidence is worth seeing.

    Of a wrong image the class that was wrongly decided, or else the one that was missed; of another
    one that was decided, or else any: of several the most probable.
    """
    decisions, probabilities = answers.decisions[image], answers.probabilities[image]
    mistaken = answers.known[image] & (decisions != answers.targets[image])
    for considered in (mistaken & decisions, mistaken, decisions):
        if considered.any():
            return int(np.where(considered, probabilities, -1).argmax())
    return int(probabilities.argmax())


def much(evidence: npt.NDArray[np.float32]) -> float:
    """What is shown in full colour: a percentile of all places' evidence, in magnitude."""
    return float(np.percentile(np.abs(evidence), MUCH)) or 1.0


def _maps(
    images: npt.NDArray[np.uint8],
    chosen: Mapping[str, Sequence[int]],
    answers: Answers,
    evidence: npt.NDArray[np.float32],
) -> dict[int, tuple[int, npt.NDArray[np.uint8]]]:
    """Of each chosen image the class in question, and its map over the image."""
    scale = much(evidence)
    places = [place for of_key in chosen.values() for place in of_key]
    columns = [class_in_question(answers, place) for place in places]
    return {
        place: (column, overlay(picture, maps[column], scale, contours(maps[column], scale)))
        for place, column, picture, maps in zip(places, columns, images, evidence, strict=True)
    }


def _draw_scale(page: Page, y: float, right: float, scale: float) -> None:
    """What colours and lines of maps stand for, on one line."""
    against, bar = f"-{scale:.2g} against", 0.8
    left = MARGIN + text_width(against, SMALL) + 0.08
    page.text(MARGIN, y, against, SMALL, FAINT)
    page.axes.imshow(legend(256, 1), extent=(left, left + bar, y + 0.05, y - 0.05))
    words = f"for +{scale:.2g} of the logit a place; lines hold 50 % and 90 % of what is for it"
    left += bar + 0.08
    page.text(left, y, fit(words, right - left, SMALL), SMALL, FAINT)


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
    for line, place in enumerate(_worth_a_bar(answers, image)):
        name, middle = space.classes[place], y + 0.52 + 0.16 * line
        value = float(probabilities[place])
        page.text(x, middle, fit(name, label - 0.06, SMALL - 1), SMALL - 1)
        page.box(x + label, middle - 0.04, bar, 0.08, TRACK)
        page.box(x + label, middle - 0.04, bar * value, 0.08, INK if decision[place] else TRAINING)
        if space.thresholds:
            tick = x + label + bar * space.thresholds[place]
            page.box(tick - 0.004, middle - 0.065, 0.008, 0.13, FAINT)
        page.text(x + width, middle, f"{value:.2f}", SMALL - 1, ha="right")


def _worth_a_bar(answers: Answers, image: int) -> list[int]:
    """The classes that are shown of an image, in their own order."""
    rank = np.lexsort((-answers.probabilities[image], ~answers.targets[image]))
    return sorted(rank[:MAX_CLASSES].tolist())
