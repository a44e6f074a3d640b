"""An evaluation as files; evaluate.py's own tests read all four of them."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.evaluation.report import Evaluation, predictions_csv, write_report

SPACE = LabelSpace.from_labels("single_label", {"a": ["a"], "b": ["b"]})
EVALUATION = Evaluation(
    title="network on data, test",
    about={"data": "data"},
    space=SPACE,
    probabilities=np.array([[0.75, 0.25], [0.5, 0.5]], dtype=np.float32),
    targets=SPACE.encode(["a", "b"]),
    names=["=cmd.png", "b.png"],
    cells=["a", "b"],
    patients=["p", None],
)


def test_a_name_that_a_spreadsheet_would_run_becomes_text() -> None:
    text = predictions_csv(EVALUATION)
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == [
        "'=cmd.png", "a", "0.750000", "0.250000", "a", "true", "1", "0",
    ]  # fmt: skip


def test_targets_stand_beside_decisions_and_are_empty_where_they_are_not_known() -> None:
    space = LabelSpace.from_labels("multilabel", {"a": ["a"], "b": ["b"], "none": []})
    cells = ["a|b?", "none", "none?"]
    evaluation = replace(
        EVALUATION, space=space, cells=cells, targets=space.encode(cells),
        probabilities=np.array([[0.75, 0.75], [0.5, 0.25], [0.5, 0.5]], dtype=np.float32),
        names=["a.png", "b.png", "c.png"], patients=[None] * 3,
    )  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(predictions_csv(evaluation))))
    assert list(rows[0])[-4:] == ["predicted", "correct", "target_a", "target_b"]
    assert [list(row.values())[4:] for row in rows] == [
        ["a+b", "true", "1", ""], ["a", "false", "0", "0"], ["a+b", "", "", ""],
    ]  # fmt: skip
    assert [row["label"] for row in rows] == cells


def test_metrics_begin_with_what_they_are_about(tmp_path: Path) -> None:
    def read_images(places: list[int]) -> npt.NDArray[np.uint8]:
        return np.zeros((len(places), 8, 8), dtype=np.uint8)

    metrics = write_report(tmp_path, EVALUATION, read_images)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert list(metrics)[:2] == ["data", "images"]
