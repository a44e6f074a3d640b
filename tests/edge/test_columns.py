"""Cells of view, sex and age, as people write them."""

import pytest

from covid.edge.columns import age_in_years, as_sex, as_view, known_text, plausible_age


@pytest.mark.parametrize("cell, years", [
    ("45", 45), ("045Y", 45), (" 7.5 years", 7.5), ("006M", 0.5), ("6 months", 0.5),
    ("026W", 26 * 7 / 365.25), ("010D", 10 / 365.25), ("60-69", 60), ("55 M", 55),
    ("", None), ("adult", None),
])  # fmt: skip
def test_an_age_is_the_first_number_of_its_cell_in_years(cell: str, years: float | None) -> None:
    assert age_in_years(cell) == (None if years is None else pytest.approx(years))


@pytest.mark.parametrize(
    ("text", "sex"),
    [("M", "M"), ("female", "F"), ("Male", "M"), ("Unknown", ""), ("missing", ""), ("", "")],
)
def test_sex_is_a_letter_or_empty(text: str, sex: str) -> None:
    assert as_sex(text) == sex


@pytest.mark.parametrize("cell, years", [
    ("045Y", 45), ("45.0", 45), ("120", 120), ("121", None), ("999", None), ("-1", None),
    ("", None),
])  # fmt: skip
def test_nobody_is_younger_than_0_or_older_than_120(cell: str, years: float | None) -> None:
    assert plausible_age(cell) == years


@pytest.mark.parametrize("cell, view", [
    ("AP", "AP"), (" pa ", "PA"), ("AP Supine", "AP"), ("AP_horizontal", "AP"), ("L", "lateral"),
    ("LL", "lateral"), ("Lateral", "lateral"), ("left  lateral", "lateral"), ("AP/PA", "AP/PA"),
    ("apical", "APICAL"), ("unknown", ""), ("", ""),
])  # fmt: skip
def test_a_view_is_ap_pa_or_lateral_where_that_is_meant(cell: str, view: str) -> None:
    assert as_view(cell) == view


@pytest.mark.parametrize("cell", ["", "  ", "NaN", "None", "n/a", "Unknown", "-", "?"])
def test_what_stands_for_nothing_is_empty(cell: str) -> None:
    assert known_text(cell) == ""
