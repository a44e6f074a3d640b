"""Intervals of shares: Wilson's where images are alone, wider where patients repeat."""

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.evaluation.intervals import Proportion, Z, proportion


def share(outcomes: Sequence[bool | int], patients: Sequence[str | None]) -> Proportion:
    return proportion(np.array(outcomes, dtype=bool), patients)


@st.composite
def answers(draw: st.DrawFn) -> tuple[npt.NDArray[np.bool_], list[str | None]]:
    count = draw(st.integers(1, 40))
    names = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]))
    outcomes = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    patients = draw(st.lists(names, min_size=count, max_size=count))
    return np.array(outcomes, dtype=bool), patients


@given(answers())
def test_the_interval_holds_the_share_and_lies_between_0_and_1(
    given_answers: tuple[npt.NDArray[np.bool_], list[str | None]],
) -> None:
    result = proportion(*given_answers)
    assert 0 <= result.low <= result.value <= result.high <= 1


@given(answers())
def test_the_opposite_has_the_interval_turned_round(
    given_answers: tuple[npt.NDArray[np.bool_], list[str | None]],
) -> None:
    outcomes, patients = given_answers
    one, other = proportion(outcomes, patients), proportion(~outcomes, patients)
    assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low), abs=1e-9)


@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_images_changes_nothing(
    given_answers: tuple[npt.NDArray[np.bool_], list[str | None]], chance: random.Random
) -> None:
    outcomes, patients = given_answers
    order = list(range(len(outcomes)))
    chance.shuffle(order)
    result = proportion(outcomes[order], [patients[place] for place in order])
    wanted = proportion(outcomes, patients)
    assert (result.low, result.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def wilson(share: float, number: float) -> tuple[float, float]:
    """The two shares p that are Z standard errors, by p itself, from `share`."""
    roots = np.roots([1 + Z**2 / number, -(2 * share + Z**2 / number), share**2])
    return float(roots.min()), float(roots.max())


# Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
PUBLISHED = [
    (81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)),
    (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718)),
]  # fmt: skip


@pytest.mark.parametrize(("true", "images", "limits"), PUBLISHED)
def test_the_formula_gives_the_published_interval(
    true: int, images: int, limits: tuple[float, float]
) -> None:
    assert wilson(true / images, images) == pytest.approx(limits, abs=5e-5)


@pytest.mark.parametrize(("true", "images", "limits"), PUBLISHED)
def test_images_of_patients_of_their_own_have_the_published_interval(
    true: int, images: int, limits: tuple[float, float]
) -> None:
    result = share([True] * true + [False] * (images - true), [None] * images)
    # Where three differ, the variance between m patients makes one of them count for nothing: the
    # interval is wider by 1 / 2m of its width.
    slack = 5e-5 + (0.11 / (2 * images) if true >= 3 else 0)
    assert (result.low, result.high) == pytest.approx(limits, abs=slack)


@pytest.mark.parametrize(("true", "images", "number"), [
    (5, 10, 9), (81, 263, 262),  # the variance of m patients is m - 1 times known
    (0, 10, 10), (1, 10, 10), (19, 20, 20),  # too few differ to know one
])  # fmt: skip
def test_images_of_patients_of_their_own_have_wilson_s_interval(
    true: int, images: int, number: int
) -> None:
    result = share([True] * true + [False] * (images - true), [None] * images)
    assert (result.low, result.high) == pytest.approx(wilson(true / images, number), abs=1e-6)


def test_an_image_without_a_patient_is_a_patient_of_its_own() -> None:
    outcomes = [True, False] * 10
    assert share(outcomes, [None] * 20) == share(outcomes, [f"{place}" for place in range(20)])


def test_copies_of_every_image_narrow_nothing() -> None:
    outcomes, patients = [True] * 6 + [False] * 14, [f"{place}" for place in range(20)]
    once, thrice = share(outcomes, patients), share(outcomes * 3, patients * 3)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_patients_who_do_not_differ_count_by_image() -> None:
    outcomes = [True, False] * 20
    patients = [f"{place // 2}" for place in range(40)]  # each has one of both
    result = share(outcomes, patients)
    assert (result.low, result.high) == pytest.approx(wilson(0.5, 40), abs=1e-6)


def test_where_nothing_differs_each_patient_counts_once() -> None:
    result = share([True] * 50, [f"{place // 10}" for place in range(50)])
    assert result.low == pytest.approx(share([True] * 5, [None] * 5).low)


def test_where_fewer_than_three_patients_differ_each_patient_counts_once() -> None:
    outcomes = [False] * 10 + [True] * 90
    result = share(outcomes, [f"{place // 10}" for place in range(100)])
    assert result.low == pytest.approx(share([False] + [True] * 9, [None] * 10).low)


def test_one_patient_says_next_to_nothing() -> None:
    result = share([True] * 30, ["the only one"] * 30)
    assert result.low == pytest.approx(1 / (1 + Z**2))


def test_counts_are_stated() -> None:
    result = share([True, False, True], ["a", "a", None])
    assert (result.count, result.images, result.patients) == (2, 3, 2)


def test_it_is_right_about_as_often_as_it_says() -> None:
    draw, held = np.random.default_rng(0), 0
    patients = np.repeat([f"{number}" for number in range(30)], 3).tolist()
    for _ in range(1000):  # 30 patients of three images, who differ from each other
        odds = draw.beta(8, 2, 30)
        outcomes = draw.random((30, 3)) < odds[:, None]
        result = share(outcomes.ravel().tolist(), patients)
        held += result.low <= 0.8 <= result.high
    assert 0.92 <= held / 1000 <= 0.98


@pytest.mark.parametrize(("images", "patients"), [(0, 0), (2, 3)])
def test_no_images_or_patients_of_others_are_a_bug(images: int, patients: int) -> None:
    with pytest.raises(ValueError, match=f"{images} outcomes of {patients} images"):
        share([True] * images, [None] * patients)


@pytest.mark.parametrize(("right", "of", "published"), [
    (84, 88, (95.5, 88.9, 98.2)), (158, 170, (92.9, 88.1, 95.9)),
    (84, 96, (87.5, 79.4, 92.7)), (242, 258, (93.8, 90.2, 96.2)),
])  # fmt: skip
def test_a_published_study_s_intervals_come_again_from_its_counts(
    right: int, of: int, published: tuple[float, float, float]
) -> None:
    """Sensitivity, specificity, predictive value and accuracy of TC-1 on 258 chest X-ray reports:
    Journal of the American Medical Informatics Association 2006;13:696, table 1, in percent."""
    result = share([True] * right + [False] * (of - right), [None] * of)
    ours = [100 * value for value in (result.value, result.low, result.high)]
    # Their last digit, and what m / (m - 1), which the formula for clusters has, moves it.
    assert ours == pytest.approx(published, abs=0.05 + 0.06)
