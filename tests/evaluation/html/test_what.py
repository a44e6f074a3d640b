"""The first screen of report.html: three figures, and what they do not mean."""

from typing import Any

import pytest

from covid.evaluation.html.what import rarest_class, what_section
from tests.evaluation.report_page import HOSTILE, Page, metrics_of

METRICS = metrics_of()


def what(metrics: dict[str, Any] = METRICS, **more: Any) -> Page:
    known = {"evaluated": [], "warnings": [], "other_images": False, "external": False, **more}
    return Page(what_section(metrics, **known))


def test_three_figures_stand_first_with_their_intervals() -> None:
    page = what()
    assert [a["class"] for a in page.all("dd")].count("value") == 3
    accuracy = METRICS["accuracy"]
    assert f"95 % interval {accuracy['low']:.3f} to {accuracy['high']:.3f}" in page.text


def test_it_says_what_it_is_not_for() -> None:
    assert "For learning and research, not for diagnosis." in what().text


def test_the_rarest_class_is_named_with_its_patients_and_what_they_can_show_at_best() -> None:
    assert rarest_class(METRICS) == (HOSTILE, 5, 15)
    text = what().text
    assert f"{HOSTILE}, has 5 patients" in text
    assert "would still begin at 0.57" in text  # 5 / (5 + 1.96²)


def test_without_patients_images_are_counted() -> None:
    assert rarest_class({**METRICS, "patients": None}) == (HOSTILE, None, 15)


def test_a_set_in_which_nothing_is_borne_has_no_rarest_class() -> None:
    rows = {name: {**row, "support": 0} for name, row in METRICS["per_class"].items()}
    page = what({**METRICS, "per_class": rows})
    assert "nothing is said of finding one" in page.text


def test_sources_are_counted_or_said_to_be_missing() -> None:
    rows = [{"source": "a"}, {"source": "a"}, {"source": ""}]
    assert "come from: a (2 images), not known (1 image)." in what(evaluated=rows).text
    assert "not stated" in what(evaluated=[{"source": ""}]).text


def test_warnings_of_the_audit_are_not_overlooked() -> None:
    assert "every image of covid comes from one" in what(
        warnings=["every image of covid comes from one source."]
    ).text  # fmt: skip


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ({"synthetic": True}, "SYNTHETIC"),
        ({"split": "train"}, "trained on these very images"),
        ({"split": "validation"}, "the epoch that is kept was chosen"),
        ({"seen_in_training": 2}, "was trained on 2 images of these"),
        ({"seen_in_training": None}, "is not known"),
    ],
)
def test_what_makes_figures_too_good_is_said(metrics: dict[str, Any], sentence: str) -> None:
    assert sentence in what({**METRICS, **metrics}).text
    assert sentence not in what({**METRICS, "seen_in_training": 0}, external=True).text


def test_other_hospitals_are_missed_only_where_there_are_none() -> None:
    assert "No other hospital" in what().text
    assert "No other hospital" not in what(external=True).text


def test_an_undefined_headline_is_a_dash_with_a_sentence() -> None:
    nothing = {"value": None, "low": None, "high": None}
    assert "– These images do not determine it." in what({**METRICS, "macro_f1": nothing}).text


def test_what_the_test_for_shortcuts_says_stands_there_where_it_was_asked() -> None:
    said = {"verdict": {"sentences": [f"{HOSTILE} is told."], "caution": "These are not its."}}
    text = what(shortcuts=said).text
    assert f"{HOSTILE} is told." in text and "These are not its." in text
    assert "Does it cheat?" not in what().text
