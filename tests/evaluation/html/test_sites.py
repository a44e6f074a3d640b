"""Other hospitals in report.html."""

from typing import Any

import pytest

from covid.evaluation.html.sites import sites_section
from tests.evaluation.report_page import HOSTILE, Page, share

ROW = {
    "patients": 4, "auroc": share(0.8, 0.7, 0.9),
    "sensitivity": share(None) | {"reason": "no covid"},
    "specificity": share(0.9, 0.8, 1.0), "calibration_slope": share(1.2, 0.8, 1.6),
}  # fmt: skip
TRAITS = {
    "images": 10, "age": {"known": 10, "median": 50.0, "quartiles": [40.0, 60.0]},
    "view": {"PA": 10}, "sex": {"unknown": 10}, "labels": {"normal": 10},
    "grey_levels": {"mean": 121.4, "standard_deviation": 60.2},
}  # fmt: skip


def site(name: str, own: bool = False) -> dict[str, Any]:
    return {"name": name, "own": own, "images": 10, "patients": 5, "per_class": {"covid": ROW},
            "traits": TRAITS}  # fmt: skip


@pytest.mark.parametrize("nothing", [None, {}, {"sites": []}])
def test_without_other_sites_it_says_how_to_evaluate_some(nothing: dict[str, Any] | None) -> None:
    assert "python evaluate.py RUN --data A --data B" in Page(sites_section(nothing, {})).text


def test_each_site_has_a_row_and_a_reason_for_each_dash() -> None:
    sites = [site("xray", own=True), site(HOSTILE)]
    external = {"sites": sites, "pooled": None, "pooled_reason": "fewer than three sites"}
    page = Page(sites_section(external, {}))
    assert f"{HOSTILE} 10 (5) covid 4 0.80 (0.70–0.90) – (no covid) 0.90" in page.text
    assert "xray (own test)" in page.text
    assert "not pooled: fewer than three sites" in page.text
    assert not page.mistakes


def test_how_sites_differ_stands_below() -> None:
    text = Page(sites_section({"sites": [site("a")]}, {})).text
    assert "a 50 (40–60) – PA 10 121 ± 60 normal 10" in text


def test_a_summary_over_sites_has_its_range_and_method() -> None:
    row = {"sites": 3, "auroc": share(0.8, 0.7, 0.9), "prediction": {"low": 0.6, "high": 0.95},
           "between": 0.4, "reason": None}  # fmt: skip
    nothing = {**row, "sites": 1, "auroc": None, "prediction": None, "between": None,
               "reason": "one site"}  # fmt: skip
    pooled = {"method": "random effects", "per_class": {"covid": row, "normal": nothing}}
    text = Page(sites_section({"sites": [site("a")], "pooled": pooled}, {})).text
    assert "covid 3 0.800 (0.700–0.900) 0.600 to 0.950 0.400" in text
    assert "normal 1 – (one site) – –" in text
    assert "random effects" in text
