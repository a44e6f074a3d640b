"""export.py as a user starts it: its files, its report, its exit codes."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import export as export_script
from covid.data.cache import Images
from covid.data.samples import rows_of, to_csv
from covid.data.source import load_index
from covid.edge.card import read_card
from covid.edge.model import load
from covid.evaluation.operating.file import write_operating_point
from tests.conftest import (
    LABELS,
    PROJECT,
    clean_environment,
    run_script,
    write_split_images,
)
from tests.export.networks import PLATT, POINT
from tests.runs import called, refused, train

# Learns the images' brightness in two epochs, to a margin that 8 bits leave alone.
LEARNING = (
    "epochs=2", "optimizer={name: adam, lr: 0.001}", "scheduler={name: none}", "batch_size=6",
    "model.dropout=0.0",
)  # fmt: skip
CARD = (
    "format", "arch", "task", "classes", "labels", "implies", "thresholds", "operating_point",
    "calibration", "image_size", "resize",
    "mean", "std", "precision", "trained_on", "trained_on_sha256", "metrics", "golden",
    "source_sha256", "content_sha256", "versions", "intended_use",
)  # fmt: skip

Held = tuple[subprocess.CompletedProcess[str], Path]  # what export.py said, and its folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    images = write_split_images(
        folder / "images", LABELS, {"train": 48, "validation": 6, "test": 2}
    )  # 90 images that calibration never sees: with fewer than 73 no file goes out
    done = train(images, folder / "run", *LEARNING)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with everything, whose stdout lies beside it."""
    output = tmp_path_factory.mktemp("exported") / "files"
    done = run_script("export.py", run, "--output", output, "--any-size", "--max-drop", "0.1")
    assert done.returncode == 0, done.stderr + done.stdout
    (output.parent / "stdout.txt").write_text(done.stdout)
    return output


def test_an_export_holds_exactly_its_files(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == [
        "MODEL_CARD.md", "model.anysize.onnx", "model.int8.onnx", "model.onnx", "report.json",
    ]  # fmt: skip


def test_the_report_says_that_everything_holds(exported: Path) -> None:
    report = json.loads((exported / "report.json").read_text())
    assert report["holds"] and set(report["files"]) == {
        "model.onnx", "model.int8.onnx", "model.anysize.onnx",
    }  # fmt: skip


def test_the_table_says_what_was_compared(exported: Path) -> None:
    printed = (exported.parent / "stdout.txt").read_text()
    assert "model.onnx against the network, on validation images" in printed
    assert "not for diagnosis" in printed


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx"])
def test_the_files_open_without_pytorch(exported: Path, name: str) -> None:
    assert load(exported / name).card.arch == "resnet18"


def test_the_card_has_every_key_of_the_contract(exported: Path) -> None:
    content = (exported / "model.onnx").read_bytes()
    card = json.loads(content[content.rindex(b'{"format"') :])
    assert not set(CARD) - set(card)


def test_the_example_for_python_gives_the_file_s_answers(exported: Path, run: Path) -> None:
    image = run.parent / "images/test/covid/covid-0.png"
    done = run_script("examples/any_size.py", exported / "model.anysize.onnx", image)
    assert done.returncode == 0, done.stderr
    printed = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()[:3]}
    ours = load(exported / "model.onnx")(image).probabilities  # type: ignore[union-attr]
    assert printed == pytest.approx(ours, abs=2e-2)


def test_the_example_for_node_gives_the_answers_of_the_one_for_python(
    exported: Path, run: Path, tmp_path: Path
) -> None:
    if shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    shutil.copy(PROJECT / "examples/any_size.mjs", tmp_path)
    packages = ["npm", "install", "--ignore-scripts", "--no-audit", "onnxruntime-node", "sharp"]
    if subprocess.run(packages, cwd=tmp_path, capture_output=True, timeout=300).returncode:
        pytest.skip("npm cannot install onnxruntime-node and sharp here")
    image = run.parent / "images/test/covid/covid-0.png"
    model = exported / "model.anysize.onnx"
    node = subprocess.run(
        ["node", "any_size.mjs", str(model), str(image)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    python = run_script("examples/any_size.py", model, image)
    assert node.stdout == python.stdout, node.stderr


@pytest.fixture(scope="module")
def chosen(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has an operating point, exported to its own folder, with what was printed."""
    copied = shutil.copytree(run, tmp_path_factory.mktemp("chosen") / "run")
    write_operating_point(copied, POINT, PLATT)
    done = run_script("export.py", copied, "--no-int8")
    assert done.returncode == 0, done.stderr + done.stdout
    (copied / "stdout.txt").write_text(done.stdout)
    return copied


def test_a_run_goes_to_its_own_folder_unless_told_otherwise(chosen: Path) -> None:
    assert sorted(path.name for path in (chosen / "export").iterdir()) == [
        "MODEL_CARD.md", "model.onnx", "report.json",
    ]  # fmt: skip


def test_what_a_run_chose_goes_into_its_files(chosen: Path) -> None:
    card, printed = read_card(chosen / "export/model.onnx"), (chosen / "stdout.txt").read_text()
    assert (card.operating_point, card.calibration) == (POINT, PLATT)
    assert card.space.thresholds == (0.3, 0.62, 0.45)
    assert "Thresholds: sensitivity=0.95, chosen on validation (45 images)." in printed
    assert "Recalibrated by platt on validation (45 images)." in printed


def test_thresholds_of_another_network_are_refused(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    write_operating_point(copied, replace(POINT, thresholds={"covid": 0.5}), None)
    done = called(export_script.main, "export.py", copied)
    refused(done, "operating_point.json: is about covid, and the")


def test_a_killed_export_leaves_no_file_under_a_final_name(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "export.py", str(run), "--output", str(tmp_path)]
    process = subprocess.Popen(command, cwd=PROJECT, env=clean_environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    while process.poll() is None and not any(tmp_path.iterdir()):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)  # while the first file is written or evaluated
    process.wait(30)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


@pytest.fixture(scope="module")
def held_back(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Held:
    """An export of images that are read otherwise than training read them, over an older one."""
    output, kept = tmp_path_factory.mktemp("held-back") / "files", run.parent / "cache"
    output.mkdir()
    for name in ("model.onnx", "model.int8.onnx", "model.anysize.onnx", "report.json"):
        (output / name).write_bytes(b"an older export")
    index, generator = load_index(run.parent / "images", LABELS), np.random.default_rng(0)

    def read_noise(path: Path) -> Image.Image:
        return Image.fromarray(generator.integers(0, 256, (32, 32), dtype=np.uint8))

    noisy = tuple(replace(sample, read=read_noise) for sample in index.samples)
    sound = kept.rename(output.parent / "cache")
    learnt = (run / "samples.csv").read_bytes()
    try:
        images = Images(replace(index, samples=noisy), 32, kept)
        noise = images.scan(range(len(noisy)), lambda count: None).originals
        (run / "samples.csv").write_text(to_csv(rows_of(index, noise)))  # as if it had learnt noise
        return run_script("export.py", run, "--output", output), output
    finally:
        shutil.rmtree(kept)
        sound.rename(kept)
        (run / "samples.csv").write_bytes(learnt)


def test_an_export_that_was_held_back_ends_with_1(held_back: Held) -> None:
    assert held_back[0].returncode == 1, held_back[0].stderr


def test_an_export_that_was_held_back_leaves_its_report_alone(held_back: Held) -> None:
    assert [path.name for path in held_back[1].iterdir()] == ["report.json"]


def test_an_export_that_was_held_back_says_why(held_back: Held) -> None:
    report = json.loads((held_back[1] / "report.json").read_text())
    failed = [check["name"] for check in report["parity"]["checks"] if not check["holds"]]
    assert (report["holds"], failed) == (False, ["pixels"])
    assert "FAILS  pixels" in held_back[0].stdout


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    refused(called(export_script.main, "export.py", tmp_path), "is no run folder")


def test_a_run_whose_images_are_gone_is_refused(run: Path, tmp_path: Path) -> None:
    hidden = run.parent / "hidden"
    os.rename(run.parent / "images", hidden)
    try:
        done = called(export_script.main, "export.py", run, "--output", tmp_path)
    finally:
        os.rename(hidden, run.parent / "images")
    refused(done, "name the folder where they are now with --data FOLDER")


def test_a_run_whose_images_moved_and_were_renamed_is_exported_from_where_they_are(
    run: Path, tmp_path: Path
) -> None:
    lines = ["path,label"]
    for number, path in enumerate(sorted((run.parent / "images").rglob("*.png"))):
        (tmp_path / "moved").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / f"moved/{number}.png")
        lines.append(f"{number}.png,{path.parent.name}")
    (tmp_path / "moved/manifest.csv").write_text("\n".join(lines))
    done = run_script(
        "export.py", run, "--data", tmp_path / "moved", "--output", tmp_path / "out", "--no-int8"
    )
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "out/model.onnx").read_bytes()
    card = json.loads(content[content.rindex(b'{"format"') :])
    digest = hashlib.sha256((run / "samples.csv").read_bytes()).hexdigest()
    assert card["trained_on_sha256"] == digest


def test_a_folder_that_lacks_some_of_the_run_s_images_is_refused(
    run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run.parent / "images/validation", tmp_path / "some")
    done = called(
        export_script.main, "export.py", run, "--data", tmp_path / "some",
        "--output", tmp_path / "out",
    )  # fmt: skip
    refused(done, "lacks 150 of the 168 images of the run, by content")


@pytest.mark.parametrize("drop", ["-1", "nan", "much"])
def test_a_drop_that_is_no_share_is_refused(run: Path, drop: str) -> None:
    refused(run_script("export.py", run, f"--max-drop={drop}"), "--max-drop")
