"""An evaluation as files; evaluate.py's own tests read all four of them."""

import csv
import io

import numpy as np

from covid.edge.labels import LabelSpace
from covid.evaluation.report import predictions_csv

SPACE = LabelSpace.from_labels("single_label", {"a": ["a"], "b": ["b"]})


def test_a_name_that_a_spreadsheet_would_run_becomes_text() -> None:
    targets = np.array([[True, False]])
    probabilities = np.array([[0.75, 0.25]], dtype=np.float32)
    text = predictions_csv(SPACE, probabilities, targets, targets, ["=cmd.png"], ["a"])
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == [
        "'=cmd.png", "a", "0.750000", "0.250000", "a", "true",
    ]  # fmt: skip
