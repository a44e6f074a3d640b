"""Thresholds, recalibration and sites side by side, as a user of evaluate.py asks for them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from covid.evaluation.prediction_file import read_predictions
from tests.conftest import LABELS, write_image, write_split_images
from tests.runs import evaluate, refused, train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 6, "validation": 10, "test": 4}
    return write_split_images(tmp_path_factory.mktemp("data") / "clinic", LABELS, counts)


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "first"
    done = train(root, output, "epochs=3", "optimizer.lr=0.05")
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of its own."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_thresholds_are_chosen_on_validation_and_kept(run: Path) -> None:
    done = evaluate(run, "--target", "sensitivity=0.9")
    assert done.returncode == 0, done.stderr
    point = read(run / "operating_point.json")
    assert (point["rule"], point["split"], point["images"]) == ("sensitivity=0.9", "validation", 30)


def test_what_was_chosen_decides_on_test_too(run: Path) -> None:
    evaluate(run, "--target", "sensitivity=0.9")
    assert evaluate(run).returncode == 0
    metrics = read(run / "evaluation/test/metrics.json")
    thresholds = {name: row["threshold"] for name, row in metrics["per_class"].items()}
    assert thresholds == read(run / "operating_point.json")["thresholds"]
    assert metrics["operating_point"]["rule"] == "sensitivity=0.9"


def test_ten_images_cannot_show_so_much_and_it_is_said(run: Path) -> None:
    done = evaluate(run, "--target", "covid:sensitivity=0.95")
    assert "cannot be shown with 10 images" in done.stderr
    notes = read(run / "evaluation/test/metrics.json")["notes"]
    assert any("cannot be shown with 10 images" in note for note in notes)


def test_without_a_target_0_5_decides_and_is_said_to_be_the_default(run: Path) -> None:
    done = evaluate(run)
    assert "Thresholds: 0.5, the default" in done.stdout
    assert not (run / "operating_point.json").exists()


def test_a_recalibration_alone_changes_no_decision(run: Path) -> None:
    evaluate(run)
    before = read_predictions(run / "evaluation/test/predictions.csv")
    done = evaluate(run, "--recalibrate", "temperature")
    assert done.returncode == 0, done.stderr
    after = read_predictions(run / "evaluation/test/predictions.csv")
    assert (before.decisions == after.decisions).all()
    assert (before.probabilities != after.probabilities).any()
    assert read(run / "operating_point.json")["calibration"]["method"] == "temperature"


def test_a_second_recalibration_starts_from_the_network_s_own_logits(run: Path) -> None:
    evaluate(run, "--recalibrate", "temperature")
    once = read(run / "operating_point.json")
    evaluate(run, "--recalibrate", "temperature")
    again = read(run / "operating_point.json")
    assert once["calibration"] == again["calibration"]
    assert once["thresholds"] == pytest.approx(again["thresholds"], abs=1e-9)


def test_thresholds_follow_a_later_recalibration(run: Path) -> None:
    evaluate(run, "--target", "sensitivity=0.8")
    before = read_predictions(run / "evaluation/test/predictions.csv")
    evaluate(run, "--recalibrate", "temperature")
    after = read_predictions(run / "evaluation/test/predictions.csv")
    assert (before.decisions == after.decisions).all()
    assert read(run / "operating_point.json")["rule"] == "sensitivity=0.8"


def test_others_images_choose_nothing(run: Path, root: Path) -> None:
    done = evaluate(run, "--target", "sensitivity=0.9", "--data", root / "test")
    refused(done, "are chosen on the run's own images")


def test_an_onnx_file_is_calibrated_by_another_script(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    done = evaluate(tmp_path / "model.onnx", "--target", "sensitivity=0.9", "--data", tmp_path)
    refused(done, "see python calibrate.py --help")


@pytest.mark.parametrize(("words", "sentence"), [
    (["--target", "sensitivity=95"], "--target sensitivity=95"),
    (["--target", "flu:sensitivity=0.9"], "flu"),
    (["--prevalence", "5"], "--prevalence 5"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(run: Path, words: list[str], sentence: str) -> None:
    refused(evaluate(run, *words), sentence)
    assert not (run / "operating_point.json").exists()


def test_a_prevalence_of_one_s_own_is_printed(run: Path) -> None:
    done = evaluate(run, "--prevalence", "0.03")
    assert "covid, 3 %" in done.stdout
    rows = read(run / "evaluation/test/metrics.json")["predictive_values"]["covid"]
    assert [row["prevalence"] for row in rows] == [0.01, 0.03, 0.1, 0.3]


# Other hospitals ----------------------------------------------------------------------------


@pytest.fixture
def sites(tmp_path: Path) -> list[Path]:
    for site, brightness in (("north", 100), ("south", 140)):
        for label, step in (("covid", -20), ("normal", 0), ("pneumonia", 20)):
            for number in range(3):
                seed = brightness * 100 + step + number
                path = tmp_path / site / label / f"{number}.png"
                write_image(path, seed=seed, brightness=brightness + step)
    return [tmp_path / "north", tmp_path / "south"]


def test_sites_stand_beside_each_other_and_beside_the_own_images(
    run: Path, sites: list[Path]
) -> None:
    evaluate(run)
    done = evaluate(run, "--data", sites[0], "--data", sites[1])
    assert done.returncode == 0, done.stderr
    report = read(run / "evaluation/test/external.json")
    assert [(site["name"], site["own"]) for site in report["sites"]] == [
        ("clinic, test", True), ("north, test", False), ("south, test", False),
    ]  # fmt: skip
    with Image.open(run / "evaluation/test/external.png") as picture:
        assert np.asarray(picture).std() > 0
    assert "north, test" in done.stdout
    for name in ("north", "south"):
        assert (run / f"evaluation/{name}-test/metrics.json").is_file()


def test_the_report_of_the_own_images_takes_the_sites_in(run: Path, sites: list[Path]) -> None:
    evaluate(run)
    before = (run / "evaluation/test/report.html").read_text()
    evaluate(run, "--data", sites[0], "--data", sites[1])
    after = (run / "evaluation/test/report.html").read_text()
    assert ("south, test" in before, "south, test" in after) == (False, True)


def test_an_earlier_comparison_stays_in_a_later_report(run: Path, sites: list[Path]) -> None:
    evaluate(run)
    evaluate(run, "--data", sites[0], "--data", sites[1])
    evaluate(run)
    assert "south, test" in (run / "evaluation/test/report.html").read_text()


def test_several_folders_after_one_data_are_one_site(run: Path, sites: list[Path]) -> None:
    assert evaluate(run, "--data", *sites).returncode == 0
    assert read(run / "evaluation/north+south-test/metrics.json")["images"] == 18


def test_two_sites_of_one_name_are_refused(run: Path, sites: list[Path], tmp_path: Path) -> None:
    shutil.copytree(sites[0], tmp_path / "other/north")
    done = evaluate(run, "--data", sites[0], "--data", tmp_path / "other/north")
    refused(done, "two sites are called north")
