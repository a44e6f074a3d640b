"""The picture: every test with what it looks like, at most four classes."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from covid.evaluation.plots import WRONG
from covid.evaluation.shortcuts.plot import plot_shortcuts, shortcuts_figure
from covid.evaluation.shortcuts.verdict import verdict
from tests.evaluation.shortcuts.reports import report

MADE = report(hidden=0.8)
REPORT = {**MADE, "verdict": verdict(MADE)}
PICTURES = dict.fromkeys([*REPORT["tests"], "within", "across covid"], np.zeros((9, 9), np.uint8))


def drawn(**changes: Any) -> Figure:
    made = report(**changes)
    return shortcuts_figure({**made, "verdict": verdict(made)}, PICTURES)


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def red(figure: Figure) -> int:
    """How many values are drawn as a part of a rule that accuses."""
    return sum(line.get_marker() == "o" and line.get_color() == WRONG
               for axes in figure.axes for line in axes.lines)  # fmt: skip


def test_a_picture_is_written(tmp_path: Path) -> None:
    plot_shortcuts(tmp_path / "shortcuts.png", REPORT, PICTURES)
    with Image.open(tmp_path / "shortcuts.png") as picture:
        assert min(picture.size) > 600


def test_every_change_is_shown_as_it_looks() -> None:
    figure = shortcuts_figure(REPORT, PICTURES)
    images = [axes for axes in figure.axes if axes.images]
    assert len(images) == len(REPORT["tests"]) - 1 + 2  # all but the whole; both swaps


def test_a_class_without_figures_is_drawn_as_a_dash() -> None:
    tests = {name: {**test, "auroc": {**test["auroc"], "normal": {
        "value": None, "low": None, "high": None,
        "difference": {"value": None, "low": None, "high": None}}}}
        for name, test in REPORT["tests"].items()}  # fmt: skip
    figure = shortcuts_figure({**REPORT, "tests": tests}, PICTURES)
    assert any(text.get_text() == "–" for axes in figure.axes for text in axes.texts)


def test_what_accuses_is_red_and_nothing_else_is() -> None:
    each = 2  # classes
    assert red(drawn()) == 0
    assert red(drawn(hidden=0.8)) == each * 2  # grey and black
    assert red(drawn(border=0.3)) == each * 2  # the other label's border, and the correlation
    assert red(drawn(equalised=-0.2, probe=0.8)) == each * 2  # equalised, and the probe


def test_a_class_of_too_few_patients_says_so_and_has_no_axis() -> None:
    few = drawn(evaluated=(False, True))
    assert "too few patients" in words(few) and "too few patients" not in words(drawn())
    assert len(few.axes) < len(drawn().axes)


def test_other_images_than_the_run_s_are_said_to_be_that() -> None:
    assert "These are not the images" in words(drawn(own=False)).replace("\n", " ")
