"""Labels: encoding, decoding and implication are laws, so Hypothesis looks for exceptions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from covid.edge.labels import LabelSpace

XRAY3 = {"covid": ("covid", "pneumonia"), "normal": ("normal",), "pneumonia": ("pneumonia",)}
NAMES = st.sampled_from(["a", "b", "c", "d", "e"])


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


def test_labels_of_one_cell_are_joined_by_a_plus() -> None:
    space = LabelSpace.from_labels("multilabel", XRAY3)
    assert space.join(space.encode(["covid"])[0]) == "covid+pneumonia"


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
