"""Sites beside each other: what is said of each, and when they are summarised."""

import json
from typing import Any

import numpy as np
import pytest

from covid.evaluation.sites.report import (
    FIGURES,
    Site,
    external_report,
    grey_statistics,
    site_traits,
)
from tests.evaluation.sites.made_up import NAMES, fixed, pixels, site

GOOD = (0.8, 0.7, 0.9)


def pooled_covid(*areas: tuple[float | None, float | None, float | None]) -> dict[str, Any]:
    sites = [fixed(f"s{n}", area) for n, area in enumerate(areas)]
    pooled: dict[str, Any] = external_report(None, sites)["pooled"]["per_class"]["covid"]
    return pooled


def test_a_row_has_what_metrics_json_says_of_its_site() -> None:
    own = site("montgomery", 1)
    row = external_report(None, [own])["sites"][0]
    metrics = own.metrics["per_class"]["covid"]
    figures = row["per_class"]["covid"]
    assert (row["name"], row["own"], row["images"]) == ("montgomery", False, 90)
    assert row["patients"] == own.metrics["patients"]
    assert figures["patients"] == metrics["intervals"]["recall"]["patients"]
    for figure, key in (("auroc", "auroc"), ("sensitivity", "recall")):
        ends = {end: metrics["intervals"][key][end] for end in ("low", "high")}
        assert figures[figure] == {"value": metrics[key], **ends, "reason": None}
    assert figures["calibration_slope"]["value"] == 0.8


def test_the_own_split_comes_first_and_says_so() -> None:
    report = external_report(site("own"), [site("a", 1), site("b", 2)])
    assert [(row["name"], row["own"]) for row in report["sites"]] == [
        ("own", True), ("a", False), ("b", False),
    ]  # fmt: skip


def test_what_is_not_defined_has_a_reason_in_words() -> None:
    figures = external_report(None, [site("a", without="covid")])["sites"][0]["per_class"]["covid"]
    assert {name: figures[name]["reason"] for name in FIGURES} == {
        "auroc": "no image with covid", "sensitivity": "no image with covid",
        "specificity": None, "calibration_slope": "no image with covid",
    }  # fmt: skip
    assert figures["patients"] == 0 and figures["auroc"]["value"] is None


def test_a_site_where_all_have_a_class_lacks_those_without(all_covid: dict[str, Any]) -> None:
    lonely = Site("one", all_covid, site_traits([{}] * 243, [None] * 243, ["covid"] * 243))
    figures = external_report(None, [lonely])["sites"][0]["per_class"]["covid"]
    assert {figures[name]["reason"] for name in ("specificity", "auroc")} == {
        "no image without covid"
    }
    assert figures["sensitivity"]["reason"] is None


@pytest.mark.parametrize("calibration", [
    None, {}, {"covid": None}, {"covid": {"slope": None}}, {"covid": {"slope": {"value": None}}},
])  # fmt: skip
def test_a_slope_that_is_not_there_is_not_determined(calibration: Any) -> None:
    good = site("a")
    metrics = {**good.metrics, "calibration": calibration}
    figures = external_report(None, [Site("a", metrics, good.traits)])["sites"][0]["per_class"]
    assert figures["covid"]["calibration_slope"]["reason"] == "not determined"


def test_the_reason_of_a_slope_that_is_not_there_is_the_evaluation_s() -> None:
    good, why = site("a"), "the likelihood is too flat"
    metrics = {**good.metrics, "calibration": {"covid": {"slope": None, "reason": why}}}
    figures = external_report(None, [Site("a", metrics, good.traits)])["sites"][0]["per_class"]
    assert figures["covid"]["calibration_slope"]["reason"] == why


@pytest.mark.parametrize("outside", [0, 1, 2])
def test_fewer_than_three_sites_are_not_pooled_and_the_own_split_is_none(outside: int) -> None:
    sites = [site(name, seed) for seed, name in enumerate(NAMES[:outside], 1)]
    report = external_report(site("own"), sites)
    assert report["pooled"] is None
    assert report["pooled_reason"] == "fewer than three sites"


def test_the_own_split_is_never_pooled() -> None:
    sites = [fixed(name, GOOD) for name in "abc"]
    alone = external_report(None, sites)["pooled"]
    assert external_report(fixed("own", (0.99, 0.98, 0.995)), sites)["pooled"] == alone
    assert alone["per_class"]["covid"]["sites"] == 3


def test_three_sites_are_summarised_with_what_to_expect_of_the_next() -> None:
    row = pooled_covid((0.7, 0.6, 0.8), (0.8, 0.7, 0.9), (0.9, 0.8, 0.95))
    assert row["reason"] is None
    ends = [row["prediction"]["low"], row["auroc"]["low"], row["auroc"]["value"],
            row["auroc"]["high"], row["prediction"]["high"]]  # fmt: skip
    assert ends == sorted(ends) and 0.7 < row["auroc"]["value"] < 0.9


def test_the_order_of_sites_does_not_change_the_summary() -> None:
    sites = [site(name, seed) for seed, name in enumerate(NAMES[:5], 1)]
    straight, back = (external_report(None, order)["pooled"] for order in (sites, sites[::-1]))
    assert straight == back


def test_a_class_known_at_two_of_three_sites_is_not_pooled() -> None:
    row = pooled_covid(GOOD, GOOD, (None, None, None))
    assert row["auroc"] is None and row["sites"] == 2
    assert row["reason"] == "AUROC of covid is known at fewer than three sites"


def test_a_site_without_a_place_on_the_logit_scale_is_named_not_left_out() -> None:
    row = pooled_covid(GOOD, GOOD, GOOD, (1.0, 1.0, 1.0))
    assert row["auroc"] is None
    assert row["reason"] == "AUROC of covid is 0 or 1, or its interval has no width, at s3"


def test_the_report_is_plain_json() -> None:
    sites = [site(name, seed) for seed, name in enumerate(NAMES[:3], 1)]
    report = external_report(site("own", without="covid"), sites)
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_traits_say_who_the_images_are_of() -> None:
    columns = [
        {"view": "AP Supine", "sex": "male", "age": "040Y"},
        {"view": "ap", "sex": "F", "age": "60.0"},
        {"view": "", "sex": "M", "age": "999"},
        {},
    ]
    cells = ["covid|normal?", "covid", "normal", "normal?"]
    assert site_traits(columns, ["a", "a", "b", None], cells) == {
        "images": 4,
        "patients": 2,
        "age": {"known": 2, "median": 50.0, "quartiles": [45.0, 55.0]},
        "view": {"AP": 2, "unknown": 2},
        "sex": {"M": 2, "F": 1, "unknown": 1},
        "grey_levels": None,
        "labels": {"covid": 2, "normal": 1},
    }


def test_grey_levels_are_those_of_all_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    traits = site_traits([{}] * 5, [None] * 5, ["a"] * 5, grey_statistics(images))
    assert traits["grey_levels"]["mean"] == pytest.approx(images.mean())
    assert traits["grey_levels"]["standard_deviation"] == pytest.approx(images.std())


def test_an_image_of_one_grey_has_no_deviation() -> None:
    assert grey_statistics(pixels(7, 200)).tolist() == [[7, 0], [200, 0]]


def test_traits_of_one_image_of_which_nothing_is_known() -> None:
    traits = site_traits([{}], [None], ["covid"])
    assert traits["patients"] is None and traits["age"]["quartiles"] is None
    assert traits["view"] == traits["sex"] == {"unknown": 1}


def test_traits_of_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match="different images"):
        site_traits([{}], [None], ["a"], np.zeros((2, 2)))
