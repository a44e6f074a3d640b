"""Pictures of calibration and thresholds: what they say, and that nothing overlaps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from covid.edge.labels import LabelSpace, Task
from covid.edge.operating_point import ChosenOn, OperatingPoint
from covid.evaluation.operating.calibration import calibration_figures
from covid.evaluation.operating.plots import (
    calibration_figure,
    operating_figure,
    plot_calibration,
    plot_operating,
)
from covid.evaluation.operating.point import choose
from covid.evaluation.operating.targets import parse_targets
from tests.evaluation.pictures import LONG, TITLE, evaluated, overlaps, said

ON = ChosenOn("validation", 100, None, None)
Case = tuple[LabelSpace, Any, Any, list[str | None]]


def case_of(classes: int, task: Task = "multilabel") -> Case:
    if classes == 1:
        space = LabelSpace.from_labels("multilabel", {LONG[0]: [LONG[0]], "none": []})
        keys = [LONG[0], "none"] * 20
        draw = np.random.default_rng(0).normal(0.5, 0.25, (40, 1)).clip(0, 1).astype(np.float32)
        return space, draw, space.encode(keys), [None] * 40
    answers, keys, space = evaluated(LONG[:classes], task)
    return space, answers.probabilities, space.encode(keys), [None] * len(keys)


def calibrated(case: Case) -> Any:
    space, probabilities, targets, _ = case
    return calibration_figure(
        space, calibration_figures(*case), probabilities, targets, TITLE
    )


def operating(case: Case, point: OperatingPoint | None = None) -> Figure:
    space, probabilities, targets, patients = case
    if point is not None:
        space = space.with_thresholds(point.thresholds)
    return operating_figure(space, probabilities, targets, patients, point, TITLE)


@pytest.mark.parametrize("classes", [1, 2, 3, 5, 8])
def test_texts_of_calibration_keep_apart(classes: int) -> None:
    assert overlaps(calibrated(case_of(classes))) == []


@pytest.mark.parametrize(("classes", "task", "threshold"), [
    (1, "multilabel", 0.5), (2, "single_label", 0.5), (2, "multilabel", 3e-5),
    (3, "multilabel", 0.0), (3, "single_label", None), (5, "multilabel", 1e-9),
    (8, "multilabel", 0.98765),
])  # fmt: skip
def test_texts_of_operating_points_keep_apart(
    classes: int, task: Task, threshold: float | None
) -> None:
    space, probabilities, targets, patients = case_of(classes, task)
    if threshold is not None:
        space = space.with_thresholds(dict.fromkeys(space.classes, threshold))
    assert overlaps(operating((space, probabilities, targets, patients))) == []


def test_calibration_says_slope_and_intercept() -> None:
    case = case_of(3)
    row = calibration_figures(*case)["normal"]
    words = said(calibrated(case))
    assert f"slope {row['slope']['value']:.2f} ({row['slope']['low']:.2f} to" in words
    assert "intercept" in words and TITLE in words


def test_a_slope_that_cannot_be_determined_is_a_dash() -> None:
    space, probabilities, _, patients = case_of(2)
    case = (space, probabilities, np.ones_like(probabilities), patients)
    assert "slope –" in said(calibrated(case))


def test_an_operating_point_says_target_and_what_is_reached_here() -> None:
    case = case_of(3)
    point = choose(*case, parse_targets(["sensitivity=0.8"], case[0]), ON)
    words = said(operating(case, point))
    row = point.per_class["normal"]
    assert f"present from {row['threshold']:.3g}; aimed at sensitivity 0.8" in words
    assert f"sensitivity {row['sensitivity']['value']:.2f}" in words
    assert "sensitivity=0.8, chosen on validation" in words


def test_two_classes_share_a_panel_and_a_target_is_turned_round() -> None:
    case = case_of(2, "single_label")
    wanted = parse_targets([f"{case[0].classes[1]}:sensitivity=0.8"], case[0])
    figure = operating(case, choose(*case, wanted, ON))
    assert "aimed at specificity 0.8" in said(figure) and len(figure.axes) == 2


def test_the_default_is_called_one() -> None:
    words = said(operating(case_of(3)))
    assert "threshold: 0.5, the default" in words and "chosen on" not in words


def test_the_largest_probability_has_no_threshold() -> None:
    words = said(operating(case_of(3, "single_label")))
    assert "the largest probability decides" in words and "present from" not in words


def test_pictures_are_png_files_of_a_sane_size(tmp_path: Path) -> None:
    space, probabilities, targets, patients = case_of(3)
    figures = calibration_figures(space, probabilities, targets, patients)
    plot_calibration(tmp_path / "calibration.png", space, figures, probabilities, targets, TITLE)
    plot_operating(
        tmp_path / "operating.png", space, probabilities, targets, patients, None, TITLE
    )
    for path in sorted(tmp_path.iterdir()):
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert 600 < picture.width < 3000 and 400 < picture.height < 3000
    assert len(list(tmp_path.iterdir())) == 2
