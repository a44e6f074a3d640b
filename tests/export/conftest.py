"""One small run that learned something, and its graph: what most tests of exports start from."""

from pathlib import Path

import onnx
import pytest

from covid.export.evidence import Evidence, gather_evidence
from covid.export.graph import export_graph
from covid.model.weights import load_trained
from tests.conftest import LABELS, write_split_images
from tests.test_train import train

# Learns the images' brightness in six epochs, to a margin that 8 bits leave alone.
LEARNING = (
    "epochs=6", "optimizer={name: adam, lr: 0.001}", "scheduler={name: none}", "batch_size=6",
    "model.dropout=0.0",
)  # fmt: skip


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    images = write_split_images(
        folder / "images", LABELS, {"train": 12, "validation": 6, "test": 2}
    )
    done = train(images, folder / "run", *LEARNING)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="session")
def evidence(run: Path) -> Evidence:
    weights = run / "best.safetensors"
    return gather_evidence(load_trained(weights), weights, {"torch": "2"}, instead="")


@pytest.fixture(scope="session")
def graph(run: Path) -> onnx.ModelProto:
    """The run's fp32 graph; tests that change it copy it first."""
    trained = load_trained(run / "best.safetensors")
    return export_graph(trained.network, "resnet18", "multilabel", 32)


@pytest.fixture
def copy(graph: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(graph)
    return copied
