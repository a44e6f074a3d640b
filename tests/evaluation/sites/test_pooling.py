"""A summary of several sites, checked by hand and by what must hold for any."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.evaluation.sites.pooling import has_error, pool, random_effects

SITES = st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 1)), min_size=3, max_size=8)


def area(value: float, low: float, high: float) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def test_the_summary_is_that_of_the_formulas() -> None:
    # By hand: w = 1/0.09, q = 2/0.09, excess = (q - 2)/(3w - w) = 0.91; mean 2 and its variance
    # (2/(0.09 + 0.91))/2/3 = 1/3. t(2) is 4.3027, t(1) 12.706.
    summary = random_effects([1, 2, 3], [0.3, 0.3, 0.3])
    assert summary.between == pytest.approx(math.sqrt(0.91))
    assert summary.value == 2
    assert summary.high - 2 == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    predicted = 12.7062 * math.sqrt(0.91 + 1 / 3)
    assert summary.prediction_high - 2 == pytest.approx(predicted, rel=1e-4)


def test_sites_that_agree_by_chance_are_not_more_certain_than_each_is() -> None:
    summary = random_effects([1, 1, 1], [0.3, 0.3, 0.3])
    assert summary.between == 0
    assert summary.high - 1 == pytest.approx(4.3027 * 0.3 / math.sqrt(3), rel=1e-4)


@pytest.mark.parametrize("sites", [0, 1, 2])
def test_fewer_than_three_are_never_pooled(sites: int) -> None:
    with pytest.raises(ValueError):
        random_effects([0.1] * sites, [0.2] * sites)
    with pytest.raises(ValueError):
        pool([area(0.8, 0.7, 0.9)] * sites)


@given(SITES, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_sites_have_no_order(sites: list[tuple[float, float]], random: Any) -> None:
    shuffled = random.sample(sites, len(sites))
    assert random_effects(*zip(*sites, strict=True)) == random_effects(*zip(*shuffled, strict=True))


@given(SITES)
@settings(max_examples=60, deadline=None)
def test_the_mean_lies_among_the_sites_and_the_next_site_is_less_certain(
    sites: list[tuple[float, float]],
) -> None:
    estimates, errors = zip(*sites, strict=True)
    summary = random_effects(estimates, errors)
    assert min(estimates) - 1e-9 <= summary.value <= max(estimates) + 1e-9
    assert summary.prediction_low <= summary.low <= summary.value
    assert summary.value <= summary.high <= summary.prediction_high


@given(SITES, st.floats(-5, 5))
@settings(max_examples=60, deadline=None)
def test_a_shift_of_every_site_shifts_the_summary(
    sites: list[tuple[float, float]], shift: float
) -> None:
    estimates, errors = zip(*sites, strict=True)
    moved = random_effects([value + shift for value in estimates], errors)
    assert moved.value == pytest.approx(random_effects(estimates, errors).value + shift, abs=1e-6)


def test_shares_are_pooled_on_the_logit_scale() -> None:
    summary = pool([area(0.5, 0.4, 0.6)] * 3)
    assert summary.value == pytest.approx(0.5)
    assert summary.low == pytest.approx(1 - summary.high)
    wide = pool([area(0.9, 0.5, 0.99)] * 3)
    assert 0 < wide.prediction_low < wide.low < 0.9 < wide.high < wide.prediction_high < 1


def test_an_interval_that_ends_at_1_is_known_from_its_other_end() -> None:
    assert has_error(area(0.9, 0.8, 1.0)) and has_error(area(0.1, 0.0, 0.2))
    logits = np.log([0.9 / 0.1, 0.8 / 0.2])
    error = (logits[0] - logits[1]) / 1.959964
    expected = random_effects([logits[0]] * 3, [error] * 3)
    assert pool([area(0.9, 0.8, 1.0)] * 3).low == pytest.approx(1 / (1 + math.exp(-expected.low)))


@pytest.mark.parametrize("figure", [
    area(1.0, 0.9, 1.0), area(0.0, 0.0, 0.1), area(0.8, 0.8, 0.8), area(0.5, 0.0, 1.0),
    {"value": None, "low": None, "high": None}, {"value": 0.8, "low": None, "high": None},
])  # fmt: skip
def test_what_has_no_error_on_the_logit_scale_is_not_pooled(figure: dict[str, Any]) -> None:
    assert not has_error(figure)
    with pytest.raises(ValueError):
        pool([area(0.8, 0.7, 0.9)] * 3 + [figure])
