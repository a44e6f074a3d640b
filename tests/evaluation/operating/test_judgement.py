"""Whether a network may be used at a place: each rule at its limits, and what people read."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.evaluation.metrics import compute_metrics
from covid.evaluation.operating.judgement import Verdict, judge, judgement_tables, rows_of_classes
from covid.evaluation.operating.site import Fitted, Site
from tests.edge.test_operating_point import ON, SPACE


def row(
    low: float | None, high: float | None, having: int = 10, lacking: int = 10
) -> dict[str, Any]:
    auroc = {"value": low, "low": low, "high": high}
    return {"with": having, "without": lacking, "of": "patient", "auroc": auroc}


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (row(0.8, 0.95), "may"), (row(0.8, 1.0), "may"), (row(0.79, 1.0), "undecided"),
        (row(0.51, 0.75), "undecided"), (row(0.6, 0.75), "may"), (row(0.6, 0.74), "should not"),
        (row(0.5, 0.9), "should not"), (row(0.1, 0.3), "should not"),
        (row(0.8, 0.95, 9), "undecided"), (row(0.8, 0.95, 40, 9), "undecided"),
        (row(0.1, 0.3, 9), "undecided"), (row(None, None), "undecided"),
    ],
)  # fmt: skip
def test_a_class_is_judged_by_its_patients_and_the_interval_of_its_auroc(
    given: dict[str, Any], verdict: Verdict
) -> None:
    assert judge({"covid": given}).verdict == verdict


def test_the_worst_class_decides() -> None:
    good, wide, poor = row(0.9, 0.95), row(0.7, 0.95), row(0.3, 0.6)
    assert judge({"a": good, "b": wide}).verdict == "undecided"
    assert judge({"a": good, "b": wide, "c": poor}).verdict == "should not"


def test_too_few_are_counted_on_the_smaller_side() -> None:
    judgement = judge({"covid": row(0.8, 0.95, 7, 40), "normal": row(0.8, 0.95, 40, 1)})
    assert judgement.sentence == (
        "It cannot be told with these few images (7 patients with covid, 1 patient without normal)."
    )


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 30), st.integers(0, 30))
def test_every_verdict_but_may_has_a_reason(
    low: float, high: float, having: int, lacking: int
) -> None:
    judgement = judge({"covid": row(min(low, high), max(low, high), having, lacking)})
    assert bool(judgement.reasons) == (judgement.verdict != "may")


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    """Of 24 images, two of each patient; of one it is not known whether it bears covid."""
    draw = np.random.default_rng(0)
    targets = np.tile(np.eye(3, dtype=np.float32).repeat(2, axis=0), (4, 1))
    logits = (2 * targets - 1 + draw.normal(0, 1, targets.shape)).astype(np.float32)
    targets[0, 0] = np.nan
    patients = [f"{place // 2}" for place in range(24)]
    likely = (1 / (1 + np.exp(-logits))).astype(np.float32)
    site = Site(SPACE, logits, likely, targets, patients, ON)
    space = SPACE.with_thresholds(dict.fromkeys(SPACE.classes, 0.25))
    fitted = Fitted(None, None, space, site.probabilities, ())
    metrics = compute_metrics(fitted.space, fitted.probabilities, targets, patients)
    return rows_of_classes(site, fitted, metrics)


def test_patients_are_counted_where_the_target_is_known(rows: dict[str, Any]) -> None:
    counts = {name: (each["with"], each["without"]) for name, each in rows.items()}
    assert counts == {"covid": (4, 8), "normal": (4, 8), "pneumonia": (4, 8)}


def test_both_thresholds_stand_beside_what_they_reach(rows: dict[str, Any]) -> None:
    covid = rows["covid"]
    assert (covid["before"]["threshold"], covid["after"]["threshold"]) == (0.5, 0.25)
    assert covid["after"]["sensitivity"]["value"] >= covid["before"]["sensitivity"]["value"]
    assert covid["after"]["slope"] == covid["before"]["slope"]  # nothing was recalibrated


def test_the_tables_have_a_row_a_class_and_two_to_compare(rows: dict[str, Any]) -> None:
    text = judgement_tables(rows)
    starts = [line.split("  ")[0] for line in text.splitlines()]
    assert {"covid", "normal", "covid, before", "covid, after"} <= set(starts)
    assert max(map(len, text.splitlines())) <= 90
