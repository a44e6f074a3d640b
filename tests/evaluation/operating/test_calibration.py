"""Calibration: figures on simulated truth, bins, and recalibrations that change no decision."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax

from covid.edge.labels import LabelSpace
from covid.edge.operating_point import ChosenOn, Method, Recalibration
from covid.errors import ConfigError, DataError
from covid.evaluation.operating.calibration import (
    calibration_figures,
    calibration_table,
    fit_recalibration,
    recalibrated,
)
from tests.evaluation.examples import MULTILABEL, SINGLE_LABEL, any_doubts

ONE = LabelSpace.from_labels("multilabel", {"covid": ["covid"], "none": []})
TWO = LabelSpace.from_labels("single_label", {"infected": ["infected"], "normal": ["normal"]})
ON = ChosenOn("validation", 100, None, None)
Floats = npt.NDArray[np.float64]


def figures_of(
    probabilities: list[float] | Floats, outcomes: Any, patients: list[str | None] | None = None
) -> dict[str, Any]:
    p = np.array(probabilities, dtype=np.float64)[:, None]
    true = np.array(outcomes, dtype=np.float64)[:, None]
    return calibration_figures(ONE, p, true, patients or [None] * len(p))["covid"]


def simulated(patients: int, slope: float, seed: int = 0) -> dict[str, Any]:
    """Patients of one to four images, whose outcomes are alike; logits are `slope` too flat."""
    draw = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(patients), draw.integers(1, 5, patients))
    odds = draw.normal(-0.5, 2, patients)
    outcomes = (draw.random(patients) < expit(odds))[cluster]
    return figures_of(expit(odds[cluster] / slope), outcomes, [f"{n}" for n in cluster])


def logits_of(space: LabelSpace, images: int = 200, scale: float = 2.0) -> tuple[Any, Any]:
    """Logits `scale` times as large as they should be, and targets drawn from the truth."""
    draw = np.random.default_rng(1)
    logits = draw.normal(0, 2, (images, len(space.classes))).astype(np.float32)
    if space.task == "multilabel":
        return logits * np.float32(scale), (draw.random(logits.shape) < expit(logits)).astype(float)
    chosen = [draw.choice(len(row), p=row) for row in softmax(logits.astype(float), axis=1)]
    return logits * np.float32(scale), np.eye(len(space.classes))[chosen]


def test_a_calibrated_network_has_slope_1_and_intercept_0() -> None:
    held = np.zeros(2)
    for seed in range(200):
        figures = simulated(30, 1.0, seed)
        for place, (key, truth) in enumerate((("slope", 1.0), ("intercept", 0.0))):
            held[place] += figures[key]["low"] <= truth <= figures[key]["high"]
    assert (held / 200 >= 0.92).all()


def test_a_slope_says_how_much_too_extreme_probabilities_are() -> None:
    slope = simulated(2000, 0.5)["slope"]
    assert slope["low"] < 0.5 < slope["high"] < 0.7


def test_the_intercept_makes_the_mean_right() -> None:
    probabilities, outcomes = np.linspace(0.05, 0.95, 40), np.arange(40) % 2
    shift = figures_of(probabilities, outcomes)["intercept"]["value"]
    moved = expit(np.log(probabilities / (1 - probabilities)) + shift)
    assert moved.mean() == pytest.approx(0.5)


@pytest.mark.parametrize(("probabilities", "outcomes", "key", "why"), [
    ([0.2] * 9, [1] * 9, "intercept", "every image bears it"),
    ([0.2] * 9, [0] * 9, "intercept", "no image bears it"),
    ([0.1, 0.3, 0.2, 0.4], [0, 1, 1, 0], "intercept", "fewer than 3 patients"),
    ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 0, 0, 1, 1, 1], "slope", "without a mistake"),
    ([0.1, 0.2, 0.41, 0.4, 0.5, 0.6], [0, 0, 0, 1, 1, 1], "slope", "overlap in fewer than 3"),
    ([0.2] * 8, [0, 1] * 4, "slope", "the same probability"),
])  # fmt: skip
def test_what_cannot_be_determined_is_none_and_said(
    probabilities: list[float], outcomes: list[int], key: str, why: str
) -> None:
    figures = figures_of(probabilities, outcomes)
    assert figures[key] == {"value": None, "low": None, "high": None}
    assert len(figures["notes"]) == 1 and why in figures["notes"][0]
    assert why in figures["reason"] and figures["reason"] in figures["notes"][0]


def test_a_slope_that_is_there_has_no_reason() -> None:
    assert simulated(30, 1.0)["reason"] is None


def test_a_sigmoid_that_ran_out_of_digits_is_no_infinity() -> None:
    figures = figures_of([0.0, 1.0, 0.0, 1.0, 0.5, 0.5, 0.4], [1, 0, 0, 1, 1, 0, 1])
    assert np.isfinite(figures["slope"]["value"])


def test_nothing_known_of_a_class_is_said() -> None:
    figures = calibration_figures(
        MULTILABEL, np.full((2, 3), 0.5), np.array([[np.nan, 0, 1], [np.nan, 1, 0]]), ["a", "b"]
    )
    assert figures["covid"]["bins"] == [] and "Of no image" in figures["covid"]["notes"][0]


def test_bins_hold_about_as_many_images_each() -> None:
    draw = np.random.default_rng(0).random(200)
    bins = figures_of(draw, draw > 0.5)["bins"]
    assert [row["images"] for row in bins] == [20] * 10
    assert all(row["low"] <= row["observed"] <= row["high"] for row in bins)


@pytest.mark.parametrize(("images", "bins"), [(5, 1), (35, 3), (1000, 10)])
def test_few_images_have_few_bins(images: int, bins: int) -> None:
    draw = np.random.default_rng(0).random(images)
    assert len(figures_of(draw, draw > 0.5)["bins"]) == bins


def test_images_of_equal_probability_share_a_bin() -> None:
    bins = figures_of([0.2] * 45 + [0.7] * 55, [0, 1] * 50)["bins"]
    assert [row["images"] for row in bins] == [45, 55]


@given(any_doubts(), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_order_of_images_changes_no_figure(case: Any, chance: Any) -> None:
    space, (probabilities, targets, patients), known = case
    doubtful = np.where(known, targets, np.nan)
    order = list(range(len(targets)))
    chance.shuffle(order)
    one = calibration_figures(space, probabilities, doubtful, patients)
    other = calibration_figures(
        space, probabilities[order], doubtful[order], [patients[place] for place in order]
    )
    assert calibration_table(one) == calibration_table(other)


def test_a_table_has_a_row_a_class_and_dashes() -> None:
    table = calibration_table({"covid": figures_of([0.2] * 9, [1] * 9)})
    assert "covid" in table and "–" in table


@pytest.mark.parametrize("space", [MULTILABEL, SINGLE_LABEL, TWO])
def test_a_temperature_finds_the_scale_again(space: LabelSpace) -> None:
    logits, targets = logits_of(space, 3000, 2.0)
    fitted = fit_recalibration("temperature", space, logits, targets, ON)
    assert fitted.scale == (fitted.scale[0],) * len(space.classes)
    assert fitted.scale[0] == pytest.approx(0.5, abs=0.05) and set(fitted.shift) == {0.0}


@pytest.mark.parametrize("space", [MULTILABEL, SINGLE_LABEL])
def test_no_other_temperature_is_likelier(space: LabelSpace) -> None:
    logits, targets = logits_of(space)
    scale = fit_recalibration("temperature", space, logits, targets, ON).scale[0]

    def likelihood(at: float) -> float:
        scores = at * logits.astype(np.float64)
        if space.task == "single_label":
            return float((log_softmax(scores, axis=1) * targets).sum())
        return -float(np.logaddexp(0, np.where(targets == 1, -scores, scores)).sum())

    assert likelihood(scale) > max(likelihood(scale * 1.01), likelihood(scale * 0.99))


def test_platt_finds_scale_and_shift_again() -> None:
    logits, targets = logits_of(MULTILABEL, 5000, 2.0)
    fitted = fit_recalibration("platt", MULTILABEL, logits + np.float32(1), targets, ON)
    assert fitted.scale == pytest.approx((0.5,) * 3, abs=0.05)
    assert fitted.shift == pytest.approx((-0.5,) * 3, abs=0.1)


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_what_is_not_known_does_not_count(method: Method) -> None:
    logits, targets = logits_of(MULTILABEL)
    doubtful = np.vstack([targets, np.full((50, 3), np.nan)])
    more = np.vstack([logits, np.full((50, 3), 9, dtype=np.float32)])
    alone = fit_recalibration(method, MULTILABEL, logits, targets, ON)
    assert fit_recalibration(method, MULTILABEL, more, doubtful, ON) == alone


@pytest.mark.parametrize("space", [MULTILABEL, SINGLE_LABEL])
def test_logits_without_a_mistake_have_no_temperature(space: LabelSpace) -> None:
    targets = np.eye(3)
    with pytest.raises(DataError, match="do not allow a recalibration by temperature: .*mistake"):
        fit_recalibration("temperature", space, (8 * targets - 4).astype(np.float32), targets, ON)


@pytest.mark.parametrize(("method", "space"), [
    ("temperature", MULTILABEL), ("temperature", SINGLE_LABEL), ("platt", MULTILABEL),
])  # fmt: skip
def test_logits_that_are_upside_down_have_no_scale(method: Method, space: LabelSpace) -> None:
    logits, targets = logits_of(space)
    with pytest.raises(DataError, match="no likelier"):
        fit_recalibration(method, space, -logits, targets, ON)


def test_platt_needs_both_outcomes_and_an_overlap() -> None:
    logits, targets = logits_of(MULTILABEL)
    with pytest.raises(DataError, match="for covid no image bears it"):
        fit_recalibration("platt", MULTILABEL, logits, targets * [0, 1, 1], ON)
    with pytest.raises(DataError, match="for covid the probabilities separate"):
        split = np.column_stack([logits[:, 0] > 0, targets[:, 1:]]).astype(float)
        fit_recalibration("platt", MULTILABEL, logits, split, ON)


def test_nothing_known_allows_no_recalibration() -> None:
    logits = np.zeros((2, 3), dtype=np.float32)
    with pytest.raises(DataError, match="of no image is it known"):
        fit_recalibration("temperature", MULTILABEL, logits, np.full((2, 3), np.nan), ON)


def test_platt_is_refused_where_probabilities_sum_to_1() -> None:
    with pytest.raises(ConfigError, match="takes temperature only"):
        fit_recalibration("platt", TWO, *logits_of(TWO), ON)


def test_numbers_are_those_that_the_graph_holds() -> None:
    fitted = fit_recalibration("platt", MULTILABEL, *logits_of(MULTILABEL), ON)
    assert all(float(np.float32(value)) == value for value in (*fitted.scale, *fitted.shift))


def test_recalibrated_probabilities_are_sigmoids_or_sum_to_1() -> None:
    logits = np.array([[-200.0, 0.0, 200.0]], dtype=np.float32)
    platt = Recalibration("platt", (1.0, 1.0, 1.0), (0.0, 1.0, 0.0), ON)
    assert recalibrated(MULTILABEL, logits, platt).tolist() == [[0, pytest.approx(0.7310586), 1]]
    halved = Recalibration("temperature", (0.01,) * 3, (0.0,) * 3, ON)
    wanted = softmax(np.array([-2.0, 0.0, 2.0]))
    likely = recalibrated(SINGLE_LABEL, logits, halved)
    assert likely.dtype == np.float32 and likely[0] == pytest.approx(wanted, rel=1e-5)


def test_a_fitted_recalibration_has_slope_1_where_it_was_fitted() -> None:
    logits, targets = logits_of(MULTILABEL)
    fitted = fit_recalibration("platt", MULTILABEL, logits, targets, ON)
    likely = recalibrated(MULTILABEL, logits, fitted)
    for row in calibration_figures(MULTILABEL, likely, targets, [None] * 200).values():
        assert row["slope"]["value"] == pytest.approx(1, abs=1e-3)
        assert row["intercept"]["value"] == pytest.approx(0, abs=1e-3)


@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=4, max_size=20))
@settings(max_examples=50)
def test_a_temperature_is_above_0_or_refused(cells: list[tuple[int, bool]]) -> None:
    logits = np.array([[value] for value, _ in cells], dtype=np.float32)
    targets = np.array([[float(true)] for _, true in cells])
    assume(logits.any())
    try:
        assert fit_recalibration("temperature", ONE, logits, targets, ON).scale[0] > 0
    except DataError as error:
        assert "do not allow" in str(error)
