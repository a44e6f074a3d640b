"""Every experiment runs from its config to its figures, on a few small images."""

import json
import shutil
from collections.abc import Callable
from functools import cache
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
SETTINGS = ("epochs=1", "batch_size=4", "precision=no")
# Inception-v3's pooling leaves a pixel of no fewer. Of 32, DenseNet-121 normalises a batch of two
# by two values a channel, and from random weights its losses may be no numbers. Others take 32.
SIZES = {"inception_v3": 75, "densenet121": 64}


@pytest.fixture(scope="module")
def root_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], Path]:
    """Makes a root with a few images of each of these labels, once for each set of labels."""

    @cache
    def write(labels: tuple[str, ...]) -> Path:
        counts = dict.fromkeys(("train", "validation", "test"), 2 if len(labels) < 5 else 1)
        return write_split_images(tmp_path_factory.mktemp("images"), labels, counts)

    return write


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_becomes_a_finished_run(
    path: Path, root_of: Callable[[tuple[str, ...]], Path], tmp_path: Path
) -> None:
    config = load_config(path)
    weights = () if config.model.arch == "efficientnet_lite0" else ("model.weights=none",)
    size = f"data.image_size={SIZES.get(config.model.arch, 32)}"
    root = root_of(tuple(config.data.labels))
    done = train(root, tmp_path / "run", *SETTINGS, size, *weights, config=path)
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
    done = train(tmp_path / "few", tmp_path / "run", *SETTINGS, "data.image_size=32", config=path)
    assert done.returncode == 0, done.stderr
