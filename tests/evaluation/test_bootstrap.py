"""Resampling: what is drawn, of what, and that names and order make no difference."""

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from covid.evaluation import bootstrap
from covid.evaluation.bootstrap import (
    acceleration_of,
    bca_interval,
    cluster_images,
    draw_weights,
    interval,
    leave_out_weights,
)

CONTENT = np.array([[0.5, 1], [0.2, 0], [0.5, 1], [0.9, 0], [0.2, 0]])


def test_images_of_one_patient_are_one_cluster_and_others_their_own() -> None:
    cluster = cluster_images(["b", "a", None, "b", None], CONTENT)
    assert cluster[0] == cluster[3]
    assert len(set(cluster.tolist())) == 4 and cluster.max() == 3


def test_names_of_patients_make_no_difference() -> None:
    first = cluster_images(["b", "a", None, "b", None], CONTENT)
    second = cluster_images(["x", None, "z", "x", "y"], CONTENT)
    assert first.tolist() == second.tolist()


def test_clusters_are_numbered_by_what_they_hold() -> None:
    patients, order = ["b", "a", None, "b", None], [4, 2, 0, 3, 1]
    first = cluster_images(patients, CONTENT)
    second = cluster_images([patients[n] for n in order], CONTENT[order])
    for number in range(4):
        held = CONTENT[first == number].tolist()
        assert sorted(held) == sorted(CONTENT[order][second == number].tolist())


def test_a_resample_draws_as_many_clusters_as_there_are() -> None:
    cluster = np.array([0, 1, 2, 2, 3])
    for weights in draw_weights(cluster, 50, seed=0):
        assert (weights[:, [0, 1, 2, 4]].sum(axis=1) == 4).all()


def test_images_of_one_cluster_come_along_together() -> None:
    weights = np.concatenate(list(draw_weights(np.array([0, 1, 1, 2]), 50, seed=0)))
    assert (weights[:, 1] == weights[:, 2]).all() and len(set(weights[:, 1])) > 2


def test_every_cluster_is_as_probable_as_any_other() -> None:
    weights = np.concatenate(list(draw_weights(np.arange(5), 4000, seed=0)))
    # 20,000 draws of probability 1/5: five standard deviations of a cluster's mean are 0.07.
    assert weights.mean(axis=0) == pytest.approx([1] * 5, abs=0.07)


def test_how_many_are_drawn_at_once_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = list(draw_weights(np.arange(7), 20, seed=0))
    monkeypatch.setattr(bootstrap, "CELLS", 21)
    in_parts = list(draw_weights(np.arange(7), 20, seed=0))
    assert (len(at_once), len(in_parts)) == (1, 7)
    assert np.array_equal(np.concatenate(in_parts), at_once[0])


def test_the_interval_leaves_out_what_is_no_number() -> None:
    assert interval(np.array([np.nan, 1, np.nan, 1])) == (1, 1)


def test_nothing_but_missing_numbers_has_no_interval() -> None:
    assert interval(np.array([np.nan, np.nan])) is None


# BCa -------------------------------------------------------------------------------------------

# Efron & Tibshirani 1993, table 14.1: the spatial test data, first column.
SPATIAL = np.array([
    48.0, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6,
    0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41,
])  # fmt: skip


def variance(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of the spatial test data `[26]` in each resample, over their number: `[resamples]`."""
    total = weights.sum(axis=1)
    mean: npt.NDArray[np.float64] = weights @ SPATIAL / total
    squares: npt.NDArray[np.float64] = weights @ SPATIAL**2 / total
    return squares - mean**2


def spatial(resamples: int) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    images = np.arange(len(SPATIAL))
    drawn = np.concatenate([*map(variance, draw_weights(images, resamples, seed=0))])
    left_out = np.concatenate([*map(variance, leave_out_weights(images, seed=0))])
    return float(variance(np.ones((1, len(SPATIAL))))[0]), drawn, left_out


def test_the_acceleration_is_the_published_one() -> None:
    value, _, left_out = spatial(1)
    assert value == pytest.approx(171.5, abs=0.05)
    assert acceleration_of(left_out) == pytest.approx(0.061, abs=5e-4)


def test_the_interval_is_that_of_scipy_from_the_same_resamples() -> None:
    value, drawn, left_out = spatial(2000)
    expected = stats.bootstrap(
        (SPATIAL,), np.var, n_resamples=0, method="BCa",
        bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
    ).confidence_interval  # fmt: skip
    assert bca_interval(value, drawn, left_out) == pytest.approx((expected.low, expected.high))


def test_resamples_that_give_the_figure_itself_count_half() -> None:
    # As many lie below as above: no bias, however many are equal.
    drawn = np.concatenate([np.linspace(0, 1.9, 200), np.full(200, 2.0), np.linspace(2.1, 4, 200)])
    symmetric = np.array([1.0, 2, 3])
    assert bca_interval(2, drawn, symmetric) == pytest.approx(interval(drawn))


@pytest.mark.parametrize(
    ("value", "left_out"), [(5.0, [1.0, 2, 3]), (-1.0, [1.0, 2, 3]), (2.0, [2.0, 2]), (2.0, [])]
)
def test_where_the_correction_is_not_defined_the_limits_are_percentiles(
    value: float, left_out: list[float]
) -> None:
    drawn = np.array([0.0, 1, 2, 3, 4] * 100)
    low, high = interval(drawn) or (0, 0)
    expected = min(low, value), max(high, value)
    assert bca_interval(value, drawn, np.array(left_out)) == expected


def test_beyond_the_pole_of_the_formula_the_limits_are_percentiles() -> None:
    # One of 100,000 resamples lies below, so far that an acceleration of 1/6 turns it round.
    drawn, left_out = np.arange(100_000.0), np.array([0.0] * 999 + [1])
    assert bca_interval(0.5, drawn, left_out) == (0.5, np.quantile(drawn, 0.975))


@given(
    st.floats(0, 1), st.lists(st.floats(0, 1), min_size=1, max_size=30),
    st.lists(st.floats(0, 1), max_size=12),
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_the_interval_holds_its_figure_whatever_was_drawn(
    value: float, drawn: list[float], left_out: list[float]
) -> None:
    low, high = bca_interval(value, np.array(drawn), np.array(left_out)) or (1, 0)
    assert min(*drawn, value) <= low <= value <= high <= max(*drawn, value)


def test_what_is_no_number_is_left_out_of_both() -> None:
    drawn, left_out = np.array([0.0, 1, 2, 3, 4] * 20), np.array([1.0, 2, 4])
    nothing = np.array([np.nan])
    assert bca_interval(2, np.append(drawn, nothing), np.append(left_out, nothing)) == (
        bca_interval(2, drawn, left_out)
    )


def test_a_figure_that_no_resample_has_has_no_interval() -> None:
    assert bca_interval(1, np.array([np.nan]), np.array([1.0, 2])) is None


@pytest.mark.parametrize(("clusters", "groups"), [(1, 1), (7, 7), (450, 200)])
def test_each_cluster_is_left_out_once_with_all_its_images(clusters: int, groups: int) -> None:
    cluster = np.repeat(np.arange(clusters), 2)
    left_out = 1 - np.concatenate(list(leave_out_weights(cluster, seed=0)))
    assert len(left_out) == groups and (left_out.sum(axis=1) > 0).all()
    assert (left_out.sum(axis=0) == 1).all() and (left_out[:, ::2] == left_out[:, 1::2]).all()


def test_groups_of_clusters_show_the_acceleration_of_single_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A skewness of 2. In order, as clusters are that are numbered by what they hold: groups of
    # neighbours, or of every two hundredth, would show another.
    amounts = np.sort(np.random.default_rng(0).exponential(size=1000))

    def acceleration(seed: int) -> float:
        weights = np.concatenate(list(leave_out_weights(np.arange(1000), seed)))
        return acceleration_of(weights @ amounts / weights.sum(axis=1)) or 0

    in_groups = np.mean([acceleration(seed) for seed in range(20)])
    monkeypatch.setattr(bootstrap, "MAX_GROUPS", 1000)
    # Each is off by some 0.003: 0.002, and more for groups that are skew themselves.
    assert in_groups == pytest.approx(acceleration(0), abs=3 * 0.003 / np.sqrt(20))
