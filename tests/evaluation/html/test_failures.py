"""Where a network fails: mistakes by name, groups by patients."""

from typing import Any

from covid.evaluation.html.failures import failures_section
from tests.evaluation.report_page import HOSTILE, Page, share

MISTAKE = {
    "path": "a/<script>.png", "label": HOSTILE, "predicted": "", "class": HOSTILE,
    "kind": "missed", "probability": 0.012, "threshold": 0.5, "implied_by": None,
}  # fmt: skip
REVIEW = {
    "share": 0.1, "images": 6, "evaluated": 60, "errors": 9, "errors_in_review": 4,
    "share_of_errors": share(0.44, 0.2, 0.7), "reason": None,
}  # fmt: skip


def failures(**metrics: Any) -> Page:
    return Page(failures_section(metrics, {}))


def test_a_mistake_names_image_label_decision_and_probability() -> None:
    page = failures(mistakes={"surest": [MISTAKE], "review": REVIEW})
    assert f"a/<script>.png {HOSTILE} none {HOSTILE}: missed 0.012 0.5" in page.text
    assert not page.all("script") and not page.mistakes


def test_a_mistake_that_another_class_brought_about_says_so() -> None:
    mistake = {**MISTAKE, "kind": "false alarm", "implied_by": "covid", "threshold": None}
    page = failures(mistakes={"surest": [mistake], "review": REVIEW})
    assert f"{HOSTILE}: false alarm, with covid 0.012 –" in page.text


def test_a_review_says_how_many_mistakes_it_would_catch() -> None:
    text = failures(mistakes={"surest": [MISTAKE], "review": REVIEW}).text
    assert "(6 of 60), 4 of 9 mistakes would go away, a share of 0.44 (0.20–0.70)" in text


def test_without_a_mistake_the_review_says_why_it_is_a_dash() -> None:
    review = {**REVIEW, "share_of_errors": None, "reason": "there is no mistake"}
    text = failures(mistakes={"surest": [], "review": review}).text
    assert "No image was decided wrongly." in text
    assert "– (there is no mistake)" in text


def test_groups_too_small_are_a_dash_beside_their_patients() -> None:
    row = {"patients": 3, "sensitivity": None, "specificity": share(0.9, 0.8, 0.95)}
    groups = [{"group": "AP", "images": 20, "patients": 12, "classes": {"covid": row}}]
    text = failures(subgroups={"view": groups}).text
    assert "AP 20 (12) covid 3 – (too few) 0.900 (0.800–0.950)" in text


def test_what_was_not_looked_at_is_said() -> None:
    text = failures(subgroups=None, mistakes=None).text
    assert "not listed" in text and "were not looked at" in text and "no examples.png" in text
    assert "does not tell two views" in failures(subgroups={}).text
