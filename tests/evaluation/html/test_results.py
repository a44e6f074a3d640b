"""Figures in report.html, with intervals, and dashes that give their reason."""

from typing import Any

import pytest

from covid.edge.labels import Task
from covid.evaluation.html.results import calibration_section, results_section
from tests.evaluation.report_page import HOSTILE, Page, metrics_of, share

METRICS = metrics_of()
POINT = {
    "rule": "sensitivity=0.95", "thresholds": {"covid": 0.31, "normal": 0.5, HOSTILE: 0.5},
    "split": "validation", "images": 40, "patients": 12, "samples_sha256": "ab",
    "per_class": {"covid": {"sensitivity": share(1.0, 0.7, 1.0), "shown": False,
                            "target": {"figure": "sensitivity", "value": 0.95}}},
    "notes": ["A sensitivity of 0.95 cannot be shown with 12 patients."],
}  # fmt: skip


def results(**more: Any) -> str:
    return Page(results_section({**METRICS, **more}, {})).text


def test_every_figure_of_a_class_stands_with_its_interval() -> None:
    row = METRICS["per_class"]["covid"]
    ends = row["intervals"]["recall"]
    expected = f"{row['recall']:.3f} ({ends['low']:.3f}–{ends['high']:.3f})"
    assert f"sensitivity (recall) {expected}" in results()


def test_many_classes_are_rows_and_few_are_columns() -> None:
    assert f"figure covid normal {HOSTILE}" in results()
    classes = ("a", "b", "c", "d", "e")
    page = Page(results_section(metrics_of(classes=classes), {}))
    assert "class images (patients) with it sensitivity (recall)" in page.text


def test_an_undefined_figure_has_its_reason() -> None:
    rows = {name: {**row, "precision": None} for name, row in METRICS["per_class"].items()}
    assert "– (none was decided so)" in results(per_class=rows)


@pytest.mark.parametrize("task", ["multilabel", "single_label"])
def test_counts_agree_with_the_images(task: Task) -> None:
    metrics = metrics_of(task)
    text = Page(results_section(metrics, {})).text
    row = metrics["per_class"]["covid"]
    found = round(row["recall"] * row["support"])
    assert f"covid {found} {row['support'] - found} " in text
    right = round(row["specificity"] * (60 - row["support"]))
    assert f" {60 - row['support'] - right} {right} normal" in text


def test_the_default_is_said_to_be_one() -> None:
    assert "Thresholds are 0.5, the default" in results()
    single = Page(results_section(metrics_of("single_label"), {})).text
    assert "class with the largest probability is the decision" in single


def test_a_chosen_point_says_rule_place_and_what_cannot_be_shown() -> None:
    text = results(operating_point=POINT)
    assert "Rule: sensitivity=0.95 . Thresholds were chosen on 40 images of 12 patients" in text
    assert "covid 0.31 sensitivity 0.95 1.000 (0.700–1.000) cannot be shown" in text
    assert "cannot be shown with 12 patients" in text


@pytest.mark.parametrize("rule", ["0.5, the default", "0.5, the default, mapped along"])
def test_a_default_is_chosen_by_nobody_though_a_point_holds_it(rule: str) -> None:
    text = results(operating_point={**POINT, "rule": rule}, samples_sha256="ab")
    assert "chosen on" not in text and "for a purpose" in text
    assert ("followed a recalibration on 40 images of 12 patients (validation)" in text) == (
        rule.endswith("mapped along")
    )


def test_thresholds_chosen_on_the_very_images_are_called_too_good() -> None:
    sentence = "They are the images evaluated here"
    assert sentence in results(operating_point=POINT, samples_sha256="ab")
    assert sentence not in results(operating_point=POINT, samples_sha256="cd")


def test_predictive_values_stand_by_prevalence_beside_treating_all() -> None:
    row = {"prevalence": 0.01, "ppv": share(0.2, 0.1, 0.4), "npv": share(None),
           "net_benefit": -0.01, "net_benefit_treat_all": None}  # fmt: skip
    text = results(predictive_values={"covid": [row]})
    assert "covid 1% 0.200 (0.100–0.400) – (alarms only) −0.010 –" in text
    assert "were not computed" in results()


def test_notes_and_folds_are_told() -> None:
    text = results(notes=["A note."], folds={"folds": 5, "auroc": {"covid": share(0.9, 0.8, 1)}})
    assert "A note." in text
    assert "in 5 folds" in text and "covid: 0.900 (0.800–1.000)" in text


def test_calibration_stands_by_class_with_its_diagram_as_a_table() -> None:
    bins = [{"predicted": 0.1, "observed": 0.2, "low": 0.1, "high": 0.3, "images": 9,
             "patients": None}]  # fmt: skip
    row = {
        "intercept": share(-0.3, -0.8, 0.2), "slope": share(None), "bins": bins,
        "brier": share(0.1, 0.05, 0.2), "notes": ["covid: a slope cannot be determined."],
        "reason": "the likelihood is too flat",
    }  # fmt: skip
    page = Page(calibration_section({"calibration": {"covid": row}}, {}, None))
    said = "covid −0.300 (−0.800 to 0.200) – (the likelihood is too flat) 0.100"
    assert said in page.text
    assert "covid 0.100 0.200 (0.100–0.300) 9 –" in page.text
    assert "a slope cannot be determined" in page.text and not page.mistakes


def test_a_recalibration_says_where_it_was_fitted() -> None:
    fitted = {"method": "platt", "split": "folds", "images": 90, "patients": None}
    text = Page(calibration_section({}, {}, fitted)).text
    assert "recalibrated (platt) on 90 images (folds)" in text
    assert "not looked at" in text
