"""MODEL_CARD.md: a head that the Hub reads, a body that says what is known and no more."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from covid.edge.labels import LabelSpace
from covid.evaluation.metrics import compute_metrics
from covid.export.model_card import MODEL_CARD, model_card, write_model_card

HOSTILE = '<b>&"|: [x]\n---'
SPACE = LabelSpace.from_labels("multilabel", {"covid": ["covid"], HOSTILE: [HOSTILE]})
CARD: dict[str, Any] = {
    "arch": "resnet18", "task": "multilabel", "classes": list(SPACE.classes),
    "thresholds": [0.5, 0.5], "image_size": 64, "trained_on": "xray3, 630 training images",
    "source_sha256": "ab" * 32,
}  # fmt: skip
REPORT = {"run": HOSTILE, "files": {"model.onnx": {"bytes": 14_000_000}}}
TARGETS = np.tile(np.eye(2, dtype=np.float32), (6, 1))
METRICS = {
    "data": "xray3", "split": "test",
    **compute_metrics(SPACE, np.where(TARGETS, 0.9, 0.1).astype(np.float32), TARGETS,
                      [f"p{i // 2}" for i in range(12)], resamples=20),
}  # fmt: skip
AUDIT = {
    "name": "xray3", "patients": 6, "warnings": ["every image of covid comes from one source."],
    "by_class": {HOSTILE: {"images": 6, "patients": 6, "source": {HOSTILE: 6}}},
}  # fmt: skip


def front(text: str) -> dict[str, Any]:
    start, head, _ = text.split("---\n", 2)
    assert start == ""
    return dict(yaml.safe_load(head))


def test_the_head_parses_whatever_names_there_are() -> None:
    head = front(model_card(CARD, REPORT, audit=AUDIT, metrics=METRICS))
    assert (head["library_name"], head["pipeline_tag"]) == ("onnx", "image-classification")
    assert head["datasets"] == ["xray3"]
    assert head["metrics"] == ["accuracy", "f1"]
    assert head["model-index"][0]["name"] == HOSTILE
    assert head["model-index"][0]["results"][0]["metrics"][0] == {"type": "accuracy", "value": 1.0}


def test_the_head_holds_what_is_known_alone() -> None:
    head = front(model_card(CARD, REPORT))
    assert not {"datasets", "metrics", "model-index"} & set(head)
    assert "datasets" not in front(model_card(CARD, REPORT, audit={"name": "two words"}))
    synthetic = {**CARD, "trained_on": "SYNTHETIC radiographs"}
    assert "datasets" not in front(model_card(synthetic, REPORT, audit=AUDIT))


@pytest.mark.parametrize(
    ("key", "said"),
    [("evidence_scale", "--heatmaps"), ("novelty_threshold", "a novelty above 1.34")],
)
def test_what_a_file_gives_beside_probabilities_is_said_where_it_does(key: str, said: str) -> None:
    assert said in model_card({**CARD, key: 1.34}, REPORT)
    assert said not in model_card(CARD, REPORT)


def test_a_licence_is_not_made_up() -> None:
    text = model_card(CARD, REPORT)
    assert front(text)["license"] == "unknown"
    assert "License of the weights: not stated" in text
    stated = model_card(CARD, REPORT, weights_license="mit")
    assert front(stated)["license"] == "mit" and "License of the weights: mit" in stated


def test_names_of_others_are_no_markup() -> None:
    body = model_card(CARD, REPORT, audit=AUDIT, metrics=METRICS).split("---\n", 2)[2]
    assert "<b>" not in body
    rows = [line for line in body.splitlines() if line.startswith("| &lt;b")]
    assert len(rows) == 2  # of the data and of the figures: no name broke a line
    assert all(row.replace("\\|", "").count("|") in (8, 9) for row in rows)


def test_figures_of_the_test_images_stand_with_their_intervals_or_are_missed() -> None:
    text = model_card(CARD, {**REPORT, "fp32": METRICS}, metrics=METRICS)
    assert "(12 images of 6 patients): accuracy 1.000 (" in text
    assert "by the exported file" in text
    assert "evaluate.py` had not run" in model_card(CARD, REPORT)


def test_warnings_stand_among_the_limits_once() -> None:
    text = model_card(CARD, REPORT, audit=AUDIT, summary={"warnings": AUDIT["warnings"]})
    assert text.count("every image of covid comes from one source") == 1


@pytest.mark.parametrize("rule", ["0.5, the default", "0.5, the default, mapped along"])
def test_a_default_is_chosen_by_nobody_though_a_point_holds_it(rule: str) -> None:
    point = {"rule": rule, "split": "validation", "images": 40, "patients": 9}
    text = model_card({**CARD, "operating_point": point}, REPORT)
    assert "chosen by" not in text and "nobody chose them for a purpose" in text
    assert ("a recalibration on validation (40 images" in text) == rule.endswith("mapped along")


def test_a_chosen_point_and_a_recalibration_are_told() -> None:
    point = {"rule": "sensitivity=0.9", "split": "validation", "images": 40, "patients": 9,
             "notes": ["It cannot be shown with 9 patients."]}  # fmt: skip
    fitted = {"method": "platt", "split": "folds", "images": 90}
    text = model_card({**CARD, "operating_point": point, "calibration": fitted}, REPORT)
    assert "by the rule sensitivity=0.9 on validation (40 images, 9 patients)" in text
    assert "cannot be shown with 9 patients" in text
    assert "recalibrated (platt) on folds (90 images)" in text
    assert "Thresholds are the default" in model_card(CARD, REPORT)
    assert "largest probability" in model_card({**CARD, "thresholds": None}, REPORT)


def test_it_says_what_it_is_not_for_and_how_it_is_used(tmp_path: Path) -> None:
    path = write_model_card(tmp_path, CARD, REPORT, config={"seed": 3})
    assert path.name == MODEL_CARD
    text = path.read_text(encoding="utf-8")
    assert "not for diagnosis" in text
    assert "    python predict.py model.onnx IMAGE_OR_FOLDER" in text
    assert "- Seed: 3" in text


def test_a_network_that_ends_early_is_not_taken_for_the_whole_one() -> None:
    text = model_card(CARD, REPORT, config={"model": {"until": "layer3"}})
    assert "- Backbone: up to layer3, without what comes after" in text
    assert "Backbone" not in model_card(CARD, REPORT, config={"model": {"until": None}})
