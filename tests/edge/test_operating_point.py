"""Thresholds and recalibrations: through JSON and back, and what is said of them."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.edge.labels import LabelSpace
from covid.edge.operating_point import (
    ChosenOn,
    OperatingPoint,
    Recalibration,
    decides_by,
    misfit,
    recalibrated_by,
)
from tests.edge.networks import XRAY3

SPACE = LabelSpace.from_labels("multilabel", XRAY3)
TWO = LabelSpace.from_labels("single_label", {"infected": ("infected",), "normal": ("normal",)})
ON = ChosenOn("validation", 128, 101, "0" * 64)
POINT = OperatingPoint(
    "sensitivity=0.95", {"covid": 0.25, "normal": 0.5, "pneumonia": 0.75}, ON,
    {"covid": {"sensitivity": {"value": 0.9, "low": 0.6, "high": 1.0, "patients": 10}}},
    ("covid: 0.95 cannot be shown with 10 patients.",),
)  # fmt: skip
PLATT = Recalibration("platt", (1.7, 1.0, 0.5), (-0.4, 0.0, 1.0), ON)
TEMPERATURE = Recalibration("temperature", (2.0, 2.0), (0.0, 0.0), ON)


def test_an_operating_point_survives_json() -> None:
    assert OperatingPoint.from_fields(json.loads(json.dumps(POINT.fields()))) == POINT


def test_a_recalibration_survives_json() -> None:
    assert Recalibration.from_fields(json.loads(json.dumps(PLATT.fields())), 3) == PLATT


@pytest.mark.parametrize("change", [
    {"method": "isotonic"}, {"scale": [1.0, 1.0]}, {"scale": [0.0, 1.0, 1.0]}, {"shift": [0.0]},
    {"scale": [1.0, 1.0, "1"]}, {"shift": [0.0, 0.0, float("nan")]}, {"images": "many"},
    {"method": "temperature"},
    {"method": "temperature", "scale": [1.0, 1.0, 1.0], "shift": [0.0, 0.0, 0.5]},
])  # fmt: skip
def test_a_recalibration_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Recalibration.from_fields(PLATT.fields() | change, 3)


@pytest.mark.parametrize("change", [
    {"thresholds": {}}, {"thresholds": {"covid": 1.5}}, {"thresholds": {"covid": None}},
    {"rule": ""}, {"rule": "a\x1b[2J"}, {"split": 3}, {"patients": 1.5}, {"notes": [1]},
])  # fmt: skip
def test_an_operating_point_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        OperatingPoint.from_fields(POINT.fields() | change)


@given(st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=3))
def test_a_recalibration_keeps_the_order_of_images(logits: list[float]) -> None:
    column = np.sort(np.array([logits] * 3, dtype=np.float32).T, axis=0)
    assert (np.diff(PLATT.apply(column), axis=0) >= 0).all()


# What is said of them -----------------------------------------------------------------------


def test_chosen_thresholds_are_said_with_their_images() -> None:
    assert decides_by(SPACE.with_thresholds(POINT.thresholds), POINT) == (
        "Thresholds: sensitivity=0.95, chosen on validation (128 images, 101 patients)."
    )


def test_patients_that_are_not_known_are_not_said() -> None:
    point = replace(POINT, chosen_on=ChosenOn("clinic", 1, None, None))
    assert decides_by(SPACE, point).endswith("chosen on clinic (1 image).")


def test_the_default_is_said_to_be_chosen_on_nothing() -> None:
    assert decides_by(SPACE, None) == "Thresholds: 0.5, the default, chosen on nothing."


def test_thresholds_that_followed_a_recalibration_were_not_chosen() -> None:
    point = replace(POINT, rule="0.5, the default, mapped along")
    assert "mapped along, recalibrated on validation (" in decides_by(SPACE, point)


def test_thresholds_of_unknown_origin_are_said_to_be_that() -> None:
    space = replace(SPACE, thresholds=(0.1, 0.5, 0.25))
    assert decides_by(space, None).startswith("Thresholds: 0.1, 0.5, 0.25; nothing says")


def test_without_thresholds_the_largest_probability_decides() -> None:
    assert decides_by(TWO, None) == "Decides by the largest probability."


def test_a_recalibration_is_said_where_there_is_one() -> None:
    assert recalibrated_by(PLATT).startswith(" Recalibrated by platt on validation (128 images")
    assert recalibrated_by(None) == ""


# Which network they are of ------------------------------------------------------------------


def pair(one: float, other: float) -> OperatingPoint:
    return replace(POINT, thresholds={"infected": one, "normal": other})


@pytest.mark.parametrize(
    ("space", "point", "recalibration"),
    [(SPACE, POINT, PLATT), (SPACE, None, None), (TWO, pair(0.2, 0.8), TEMPERATURE)],
)
def test_what_fits_fits(
    space: LabelSpace, point: OperatingPoint | None, recalibration: Recalibration | None
) -> None:
    assert misfit(space, point, recalibration) is None


@pytest.mark.parametrize(
    ("space", "point", "recalibration", "reason"),
    [
        (SPACE, pair(0.2, 0.8), None, "is about infected, normal, and the network about covid"),
        (SPACE, None, TEMPERATURE, "recalibrates 2 classes, and the network has 3"),
        (TWO, pair(0.2, 0.7), None, "which of single_label are t and 1 - t"),
        (TWO, None, replace(TEMPERATURE, method="platt"), "single_label takes temperature"),
    ],
)
def test_what_does_not_fit_says_why(
    space: LabelSpace,
    point: OperatingPoint | None,
    recalibration: Recalibration | None,
    reason: str,
) -> None:
    assert reason in (misfit(space, point, recalibration) or "")
