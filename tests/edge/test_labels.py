"""Labels: encoding, decoding and implication are laws, so Hypothesis looks for exceptions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from covid.edge.labels import DOUBT, JOINED, LabelSpace, Uncertain, are_complementary

XRAY3 = {"covid": ("covid", "pneumonia"), "normal": ("normal",), "pneumonia": ("pneumonia",)}
CHEST = {"No Finding": (), "Edema": ("Edema",), "Effusion": ("Effusion",)}
NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
NAN = float("nan")


@st.composite
def label_spaces(draw: st.DrawFn) -> LabelSpace:
    keys = draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    labels = {key: draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)) for key in keys}
    return LabelSpace.from_labels("multilabel", labels)


def test_classes_are_in_the_order_of_the_config() -> None:
    space = LabelSpace.from_labels("multilabel", XRAY3)
    assert space.classes == ("covid", "normal", "pneumonia")


def test_a_label_that_is_nobody_s_key_comes_last() -> None:
    labels = {"covid": ["opacity", "covid"], "normal": ["normal"]}
    assert LabelSpace.from_labels("multilabel", labels).classes == ("covid", "normal", "opacity")


def test_covid_implies_pneumonia_as_its_folder_carries_both() -> None:
    space = LabelSpace.from_labels("multilabel", XRAY3)
    assert space.implies == {"covid": ("pneumonia",)}


def test_a_probability_at_its_threshold_is_a_yes() -> None:
    space = LabelSpace.from_labels("multilabel", XRAY3)
    decided = space.decide(np.array([[0.0, 0.5, 0.4999]], dtype=np.float32))
    assert decided.tolist() == [[False, True, False]]


def test_single_label_takes_the_largest_and_the_first_of_equals() -> None:
    space = LabelSpace.from_labels("single_label", {"infected": ["infected"], "normal": ["normal"]})
    decided = space.decide(np.array([[0.3, 0.7], [0.5, 0.5]], dtype=np.float32))
    assert decided.tolist() == [[False, True], [True, False]]


def test_single_label_has_no_thresholds() -> None:
    assert LabelSpace.from_labels("single_label", {"a": ["a"], "b": ["b"]}).thresholds is None


def test_an_unknown_key_cannot_be_encoded() -> None:
    with pytest.raises(KeyError):
        LabelSpace.from_labels("multilabel", XRAY3).encode(["tuberculosis"])


TWO = LabelSpace.from_labels("single_label", {"infected": ["infected"], "normal": ["normal"]})


@pytest.mark.parametrize(("first", "infected"), [(0.25, True), (0.249, False), (1.0, True)])
def test_of_two_classes_the_first_is_taken_where_it_reaches_its_threshold(
    first: float, infected: bool
) -> None:
    space = TWO.with_thresholds({"infected": 0.25, "normal": 0.75})
    probabilities = np.array([[first, 1 - first]], dtype=np.float32)
    assert space.decide(probabilities).tolist() == [[infected, not infected]]


@given(st.floats(0, 1, width=32), st.lists(st.floats(0, 1, width=32), min_size=1))
def test_of_two_classes_just_one_is_decided_whatever_the_threshold(
    threshold: float, first: list[float]
) -> None:
    column = np.array(first, dtype=np.float32)
    space = TWO.with_thresholds({"infected": threshold, "normal": 1 - threshold})
    assert (space.decide(np.stack([column, 1 - column], axis=1)).sum(axis=1) == 1).all()


def test_thresholds_are_named_by_class() -> None:
    space = LabelSpace.from_labels("multilabel", XRAY3)
    chosen = space.with_thresholds({"pneumonia": 0.3, "covid": 0.1, "normal": 0.2})
    assert chosen.thresholds == (0.1, 0.2, 0.3)
    with pytest.raises(KeyError):
        space.with_thresholds({"covid": 0.1, "normal": 0.2})


@given(st.floats(0, 1))
def test_thresholds_that_were_float32_still_add_up_to_1(threshold: float) -> None:
    rounded = float(np.float32(threshold)), float(np.float32(1 - threshold))
    assert are_complementary((threshold, 1 - threshold)) and are_complementary(rounded)


@pytest.mark.parametrize("thresholds", [(0.5,), (0.5, 0.4), (0.5, 0.25, 0.25), (0.3, 0.70001)])
def test_thresholds_that_do_not_add_up_to_1_are_not_complementary(
    thresholds: tuple[float, ...],
) -> None:
    assert not are_complementary(thresholds)


def test_labels_of_one_cell_are_joined_by_a_plus() -> None:
    space = LabelSpace.from_labels("multilabel", XRAY3)
    assert space.join(space.encode(["covid"])[0]) == "covid+pneumonia"


def encoded(
    labels: dict[str, tuple[str, ...]], cell: str, uncertain: Uncertain = "ignore"
) -> list[float]:
    space = LabelSpace.from_labels("multilabel", labels, uncertain)
    row: list[float] = space.encode([cell])[0].tolist()
    return row


def alike(row: list[float], expected: list[float]) -> bool:
    return np.array_equal(row, expected, equal_nan=True)


@pytest.mark.parametrize(("cell", "row"), [
    ("covid|normal", [1, 1, 1]), ("covid?", [NAN, 0, NAN]), ("pneumonia?", [0, 0, NAN]),
    ("covid?|pneumonia", [NAN, 0, 1]), ("pneumonia?|covid", [1, 0, 1]),
    ("normal|covid?", [NAN, 1, NAN]),
])  # fmt: skip
def test_a_key_in_doubt_leaves_what_no_certain_key_carries_unknown(
    cell: str, row: list[float]
) -> None:
    assert alike(encoded(XRAY3, cell), row)


@pytest.mark.parametrize(("uncertain", "row"), [("positive", [1, 0, 1]), ("negative", [0, 0, 0])])
def test_doubt_can_be_taken_for_true_or_for_false(uncertain: Uncertain, row: list[float]) -> None:
    assert encoded(XRAY3, "covid?", uncertain) == row


@pytest.mark.parametrize(("cell", "row"), [
    ("No Finding", [0, 0]), ("No Finding|Edema", [1, 0]), ("No Finding?|Edema", [1, 0]),
    ("No Finding?|Edema?", [NAN, 0]), ("No Finding?", [NAN, NAN]),
])  # fmt: skip
def test_a_key_without_labels_adds_none_but_alone_its_doubt_leaves_all_unknown(
    cell: str, row: list[float]
) -> None:
    assert alike(encoded(CHEST, cell), row)


def test_a_lone_doubt_of_nothing_says_nothing_unless_it_is_taken_for_true() -> None:
    assert encoded(CHEST, "No Finding?", "positive") == [0, 0]
    assert alike(encoded(CHEST, "No Finding?", "negative"), [NAN, NAN])


def test_a_single_label_in_doubt_leaves_the_whole_row_unknown() -> None:
    labels = {name: (name,) for name in XRAY3}
    space = LabelSpace.from_labels("single_label", labels)
    assert np.isnan(space.encode(["covid?"])).all()
    taken = LabelSpace.from_labels("single_label", labels, "positive")
    assert taken.encode(["covid?"]).tolist() == [[1, 0, 0]]


def test_a_single_label_takes_one_key() -> None:
    space = LabelSpace.from_labels("single_label", {"a": ["a"], "b": ["b"]})
    with pytest.raises(ValueError, match="several keys"):
        space.encode(["a|b"])


def test_no_cell_is_no_row() -> None:
    assert LabelSpace.from_labels("multilabel", XRAY3).encode([]).shape == (0, 3)


@given(label_spaces(), st.data())
def test_what_is_ignored_is_what_taking_doubt_for_true_or_false_decides(
    space: LabelSpace, data: st.DataObject
) -> None:
    keys = data.draw(st.lists(st.sampled_from(list(space.labels)), min_size=1, unique=True))
    cell = JOINED.join(key + data.draw(st.sampled_from(["", DOUBT])) for key in keys)
    ignored, positive, negative = (
        LabelSpace.from_labels("multilabel", space.labels, uncertain).encode([cell])
        for uncertain in ("ignore", "positive", "negative")
    )
    assert (np.isnan(ignored) == (positive != negative)).all()
    assert np.array_equal(np.nan_to_num(ignored, nan=1), positive)
    assert np.array_equal(np.nan_to_num(ignored, nan=0), negative)


@given(label_spaces())
def test_what_is_encoded_decodes_to_the_labels_of_its_key(space: LabelSpace) -> None:
    for key, row in zip(space.labels, space.encode(space.labels), strict=True):
        assert set(space.names(row)) == set(space.labels[key])


@given(label_spaces(), st.data())
def test_implied_labels_are_on_where_their_label_is(
    space: LabelSpace, data: st.DataObject
) -> None:
    shape = (4, len(space.classes))
    numbers = arrays.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
    decided = space.decide(data.draw(numbers))
    for row in decided:
        names = set(space.names(row))
        assert all(set(space.implies.get(name, ())) <= names for name in names)


@given(label_spaces(), st.data())
def test_closing_twice_changes_nothing_more(space: LabelSpace, data: st.DataObject) -> None:
    shape = (4, len(space.classes))
    once = space.close(data.draw(arrays.arrays(np.bool_, shape)))
    assert (space.close(once) == once).all()


@given(label_spaces(), st.data())
def test_closing_takes_nothing_away(space: LabelSpace, data: st.DataObject) -> None:
    decided = data.draw(arrays.arrays(np.bool_, (4, len(space.classes))))
    assert (space.close(decided) >= decided).all()


def test_images_of_others_may_be_labelled_by_class() -> None:
    space = LabelSpace.from_labels(
        "multilabel", {"bacteria": ["pneumonia"], "virus": ["pneumonia"], "normal": ["normal"]}
    )
    targets = space.naming_classes().encode(["pneumonia", "virus", "normal"])
    assert targets.tolist() == space.encode(["virus", "virus", "normal"]).tolist()
