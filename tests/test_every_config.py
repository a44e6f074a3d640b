"""Every experiment runs from its config to its figures, on a few small images."""

import json
import shutil
from pathlib import Path

import pytest

from covid.config import load_config
from covid.data.source import load_index
from covid.project import PROJECT
from tests.conftest import write_split_images
from tests.runs import train

CONFIGS = sorted((PROJECT / "configs").rglob("*.yaml"))
REAL = [PROJECT / "data" / "xray3", PROJECT.parent / "shared" / "data" / "xray3"]
# From scratch where ImageNet's weights are not in a package: the path is the same.
SETTINGS = ("epochs=1", "batch_size=4", "data.image_size=32", "precision=no")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A few images for each set of labels, by its first label."""
    by_label = {}
    for labels in (("infected", "normal"), ("covid", "normal", "pneumonia")):
        counts = {"train": 2, "validation": 2, "test": 2}
        by_label[labels[0]] = write_split_images(tmp_path_factory.mktemp(labels[0]), labels, counts)
    return by_label


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_becomes_a_finished_run(
    path: Path, roots: dict[str, Path], tmp_path: Path
) -> None:
    config = load_config(path)
    weights = () if config.model.arch == "efficientnet_lite0" else ("model.weights=none",)
    root = roots[next(iter(config.data.labels))]
    done = train(root, tmp_path / "run", *SETTINGS, *weights, config=path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "finished"


@pytest.mark.skipif(not any(map(Path.is_dir, REAL)), reason="the real set xray3 is not here")
def test_real_radiographs_train(tmp_path: Path) -> None:
    real = next(filter(Path.is_dir, REAL))
    labels = ["covid", "normal", "pneumonia"]
    index = load_index(real, labels)
    for split in ("train", "validation"):
        for label in labels:
            alike = [s for s in index.samples if (s.split, s.label) == (split, label)]
            for sample in alike[:2]:
                copy = tmp_path / "few" / split / label / sample.path.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(sample.path, copy)
    path = PROJECT / "configs" / "efficientnet_lite0_multilabel.yaml"
    done = train(tmp_path / "few", tmp_path / "run", *SETTINGS, config=path)
    assert done.returncode == 0, done.stderr
