"""Thresholds and recalibration as a user of evaluate.py asks for them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from covid.evaluation.prediction_file import PredictionFile, read_predictions
from tests.conftest import write_image
from tests.runs import evaluate, refused


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def predictions(run: Path) -> PredictionFile:
    return read_predictions(run / "evaluation/test/predictions.csv")


@pytest.fixture(scope="module")
def aimed(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run after `--target sensitivity=0.95`, with what was printed beside it."""
    run = shutil.copytree(evaluated, tmp_path_factory.mktemp("aimed") / "run")
    (run / "export").mkdir()
    done = evaluate(run, "--target", "sensitivity=0.95")
    assert done.returncode == 0, done.stderr
    (run / "stderr.txt").write_text(done.stderr)
    return run


@pytest.fixture(scope="module")
def recalibrated(aimed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after `--recalibrate temperature`, twice."""
    run = shutil.copytree(aimed, tmp_path_factory.mktemp("recalibrated") / "run")
    for time in ("once", "twice"):
        done = evaluate(run, "--recalibrate", "temperature")
        assert done.returncode == 0, done.stderr
        shutil.copy(run / "operating_point.json", run / f"{time}.json")
    return run


def test_thresholds_are_chosen_on_validation_and_kept(aimed: Path) -> None:
    point = read(aimed / "operating_point.json")
    said = point["rule"], point["split"], point["images"]
    assert said == ("sensitivity=0.95", "validation", 30)


def test_what_was_chosen_decides_on_test(aimed: Path) -> None:
    metrics = read(aimed / "evaluation/test/metrics.json")
    thresholds = {name: row["threshold"] for name, row in metrics["per_class"].items()}
    assert thresholds == read(aimed / "operating_point.json")["thresholds"]
    assert metrics["operating_point"]["rule"] == "sensitivity=0.95"


def test_ten_images_cannot_show_so_much_and_it_is_said_wherever_it_stands(aimed: Path) -> None:
    words = "covid: a sensitivity of 0.95 cannot be shown with 10 images"
    assert words in (aimed / "stderr.txt").read_text()
    for file in ("evaluation/test/metrics.json", "operating_point.json"):
        assert any(words in note for note in read(aimed / file)["notes"])


def test_files_exported_before_are_said_to_decide_otherwise(aimed: Path) -> None:
    assert "run export.py again" in (aimed / "stderr.txt").read_text()


def test_without_a_target_0_5_decides(evaluated: Path) -> None:
    metrics = read(evaluated / "evaluation/test/metrics.json")
    assert metrics["operating_point"] is None
    assert [row["threshold"] for row in metrics["per_class"].values()] == [0.5] * 3


def test_a_recalibration_changes_probabilities_and_no_decision(
    aimed: Path, recalibrated: Path
) -> None:
    before, after = predictions(aimed), predictions(recalibrated)
    assert (before.decisions == after.decisions).all()
    assert (before.probabilities != after.probabilities).any()


def test_the_rule_stays_when_its_thresholds_are_mapped_along(recalibrated: Path) -> None:
    point = read(recalibrated / "operating_point.json")
    assert point["rule"] == "sensitivity=0.95"
    assert point["calibration"]["method"] == "temperature"


def test_a_second_recalibration_starts_from_the_network_s_own_logits(recalibrated: Path) -> None:
    once, twice = read(recalibrated / "once.json"), read(recalibrated / "twice.json")
    assert once["calibration"] == twice["calibration"]
    assert once["thresholds"] == pytest.approx(twice["thresholds"], abs=1e-9)


def test_a_target_of_one_class_leaves_the_others_as_they_were(
    recalibrated: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(recalibrated, tmp_path / "run")
    before = read(run / "operating_point.json")
    assert evaluate(run, "--target", "normal:specificity=0.6").returncode == 0
    after = read(run / "operating_point.json")
    for name in ("covid", "pneumonia"):
        assert after["thresholds"][name] == pytest.approx(before["thresholds"][name], abs=1e-9)
        assert after["per_class"][name]["target"] == {"figure": "sensitivity", "value": 0.95}
    assert any(note.startswith("covid: ") for note in after["notes"])
    assert after["calibration"] == before["calibration"]


def test_changed_images_choose_nothing(run: Path, own_root: Path, tmp_path: Path) -> None:
    image = own_root / "validation/covid/covid-0.png"
    kept = shutil.copy(image, tmp_path)
    write_image(image, seed=77)
    try:
        done = evaluate(run, "--target", "sensitivity=0.9")
    finally:
        shutil.copy2(kept, image)
    refused(done, "1 images have other pixels than when the run was trained")
    assert not (run / "operating_point.json").exists()


def test_an_onnx_file_is_calibrated_by_another_script(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    done = evaluate(tmp_path / "model.onnx", "--target", "sensitivity=0.9", "--data", tmp_path)
    refused(done, "see python calibrate.py --help")


@pytest.mark.parametrize(("words", "sentence"), [
    (["--target", "sensitivity=95"], "--target sensitivity=95"),
    (["--target", "flu:sensitivity=0.9"], "flu"),
    (["--prevalence", "5"], "--prevalence 5"),
    (["--target", "sensitivity=0.9", "--data", "OWN/test"], "are chosen on the run's own images"),
])  # fmt: skip
def test_a_mistake_is_one_sentence_and_chooses_nothing(
    run: Path, own_root: Path, words: list[str], sentence: str
) -> None:
    refused(evaluate(run, *(word.replace("OWN", str(own_root)) for word in words)), sentence)
    assert not (run / "operating_point.json").exists()


def test_a_prevalence_of_one_s_own_is_printed(run: Path) -> None:
    done = evaluate(run, "--prevalence", "0.03")
    assert "covid, 3 %" in done.stdout
    rows = read(run / "evaluation/test/metrics.json")["predictive_values"]["covid"]
    assert [row["prevalence"] for row in rows] == [0.01, 0.03, 0.1, 0.3]
