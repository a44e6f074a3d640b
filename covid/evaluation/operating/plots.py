"""Pictures of probabilities: how far they can be taken at their word, and where they decide.

Like `plots`: each `plot_*` writes one PNG, whole or not at all, and the `*_figure` beside it makes
what is written.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit, logit

from covid.edge.labels import DEFAULT_THRESHOLD, LabelSpace
from covid.edge.operating_point import OperatingPoint
from covid.evaluation.answers import Answers, Targets
from covid.evaluation.clusters import number_patients
from covid.evaluation.operating.calibration import RESOLUTION
from covid.evaluation.operating.point import DEFAULT_RULE, MIRRORED
from covid.evaluation.operating.thresholds import Outcomes, Share, forced_by, implying
from covid.evaluation.page import FAINT, INK, MARGIN, NORMAL, SMALL, Page, fit, save
from covid.evaluation.plots import CORRECT, EMPTY, RULE, TRAINING, WRONG

Probabilities = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]

PANEL, GAP, HEAD, FOOT = 2.75, 0.75, 1.02, 0.62  # inches: side, between, words above, numbers below
HISTOGRAM, BARS = 0.5, 20  # inches; of equal width
CURVE_POINTS = 161  # of a curve: two a bar's width of the screen
WIDEST = 1e-3  # the axis of thresholds shows this and its opposite, and more where one lies outside
APART = 0.012  # of half the axis: else the bars at the threshold would hide each other
COLORS: dict[Share, str] = {"sensitivity": CORRECT, "specificity": WRONG}


def plot_calibration(
    path: Path,
    space: LabelSpace,
    figures: Mapping[str, Mapping[str, Any]],
    probabilities: Probabilities,
    targets: Targets,
    title: str,
) -> None:
    """A reliability diagram of each class, with what `calibration_figures` gives as `figures`.

    Below each, how many images have which probability, with the class upwards and without it
    downwards. `title` names run and data. Raises StorageError where `path` cannot be written.
    """
    save(calibration_figure(space, figures, probabilities, targets, title), path)


def plot_operating(
    path: Path,
    space: LabelSpace,
    probabilities: Probabilities,
    targets: Targets,
    patients: Sequence[str | None],
    point: OperatingPoint | None,
    title: str,
) -> None:
    """Each class's sensitivity and specificity by threshold, and where `space` decides.

    The curves are of the images given; `point` says what was aimed at, and on which images. Two
    classes of `single_label`, of which one is decided where the other is not, share one panel.
    Raises StorageError where `path` cannot be written, and what `Answers.of` raises.
    """
    save(operating_figure(space, probabilities, targets, patients, point, title), path)


def calibration_figure(
    space: LabelSpace,
    figures: Mapping[str, Mapping[str, Any]],
    probabilities: Probabilities,
    targets: Targets,
    title: str,
) -> Figure:
    """What `plot_calibration` writes."""
    line = "share observed in images of like probability, with 95 % intervals over patients"
    page, places = _panels(len(space.classes), HISTOGRAM + 0.1, "Calibration", title, line)
    for column, (name, (x, y)) in enumerate(zip(space.classes, places, strict=True)):
        row = figures[name]
        named = (("slope", "slope"), ("intercept", "intercept"), ("Brier", "brier"))
        _head(page, x, y, name, [_words(words, row[key]) for words, key in named if key in row])
        axes = page.inset(x, y + HEAD, PANEL, PANEL)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
        bins = row["bins"]
        predicted, observed = (np.array([each[key] for each in bins], dtype=np.float64)
                               for key in ("predicted", "observed"))  # fmt: skip
        reach = [[each["observed"] - each["low"] for each in bins],
                 [each["high"] - each["observed"] for each in bins]]  # fmt: skip
        if bins:
            axes.errorbar(predicted, observed, yerr=reach, color=CORRECT, linewidth=1.4, marker="o",
                          markersize=4, elinewidth=1.1, capsize=2, zorder=3)  # fmt: skip
        _style(axes)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], [])
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        if x == places[0][0]:
            axes.set_ylabel("observed", fontsize=SMALL, color=FAINT)
        below = page.inset(x, y + HEAD + PANEL + 0.1, PANEL, HISTOGRAM)
        known = ~np.isnan(targets[:, column].astype(np.float64))
        _draw_histogram(below, probabilities[known, column], targets[known, column] == 1)
    foot = "Bars at the bottom: images with the class upwards, without it downwards."
    page.text(MARGIN, page.height - MARGIN, foot, SMALL, FAINT)
    return page.finish()


def operating_figure(
    space: LabelSpace,
    probabilities: Probabilities,
    targets: Targets,
    patients: Sequence[str | None],
    point: OperatingPoint | None,
    title: str,
) -> Figure:
    """What `plot_operating` writes."""
    single = probabilities.astype(np.float32)
    answers, cluster = Answers.of(space, single, targets), number_patients(patients)
    decides = space.task == "multilabel" or len(space.classes) == 2
    kept = space.thresholds or (DEFAULT_THRESHOLD,) * len(space.classes)
    thresholds = dict(zip(space.classes, kept, strict=True))
    shown = space.classes[: 1 if space.task == "single_label" and decides else None]
    if not decides:
        line = "the largest probability decides; curves are of each class against the others"
    else:
        carried = "as carried along" if set(kept) != {DEFAULT_THRESHOLD} else DEFAULT_RULE
        rule = carried if point is None else point.rule
        chosen = point is not None and not rule.startswith(DEFAULT_RULE)
        where = f", chosen on {point.chosen_on.split}" if point and chosen else ""
        line = f"threshold: {rule}{where}; bands and bars are 95 % intervals over patients"
    page, places = _panels(len(shown), 0.0, "Operating point", title, line)
    inside = [value for value in thresholds.values() if 0 < value < 1] if decides else []
    edge = max(RESOLUTION, min([WIDEST, *(min(value, 1 - value) / 2 for value in inside)]))
    grid = expit(np.linspace(logit(edge), -logit(edge), CURVE_POINTS)).astype(np.float32)
    aimed = False
    for name, (x, y) in zip(shown, places, strict=True):
        column, words = space.classes.index(name), []
        axes = page.inset(x, y + HEAD, PANEL, PANEL)
        forced = forced_by(space, implying(space)[name], single, thresholds)
        target = None if point is None else _target(space, point, name)
        aimed |= target is not None
        for share, color in COLORS.items():
            kind = answers.are("positive" if share == "sensitivity" else "negative")[:, column]
            if not kind.any():
                words.append(f"{share} –")
                continue
            outcomes = Outcomes.of(share, kind, single[:, column], forced, cluster)
            value, low, high = _at(outcomes, grid)
            axes.fill_between(logit(grid), low, high, color=color, alpha=0.13, linewidth=0)
            axes.plot(logit(grid), value, color=color, linewidth=1.6, zorder=3)
            if target is not None and target["figure"] == share:
                axes.axhline(target["value"], color=color, linewidth=0.9, linestyle="--", zorder=2)
            if decides:
                own = np.array([thresholds[name]], dtype=np.float32)
                at = {key: float(each[0]) for key, each in
                      zip(("value", "low", "high"), _at(outcomes, own), strict=True)}  # fmt: skip
                words.append(_words(share, at))
                reach = [[at["value"] - at["low"]], [at["high"] - at["value"]]]
                side = APART if share == "specificity" else -APART
                axes.errorbar(
                    _log_odds(own, edge) + side * -logit(edge), [at["value"]], yerr=reach,
                    color=color, marker="o", markersize=5, elinewidth=1.5, capsize=3, zorder=5,
                )  # fmt: skip
        _style(axes)
        axes.set(xlim=(logit(edge), -logit(edge)), ylim=(-0.02, 1.02))
        _ticks(axes, edge)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        if decides:
            axes.axvline(float(_log_odds(np.array([thresholds[name]]), edge)[0]), color=INK,
                         linewidth=0.8, linestyle=":", zorder=1)  # fmt: skip
            words.insert(0, f"present from {thresholds[name]:.3g}{_aim(target)}")
        _head(page, x, y, name, words)
    _legend(page, decides, aimed)
    return page.finish()


def _panels(
    count: int, more: float, heading: str, title: str, line: str
) -> tuple[Page, list[tuple[float, float]]]:
    """A page for so many panels, `more` inches higher than usual, and their top left corners."""
    across = count if count <= 4 else min(4, -(-count // 2))
    down, high = -(-count // across), HEAD + PANEL + more + FOOT
    width = max(2 * MARGIN + 0.35 + across * PANEL + (across - 1) * GAP, 5.6)
    page = Page(width, down * high + 0.1, heading, title, line)
    left = MARGIN + 0.35
    places = [(left + place % across * (PANEL + GAP), page.top + place // across * high)
              for place in range(count)]  # fmt: skip
    return page, places


def _head(page: Page, x: float, y: float, name: str, lines: Sequence[str]) -> None:
    page.text(x, y + 0.22, fit(name, PANEL, NORMAL), NORMAL, weight="bold")
    page.text(x, y + 0.45, "\n".join(lines), SMALL, FAINT, hang=True)


def _words(title: str, figure: Mapping[str, float | None]) -> str:
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None:
        return f"{title} –"
    between = "" if low is None else f" ({low:.2f} to {high:.2f})"
    return f"{title} {value:.2f}{between}".replace("-", "−")


def _target(space: LabelSpace, point: OperatingPoint, name: str) -> Mapping[str, Any] | None:
    """What a class aims at; of two that share one threshold, what the other does, turned round."""
    target: Mapping[str, Any] | None = point.per_class[name]["target"]
    if target is None and space.task == "single_label":
        other = next(row["target"] for key, row in point.per_class.items() if key != name)
        target = other and {**other, "figure": MIRRORED[other["figure"]]}
    return target


def _aim(target: Mapping[str, Any] | None) -> str:
    return "" if target is None else f"; aimed at {target['figure']} {target['value']:g}"


def _style(axes: Axes) -> None:
    axes.tick_params(labelsize=SMALL, colors=FAINT, length=0)
    axes.grid(color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)


def _draw_histogram(axes: Axes, probability: Probabilities, bears: npt.NDArray[np.bool_]) -> None:
    """Each direction by its own largest bar, so that a rare class is seen too."""
    for chosen, sign, color in ((bears, 1, CORRECT), (~bears, -1, TRAINING)):
        counts, edges = np.histogram(probability[chosen], bins=BARS, range=(0, 1))
        heights = sign * counts / max(1, counts.max())
        axes.bar(edges[:-1], heights, 1 / BARS, align="edge", color=color, edgecolor="white",
                 linewidth=0.4)  # fmt: skip
    _style(axes)
    axes.grid(visible=False)
    axes.set_facecolor(EMPTY)
    axes.set(xlim=(-0.02, 1.02), ylim=(-1.1, 1.1))
    axes.set_yticks([])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel("predicted", fontsize=SMALL, color=FAINT)


def _at(outcomes: Outcomes, thresholds: npt.NDArray[np.float32]) -> tuple[Floats, Floats, Floats]:
    parts = list(outcomes.at(thresholds))
    value, low, high = (np.concatenate([part[place] for part in parts]) for place in range(3))
    return value, low, high


def _log_odds(thresholds: npt.NDArray[Any], edge: float) -> Floats:
    """Where they stand on the axis; 0 and 1 at its ends."""
    return np.asarray(logit(np.clip(thresholds.astype(np.float64), edge, 1 - edge)))


def _ticks(axes: Axes, edge: float) -> None:
    """Thresholds stand by log-odds, as those of rare classes would crowd at 0."""
    decades = math.floor(-math.log10(edge) + 1e-9)
    every = 1 if decades <= 3 else -(-decades // 2)  # more labels, or longer ones, would touch
    small = [10.0**-power for power in range(every, decades + 1, every)]
    marks = [*small[::-1], 0.5, *(1 - value for value in small)]
    axes.set_xticks([float(logit(mark)) for mark in marks], [f"{mark:.12g}" for mark in marks])
    axes.set_xlabel("threshold", fontsize=SMALL, color=FAINT)


def _legend(page: Page, decides: bool, aimed: bool) -> None:
    y, x = page.height - MARGIN, MARGIN
    for share, color in COLORS.items():
        page.box(x, y - 0.02, 0.25, 0.04, color)
        page.text(x + 0.33, y, share, SMALL)
        x += 1.25
    if decides:
        words = "dotted: the threshold" + "; dashed: the target" * aimed
        page.text(x, y, words, SMALL, FAINT)
