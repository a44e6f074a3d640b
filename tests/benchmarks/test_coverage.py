"""The benchmark of coverage: its model is what it says, and what falls short must be noted."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as reference

from benchmarks import coverage
from benchmarks.coverage import PATIENTS, SHARES, Coverage, Job, Study, is_noted, note_of
from covid.evaluation.figures import METRICS, Metric
from covid.evaluation.metrics import quick_figures
from covid.evaluation.notes import TOO_NARROW

MACRO_F1 = next(metric for metric in METRICS if metric.name == "f1").macro()


def metric_of(name: str) -> Metric:
    return next(metric for metric in METRICS if metric.name == name)


@pytest.mark.parametrize("share", SHARES)
def test_the_true_values_are_those_of_very_many_patients(share: float) -> None:
    study = Study(60_000, share, each=False)
    probabilities, targets, _ = study.draw(np.random.default_rng(0))
    truths = study.truths()
    figures = quick_figures(coverage.SPACE, probabilities, targets)
    # 150,000 images, worth 80,000 for their likeness: five standard errors are below 0.01.
    for name in ("accuracy", "macro_f1", "macro_precision", "macro_recall", "macro_npv"):
        assert figures[name] == pytest.approx(truths[name.removeprefix("macro_")
                                                     if name != "macro_f1" else name], abs=0.01)
    ill, probability = targets[:, 0], probabilities[:, 0]
    for name, score in [("auroc", reference.roc_auc_score), ("brier", reference.brier_score_loss),
                        ("average_precision", reference.average_precision_score)]:  # fmt: skip
        assert score(ill, probability) == pytest.approx(truths[name], abs=0.01)


def test_a_patient_has_one_to_four_images_that_resemble_each_other() -> None:
    study = Study(20_000, 0.8, each=True)
    probabilities, targets, patients = study.draw(np.random.default_rng(0))
    images = np.bincount(np.array(patients, dtype=int))
    assert np.bincount(images)[1:] / len(images) == pytest.approx([0.25] * 4, abs=0.02)
    assert len(images) == 40_000 and targets[:, 0].sum() == images[:20_000].sum()
    scores = np.log(probabilities[:, 0] / probabilities[:, 1]) / coverage.STEEPNESS
    own = scores - study.distance * targets[:, 0]
    first = np.flatnonzero(np.diff(np.array(patients, dtype=int)) == 0)
    assert np.corrcoef(own[first], own[first + 1])[0, 1] == pytest.approx(0.5, abs=0.03)


def test_studies_are_counted_by_figure() -> None:
    job = Job(Study(10, 0.8, each=False), ("f1", "brier"), 0, 3)
    covered = coverage.simulate(job)
    assert {name: of_figure.studies for name, of_figure in covered.items()} == {
        "macro_f1": 3, "f1": 3, "brier": 3,
    }  # fmt: skip
    assert covered["brier"].noted == 3 and coverage.simulate(job) == covered


def test_jobs_hold_every_study_of_every_figure_once() -> None:
    jobs = coverage.jobs_of(120, 60)
    for metric in METRICS:
        counts = [job.count for job in jobs if metric.name in job.names]
        expected = 60 if metric.share else 120
        assert sum(counts) == expected * len(PATIENTS) * len(SHARES)


def test_a_figure_is_noted_where_the_note_names_it_for_the_class() -> None:
    notes = ["A note.", f"{TOO_NARROW}macro F1; AUROC of well; Brier of ill and well: of studies."]
    noted = [metric.name for metric in (*METRICS, MACRO_F1) if is_noted(metric, notes)]
    assert noted == ["brier", "macro_f1"]


@pytest.mark.parametrize(
    ("held", "noted", "said"), [(92, 0, False), (91, 0, False), (91, 94, False), (91, 95, True)]
)
def test_what_falls_short_is_noted_where_nearly_all_its_studies_say_so(
    held: int, noted: int, said: bool
) -> None:
    row = {0.5: Coverage(100, 95, 0), 0.8: Coverage(100, held, noted)}
    assert (note_of("AUROC", row) is not None) == said


def test_every_figure_has_a_row_for_each_number_of_patients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["coverage.py", "--quick", "--json", str(file)])
    assert coverage.main() == 0
    figures = json.loads(file.read_text())
    names = {metric.name for metric in METRICS} | {"macro_f1"}
    rows = {(entry["details"]["figure"], entry["details"]["patients"]) for entry in figures}
    assert rows == {(name, patients) for name in names for patients in PATIENTS}
    assert {entry["target"] for entry in figures} == {0.92}
    assert len(capsys.readouterr().out.splitlines()) == len(figures) + 2
