"""An evaluation as files; evaluate.py's own tests read all four of them."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.evaluation.report import Evaluation, write_report

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


def test_metrics_begin_with_what_they_are_about(tmp_path: Path) -> None:
    def read_images(places: list[int]) -> npt.NDArray[np.uint8]:
        return np.zeros((len(places), 8, 8), dtype=np.uint8)

    metrics = write_report(tmp_path, EVALUATION, read_images)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert list(metrics)[:2] == ["data", "images"]
