"""Networks: an ImageNet backbone with a grey stem, a dense head, and what of them trains."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from covid.config import ModelConfig
from covid.errors import ConfigError
from covid.model.architectures import find_architecture
from covid.model.modules import find_module, modules_in_order
from covid.model.shorten import shorten
from covid.model.trace import Trace, trace

Trainable = Literal["all", "head"] | Sequence[str]


def normalise(images: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """Grey levels 0..255 to float32 numbers around 0."""
    return (images.float() / 255 - mean) / std


class Network(nn.Module):
    """uint8 images `[batch, 1, size, size]` to float logits `[batch, classes]`.

    Normalisation is inside, so no caller can get it wrong: grey levels are
    brought to 0..1, then `mean` is taken off and `std` divides, both of the training images.
    `traced` is what is known of the backbone.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, mean: float, std: float, traced: Trace
    ):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.mean = mean
        self.std = std
        self.traced = traced

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.backbone(normalise(images, self.mean, self.std)))
        return logits


class Layer(NamedTuple):
    """One step of a network: what it is called in its backbone, and what does it."""

    name: str
    module: nn.Module


class Prefix(nn.Module):
    """uint8 images `[batch, 1, size, size]` to what the first layers of a network make of them.

    The modules are the network's own: what moves or changes there does so here.
    """

    def __init__(self, network: Network, first: Sequence[Layer]):
        super().__init__()
        self.mean, self.std = network.mean, network.std
        self.layers = nn.Sequential(*(layer.module for layer in first))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layers(normalise(images, self.mean, self.std))
        return features


def build_network(
    config: ModelConfig, classes: int, *, mean: float, std: float, image_size: int
) -> Network:
    """A network with random weights, in channels_last; `load_weights` fills its backbone.

    The head is: backbone features → `hidden_units` → ReLU → dropout → `classes`.
    Raises ConfigError where there is no such network, where it does not take images of
    `image_size` pixels, or where no stem of one channel can be made of it.
    """
    architecture = find_architecture(config.arch)
    try:
        backbone = architecture.backbone(image_size)
        if config.until is not None:
            shorten(backbone, config.until, image_size)
        traced = trace(backbone, image_size)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        # Networks say in many ways that a size does not suit them, an empty assertion among them.
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"model.arch: {config.arch} does not take grey images of {image_size} × {image_size} "
            f"pixels ({first}); change data.image_size, or choose another network."
        ) from error
    if traced.stem is None:
        raise ConfigError(
            f"model.arch: no grey stem can be made of {config.arch}, since it has no plain "
            f"convolution that alone reads the image; choose another network."
        )
    head = nn.Sequential(
        nn.Linear(traced.features, config.hidden_units),
        nn.ReLU(inplace=True),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden_units, classes),
    )
    network = Network(backbone, head, mean, std, traced)
    return network.to(memory_format=torch.channels_last)


def freeze(network: Network, trainable: Trainable) -> None:
    """Lets gradients reach the head and what `trainable` names, and nothing else.

    Raises ConfigError where a name is no module of the backbone, or one without parameters.
    """
    network.requires_grad_(trainable == "all")
    network.head.requires_grad_(True)
    for module in _named(network, trainable):
        module.requires_grad_(True)


def set_training_mode(network: Network, trainable: Trainable) -> None:
    """`train()` for what trains, `eval()` for what is frozen: its batch statistics stay."""
    network.train(trainable == "all")
    network.head.train()
    for module in _named(network, trainable):
        module.train()


def trained(network: Network) -> list[list[nn.Parameter]]:
    """What the optimiser is given, layer by layer from the head down; a frozen one is empty.

    A layer is a module of the backbone, those of plain sequences one by one, that has weights;
    what has vectors only, such as batch normalisation, belongs to the layer before it.
    """
    upwards: list[list[nn.Parameter]] = []  # from the stem
    for _, module in modules_in_order(network.backbone):
        parameters = list(module.parameters())
        if upwards and all(parameter.ndim < 2 for parameter in parameters):
            upwards[-1] += parameters
        elif parameters:
            upwards.append(parameters)
    upwards[0] += network.backbone.parameters(recurse=False)  # such as embeddings of positions
    upwards.append(list(network.head.parameters()))
    return [[each for each in layer if each.requires_grad] for layer in reversed(upwards)]


def layers(network: Network) -> list[Layer]:
    """The steps that a network takes one after the other, after normalisation; the head is last.

    Running them in turn is what `network` does, to the bit. A backbone that is no chain of its
    modules is one layer.
    """
    head = Layer("head", network.head)
    if not network.traced.steps:
        return [Layer("backbone", network.backbone), head]
    steps = []
    for name, flatten in network.traced.steps:
        module = network.backbone.get_submodule(name)
        steps.append(Layer(name, nn.Sequential(module, nn.Flatten()) if flatten else module))
    return [*steps, head]


def frozen_layers(steps: Sequence[Layer]) -> int:
    """How many of the first layers hold nothing that trains, as `freeze` has left them."""
    trains = [any(each.requires_grad for each in step.module.parameters()) for step in steps]
    return trains.index(True)  # the head always trains


def suffix(network: Network, start: int) -> nn.Sequential:
    """What a network does after its first `start` layers: features to logits."""
    return nn.Sequential(*(layer.module for layer in layers(network)[start:]))


def average(network: Network, decay: float, device: torch.device) -> AveragedModel:
    """The exponential moving average of a network's weights and batch statistics, as yet equal.

    Polyak & Juditsky 1992; `decay` in 0..1 is the weight of what was before each update.
    """
    rule = get_ema_multi_avg_fn(decay)
    return AveragedModel(network, device, multi_avg_fn=rule, use_buffers=True)


def _named(network: Network, trainable: Trainable) -> list[nn.Module]:
    if isinstance(trainable, str):
        return []
    modules = [find_module(network.backbone, name, "model.trainable") for name in trainable]
    for name, module in zip(trainable, modules, strict=True):
        if not any(True for _ in module.parameters()):
            raise ConfigError(f"model.trainable: {name} has no parameters to train.")
    return modules
