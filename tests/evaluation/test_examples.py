"""examples.png: which images it shows, and what it says of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.edge.labels import LabelSpace
from covid.evaluation.answers import Answers
from covid.evaluation.examples import MAX_KEYS, choose_examples, class_in_question
from tests.evaluation.pictures import LONG, answers_of, evaluated, examples_of, overlaps, said


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 8])
def test_texts_of_examples_keep_apart(classes: int, maps: bool) -> None:
    assert overlaps(examples_of(evaluated(LONG[:classes]), maps=maps)) == []


def test_mistakes_come_before_what_is_correct() -> None:
    words = said(examples_of(evaluated(noise=0.6)))
    assert words.index("Wrong, most confident first") < words.index("Correct, most to least")


def test_below_each_image_is_the_map_of_the_class_in_question() -> None:
    plain, mapped = (examples_of(evaluated(noise=0.6), maps=maps) for maps in (False, True))
    scale = 1  # the bar of colours
    assert len(mapped.axes[0].images) == 2 * len(plain.axes[0].images) + scale
    assert said(mapped).count("evidence for ") == len(plain.axes[0].images)
    assert "of the logit a place" in said(mapped) and "a place" not in said(plain)


@pytest.mark.parametrize(("probabilities", "targets", "place"), [
    ([0.9, 0.8, 0.1], [True, False, False], 1),  # decided wrongly
    ([0.1, 0.9, 0.4], [True, True, False], 0),  # missed
    ([0.1, 0.7, 0.9], [False, True, True], 2),  # right, and surer
    ([0.1, 0.3, 0.2], [False, False, False], 1),  # nothing, and rightly so
])  # fmt: skip
def test_the_class_in_question_is_the_mistake_or_else_the_surest(
    probabilities: list[float], targets: list[bool], place: int
) -> None:
    answers = answers_of(np.array([probabilities]), np.array([targets]))
    assert class_in_question(answers, 0) == place


def test_examples_say_correct_and_wrong_in_words() -> None:
    words = said(examples_of(evaluated(noise=0.6))).split("\n")
    assert (words.count("correct"), words.count("wrong")) == (9, 9)


def test_examples_say_how_many_of_a_class_are_correct() -> None:
    everything = said(examples_of(evaluated(("covid", "normal"), noise=0.0)))
    assert everything.count("20 of 20 correct") == 2


def test_examples_without_a_wrong_one_show_only_correct_ones() -> None:
    assert "Wrong" not in said(examples_of(evaluated(noise=0.0)))


def test_examples_without_a_correct_one_show_only_wrong_ones() -> None:
    answers, keys, space = evaluated(noise=0.0)
    flipped = Answers.of(space, 1 - answers.probabilities, answers.targets)
    assert "Correct" not in said(examples_of((flipped, keys, space)))


def test_an_implied_label_is_explained() -> None:
    space = LabelSpace.from_labels("multilabel", {"covid": ["covid", "sick"], "sick": ["sick"]})
    probabilities = np.array([[0.9, 0.1]], dtype=np.float32)
    answers = Answers.of(space, probabilities, space.encode(["covid"]))
    assert "implied" in said(examples_of((answers, ["covid"], space)))


def test_up_to_three_correct_and_three_wrong_of_each_class_are_chosen() -> None:
    answers, keys, space = evaluated(noise=0.6)
    chosen = choose_examples(answers, keys)
    correct = (answers.targets == answers.decisions).all(axis=1)
    for key in space.labels:
        assert {keys[place] for place in chosen[key]} == {key}
        assert correct[chosen[key]].tolist() == [True] * 3 + [False] * 3


def test_the_most_confident_mistakes_come_first() -> None:
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7], [0.45, 0.55]])
    targets = np.array([[True, False]] * 4)
    assert choose_examples(answers_of(probabilities, targets), ["a"] * 4) == {"a": [1, 2, 0]}


def test_correct_ones_spread_from_the_most_to_the_least_confident() -> None:
    sure = np.array([0.6, 0.95, 0.7, 0.99, 0.8])
    probabilities = np.column_stack([sure, 1 - sure])
    targets = np.array([[True, False]] * 5)
    assert choose_examples(answers_of(probabilities, targets), ["a"] * 5) == {"a": [3, 4, 0]}


def test_the_confident_absence_of_a_label_that_is_there_is_a_confident_mistake() -> None:
    probabilities = np.array([[0.55, 0.55], [0.9, 0.01]])  # the second misses its second label
    targets = np.array([[True, False], [True, True]])
    assert choose_examples(answers_of(probabilities, targets), ["a", "a"]) == {"a": [1, 0]}


@given(st.data())
@settings(max_examples=60)
def test_choices_are_of_the_data_and_never_twice(data: st.DataObject) -> None:
    images = data.draw(st.integers(0, 15))
    shape = (images, 2)
    tenths = data.draw(st.lists(st.integers(0, 10), min_size=2 * images, max_size=2 * images))
    probabilities = np.array(tenths, dtype=np.float32).reshape(shape) / 10
    flags = st.lists(st.booleans(), min_size=2 * images, max_size=2 * images)
    targets = np.array(data.draw(flags), dtype=bool).reshape(shape)
    keys = data.draw(st.lists(st.sampled_from("ab"), min_size=images, max_size=images))
    chosen = choose_examples(answers_of(probabilities, targets), keys)
    places = [place for of_key in chosen.values() for place in of_key]
    assert len(set(places)) == len(places)
    assert all(keys[place] == key for key, of_key in chosen.items() for place in of_key)
    assert set(chosen) == set(keys)


def test_an_image_of_two_labels_is_shown_once_and_counts_for_both() -> None:
    space = LabelSpace.from_labels("multilabel", {"a": ["a"], "b": ["b"]})
    cells = ["a|b", "b"]
    answers = Answers.of(space, np.array([[0.9, 0.8], [0.2, 0.3]]), space.encode(cells))
    assert choose_examples(answers, cells) == {"a": [0], "b": [1]}
    words = said(examples_of((answers, cells, space))).split("\n")
    assert "1 of 1 correct" in words and "1 of 2 correct" in words


def test_a_target_that_is_not_known_is_shown_as_a_question_and_is_no_mistake() -> None:
    space = LabelSpace.from_labels("multilabel", {"a": ["a"], "b": ["b"], "none": []})
    cells = ["a|b?", "none", "none?"]
    probabilities = np.array([[0.9, 0.8], [0.2, 0.3], [0.9, 0.9]])
    answers = Answers.of(space, probabilities, space.encode(cells))
    assert choose_examples(answers, cells) == {"a": [0], "none": [1]}
    words = said(examples_of((answers, cells, space))).split("\n")
    assert "a, b?" in words and "2 of 2 images correct" in words and "Wrong" not in words


def test_of_very_many_labels_the_most_frequent_and_the_most_probable_are_shown() -> None:
    classes = tuple(f"finding {number}" for number in range(60))
    answers, cells, space = evaluated(classes)
    figure = examples_of((answers, [*cells, "finding 59"][1:], space))
    assert len(choose_examples(answers, cells)) == MAX_KEYS
    assert figure.get_size_inches()[1] < 60  # a tile, its answers and 8 bars take 4, 12 times
    assert "Of 60 classes, those that are true and the most probable." in said(figure)
