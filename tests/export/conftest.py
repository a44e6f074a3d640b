"""One small trained network for all tests of this folder, and the real ones: none is changed."""

import functools
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
import torch

from covid.config import Config
from covid.export.graph import export_graph, recalibrate
from covid.export.int8 import Prepared, prepare
from covid.export.reference import Reference
from covid.model.networks import Network
from tests.conftest import LABELS, write_split_images
from tests.export.networks import (
    PLATT,
    POINT,
    SIZE,
    learn,
    network_of,
    random_images,
    reference_of,
    saturating_network,
    small_config,
    small_network,
)


@dataclass(frozen=True)
class Small:
    """A network that was trained on noise of three brightnesses, and its fp32 graph."""

    config: Config
    network: Network
    model: onnx.ModelProto
    reference: Reference
    prepared: Prepared


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 40, "validation": 15}  # 105 images that calibration never sees
    return write_split_images(tmp_path_factory.mktemp("export") / "images", LABELS, counts)


@pytest.fixture(scope="session")
def small(images: Path) -> Small:
    config = small_config(images, images.parent / "cache")
    network = small_network()
    learn(network, config)
    reference = reference_of(network, config, images.parent)
    model = export_graph(network, "multilabel", SIZE)
    prepared = prepare(
        model, lambda: reference.batches_of(reference.calibration), lambda _: None
    )
    return Small(config, network, model, reference, prepared)


@pytest.fixture(scope="session")
def chosen(small: Small, images: Path) -> Small:
    """The same network at thresholds that were chosen, its logits recalibrated."""
    reference = reference_of(
        small.network, small.config, images.parent, point=POINT, recalibration=PLATT
    )
    model = export_graph(small.network, "multilabel", SIZE)
    recalibrate(model, PLATT)
    calibration = reference.calibration
    prepared = prepare(model, lambda: reference.batches_of(calibration), lambda _: None)
    return Small(small.config, small.network, model, reference, prepared)


@pytest.fixture(scope="session")
def saturating() -> Prepared:
    return saturating_network()


@dataclass(frozen=True)
class Exported:
    """One of the three networks, with random weights, and its graph."""

    network: Network
    model: onnx.ModelProto
    size: int
    images: torch.Tensor  # uint8 [5, 1, size, size]
    logits: torch.Tensor  # what the network says of them


@pytest.fixture(
    scope="session",
    params=[("resnet18", 32), ("efficientnet_lite0", 32), ("vgg16", 256)],
    ids=lambda param: param[0],
)
def exported(request: pytest.FixtureRequest) -> Exported:
    return exported_of(*request.param)


@functools.cache
def exported_of(arch: str, size: int) -> Exported:
    """Made once for all test files of a process, as it takes seconds; nobody may change it."""
    network = network_of(arch)
    images = random_images(5, size)
    with torch.inference_mode():
        logits = network(images)
    model = export_graph(network, "multilabel", size)
    return Exported(network, model, size, images, logits)
