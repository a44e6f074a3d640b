"""Which images figures are of: flow, splits, who they show."""

from typing import Any

from covid.evaluation.html.data import counted, data_section
from tests.evaluation.report_page import HOSTILE, Page, metrics_of

METRICS = metrics_of()
LABELS = {"covid": ["covid", "normal"], "normal": ["normal"], HOSTILE: [HOSTILE]}


def row(split: str, label: str, patient: str = "", **more: str) -> dict[str, str]:
    return {"split": split, "label": label, "patient": patient, "source": "", **more}


SAMPLES = [
    row("train", "covid", "a", age="050Y", sex="M", view="AP Supine"),
    row("train", "normal", "b", age="30", sex="female", view="PA"),
    row("train", "covid?|normal", "b"),
    row("test", HOSTILE, "c", age="unknown"),
    row("test", "", "d"),
    row("removed", "covid", "a"),
]


def data(samples: list[dict[str, str]], audit: Any = None, **more: Any) -> Page:
    known = {"evaluated": [], "labels": LABELS, "other_images": False, **more}
    return Page(data_section(METRICS, samples, audit=audit, **known))


def test_each_split_has_its_images_patients_and_what_they_bear() -> None:
    text = data(SAMPLES).text
    assert f"split images patients covid normal {HOSTILE}" in text
    # What a doubtful label would carry does not count; what a key implies does.
    assert "train 3 2 1 (1) 3 (2) 0" in text
    assert "test 2 2 0 0 1 (1)" in text


def test_what_was_left_out_stands_in_the_flow() -> None:
    text = data(SAMPLES, {"unreadable": ["x.png", "y.png"]}).text
    assert "images of the run 7 images 4 patients" in text
    assert "not readable 2 images" in text
    assert "taken out later 1 image" in text
    assert "evaluated here 60 images 20 patients" in text


def test_patients_in_two_splits_are_counted() -> None:
    assert "No patient stands in more than one split." in data(SAMPLES).text
    assert "1 patient in more than one split" in data([*SAMPLES, row("test", "covid", "a")]).text
    assert "No patient is known" in data([row("train", "covid")]).text


def test_age_sex_and_view_are_read_as_everywhere_else() -> None:
    text = data(SAMPLES).text
    assert "train 40 (35–45), known of 2 F 1, M 1, unknown 1 AP 1, PA 1, unknown 1" in text
    assert "test – – –" in text
    assert "says nothing of age, sex or view" in data([row("train", "covid", "a")]).text


def test_other_images_stand_beside_those_trained_on() -> None:
    other = [row("test", "normal", "z")]
    text = data(SAMPLES, other_images=True, evaluated=other).text
    assert "xray, evaluated here 1 1 0 1 (1) 0" in text


def test_the_audit_says_who_bears_what_and_what_gives_it_away() -> None:
    group = {
        "images": 3, "patients": None, "view": {"PA": 3}, "sex": {"unknown": 3},
        "age": {"known": 2, "median": 50.0, "quartiles": [40.0, 60.0]}, "source": {"x": 3},
    }  # fmt: skip
    baseline = {"balanced_accuracy": 0.73, "chance": 0.5, "per_class": {"covid": 0.9}}
    audit = {"by_class": {HOSTILE: group}, "metadata_baseline": baseline, "source_baseline": {}}
    text = data(SAMPLES, audit).text
    assert f"{HOSTILE} 3 – 50 (40–60), known of 2 – PA 3 x 3" in text
    assert "balanced accuracy of 0.73 where chance is 0.50" in text


def test_what_is_missing_is_said() -> None:
    text = data([]).text
    assert "no samples.csv" in text and "no data_audit.json" in text


def test_many_values_are_cut_short_and_unknown_ones_come_last() -> None:
    assert counted({"unknown": 9, **{str(n): 1 for n in range(7)}}).endswith("5 1, 2 more")
    assert counted({"unknown": 9, "x": 1}) == "x 1, unknown 9"
