"""Thresholds: the shares at each, and which is taken."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.edge.labels import LabelSpace
from covid.evaluation.clusters import number_patients
from covid.evaluation.intervals import proportion
from covid.evaluation.operating.thresholds import (
    APART,
    Outcomes,
    Share,
    choose_threshold,
    forced_by,
    implying,
)

SHARES: tuple[Share, ...] = ("sensitivity", "specificity")
Singles = npt.NDArray[np.float32]
CHAIN = LabelSpace.from_labels(
    "multilabel", {"c": ["c"], "b": ["b", "c"], "a": ["a", "b"], "d": ["d"]}
)


@st.composite
def any_images(draw: st.DrawFn) -> tuple[Singles, npt.NDArray[np.bool_], list[str | None]]:
    """All images' probabilities, often equal or neighbours, and which of them count."""
    count = draw(st.integers(1, 40))
    near = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2e-45, 1 - 2**-24, 0.5 + 2**-24, 0.5 + 2**-23])
    cell = st.one_of(near, st.floats(0, 1, width=32))
    probability = draw(st.lists(cell, min_size=count, max_size=count))
    chosen = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    chosen[0] = True
    names = st.one_of(st.none(), st.sampled_from(list("abcdefgh")))
    patients = draw(st.lists(names, min_size=count, max_size=count))
    return np.array(probability, dtype=np.float32), np.array(chosen), patients


def outcomes_of(
    share: Share, images: tuple[Singles, npt.NDArray[np.bool_], list[str | None]]
) -> Outcomes:
    probability, chosen, patients = images
    return Outcomes.of(
        share, chosen, probability, np.zeros(len(chosen), bool), number_patients(patients)
    )


@given(any_images(), st.sampled_from(SHARES), st.floats(0, 1, width=32))
def test_a_share_is_that_of_intervals(
    images: tuple[Singles, npt.NDArray[np.bool_], list[str | None]], share: Share, at: float
) -> None:
    probability, chosen, patients = images
    right = (probability >= np.float32(at)) == (share == "sensitivity")
    own = [patients[place] for place in np.flatnonzero(chosen).tolist()]
    wanted = proportion(right[chosen], own)
    (value, low, high), = outcomes_of(share, images).at(np.array([at], dtype=np.float32))
    assert (value[0], low[0], high[0]) == pytest.approx(
        (wanted.value, wanted.low, wanted.high), abs=1e-12
    )


@given(any_images(), st.sampled_from(SHARES), st.sampled_from([0.2, 0.5, 0.8, 0.95]))
def test_no_threshold_further_out_reaches_the_target(
    images: tuple[Singles, npt.NDArray[np.bool_], list[str | None]], share: Share, value: float
) -> None:
    outcomes, probability = outcomes_of(share, images), images[0]
    choice = choose_threshold(outcomes, value, probability)
    levels = np.unique(np.append(probability, np.float32(1)))
    # The first level that the threshold decides: decisions are those of a threshold on it.
    own_level = np.searchsorted(levels, np.float32(choice.threshold), side="left")
    places = np.arange(len(levels))
    further = places > own_level if share == "sensitivity" else places < own_level
    parts = list(outcomes.at(levels))
    values, lows = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    own = next(iter(outcomes.at(np.array([choice.threshold], dtype=np.float32))))
    if choice.reached == "limit":
        assert own[1][0] >= value and not (lows[further] >= value).any()
    elif choice.reached == "estimate":
        assert own[0][0] >= value and not (values[further] >= value).any()
        assert not (lows >= value).any()
    else:
        assert not (values >= value).any()


@given(any_images(), st.sampled_from(SHARES), st.sampled_from([0.2, 0.5, 0.8, 0.95]))
def test_a_threshold_stands_beside_what_was_observed(
    images: tuple[Singles, npt.NDArray[np.bool_], list[str | None]], share: Share, value: float
) -> None:
    probability = images[0]
    threshold = choose_threshold(outcomes_of(share, images), value, probability).threshold
    levels = np.unique(probability).astype(np.float64)
    assert 0 <= threshold <= 1
    assert np.abs(np.append(levels, 1.0) - threshold).min() <= APART + 1e-12  # of rounding
    below, above = levels[levels < threshold], levels[levels >= threshold]
    wide = 1e-5  # far wider than float32's own steps
    if len(below) and len(above) and above.min() - below.max() > wide:
        assert threshold - below.max() > wide / 3 and above.min() - threshold > wide / 3


def test_forced_decisions_can_make_a_specificity_unreachable() -> None:
    probability = np.linspace(0.1, 0.9, 10, dtype=np.float32)
    forced = np.arange(10) < 3
    outcomes = Outcomes.of("specificity", np.ones(10, bool), probability, forced, np.arange(10))
    choice = choose_threshold(outcomes, 0.8, probability)
    assert choice.reached == "neither" and choice.threshold == pytest.approx(0.9001, abs=1e-6)


def test_classes_come_after_what_implies_them_by_chains_too() -> None:
    assert {name: set(others) for name, others in implying(CHAIN).items()} == {
        "a": set(), "d": set(), "b": {"a"}, "c": {"a", "b"},
    }  # fmt: skip
    order = list(implying(CHAIN))
    assert order.index("a") < order.index("b") < order.index("c")


def test_what_is_implied_is_forced_at_the_other_s_threshold() -> None:
    probabilities = np.array([[0.0, 0.3, 0.0, 0.0], [0.0, 0.2, 0.7, 0.0]], dtype=np.float32)
    forced = forced_by(CHAIN, ("b",), probabilities, {"b": 0.25})
    assert forced.tolist() == [True, False]
