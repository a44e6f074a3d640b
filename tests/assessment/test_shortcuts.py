"""evaluate.py --shortcuts: files, a network that cheats, an ONNX file without PyTorch."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import run_script, write_image
from tests.edge.networks import write_network
from tests.runs import evaluate, refused


def report_of(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "shortcuts.json").read_text())
    return report


@pytest.fixture
def corners(tmp_path: Path) -> Path:
    """Twenty-four patients; all that is bright where there is covid is the corners."""
    rows = [["path", "label", "patient", "mask"]]
    away = (np.arange(40) + 0.5) / 40 - 0.5
    inside = away[:, None] ** 2 + away[None, :] ** 2 <= 0.25
    (tmp_path / "corners").mkdir()
    Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)).save(tmp_path / "corners/mask.png")
    for number in range(24):
        covid = number % 2 == 0
        noise = np.random.default_rng(number).normal(0, 5, (40, 40))
        pixels = np.where(inside, 100, 220 if covid else 60) + noise
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"corners/{number}.png")
        mask = "mask.png" if number < 12 else ""
        rows.append([f"{number}.png", "covid" if covid else "normal", f"P{number}", mask])
    with (tmp_path / "corners/manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "corners"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    (tmp_path / "box").mkdir()
    return write_network(tmp_path / "box")


def test_a_run_has_both_files_every_test_and_the_probe(run: Path) -> None:
    done = evaluate(run, "--shortcuts", "--split", "validation")
    assert done.returncode == 0, done.stderr
    folder = run / "evaluation" / "validation"
    report = report_of(folder)
    assert {"whole", "lungs hidden, black", "patches shuffled", "equalised"} <= set(report["tests"])
    assert report["swap"]["images"] == report["images"] == 30
    assert report["tests"]["same marker"]["changed"]["value"] is not None
    assert set(report["probe"]) == {"covid", "normal", "pneumonia"}
    with Image.open(folder / "shortcuts.png") as picture:
        assert min(picture.size) > 600
    assert "Does it cheat?" in done.stdout and report["own_images"] is True
    page = (folder / "report.html").read_text()
    assert "Does it cheat?" in page and "What is told from changed images" in page


def test_without_the_flag_neither_file_is_there_nor_stays_from_before(run: Path) -> None:
    folder = run / "evaluation" / "test"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("shortcuts.json", "shortcuts.png"):
        (folder / name).write_text("of another network")
    assert evaluate(run).returncode == 0
    assert not list(folder.glob("shortcuts.*"))
    assert "Does it cheat?" not in (folder / "report.html").read_text()


def test_a_file_that_reads_corners_is_caught_without_torch(exported: Path, corners: Path) -> None:
    command = ["evaluate.py", str(exported), "--data", str(corners), "--shortcuts"]
    code = (
        f"import runpy, sys\nsys.argv = {command!r}\n"
        "try: runpy.run_path('evaluate.py', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(sorted({'torch', 'torchvision', 'accelerate'} & set(sys.modules)))"
    )
    done = run_script("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    report = report_of(exported.parent / "evaluation" / "corners-test")
    verdict = report["verdict"]
    assert verdict["told_without_lungs"] == ["covid", "normal"]  # pneumonia is constant
    assert verdict["follows_the_border"] and report["probe"] is None
    assert report["masks"]["lungs hidden by mask, grey"]["auroc"]["covid"]["value"] == 1
    assert report["own_images"] is None and "is not known" in verdict["caution"]
    assert "covid" in done.stdout and "without lungs with AUROC 1.00" in done.stdout


def test_a_file_that_reads_the_middle_is_cleared(exported: Path, tmp_path: Path) -> None:
    rows = ["path,label,patient"]
    (tmp_path / "middle").mkdir()
    for number in range(40):
        pixels = np.random.default_rng(number).normal(100, 25, (40, 40))
        pixels[10:30, 10:30] += 40 if number % 2 else -40
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
            tmp_path / f"middle/{number}.png"
        )
        rows.append(f"{number}.png,{'covid' if number % 2 else 'normal'},P{number}")
    (tmp_path / "middle/manifest.csv").write_text("\n".join(rows))
    done = evaluate(exported, "--data", tmp_path / "middle", "--shortcuts")
    assert done.returncode == 0, done.stderr
    verdict = report_of(exported.parent / "evaluation" / "middle-test")["verdict"]
    assert verdict["cheats"] is False, verdict


def test_folds_are_several_networks_and_are_refused(run: Path) -> None:
    refused(evaluate(run, "--shortcuts", "--split", "folds"), "name the run of one fold")


def test_images_of_one_label_have_no_figures_and_no_verdict(
    exported: Path, tmp_path: Path
) -> None:
    for number in range(5):
        write_image(tmp_path / f"alone/covid/{number}.png", number)
    done = evaluate(exported, "--data", tmp_path / "alone", "--shortcuts")
    assert done.returncode == 0, done.stderr
    verdict = report_of(exported.parent / "evaluation" / "alone-test")["verdict"]
    assert verdict["cheats"] is None and "Too few patients" in verdict["sentences"][0]


def test_a_mask_that_is_missing_is_a_user_s_mistake(exported: Path, corners: Path) -> None:
    (corners / "mask.png").unlink()
    refused(evaluate(exported, "--data", corners, "--shortcuts"), "mask.png")
