"""Maps of a run laid on masks: figures where there are masks, a warning where they are no use."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from covid.assessment.evidence import evidence_in_mask
from covid.data.index import Index
from covid.data.phantom import render_set
from covid.data.predictor import Maps, Predictions
from covid.data.source import load_index
from tests.conftest import LABELS
from tests.runs import evaluate, train

CLASSES = ("covid", "normal")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_set(tmp_path_factory.mktemp("data") / "phantom", LABELS, images=12, size=64)


def test_of_a_run_lungs_and_lesions_stand_beside_shuffled_weights(
    phantoms: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    settings = ("data.image_size=64", "epochs=1")  # 64 pixels: a map of 2 × 2 places
    assert train(phantoms, run, *settings).returncode == 0
    done = evaluate(run, "--split", "train")
    assert done.returncode == 0, done.stderr
    figures = json.loads((run / "evaluation/train/metrics.json").read_text())["evidence_in_mask"]
    rows = [figures, figures["shuffled"], figures["lesion"], figures["shuffled_lesion"]]
    for row in rows:
        assert 0 <= row["ratio"]["low"] <= row["ratio"]["value"] <= row["ratio"]["high"]
    assert figures["shuffled"]["ratio"] != figures["ratio"]
    assert figures["lesion"]["area"]["value"] < figures["area"]["value"]
    assert "the same, weights shuffled" in done.stdout
    report = (run / "evaluation/train/report.html").read_text()
    assert "Where it looks" in report


def masked(folder: Path, *masks: str) -> Index:
    """Two normal images, and what their manifest says of masks: the left half where one is."""
    rows = [["path", "label", "mask"]]
    for number, mask in enumerate(masks):
        Image.fromarray(np.full((8, 8), 100 + number, np.uint8)).save(folder / f"{number}.png")
        rows.append([f"{number}.png", "normal", mask])
    left = np.repeat([[255, 0]], 8, axis=0).repeat(4, axis=1).astype(np.uint8)
    Image.fromarray(left).save(folder / "left.png")
    (folder / "broken.png").write_bytes(b"")
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return load_index(folder, ["covid", "normal"])


def maps_on_the_left(indices: list[int]) -> npt.NDArray[np.float32]:
    return np.tile(np.array([[1, 0], [1, 0]], np.float32), (len(indices), 2, 1, 1))


def measured(index: Index, maps: Maps | None = maps_on_the_left) -> Any:
    nothing = np.zeros((2, 2), np.float32)
    predictions = Predictions(
        {}, nothing, nothing, lambda _: np.zeros((0, 8, 8), np.uint8), {}, [], np.zeros((2, 2)),
        maps=maps,
    )  # fmt: skip
    decisions = np.tile([False, True], (len(index.samples), 1))
    return evidence_in_mask(index, list(range(len(index.samples))), predictions, decisions, CLASSES)


def test_evidence_in_half_of_the_image_has_twice_the_ratio_of_chance(tmp_path: Path) -> None:
    figures, warnings = measured(masked(tmp_path, "left.png", "left.png"))
    assert (figures["ratio"]["value"], figures["images"], warnings) == (2, 2, [])


def test_a_file_s_weights_stay_as_they_are(tmp_path: Path) -> None:
    figures, _ = measured(masked(tmp_path, "left.png"))
    assert figures["shuffled"] is figures["lesion"] is figures["shuffled_lesion"] is None


def test_an_image_without_a_mask_does_not_count(tmp_path: Path) -> None:
    figures, _ = measured(masked(tmp_path, "left.png", ""))
    assert (figures["images"], figures["left_out"]) == (1, 0)


@pytest.mark.parametrize("mask", ["absent.png", "broken.png"])
def test_a_mask_that_cannot_be_read_is_a_warning(tmp_path: Path, mask: str) -> None:
    figures, (warning,) = measured(masked(tmp_path, "left.png", mask))
    assert figures["images"] == 1
    assert f"1 of 2 files of the column mask cannot be read ({mask})" in warning


def test_without_masks_there_are_no_figures(tmp_path: Path) -> None:
    assert measured(masked(tmp_path, "", "")) == (None, [])


def test_without_maps_there_are_no_figures(tmp_path: Path) -> None:
    assert measured(masked(tmp_path, "left.png"), None) == (None, [])
