"""A manifest of several labels in a cell, of none and of doubt: trained, evaluated, exported."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from covid.export.reference import gather_reference
from covid.model.weights import load_trained
from tests.conftest import run_script, write_image
from tests.runs import train

LABELS = "data.labels={No Finding: [], Edema: [Edema], Effusion: [Effusion], Mass: [Mass]}"
CELLS = {
    "train": ("No Finding", "Edema|Effusion", "Edema?|Mass", "Effusion", "Mass", "No Finding"),
    # Edema has no certain absence in validation, so it is left out of the mean over classes.
    "validation": ("Edema|Effusion", "Edema", "Edema?|Mass", "No Finding?"),
    "test": ("No Finding", "Edema|Mass", "Effusion?", "No Finding?"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch of 32 pixels, evaluated on its test images."""
    folder = tmp_path_factory.mktemp("multilabel")
    rows = ["path,label,split"]
    for split, cells in CELLS.items():
        for place, cell in enumerate(cells):
            write_image(folder / f"images/{split}-{place}.png", len(rows), brightness=20 * place)
            rows.append(f"{split}-{place}.png,{cell},{split}")
    (folder / "images/manifest.csv").write_text("\n".join(rows))
    settings = ("epochs=1", "batch_size=3", "select_by=macro_f1", "loss.positive_weight=balanced")
    done = train(folder / "images", folder / "run", LABELS, *settings)
    assert done.returncode == 0, done.stderr
    done = run_script("evaluate.py", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_run_trains_on_what_is_known_and_says_what_it_leaves_out(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert summary["best"]["validation_macro_f1"] is not None
    left_out = "1 images of which no label is known for certain are left out of training"
    assert any(left_out in sentence for sentence in summary["warnings"])


def test_an_evaluation_counts_what_is_known(run: Path) -> None:
    metrics = json.loads((run / "evaluation/test/metrics.json").read_text())
    support = {name: row["support"] for name, row in metrics["per_class"].items()}
    assert support == {"Edema": 1, "Effusion": 0, "Mass": 1}
    counted = {name: sum(map(sum, table)) for name, table in metrics["confusion"].items()}
    assert counted == {"Edema": 3, "Effusion": 2, "Mass": 3}
    assert any("2 of Effusion" in note for note in metrics["notes"])
    assert any("Left out of macro F1: Effusion;" in note for note in metrics["notes"])


def test_predictions_show_cells_and_targets(run: Path) -> None:
    with (run / "evaluation/test/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    shown = [[row["label"], *(row[f"target_{n}"] for n in ("Edema", "Effusion", "Mass"))]
             for row in rows]  # fmt: skip
    assert shown == [
        ["No Finding", "0", "0", "0"], ["Edema|Mass", "1", "0", "1"],
        ["Effusion?", "0", "", "0"], ["No Finding?", "", "", ""],
    ]  # fmt: skip
    assert [row["correct"] == "" for row in rows] == [False, False, False, True]


def test_an_export_is_proven_by_what_is_known(run: Path) -> None:
    weights = run / "best.safetensors"
    reference = gather_reference(load_trained(weights), weights, {})
    # A lone doubt of nothing is left out of training, and counts in no figure here either.
    assert np.isnan(reference.targets).sum(axis=1).tolist() == [0, 0, 1, 3]
    assert reference.card.metrics["macro_f1"] is not None
    assert reference.space.labels["No Finding"] == ()
