"""Figures by view, sex, age and source: who is in which group, and what is hidden."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.edge.labels import LabelSpace
from covid.evaluation.intervals import proportion
from covid.evaluation.subgroups import MAX_VALUES, MIN_PATIENTS, subgroups
from tests.evaluation.examples import MULTILABEL, any_doubts

SPACE = LabelSpace.from_labels("multilabel", {"covid": ["covid"]})
Groups = dict[str, list[dict[str, Any]]]


def grouped(cells: list[dict[str, str]], patients: list[str | None] | None = None) -> Groups:
    """All images bear covid, and every second one is found."""
    targets = np.ones((len(cells), 1))
    decisions = np.arange(len(cells))[:, None] % 2 == 0
    return subgroups(SPACE, decisions, targets, patients or [None] * len(cells), cells)


def names(groups: Groups, column: str) -> list[str]:
    return [group["group"] for group in groups[column]]


def sides(images: int, right: float = 1.0) -> tuple[Groups, np.ndarray[Any, Any]]:
    """So many images with covid and as many without, half of them AP; a share `right` is right."""
    targets = np.repeat([[1.0], [0.0]], images, axis=0)
    decisions = targets == 1
    wrong = np.arange(len(targets)) >= right * len(targets)
    decisions[wrong] = ~decisions[wrong]
    cells = [{"view": "AP" if place % 2 else "PA"} for place in range(len(targets))]
    return subgroups(SPACE, decisions, targets, [None] * len(targets), cells), targets


def test_messy_cells_fall_into_few_groups() -> None:
    groups = grouped([
        {"view": "AP Supine", "sex": "male", "age": "070Y", "source": "Cohen "},
        {"view": "ap", "sex": "M", "age": "65.0", "source": "Cohen"},
        {"view": "L", "sex": " F", "age": "17", "source": "RSNA"},
        {"view": "PA", "sex": "Female", "age": "006M", "source": "n/a"},
        {"view": "", "sex": "O", "age": "-1", "source": ""},
    ])  # fmt: skip
    assert names(groups, "view") == ["AP", "PA", "lateral", "unknown"]
    assert names(groups, "sex") == ["F", "M", "unknown"]
    assert names(groups, "age") == ["0–17", "65+", "unknown"]
    assert names(groups, "source") == ["Cohen", "RSNA", "unknown"]


@pytest.mark.parametrize("age, band", [
    ("0", "0–17"), ("17.9", "0–17"), ("18", "18–39"), ("39", "18–39"), ("40", "40–64"),
    ("64", "40–64"), ("65", "65+"), ("120", "65+"), ("200", "unknown"),
])  # fmt: skip
def test_bands_of_age_begin_at_18_40_and_65(age: str, band: str) -> None:
    images = {g["group"]: g["images"] for g in grouped(
        [{"age": age}, {"age": ""}, *({"age": other} for other in ("5", "30", "50", "70"))]
    )["age"]}  # fmt: skip
    assert max(images, key=lambda group: images[group]) == band


@pytest.mark.parametrize("cells", [
    [], [{"sex": "M"}], [{"sex": "M"}, {"sex": ""}], [{}, {}], [{"sex": "M"}, {"sex": "male"}],
])  # fmt: skip
def test_a_grouping_needs_two_known_values(cells: list[dict[str, str]]) -> None:
    assert grouped(cells) == {}


def test_groups_are_counted_with_images_and_patients() -> None:
    groups = grouped([{"sex": "M"}] * 3 + [{"sex": "F"}] * 2, ["a", "a", None, "b", "b"])
    assert [(g["group"], g["images"], g["patients"]) for g in groups["sex"]] == [
        ("M", 3, 2), ("F", 2, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("patients, shown", [(MIN_PATIENTS - 1, False), (MIN_PATIENTS, True)])
def test_a_figure_of_fewer_than_ten_patients_is_hidden(patients: int, shown: bool) -> None:
    people: list[str | None] = [f"p{n % patients}" for n in range(40)]
    cells = [{"view": "AP"}] * 40 + [{"view": "PA"}]
    row = grouped(cells, [*people, "other"])["view"][0]["classes"]["covid"]
    assert row["patients"] == patients
    assert (row["sensitivity"] is not None) == shown
    assert ("sensitivity" in row["hidden"]) != shown


def test_sensitivity_is_hidden_for_want_of_patients_with_the_class_only() -> None:
    targets = np.array([[1.0]] * 9 + [[0.0]] * 31)
    cells = [{"sex": "M"}] * 39 + [{"sex": "F"}]
    groups = subgroups(SPACE, targets == 1, targets, [None] * 40, cells)
    row = groups["sex"][0]["classes"]["covid"]
    assert row["sensitivity"] is None and row["specificity"]["value"] == 1
    assert row["hidden"] == "sensitivity: 9 patients with covid; fewer than 10"


def test_figures_have_wilsons_interval_over_patients() -> None:
    people: list[str | None] = [f"p{n // 3}" for n in range(60)]
    found = np.arange(60) % 7 < 5
    cells = [{"sex": "M"}] * 60 + [{"sex": "F"}]
    decisions = np.append(found, True)[:, None]
    groups = subgroups(SPACE, decisions, np.ones((61, 1)), [*people, None], cells)
    expected = proportion(found, people)
    figure = groups["sex"][0]["classes"]["covid"]["sensitivity"]
    assert figure == {"value": expected.value, "low": expected.low, "high": expected.high}


def test_all_correct_and_all_wrong_are_one_and_zero() -> None:
    for right in (1.0, 0.0):
        row = sides(40, right)[0]["view"][0]["classes"]["covid"]
        assert row["sensitivity"]["value"] == row["specificity"]["value"] == right
        assert row["sensitivity"]["low"] < row["sensitivity"]["high"]


def test_targets_that_are_not_known_count_in_no_figure() -> None:
    targets = np.array([[1.0]] * 10 + [[np.nan]] * 30)
    cells = [{"sex": "M"}] * 40 + [{"sex": "F"}]
    targets = np.append(targets, [[1.0]], axis=0)
    row = subgroups(SPACE, np.ones((41, 1), bool), targets, [None] * 41, cells)["sex"][0]
    assert (row["images"], row["classes"]["covid"]["patients"]) == (40, 10)
    assert row["classes"]["covid"]["patients_without"] == 0


def test_a_column_of_many_values_keeps_the_largest() -> None:
    cells = [{"source": f"file{n}"} for n in range(50)] + [{"source": "large"}] * 2 + [{}]
    groups = grouped(cells)
    assert names(groups, "source")[0] == "large"
    assert names(groups, "source")[-2:] == ["other", "unknown"]
    assert len(groups["source"]) == MAX_VALUES + 2
    assert sum(group["images"] for group in groups["source"]) == len(cells)


def test_lengths_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows of columns"):
        subgroups(SPACE, np.ones((1, 1), bool), np.ones((1, 1)), [None], [{}, {}])


@given(any_doubts(), st.randoms(use_true_random=False), st.data())
@settings(max_examples=30, deadline=None)
def test_the_order_of_images_makes_no_difference(
    example: Any, random: Any, data: st.DataObject
) -> None:
    space, (probabilities, targets, patients), known = example
    values = np.where(known, targets, np.nan)
    views = [{"view": data.draw(st.sampled_from(["AP", "PA", ""]))} for _ in patients]
    order = random.sample(range(len(views)), len(views))
    decisions = space.decide(probabilities)
    straight = subgroups(space, decisions, values, patients, views)
    shuffled = subgroups(
        space, decisions[order], values[order], [patients[n] for n in order],
        [views[n] for n in order],
    )  # fmt: skip
    assert straight == shuffled


def test_the_figures_are_plain_json() -> None:
    groups, _ = sides(40, 0.5)
    assert json.loads(json.dumps(groups, allow_nan=False)) == groups


def test_classes_that_imply_others_are_evaluated_each_by_itself() -> None:
    targets = MULTILABEL.encode(["covid"] * 20 + ["normal"] * 20)
    cells = [{"sex": "M" if n % 2 else "F"} for n in range(40)]
    groups = subgroups(MULTILABEL, targets == 1, targets, [None] * 40, cells)
    assert list(groups["sex"][0]["classes"]) == list(MULTILABEL.classes)
