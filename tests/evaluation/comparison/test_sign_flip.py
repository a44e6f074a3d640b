"""The sign-flip test against all ways to sign, one by one, and against what p values are."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.evaluation.comparison.sign_flip import sign_flip_test


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_p_is_the_share_of_all_ways_to_sign_that_are_as_far_from_0(values: list[int]) -> None:
    ways = [sum(map(int.__mul__, signs, values)) for signs in product((1, -1), repeat=len(values))]
    share = sum(abs(way) >= abs(sum(values)) for way in ways) / len(ways)
    assert sign_flip_test(np.array(values, dtype=int)) == pytest.approx(share)


def test_three_patients_by_hand() -> None:
    # +-2 +-1 +-1: of eight sums 4, 2, 2, 0 and their opposites six are at least 2 from 0.
    assert sign_flip_test(np.array([2, 1, -1, 0, 0])) == 6 / 8


def test_no_difference_is_no_evidence() -> None:
    assert sign_flip_test(np.zeros(5, dtype=int)) == 1


def test_patients_and_not_images_count() -> None:
    by_image, by_patient = sign_flip_test(np.ones(12, dtype=int)), sign_flip_test(np.array([12]))
    assert (by_image, by_patient) == (2 / 2**12, 1)


def test_thousands_of_patients_are_no_more_than_a_sum() -> None:
    values = np.random.default_rng(0).choice([-1, 1], 5000)
    values[:60] = 1
    # By the normal approximation to a sum of 5,000 signs.
    deviations = (abs(values.sum()) - 1) / np.sqrt(5000)
    normal = np.array([sign_flip_test(values)]) / (2 * (1 - _cumulative(deviations)))
    assert normal == pytest.approx(1, rel=0.02)


def test_where_nothing_differs_p_is_as_often_small_as_it_says() -> None:
    generator = np.random.default_rng(1)
    p = np.array([sign_flip_test(generator.integers(-3, 4, 40)) for _ in range(1000)])
    for level in (0.05, 0.2, 0.5):  # four standard deviations of a share of 1,000
        margin = 4 * np.sqrt(level * (1 - level) / 1000)
        assert (p <= level).mean() == pytest.approx(level, abs=margin + 0.02)  # and p has steps


def _cumulative(deviations: float) -> float:
    from statistics import NormalDist

    return NormalDist().cdf(deviations)
