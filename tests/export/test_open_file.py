"""evaluate.py on an exported file: the same report as of a run, without PyTorch."""

import csv
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid.data.cache import Original
from covid.data.samples import Row, digest, rows_of, to_csv
from covid.data.source import load_index
from covid.edge.images import read_grey
from covid.export.open_file import open_file
from tests.conftest import LABELS, PROJECT, run_script, write_split_images
from tests.edge.networks import CARD, evidence_graph, write_network
from tests.runs import evaluate, refused


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 4, "validation": 3, "test": 3}
    return write_split_images(tmp_path_factory.mktemp("data") / "clinic", LABELS, counts)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    (tmp_path / "box").mkdir()
    return write_network(tmp_path / "box")


def test_an_onnx_file_has_the_same_report_without_torch(exported: Path, root: Path) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['evaluate.py', {str(exported)!r}, '--data', {str(root)!r}]\n"
        "try: runpy.run_path('evaluate.py', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(sorted({'torch', 'torchvision', 'accelerate'} & set(sys.modules)))"
    )
    done = run_script("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    folder = exported.parent / "evaluation" / "clinic-test"
    assert sorted(path.name for path in folder.iterdir()) == [
        "calibration.png", "confusion.png", "examples.png", "metrics.json", "operating.png",
        "predictions.csv", "report.html",
    ]  # fmt: skip
    assert "model.onnx on clinic, test" in done.stdout


def test_an_onnx_file_s_metrics_say_which_file_and_which_images(
    exported: Path, root: Path, tmp_path: Path
) -> None:
    done = evaluate(
        exported, "--data", root, "--split", "validation", "--output", tmp_path / "v"
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "v/metrics.json").read_text())
    about = ("model", "precision", "source_sha256", "trained_on_sha256", "seen_in_training",
             "data", "synthetic", "split", "images")  # fmt: skip
    assert [metrics[key] for key in about] == [
        "model.onnx", "fp32", "0" * 64, None, None, "clinic", False, "validation", 9,
    ]  # fmt: skip
    index = load_index(root, LABELS)
    chosen = index.split("validation")
    originals = {i: Original.of(read_grey(index.samples[i].path)) for i in chosen}
    assert metrics["samples_sha256"] == digest(rows_of(index, originals))


def test_an_onnx_file_s_probabilities_are_those_of_predict(
    exported: Path, root: Path, tmp_path: Path
) -> None:
    assert evaluate(exported, "--data", root).returncode == 0
    with (exported.parent / "evaluation/clinic-test/predictions.csv").open() as file:
        evaluated = [list(row.values())[2:6] for row in csv.DictReader(file)]
    decided = [row.pop() for row in evaluated]
    exact = [[float(cell) for cell in row] for row in evaluated]
    run_script("predict.py", exported, root / "test", "--output", tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open() as file:
        rows = [list(row.values())[1:5] for row in csv.DictReader(file)]
    assert [row.pop() for row in rows] == decided
    shown = [[float(cell) for cell in row] for row in rows]
    # predict.py rounds to six decimals.
    assert np.array(shown) == pytest.approx(np.array(exact), abs=6e-7)


def test_an_onnx_file_needs_images_to_be_evaluated_on(exported: Path) -> None:
    refused(evaluate(exported), "carries no images; name some with --data ROOT")


def test_an_onnx_file_is_not_evaluated_on_images_that_cannot_be_read(
    exported: Path, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "test", tmp_path / "some")
    (tmp_path / "some/covid/covid-1.png").write_bytes(b"nothing")
    done = evaluate(exported, "--data", tmp_path / "some")
    refused(done, "1 of 9 images cannot be read")
    assert "covid-1.png" in done.stderr


def test_an_onnx_file_is_not_evaluated_on_classes_that_it_does_not_know(
    exported: Path, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "test", tmp_path / "some")
    (tmp_path / "some/covid").rename(tmp_path / "some/tuberculosis")
    refused(evaluate(exported, "--data", tmp_path / "some"), "images bear tuberculosis")


def test_a_file_without_its_run_says_that_it_may_know_the_images(
    exported: Path, root: Path
) -> None:
    done = evaluate(exported, "--data", root)
    assert "it is not known whether it was trained on some of these images" in done.stderr


def test_a_file_in_its_run_s_folder_refuses_images_that_it_was_trained_on(
    root: Path, tmp_path: Path
) -> None:
    with Image.open(root / "train/covid/covid-0.png") as picture:
        content = hashlib.sha256(picture.tobytes())
    row = Row("a.png", "covid", "train", "", "", 40, 40, content.hexdigest())
    (tmp_path / "samples.csv").write_text(to_csv([row, replace(row, path="b.png")]))
    card = replace(CARD, trained_on_sha256=digest([row, replace(row, path="b.png")]))
    (tmp_path / "export").mkdir()
    exported = write_network(tmp_path / "export", card)
    (tmp_path / "data").mkdir()
    shutil.copytree(root / "train/covid", tmp_path / "data/covid")
    done = evaluate(exported, "--data", tmp_path / "data")
    refused(done, "1 of 4 images are among those that model.onnx was trained on (covid/covid-0")


@pytest.mark.parametrize(("name", "label", "images"), [
    ("montgomery", "tuberculosis=pneumonia", 138), ("jsrt", "nodule=", 93),
])  # fmt: skip
def test_real_sets_of_other_hospitals_are_evaluated_whole(
    exported: Path, name: str, label: str, images: int
) -> None:
    real = PROJECT.parent / "shared" / "data" / name
    if not real.is_dir():
        pytest.skip(f"{real} is not there")
    done = evaluate(exported, "--data", real, "--label", label)
    assert done.returncode == 0, done.stderr
    assert json.loads(
        (exported.parent / f"evaluation/{name}-test/metrics.json").read_text()
    )["images"] == images


def test_an_onnx_file_that_is_damaged_is_refused(exported: Path, root: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:-9])
    refused(evaluate(exported, "--data", root), "is cut short")


def test_a_file_gives_the_maps_of_its_own_graph(root: Path, tmp_path: Path) -> None:
    index = load_index(root, LABELS)
    with_maps = write_network(tmp_path, replace(CARD, evidence_scale=0.5), evidence_graph())
    maps = open_file(with_maps).predict(index, [0, 1], "test").maps
    assert maps is not None and maps([1, 0, 2]).shape == (3, 3, 2, 2)


def test_a_file_without_maps_has_none(root: Path, exported: Path) -> None:
    predictions = open_file(exported).predict(load_index(root, LABELS), [0], "test")
    assert predictions.maps is None and predictions.shuffled_maps is None
