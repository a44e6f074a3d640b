"""Which values become black and white: by hand, by law, and where a few pixels lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.edge.greys import depth, ends


@pytest.mark.parametrize(
    ("largest", "bits"), [(0, 8), (255, 8), (256, 9), (4095, 12), (4096, 13), (65535, 16)]
)
def test_a_depth_holds_the_largest_value(largest: int, bits: int) -> None:
    assert depth(np.array([0, largest], np.uint16)) == bits


@pytest.mark.parametrize(("hot", "bits"), [(1, 12), (2, 16)])
def test_a_thousandth_of_the_values_may_lie_above(hot: int, bits: int) -> None:
    values = np.full(1999, 4095, np.uint16)
    values[:hot] = 65535
    assert depth(values, 0.001) == bits  # 0.001 * 1999 allows one


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60), st.sampled_from([0.0, 0.1, 0.5]))
def test_a_depth_is_the_smallest_that_holds_enough(values: list[int], share: float) -> None:
    bits = depth(np.array(values, np.uint16), share)
    above = [sum(value >= 2**each for value in values) for each in (bits, bits - 1)]
    assert above[0] <= share * len(values)
    assert bits == 8 or above[1] > int(share * len(values))


def test_a_depth_of_floats_is_exact_at_powers_of_two() -> None:
    assert depth(np.array([0, 2.0**30], np.float32)) == 31


def test_ends_leave_out_as_many_above_as_below() -> None:
    assert ends(np.arange(1000).reshape(10, 100), 0.005) == (5, 994)


def test_ends_of_few_values_are_all_of_them() -> None:
    assert ends(np.array([7, 3, 9]), 0.005) == (3, 9)


def test_ends_are_the_values_own_where_hardly_any_differs() -> None:
    assert ends(np.array([1] * 999 + [8]), 0.005) == (1, 8)
