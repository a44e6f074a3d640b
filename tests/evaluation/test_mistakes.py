"""The surest mistakes, and the share of errors among the least sure images."""

import json
import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.edge.labels import LabelSpace
from covid.evaluation.answers import Answers
from covid.evaluation.mistakes import REVIEWED, SUREST, mistakes, mistakes_sentence
from tests.evaluation.examples import MULTILABEL, SINGLE_LABEL, any_doubts

ONE = LabelSpace.from_labels("multilabel", {"covid": ["covid"]})
TWO = LabelSpace.from_labels("single_label", {"covid": ["covid"], "normal": ["normal"]})


def judged(
    space: LabelSpace, rows: Any, targets: Any, patients: list[str | None] | None = None
) -> dict[str, Any]:
    """Images called 0.png, 1.png and so on."""
    probabilities = np.array(rows, dtype=np.float32).reshape(len(rows), len(space.classes))
    known: npt.NDArray[Any] = np.array(targets, dtype=np.float32).reshape(probabilities.shape)
    names = [f"{place}.png" for place in range(len(rows))]
    return mistakes(space, probabilities, space.decide(probabilities), known, names,
                    patients or [None] * len(rows), ["cell"] * len(rows))  # fmt: skip


def paths(summary: dict[str, Any]) -> list[str]:
    return [row["path"] for row in summary["surest"]]


def test_the_surest_mistake_comes_first_and_says_what_it_is() -> None:
    summary = judged(ONE, [0.6, 0.01, 0.9, 0.4], [0, 1, 1, 1])
    assert paths(summary) == ["1.png", "0.png", "3.png"]
    assert summary["surest"][:2] == [
        {"path": "1.png", "label": "cell", "predicted": "", "class": "covid", "kind": "missed",
         "probability": pytest.approx(0.01), "threshold": 0.5, "implied_by": None},
        {"path": "0.png", "label": "cell", "predicted": "covid", "class": "covid",
         "kind": "false alarm", "probability": pytest.approx(0.6), "threshold": 0.5,
         "implied_by": None},
    ]  # fmt: skip


def test_sure_is_counted_from_the_threshold_on_the_logit_scale() -> None:
    space = ONE.with_thresholds({"covid": 0.01})
    # 0.3 is 3.7 above 0.01 in logits, 0.001 is 2.3 below.
    assert paths(judged(space, [0.001, 0.3], [1, 0])) == ["1.png", "0.png"]


def test_an_image_is_listed_once_by_its_surest_mistake() -> None:
    summary = judged(MULTILABEL, [[0.1, 0.99, 0.3]], [[1, 0, 1]])
    assert [(row["class"], row["kind"]) for row in summary["surest"]] == [("normal", "false alarm")]


def test_what_another_class_implied_says_so() -> None:
    # Pneumonia is on because covid is, of which nothing is known here.
    summary = judged(MULTILABEL, [[0.9, 0.1, 0.2]], [[np.nan, 0, 0]])
    row = summary["surest"][0]
    assert (row["class"], row["kind"], row["implied_by"]) == ("pneumonia", "false alarm", "covid")
    assert row["probability"] < row["threshold"]


def test_of_a_class_and_what_it_implies_the_class_itself_is_named() -> None:
    space = LabelSpace.from_labels(
        "multilabel", {"pneumonia": ["pneumonia"], "covid": ["covid", "pneumonia"]}
    )
    row = judged(space, [[0.2, 0.9]], [[0, 0]])["surest"][0]
    assert (row["class"], row["implied_by"]) == ("covid", None)


def test_of_single_labels_the_decided_class_is_named() -> None:
    rows = [[0.5, 0.3, 0.2], [0.05, 0.05, 0.9], [0.9, 0.05, 0.05]]
    summary = judged(SINGLE_LABEL, rows, [[0, 1, 0], [1, 0, 0], [1, 0, 0]])
    assert [(r["path"], r["class"], r["threshold"]) for r in summary["surest"]] == [
        ("1.png", "pneumonia", None), ("0.png", "covid", None),
    ]  # fmt: skip


def test_of_two_single_labels_with_a_threshold_the_first_is_named() -> None:
    space = TWO.with_thresholds({"covid": 0.2, "normal": 0.8})
    summary = judged(space, [[0.3, 0.7], [0.1, 0.9]], [[0, 1], [1, 0]])
    assert [(r["class"], r["kind"], r["threshold"]) for r in summary["surest"]] == [
        ("covid", "missed", 0.2), ("covid", "false alarm", 0.2),
    ]  # fmt: skip


def test_no_more_than_twenty_are_listed() -> None:
    assert len(judged(ONE, np.linspace(0.6, 0.9, 50), [0] * 50)["surest"]) == SUREST


def test_probabilities_of_0_and_1_are_as_sure_as_can_be() -> None:
    summary = judged(ONE, [0.9, 1.0, 0.0, 0.2], [0, 0, 1, 1])
    assert set(paths(summary)[:2]) == {"1.png", "2.png"}


def test_the_least_sure_tenth_is_left_to_a_human() -> None:
    rows = [0.45, 0.52, *np.linspace(0.8, 0.99, 18)]
    review = judged(ONE, rows, [1, 1, *[1] * 17, 0])["review"]
    assert review["images"] == 2 and review["evaluated"] == 20
    assert review["errors"] == 2 and review["errors_in_review"] == 1
    assert review["share_of_errors"]["value"] == 0.5
    assert 0 < review["share_of_errors"]["low"] < 0.5 < review["share_of_errors"]["high"] < 1


def test_the_margin_of_the_two_largest_says_how_sure_a_single_label_is() -> None:
    rows = [[0.4, 0.39, 0.21]] + [[0.5, 0.3, 0.2]] * 9
    review = judged(SINGLE_LABEL, rows, [[0, 1, 0]] + [[1, 0, 0]] * 9)["review"]
    assert review["errors_in_review"] == review["images"] == 1


def test_what_covid_switches_on_is_as_sure_as_covid() -> None:
    # By itself pneumonia would be just below its threshold in the first image.
    rows = [[0.99, 0.01, 0.49]] + [[0.9, 0.1, 0.9]] * 8 + [[0.6, 0.1, 0.9]]
    targets = [[0, 1, 0]] + [[1, 0, 1]] * 9
    assert judged(MULTILABEL, rows, targets)["review"]["errors_in_review"] == 0


@pytest.mark.parametrize("images, reviewed", [(1, 0), (9, 0), (10, 1), (19, 1), (30, 3), (70, 7)])
def test_a_tenth_is_rounded_down(images: int, reviewed: int) -> None:
    review = judged(ONE, np.linspace(0.1, 0.9, images), [0] * images)["review"]
    assert review["images"] == reviewed
    assert (review["share_of_errors"] is None) == (reviewed == 0) == (review["reason"] is not None)


def test_ties_are_not_decided_by_the_folder() -> None:
    names = [f"covid/{n}.png" for n in range(50)] + [f"normal/{n}.png" for n in range(50)]
    probabilities = np.full((100, 1), 0.7, dtype=np.float32)
    targets = np.repeat([[1.0], [0.0]], 50, axis=0)
    review = mistakes(ONE, probabilities, probabilities > 0.5, targets, names, [None] * 100,
                      names)["review"]  # fmt: skip
    assert 0 < review["errors_in_review"] < review["images"] == 10


def test_all_correct_has_no_mistake_and_no_share() -> None:
    summary = judged(ONE, [0.9] * 20, [1] * 20)
    assert summary["surest"] == [] and summary["review"]["share_of_errors"] is None
    assert summary["review"]["reason"] == "there is no mistake"
    assert mistakes_sentence(summary) == "No image was decided wrongly."


def test_all_wrong_leaves_a_tenth_of_the_errors_to_a_human() -> None:
    review = judged(ONE, np.linspace(0.6, 0.9, 100), [0] * 100)["review"]
    assert (review["errors"], review["errors_in_review"]) == (100, 10)
    assert review["share_of_errors"]["value"] == pytest.approx(0.1)


def test_targets_that_are_not_known_are_no_mistakes() -> None:
    summary = judged(ONE, [0.9] * 30, [np.nan] * 20 + [0] * 10)
    assert summary["review"]["evaluated"] == summary["review"]["errors"] == 10
    assert summary["review"]["images"] == 1
    assert all(int(path.removesuffix(".png")) >= 20 for path in paths(summary))


def test_errors_of_one_patient_make_the_interval_wider() -> None:
    rows, targets = np.linspace(0.51, 0.99, 60), [0] * 60
    alone = judged(ONE, rows, targets)["review"]["share_of_errors"]
    people: list[str | None] = [f"p{n // 6}" for n in range(60)]
    together = judged(ONE, rows, targets, people)["review"]["share_of_errors"]
    assert together["high"] - together["low"] > alone["high"] - alone["low"]


def test_different_numbers_of_images_are_refused() -> None:
    row = np.full((2, 1), 0.7, dtype=np.float32)
    with pytest.raises(ValueError, match="different images"):
        mistakes(ONE, row, row > 0.5, row > 0.5, ["a"], [None, None], ["", ""])


@given(any_doubts(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_every_mistake_is_counted_and_the_order_of_images_makes_no_difference(
    example: Any, seed: int
) -> None:
    space, (probabilities, targets, patients), known = example
    values = np.where(known, targets, np.nan)
    answers = Answers.of(space, probabilities, values)
    names = [f"{n}.png" for n in range(len(values))]
    straight = mistakes(
        space, probabilities, answers.decisions, values, names, patients, names
    )
    order = random.Random(seed).sample(range(len(values)), len(values))
    shuffled = mistakes(
        space, probabilities[order], answers.decisions[order], values[order],
        [names[n] for n in order], [patients[n] for n in order], [names[n] for n in order],
    )  # fmt: skip
    assert straight == shuffled == json.loads(json.dumps(straight, allow_nan=False))
    errors = int((answers.evaluated & ~answers.correct).sum())
    assert straight["review"]["errors"] == errors
    assert len(straight["surest"]) == min(errors, SUREST)
    assert straight["review"]["images"] == int(answers.evaluated.sum()) // REVIEWED


def test_the_sentence_names_the_surest_and_the_share() -> None:
    rows = [0.45, 0.52, *np.linspace(0.8, 0.99, 18)]
    summary = judged(ONE, rows, [1, 1, *[1] * 17, 0])
    assert mistakes_sentence(summary) == (
        "The surest of 2 mistakes: 19.png (false alarm, covid 0.990). With the least sure 10 % "
        "left to a human (2 of 20 images) 1 of 2 mistakes would go away: 50 % (95 % interval 9 % "
        "to 91 %); by chance it would be 10 %."
    )


def test_the_sentence_of_few_images_speaks_of_the_surest_alone() -> None:
    assert mistakes_sentence(judged(ONE, [0.9], [0])) == (
        "The only mistake: 0.png (false alarm, covid 0.900)."
    )
