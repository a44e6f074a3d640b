"""An evaluation as files; evaluate.py's own tests read all of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from covid.edge.labels import LabelSpace
from covid.edge.operating_point import ChosenOn, OperatingPoint
from covid.evaluation.report import PICTURES, Evaluation, compute_all, write_report

SPACE = LabelSpace.from_labels("multilabel", {"covid": ["covid"], "normal": ["normal"]})
CELLS = ["covid", "normal"] * 15
EVALUATION = Evaluation(
    title="network on data, test",
    about={"data": "data", "samples_sha256": "1234"},
    space=SPACE,
    probabilities=np.random.default_rng(0).random((30, 2)).astype(np.float32),
    targets=SPACE.encode(CELLS),
    names=["=cmd.png", *(f"{n}.png" for n in range(29))],
    cells=CELLS,
    patients=[f"p{n // 2}" for n in range(30)],
    columns=[{"sex": "MF"[n % 2], "source": "nih"} for n in range(30)],
)


def point(samples: str) -> OperatingPoint:
    return OperatingPoint(
        "sensitivity=0.9", {"covid": 0.25, "normal": 0.75},
        ChosenOn("validation", 30, 15, samples), {}, ("covid: cannot be shown with 15 patients",),
    )  # fmt: skip


def test_metrics_begin_with_what_they_are_about() -> None:
    assert list(compute_all(EVALUATION))[:3] == ["data", "samples_sha256", "images"]


def test_metrics_hold_what_an_evaluation_is_worth() -> None:
    assert {
        "operating_point", "calibration", "recalibration", "predictive_values", "subgroups",
        "mistakes", "site", "folds",
    } <= set(compute_all(EVALUATION))  # fmt: skip


def test_a_brier_score_has_one_interval() -> None:
    metrics = compute_all(EVALUATION)
    own = metrics["per_class"]["covid"]
    ends = {end: own["intervals"]["brier"][end] for end in ("low", "high")}
    assert metrics["calibration"]["covid"]["brier"] == {"value": own["brier"], **ends}


def test_notes_of_an_operating_point_stay_with_the_figures() -> None:
    metrics = compute_all(replace(EVALUATION, operating_point=point("another")))
    assert "covid: cannot be shown with 15 patients" in metrics["notes"]


@pytest.mark.parametrize(("samples", "said"), [("1234", True), ("another", False)])
def test_thresholds_chosen_on_the_very_images_are_said_to_be(samples: str, said: bool) -> None:
    metrics = compute_all(replace(EVALUATION, operating_point=point(samples)))
    assert any("these very images" in note for note in metrics["notes"]) == said


def test_evidence_in_masks_is_there_only_where_it_was_measured() -> None:
    assert "evidence_in_mask" not in compute_all(EVALUATION)
    metrics = compute_all(replace(EVALUATION, evidence_in_mask={"ratio": None}))
    assert metrics["evidence_in_mask"] == {"ratio": None}


def test_files_and_pictures_are_written(tmp_path: Path) -> None:
    def read_images(places: list[int]) -> npt.NDArray[np.uint8]:
        return np.zeros((len(places), 8, 8), dtype=np.uint8)

    metrics = write_report(tmp_path, EVALUATION, read_images)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.json", "predictions.csv", *PICTURES,
    }  # fmt: skip
