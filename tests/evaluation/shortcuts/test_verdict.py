"""Who is accused, by which rule, and in which words."""

from typing import Any

import pytest

from covid.evaluation.shortcuts.verdict import verdict
from tests.evaluation.shortcuts.reports import report


def test_an_honest_network_is_cleared_with_its_figures() -> None:
    said = verdict(report())
    assert said["cheats"] is False
    (sentence,) = said["sentences"]
    assert "0.50 (0.45 to 0.55)" in sentence


@pytest.mark.parametrize(("changes", "rule", "words"), [
    ({"hidden": 0.7}, "told_without_lungs", "covid is told from images without lungs"),
    ({"border": 0.3}, "follows_the_border", "border's image is 0.30 (0.25 to 0.35)"),
    ({"equalised": -0.2, "probe": 0.8}, "rests_on_greys", "0.70 instead of 0.90"),
    ({"equalised": -0.2, "probe": None}, "rests_on_greys", "how light an image is"),
])  # fmt: skip
def test_each_rule_accuses_by_itself(changes: dict[str, Any], rule: str, words: str) -> None:
    said = verdict(report(**changes))
    assert said["cheats"] is True and said[rule] == ["covid", "normal"]
    assert len(said["sentences"]) == 1 and words in said["sentences"][0]


def test_chance_accuses_nobody_since_the_interval_s_end_counts() -> None:
    assert verdict(report(hidden=0.59, border=0.14, equalised=-0.1))["cheats"] is False


def test_a_border_that_costs_nothing_for_certain_accuses_nobody() -> None:
    assert verdict(report(border=0.3, lost=-0.04))["cheats"] is False


def test_following_a_border_is_said_beside_what_a_border_of_the_same_label_does() -> None:
    (sentence,) = verdict(report(border=0.3))["sentences"]
    assert "lower by 0.20 (0.15 to 0.25)" in sentence
    assert "30 % of decisions are wrong instead of 10 %" in sentence


@pytest.mark.parametrize(("own", "words"), [
    (False, "These are not the images of its run"), (None, "is not known"),
])  # fmt: skip
def test_other_images_than_the_run_s_are_no_place_to_clear_it(own: Any, words: str) -> None:
    caution = verdict(report(own=own))["caution"]
    assert words in caution and "does not clear it" in caution


def test_the_run_s_own_images_need_no_caution() -> None:
    assert verdict(report())["caution"] is None


def test_one_fill_alone_does_not_accuse() -> None:
    assert verdict(report(hidden=0.9, black=0.5))["cheats"] is False


def test_greys_are_held_against_nobody_whose_borders_tell_nothing() -> None:
    assert verdict(report(equalised=-0.2, probe=0.5))["cheats"] is False


def test_most_of_a_figure_being_told_without_lungs_makes_it_say_nothing() -> None:
    assert "says nothing of the disease" in verdict(report(hidden=0.8))["sentences"][0]
    assert "a part of what figures" in verdict(report(hidden=0.65))["sentences"][0]


def test_a_class_of_few_patients_is_not_judged_and_that_is_said() -> None:
    said = verdict(report(hidden=0.8, evaluated=(False, True)))
    assert said["told_without_lungs"] == ["normal"]
    assert said["sentences"][-1].startswith("Of covid it cannot be told")


def test_no_class_of_enough_patients_leaves_it_open() -> None:
    said = verdict(report(hidden=0.8, evaluated=(False, False)))
    assert said["cheats"] is None and "Too few patients" in said["sentences"][0]


def test_there_are_at_most_three_sentences() -> None:
    every = report(hidden=0.8, border=0.3, equalised=-0.2, probe=0.8, evaluated=(False, True))
    assert len(verdict(every)["sentences"]) == 3


def test_a_suite_without_swaps_is_judged_by_the_rest() -> None:
    assert verdict({**report(), "swap": None})["cheats"] is False
