"""A network of a few hundred weights, and the reference that an export of it is evaluated by."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from covid.config import Config, ModelConfig, load_config
from covid.data.cache import Images
from covid.data.source import open_source
from covid.edge.labels import Task
from covid.edge.operating_point import ChosenOn, OperatingPoint, Recalibration
from covid.export.graph import export_graph
from covid.export.int8 import Prepared, prepare
from covid.export.reference import Reference, gather_reference
from covid.model.networks import Network, build_network
from covid.model.trace import trace
from covid.model.weights import Trained
from tests.conftest import PROJECT

SIZE = 32
CLASSES = 3
MEAN, STD = 0.47, 0.22
ON = ChosenOn("validation", 45, None, "0" * 64)
POINT = OperatingPoint(
    "sensitivity=0.95", {"covid": 0.3, "normal": 0.62, "pneumonia": 0.45}, ON, {}, ("A note.",)
)
PLATT = Recalibration("platt", (1.7, 1.7, 0.8), (-0.4, 0.25, 0.0), ON)


class Backbone(nn.Module):
    """Each kind of operation of the real ones once: a sum, a depthwise layer, both kinds of ReLU.

    Once `deaden` was here, channel 0 is zero everywhere: whatever reads it, nothing changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.deep_bn = nn.BatchNorm2d(8)
        self.bounded = nn.ReLU6()
        self.mixed = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.mixed_bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.average = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        stem = self.pool(self.relu(self.bn1(self.conv1(images))))
        mixed = self.mixed_bn(self.mixed(self.bounded(self.deep_bn(self.deep(stem)))))
        pooled: torch.Tensor = self.average(self.relu(stem + mixed))
        return pooled.flatten(1)


class Joined(nn.Module):
    """What DenseNet and MobileNetV3 have beside: norms before layers, joins, gates of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.grow = nn.Conv2d(8, 4, 3, padding=1, bias=False)
        self.joined_norm = nn.BatchNorm2d(12)
        self.transition = nn.Conv2d(12, 8, 1)
        self.pool = nn.AvgPool2d(2)
        self.wide = nn.Conv2d(8, 8, 3, padding=1)
        self.smooth = nn.Hardswish()
        self.gate = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1))
        self.narrow = nn.Conv2d(8, 8, 1)
        self.average = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        stem = nn.functional.max_pool2d(self.conv1(images), 2)
        joined = torch.cat([stem, self.grow(self.norm(stem).relu())], dim=1)
        pooled = self.pool(self.transition(self.joined_norm(joined).relu()))
        wide = self.smooth(self.wide(pooled))
        gate = nn.functional.hardsigmoid(self.gate(wide.mean((2, 3), keepdim=True)))
        features: torch.Tensor = self.average((pooled + self.narrow(wide * gate)).relu())
        return features.flatten(1)


def joined_network() -> Network:
    """Random weights, always the same; batch statistics of random images, in eval mode."""
    torch.manual_seed(0)
    backbone = Joined()
    head = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, CLASSES))
    network = Network(backbone, head, MEAN, STD, trace(backbone, SIZE))
    with torch.inference_mode():
        network.train()(random_images(16, SIZE))
    return network.eval()


def small_network(classes: int = CLASSES, *, mean: float = MEAN, std: float = STD) -> Network:
    """Random weights, always the same; batch norms in eval mode."""
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, classes))
    backbone = Backbone()
    network = Network(backbone, head, mean, std, trace(backbone, SIZE))
    deaden(network)
    return network.eval()


@torch.no_grad()
def deaden(network: Network) -> None:
    """Makes channel 0 of every layer's output but the last zero."""
    for name in ("backbone.bn1", "backbone.deep_bn", "backbone.mixed_bn", "head.0"):
        network.get_parameter(f"{name}.weight")[0] = 0
        network.get_parameter(f"{name}.bias")[0] = 0


def ruin(layer: nn.Module) -> None:
    """Weights that float never feels, since they meet a dead channel, and 8 bits cannot bear.

    Each output's scale is that of its largest weight, so that all its others become zero.
    """
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    with torch.no_grad():
        layer.weight[:, 0] = 1e5


def saturating_network() -> Prepared:
    """A network whose full 8-bit weights overflow sums of 16 bits, for all to see.

    Where one layer's weights are all positive, neighbouring products add up; large weights in
    the head show what is lost.
    """
    network = small_network()
    with torch.no_grad():
        network.get_parameter("backbone.mixed.weight").abs_()
        network.get_parameter("head.3.weight").mul_(20)

    def images() -> Iterator[npt.NDArray[np.uint8]]:
        yield random_images(16, SIZE)[:, 0].numpy()

    return prepare(export_graph(network, "multilabel", SIZE), images, lambda _: None)


def learn(network: Network, config: Config, steps: int = 80) -> None:
    """Fits the training images of `config`, all of them at every step."""
    index = open_source(config, advice="")
    indices = index.split("train")
    images = Images(index, config.data.image_size, None)
    pixels = torch.from_numpy(images.read(indices)).unsqueeze(1)
    labels = [index.samples[i].label for i in indices]
    targets = torch.from_numpy(config.label_space.encode(labels)).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(network(pixels), targets).backward()
        optimizer.step()
        deaden(network)
    network.eval()


def small_config(root: Path, cache: Path, *settings: str, task: Task = "multilabel") -> Config:
    chosen = [
        f"data.root={root}", f"data.cache_dir={cache}", f"data.image_size={SIZE}",
        "model.weights=none", f"task={task}", *settings,
    ]  # fmt: skip
    if task == "single_label":
        chosen += ["loss.name=cross_entropy", "data.labels.covid=[covid]"]
    return load_config(PROJECT / "configs/resnet18_multilabel.yaml", chosen)


def reference_of(
    network: Network,
    config: Config,
    folder: Path,
    versions: Mapping[str, str] | None = None,
    *,
    point: OperatingPoint | None = None,
    recalibration: Recalibration | None = None,
) -> Reference:
    """As for a run in `folder` that trained `network`."""
    weights = folder / "best.safetensors"
    weights.write_bytes(b"any bytes")
    trained = Trained(network, config, 3, {}, None)
    return gather_reference(
        trained, weights, versions or {"onnx": "1"}, point=point, recalibration=recalibration
    )


def answering(reference: Reference, network: Network) -> Reference:
    """The same images with the answers of another network."""
    pixels = reference.pixels(list(range(len(reference.indices))))
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels).unsqueeze(1))
    multilabel = reference.space.task == "multilabel"
    probabilities = logits.sigmoid() if multilabel else logits.softmax(dim=1)
    return replace(reference, logits=logits.numpy(), probabilities=probabilities.numpy())


def network_of(arch: str, until: str | None = None) -> Network:
    """Random weights with batch statistics of random images, so that answers differ."""
    torch.manual_seed(0)
    config = ModelConfig(arch=arch, weights="none", hidden_units=4, until=until)
    network = build_network(config, CLASSES, mean=MEAN, std=STD, image_size=64)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the average of what it sees
    with torch.inference_mode():
        network.train()(random_images(16, 64))
    return network.eval()


def random_images(count: int, size: int) -> torch.Tensor:
    """uint8 `[count, 1, size, size]`, each of another brightness and contrast."""
    draw = np.random.default_rng(0)
    level, spread = draw.uniform(40, 200, count), draw.uniform(5, 60, count)
    noise = draw.normal(size=(count, 1, size, size))
    pixels = noise * spread[:, None, None, None] + level[:, None, None, None]
    return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
