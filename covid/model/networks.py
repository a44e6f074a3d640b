"""Networks: an ImageNet backbone with a grey stem, a dense head, and what of them trains."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torchvision.models
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from covid.config import ModelConfig
from covid.errors import ConfigError

Trainable = Literal["all", "head"] | Sequence[str]


@dataclass(frozen=True)
class Architecture:
    """How a published network is made, and the names of its layers in it."""

    make: Callable[[], nn.Module]  # random weights, three input channels, ImageNet's classifier
    stem: str
    classifier: str
    features: int  # numbers a backbone gives for an image, at any image size
    order: tuple[str, ...]  # its children as they are executed, up to what the head is given


def _efficientnet_lite0() -> nn.Module:
    import timm  # takes seconds to import, which the other networks need not pay

    network: nn.Module = timm.create_model("efficientnet_lite0", pretrained=False)
    return network


ARCHITECTURES = {
    "resnet18": Architecture(
        torchvision.models.resnet18, "conv1", "fc", 512,
        ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"),
    ),
    # Its adaptive pooling gives 512 channels of 7 × 7, whatever the image's size.
    "vgg16": Architecture(
        torchvision.models.vgg16, "features.0", "classifier", 512 * 7 * 7, ("features", "avgpool")
    ),
    "efficientnet_lite0": Architecture(
        _efficientnet_lite0, "conv_stem", "classifier", 1280,
        ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "global_pool"),
    ),
}  # fmt: skip


def normalise(images: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """Grey levels 0..255 to float32 numbers around 0."""
    return (images.float() / 255 - mean) / std


class Network(nn.Module):
    """uint8 images `[batch, 1, size, size]` to float logits `[batch, classes]`.

    Normalisation is inside, so whatever runs the network cannot get it wrong: grey levels are
    brought to 0..1, then `mean` is taken off and `std` divides, both of the training images.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, mean: float, std: float):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.mean = mean
        self.std = std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.backbone(normalise(images, self.mean, self.std)))
        return logits


class Stage(NamedTuple):
    """One step of a network: what it is called in its backbone, and what does it."""

    name: str
    module: nn.Module


class Prefix(nn.Module):
    """uint8 images `[batch, 1, size, size]` to what the first stages of a network make of them.

    The modules are the network's own: what moves or changes there does so here.
    """

    def __init__(self, network: Network, stages: Sequence[Stage]):
        super().__init__()
        self.mean, self.std = network.mean, network.std
        self.layers = nn.Sequential(*(stage.module for stage in stages))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layers(normalise(images, self.mean, self.std))
        return features


def build_network(config: ModelConfig, classes: int, *, mean: float, std: float) -> Network:
    """A network with random weights, in channels_last; `load_weights` fills its backbone.

    The head is: backbone features → `hidden_units` → ReLU → dropout → `classes`.
    """
    architecture = ARCHITECTURES[config.arch]
    backbone = architecture.make()
    colour = backbone.get_submodule(architecture.stem)
    assert isinstance(colour, nn.Conv2d)
    _replace(backbone, architecture.stem, grey_stem(colour))
    _replace(backbone, architecture.classifier, nn.Identity())
    head = nn.Sequential(
        nn.Linear(architecture.features, config.hidden_units),
        nn.ReLU(inplace=True),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden_units, classes),
    )
    return Network(backbone, head, mean, std).to(memory_format=torch.channels_last)


def grey_stem(colour: nn.Conv2d) -> nn.Conv2d:
    """The convolution that does to one channel what `colour` does to it repeated three times."""
    grey = nn.Conv2d(
        1,
        colour.out_channels,
        colour.kernel_size,  # type: ignore[arg-type]
        colour.stride,  # type: ignore[arg-type]
        colour.padding,  # type: ignore[arg-type]
        bias=colour.bias is not None,
    )
    with torch.no_grad():
        grey.weight.copy_(colour.weight.sum(dim=1, keepdim=True))
        if grey.bias is not None and colour.bias is not None:
            grey.bias.copy_(colour.bias)
    return grey


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
    layers: list[list[nn.Parameter]] = []
    for module in _leaves(network.backbone):
        parameters = list(module.parameters())
        if layers and all(parameter.ndim < 2 for parameter in parameters):
            layers[-1] += parameters
        elif parameters:
            layers.append(parameters)
    layers[0] += network.backbone.parameters(recurse=False)  # such as embeddings of positions
    layers.append(list(network.head.parameters()))
    return [[each for each in layer if each.requires_grad] for layer in reversed(layers)]


def stages(network: Network, arch: str) -> list[Stage]:
    """The steps that a network takes one after the other, after normalisation; the head is last.

    Running them in turn is what `network` does, to the bit.
    """
    order = ARCHITECTURES[arch].order
    parts = [part for name in order for part in _parts(name, network.backbone.get_submodule(name))]
    pooling = Stage(parts[-1].name, nn.Sequential(parts[-1].module, nn.Flatten()))
    return [*parts[:-1], pooling, Stage("head", network.head)]


def frozen_stages(steps: Sequence[Stage]) -> int:
    """How many of the first stages hold nothing that trains, as `freeze` has left them."""
    trains = [any(each.requires_grad for each in step.module.parameters()) for step in steps]
    return trains.index(True)  # the head always trains


def suffix(network: Network, arch: str, start: int) -> nn.Sequential:
    """What a network does after its first `start` stages: features to logits."""
    return nn.Sequential(*(stage.module for stage in stages(network, arch)[start:]))


def average(network: Network, decay: float, device: torch.device) -> AveragedModel:
    """The exponential moving average of a network's weights and batch statistics, as yet equal.

    Polyak & Juditsky 1992; `decay` in 0..1 is the weight of what was before each update.
    """
    rule = get_ema_multi_avg_fn(decay)
    return AveragedModel(network, device, multi_avg_fn=rule, use_buffers=True)


def _named(network: Network, trainable: Trainable) -> list[nn.Module]:
    if isinstance(trainable, str):
        return []
    modules = dict(network.backbone.named_modules())
    for name in trainable:
        if not name or name not in modules:
            close = difflib.get_close_matches(name, modules, n=3) or list(
                dict(network.backbone.named_children())
            )
            raise ConfigError(
                f"model.trainable: {name!r} is no module of this network; "
                f"near it are {', '.join(close)}."
            )
        if not any(True for _ in modules[name].parameters()):
            raise ConfigError(f"model.trainable: {name} has no parameters to train.")
    return [modules[name] for name in trainable]


def _parts(name: str, module: nn.Module) -> list[Stage]:
    """A module, or where it only calls its children in turn, those; at every depth."""
    if type(module) is not nn.Sequential:
        return [Stage(name, module)]
    return [part for key, one in module.named_children() for part in _parts(f"{name}.{key}", one)]


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    """Its children in order, and instead of plain sequences theirs, at every depth."""
    for child in module.children():
        if type(child) is nn.Sequential:
            yield from _leaves(child)
        else:
            yield child


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
