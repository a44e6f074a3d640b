"""A finished run, and a copy of it for each test."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import LABELS, write_split_images
from tests.runs import evaluate, train


@pytest.fixture(scope="session")
def own_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 6, "validation": 10, "test": 4}
    return write_split_images(tmp_path_factory.mktemp("data") / "clinic", LABELS, counts)


@pytest.fixture(scope="session")
def evaluated(own_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose test split was evaluated."""
    output = tmp_path_factory.mktemp("runs") / "first"
    done = train(own_root, output, "epochs=3", "optimizer.lr=0.05")
    assert done.returncode == 0, done.stderr
    assert evaluate(output).returncode == 0
    return output


@pytest.fixture
def run(evaluated: Path, tmp_path: Path) -> Path:
    """A copy of its own."""
    shutil.copytree(evaluated, tmp_path / "run")
    return tmp_path / "run"
