"""Networks of three families of timm's, from a config to an answer on the edge."""

import csv
import json
import subprocess
from pathlib import Path

import pytest

import export as export_script
from tests.conftest import run_script
from tests.runs import called, evaluate, train

LEARNING = ("epochs=1", "data.image_size=64", "model.until=null")


def export(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """export.py's `main` in this process, which has imported torch already."""
    return called(export_script.main, "export.py", *words)


def trained(root: Path, folder: Path, arch: str, *settings: str) -> Path:
    done = train(root, folder / "run", *LEARNING, f"model.arch={arch}", *settings)
    assert done.returncode == 0, done.stderr
    return folder / "run"


# The head's features are kept for one; the others train blocks, and all.
@pytest.mark.parametrize(("arch", "setting"), [
    ("densenet121", "model.trainable=[features.denseblock4]"),
    ("mobilenetv3_small_050", "model.trainable=all"),
    ("convnext_atto", "model.trainable=head"),
])  # fmt: skip
def test_a_network_is_trained_evaluated_exported_and_asked(
    root: Path, tmp_path: Path, arch: str, setting: str
) -> None:
    run = trained(root, tmp_path, arch, setting)
    exported = export(run, "--no-int8")
    report = json.loads((run / "export" / "report.json").read_text())
    assert exported.returncode == 0 and report["parity"]["largest_difference"], exported.stdout
    file, answers = run / "export" / "model.onnx", tmp_path / "answers.csv"
    evaluated = evaluate(file, "--data", root)
    assert evaluated.returncode == 0, evaluated.stderr
    asked = run_script("predict.py", file, root / "test", "--output", answers)
    assert asked.returncode == 0, asked.stderr
    with answers.open() as rows:
        assert len(list(csv.DictReader(rows))) == 6


def test_a_network_without_an_8_bit_form_goes_out_in_fp32_and_says_why(
    root: Path, tmp_path: Path
) -> None:
    run = trained(root, tmp_path, "test_convnext", "model.trainable=head")
    exported = export(run, "--any-size")
    report = json.loads((run / "export" / "report.json").read_text())
    (check,) = report["int8"]["checks"]
    assert (exported.returncode, list(report["files"])) == (1, ["model.onnx", "model.anysize.onnx"])
    assert check["name"] == "operations" and "LayerNormalization" in check["found"]
    assert f"FAILS  operations     {check['found']}" in exported.stdout


def test_a_run_of_such_a_network_is_evaluated(root: Path, tmp_path: Path) -> None:
    evaluated = evaluate(trained(root, tmp_path, "test_vit"))
    assert "macro F1" in evaluated.stdout, evaluated.stderr


def test_a_name_of_no_network_ends_a_run_before_any_image_is_read(tmp_path: Path) -> None:
    done = train(tmp_path / "no images", tmp_path / "run", "model.arch=densnet121")
    assert done.returncode == 2
    assert "model.arch" in done.stderr and "densenet121" in done.stderr
