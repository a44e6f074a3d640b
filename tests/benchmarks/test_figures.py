"""Figures: what was asked for holds or falls short, and both forms say the same."""

import json
from pathlib import Path

import pytest

from benchmarks.figures import figure, figures_table, write_figures


def test_a_figure_has_the_keys_of_the_contract() -> None:
    assert list(figure("speed", 3.0, "x")) == [
        "name", "value", "unit", "target", "holds", "details",
    ]  # fmt: skip


def test_nothing_asked_means_no_target_and_no_verdict() -> None:
    speed = figure("speed", 3.0, "x")
    assert (speed["target"], speed["holds"]) == (None, None)


def test_at_least_holds_from_the_target_on() -> None:
    assert [figure("a", value, "x", least=2)["holds"] for value in (1.9, 2.0)] == [False, True]


def test_at_most_holds_up_to_the_target() -> None:
    assert [figure("a", value, "s", most=2)["holds"] for value in (2.0, 2.1)] == [True, False]


def test_the_table_says_what_falls_short() -> None:
    assert "falls short" in figures_table([figure("cold start", 2.1, "s", most=2)])


@pytest.mark.parametrize(
    ("value", "text"),
    [(1395.4, "1,395 MB"), (999.6, "1,000 MB"), (999.4, "999 MB"), (2.708, "2.71 MB"), (0, "0 MB")],
)
def test_numbers_in_the_table_can_be_read_aloud(value: float, text: str) -> None:
    assert text in figures_table([figure("memory", value, "MB")])


def test_the_file_is_a_list_of_figures(tmp_path: Path) -> None:
    figures = [figure("a", 1.0, "s"), figure("b", 2.0, "x", least=1)]
    write_figures(tmp_path / "figures.json", figures)
    assert json.loads((tmp_path / "figures.json").read_text()) == figures
