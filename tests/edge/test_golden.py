"""Golden answers: the same images on every machine, and a distance that cannot be fooled."""

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.edge.golden import FLOAT_TOLERANCE, MAX_IMAGES, MAX_SEED, Golden, Pattern

Floats = npt.NDArray[np.float32]
GOLDEN = Golden((Pattern(3, 4), Pattern(4, 16)), ((1.0, -2.0), (0.5, 0.25)), 0.1)


@st.composite
def goldens(draw: st.DrawFn) -> Golden:
    whole = st.integers(1, MAX_SEED)
    number = st.floats(-1e6, 1e6)
    images, classes = draw(st.integers(1, MAX_IMAGES)), draw(st.integers(1, 4))
    patterns = tuple(Pattern(draw(whole), draw(whole)) for _ in range(images))
    logits = tuple(tuple(draw(number) for _ in range(classes)) for _ in range(images))
    return Golden(patterns, logits, draw(st.floats(1e-9, 1e6)))


def test_a_pattern_is_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(Pattern(7, 5).render(64).tobytes()).hexdigest()
    assert digest == "470ef598a9c9253a68fa9b701ed4793281f490c306320d463f06535a9bdd37c3"


def test_a_pattern_is_of_squares_as_large_as_it_says() -> None:
    pixels = Pattern(1, 8).render(32)
    squares = pixels.reshape(4, 8, 4, 8).transpose(0, 2, 1, 3).reshape(16, 64)
    assert (squares == squares[:, :1]).all() and len(set(squares[:, 0].tolist())) > 8


def test_a_pattern_holds_dark_and_bright_alike() -> None:
    counts = np.bincount(Pattern(0, 1).render(256).ravel() // 64, minlength=4)
    assert counts == pytest.approx([256 * 64] * 4, rel=0.05)


def test_seeds_make_other_images() -> None:
    assert (Pattern(0, 4).render(64) != Pattern(1, 4).render(64)).mean() > 0.9


@given(goldens())
def test_golden_answers_survive_json(golden: Golden) -> None:
    fields = json.loads(json.dumps(golden.fields()))
    assert Golden.from_fields(fields, len(golden.logits[0])) == golden


def test_a_recalibrated_file_answers_the_recalibrated_logits() -> None:
    mapped = GOLDEN.mapped((2.0, 3.0), (-1.0, 0.5), exact=False)
    assert mapped == Golden(GOLDEN.patterns, ((1.0, -5.5), (0.0, 1.25)), GOLDEN.tolerance)


def test_the_tolerance_of_float_follows_its_logits() -> None:
    assert GOLDEN.mapped((9.0, 1.0), (0.0, 0.0), exact=True).tolerance == 9 * FLOAT_TOLERANCE
    assert GOLDEN.mapped((0.1, 0.1), (0.0, 0.0), exact=True).tolerance == FLOAT_TOLERANCE


@pytest.mark.parametrize("change", [
    {"formula": "noise"}, {"images": []}, {"images": [{"seed": 0, "side": 1}] * 3},
    {"images": [{"seed": -1, "side": 1}] * 2}, {"images": [{"seed": 0, "side": 0}] * 2},
    {"images": [{"seed": 0, "side": True}] * 2}, {"images": [{"seed": 0}] * 2},
    {"logits": [[1.0, 2.0]]}, {"logits": [[1.0], [2.0]]}, {"logits": [[1.0, "2"], [1.0, 2.0]]},
    {"logits": [[1.0, float("nan")], [1.0, 2.0]]}, {"tolerance": 0}, {"tolerance": -1.0},
    {"tolerance": float("inf")},
], ids=str)  # fmt: skip
def test_golden_answers_that_make_no_sense_are_an_error(change: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Golden.from_fields(GOLDEN.fields() | change, 2)


def answering(*rows: tuple[float, float]) -> Any:
    """A session that gives these logits, one image after the other."""
    left = iter(rows)
    return lambda images: np.array([next(left)], dtype=np.float32)


def test_the_difference_is_the_largest_of_all_logits() -> None:
    given_here = answering((1.0, -2.25), (0.5, 0.125))
    assert GOLDEN.difference(32, given_here) == pytest.approx(0.25)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_logit_that_is_no_number_is_infinitely_far_away(value: float) -> None:
    assert GOLDEN.difference(32, answering((1.0, value), (0.5, 0.25))) == float("inf")


def test_images_are_asked_one_at_a_time() -> None:
    shapes = []

    def answer(images: npt.NDArray[np.uint8]) -> Floats:
        shapes.append(images.shape)
        return np.zeros((1, 2), dtype=np.float32)

    GOLDEN.difference(24, answer)
    assert shapes == [(1, 24, 24)] * 2
