"""The picture of comparisons: what it says, and that nothing is clipped or overlaps."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from covid.evaluation.comparison.compare import Comparison, compare
from covid.evaluation.comparison.plot import differences_figure, plot_differences
from covid.evaluation.comparison.report import signed
from tests.evaluation.pictures import LONG, overlaps, said
from tests.evaluation.predictions import two_files

FIRST, SECOND = two_files()


def compared(count: int, classes: tuple[str, ...] = FIRST.classes) -> list[Comparison]:
    one, other = (replace(file, classes=classes) for file in (FIRST, SECOND))
    names = [f"runs/efficientnet_lite0_multilabel_{n}/evaluation/test" for n in range(count + 1)]
    return [compare(one, other, (names[0], name), resamples=20) for name in names[1:]]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("classes", [FIRST.classes, LONG[:3]], ids=["short", "long"])
def test_nothing_overlaps_or_leaves_the_picture(count: int, classes: tuple[str, ...]) -> None:
    assert not overlaps(differences_figure(compared(count, classes)))


def test_every_difference_is_said_with_its_interval() -> None:
    comparison = compared(1)[0]
    text = said(differences_figure([comparison]))
    for row in comparison.differences:
        assert f"{signed(row.value)}  ({signed(row.low)} to {signed(row.high)})" in text
    assert "60 images of" in text


def test_lines_are_the_intervals() -> None:
    comparison = compared(1)[0]
    figure = differences_figure([comparison])
    lines = [line.get_xdata() for axes in figure.axes for line in axes.lines]
    drawn = {tuple(map(float, ends)) for ends in lines if len(ends) == 2}  # type: ignore[arg-type]
    assert drawn >= {(row.low, row.high) for row in comparison.differences}


def test_the_same_answers_are_a_picture_too(tmp_path: Path) -> None:
    plot_differences(tmp_path / "same.png", [compare(FIRST, FIRST, resamples=20)])
    with Image.open(tmp_path / "same.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 600
