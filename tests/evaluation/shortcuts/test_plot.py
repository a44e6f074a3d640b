"""The picture: every test with what it looks like, at most four classes."""

from pathlib import Path

import numpy as np
from PIL import Image

from covid.evaluation.shortcuts.plot import plot_shortcuts, shortcuts_figure
from covid.evaluation.shortcuts.verdict import verdict
from tests.evaluation.shortcuts.reports import report

MADE = report(hidden=0.8)
REPORT = {**MADE, "verdict": verdict(MADE)}
PICTURES = dict.fromkeys([*REPORT["tests"], "within", "across covid"], np.zeros((9, 9), np.uint8))


def test_a_picture_is_written(tmp_path: Path) -> None:
    plot_shortcuts(tmp_path / "shortcuts.png", REPORT, PICTURES, "a network on images")
    with Image.open(tmp_path / "shortcuts.png") as picture:
        assert min(picture.size) > 600


def test_every_change_is_shown_as_it_looks() -> None:
    figure = shortcuts_figure(REPORT, PICTURES, "a network on images")
    images = [axes for axes in figure.axes if axes.images]
    assert len(images) == len(REPORT["tests"]) - 1 + 2  # all but the whole; both swaps


def test_a_class_without_figures_is_drawn_as_a_dash() -> None:
    tests = {name: {**test, "auroc": {**test["auroc"], "normal": {
        "value": None, "low": None, "high": None,
        "difference": {"value": None, "low": None, "high": None}}}}
        for name, test in REPORT["tests"].items()}  # fmt: skip
    figure = shortcuts_figure({**REPORT, "tests": tests}, PICTURES, "a network")
    assert any(text.get_text() == "–" for axes in figure.axes for text in axes.texts)
