"""Predictive values and net benefit at other prevalences."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.edge.labels import LabelSpace
from covid.errors import ConfigError
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.operating.predictive_values import (
    PREVALENCES,
    predictive_values,
    predictive_values_table,
    prevalences,
)
from tests.evaluation.examples import (
    MULTILABEL,
    SINGLE_LABEL,
    Evaluated,
    any_doubts,
    evaluated,
)

ONE = LabelSpace.from_labels("multilabel", {"covid": ["covid"], "none": []})


def of_counts(counts: tuple[int, int, int, int], prevalence: float) -> dict[str, Any]:
    """Of true positives, false negatives, false positives, true negatives, a patient each."""
    decided = np.repeat([0.9, 0.1, 0.9, 0.1], counts).astype(np.float32)[:, None]
    true = np.repeat([True, True, False, False], counts)[:, None]
    nobody: list[str | None] = [None] * len(true)
    return predictive_values(ONE, decided, true, nobody, [prevalence])["covid"][0]


def test_at_the_sample_s_own_prevalence_they_are_the_sample_s_own() -> None:
    probabilities, targets, patients = evaluated(MULTILABEL)
    metrics = compute_metrics(MULTILABEL, probabilities, targets, patients, resamples=10)
    for column, name in enumerate(MULTILABEL.classes):
        own = float(targets[:, column].mean())
        row = predictive_values(MULTILABEL, probabilities, targets, patients, [own])[name][0]
        assert row["ppv"]["value"] == pytest.approx(metrics["per_class"][name]["precision"])


def test_bayes_theorem_by_hand() -> None:
    row = of_counts((90, 10, 20, 80), 0.01)
    ppv = 0.9 * 0.01 / (0.9 * 0.01 + 0.2 * 0.99)
    npv = 0.8 * 0.99 / (0.8 * 0.99 + 0.1 * 0.01)
    assert (row["ppv"]["value"], row["npv"]["value"]) == pytest.approx((ppv, npv))


def test_net_benefit_by_hand() -> None:
    space = ONE.with_thresholds({"covid": 0.2})
    decided = np.repeat([0.9, 0.1, 0.9, 0.1], [9, 1, 2, 8]).astype(np.float32)[:, None]
    true = np.repeat([True, False], 10)[:, None]
    row = predictive_values(space, decided, true, [None] * 20, [0.1])["covid"][0]
    assert row["net_benefit"] == pytest.approx(0.9 * 0.1 - 0.2 * 0.9 * 0.25)
    assert row["net_benefit_treat_all"] == pytest.approx(0.1 - 0.9 * 0.25)
    assert row["net_benefit_treat_none"] == 0


@given(any_doubts(), st.floats(0.001, 0.999))
@settings(max_examples=100)
def test_an_interval_holds_its_value(
    case: tuple[LabelSpace, Evaluated, npt.NDArray[np.bool_]], prevalence: float
) -> None:
    space, (probabilities, targets, patients), known = case
    doubtful = np.where(known, targets, np.nan)
    for rows in predictive_values(space, probabilities, doubtful, patients, [prevalence]).values():
        for figure in (rows[0]["ppv"], rows[0]["npv"]):
            if figure["value"] is not None:
                slack = 1e-12  # of rounding, where all three are the same
                assert -slack <= figure["low"] - slack <= figure["value"]
                assert figure["value"] <= figure["high"] + slack <= 1 + slack


def test_intervals_hold_the_truth() -> None:
    draw, held, drawn = np.random.default_rng(0), np.zeros(2), 400
    truth = 0.8 * 0.1 / (0.8 * 0.1 + 0.1 * 0.9), 0.9 * 0.9 / (0.9 * 0.9 + 0.2 * 0.1)
    for _ in range(drawn):
        right, cleared = draw.binomial(15, 0.8), draw.binomial(30, 0.9)
        row = of_counts((right, 15 - right, 30 - cleared, cleared), 0.1)
        held += [row[key]["low"] <= value <= row[key]["high"]
                 for key, value in zip(("ppv", "npv"), truth, strict=True)]  # fmt: skip
    assert (held / drawn >= 0.92).all()


@pytest.mark.parametrize(("counts", "ppv"), [
    ((10, 0, 0, 10), 1.0), ((0, 10, 3, 7), 0.0), ((0, 10, 0, 10), None), ((0, 0, 5, 5), None),
    ((5, 5, 0, 0), None),
])  # fmt: skip
def test_shares_of_0_and_1_are_no_division_by_0(
    counts: tuple[int, int, int, int], ppv: float | None
) -> None:
    figure = of_counts(counts, 0.1)["ppv"]
    assert figure["value"] == ppv
    if ppv is not None:
        assert 0 <= figure["low"] <= ppv <= figure["high"] <= 1
        assert figure["high"] - figure["low"] > 0.1


def test_the_largest_probability_has_no_net_benefit() -> None:
    rows = predictive_values(SINGLE_LABEL, *evaluated(SINGLE_LABEL))["covid"]
    assert [row["prevalence"] for row in rows] == list(PREVALENCES)
    assert all(row["net_benefit"] is None and row["ppv"]["value"] for row in rows)


def test_an_own_prevalence_stands_among_the_three() -> None:
    assert prevalences(0.05) == (0.01, 0.05, 0.1, 0.3)
    assert prevalences(None) == prevalences(0.1) == PREVALENCES


@pytest.mark.parametrize(("own", "words"), [
    (0.0, "above 0"), (1.0, "above 0"), (float("nan"), "above 0"), (5.0, "write 0.05 for 5 %"),
])  # fmt: skip
def test_a_prevalence_is_a_share(own: float, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^--prevalence .*{words}"):
        prevalences(own)


def test_a_table_fits_the_terminal() -> None:
    table = predictive_values_table(
        predictive_values(MULTILABEL, *evaluated(MULTILABEL), prevalences(0.05))
    )
    assert "pneumonia, 5 %" in table and max(map(len, table.splitlines())) <= 90
    empty = predictive_values_table({"covid": [of_counts((0, 0, 5, 5), 0.1)]})
    assert "–" in empty
