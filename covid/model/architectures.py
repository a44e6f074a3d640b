"""Which networks there are: torchvision's and one of timm's by hand, and all others of timm's."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torchvision.models
from torch import nn

from covid.errors import ConfigError

MAX_SUGGESTIONS = 3  # names like a wrong one that a sentence lists


@dataclass(frozen=True)
class Architecture:
    """How a published network is made, and what of it becomes a backbone; with random weights.

    `backbone` takes the images' size in pixels, which networks with position embeddings are
    made for: `[batch, 1, size, size]` to `[batch, features]`. Its tensors have the names of
    `published`'s, the network of three channels with ImageNet's classifier.
    """

    published: Callable[[], nn.Module]
    backbone: Callable[[int], nn.Module]


def grey_backbone(published: Callable[[], nn.Module], stem: str, classifier: str) -> Architecture:
    """Of a network whose first convolution is called `stem` and whose last layer `classifier`."""

    def backbone(image_size: int) -> nn.Module:
        network = published()
        colour = network.get_submodule(stem)
        assert isinstance(colour, nn.Conv2d)
        _replace(network, stem, grey_stem(colour))
        _replace(network, classifier, nn.Identity())
        return network

    return Architecture(published, backbone)


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


def _efficientnet_lite0() -> nn.Module:
    import timm  # takes seconds to import, which torchvision's networks need not pay

    network: nn.Module = timm.create_model("efficientnet_lite0", pretrained=False)
    return network


ARCHITECTURES = {
    "resnet18": grey_backbone(torchvision.models.resnet18, stem="conv1", classifier="fc"),
    "vgg16": grey_backbone(torchvision.models.vgg16, stem="features.0", classifier="classifier"),
    "efficientnet_lite0": grey_backbone(
        _efficientnet_lite0, stem="conv_stem", classifier="classifier"
    ),
}


def find_architecture(name: str) -> Architecture:
    """Of ARCHITECTURES, or timm's of that name, which may end with a tag: `resnet50.a1_in1k`.

    Raises ConfigError where there is none, with the names that are most like it.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    import timm

    if not timm.is_model(name) or not _known_tag(name):
        names = timm.list_pretrained() if "." in name else timm.list_models()
        close = difflib.get_close_matches(
            name, [*ARCHITECTURES, *names], n=MAX_SUGGESTIONS, cutoff=0
        )
        raise ConfigError(
            f"model.arch: {name!r} is neither {', '.join(ARCHITECTURES)} nor a network of timm's; "
            f"near it are {', '.join(close)}."
        )

    def published() -> nn.Module:
        network: nn.Module = timm.create_model(name, pretrained=False)
        return network

    def backbone(image_size: int) -> nn.Module:
        network: nn.Module = timm.create_model(
            name, pretrained=False, num_classes=0, in_chans=1, **size_of(name, image_size)
        )
        return network

    return Architecture(published, backbone)


def size_of(name: str, image_size: int) -> dict[str, Any]:
    """What timm has to be told of the images' size: nothing, but for networks of a fixed size."""
    from timm.models import get_pretrained_cfg

    known = get_pretrained_cfg(name)
    return {"img_size": image_size} if known is not None and known.fixed_input_size else {}


def _known_tag(name: str) -> bool:
    from timm.models import get_pretrained_cfg

    try:
        get_pretrained_cfg(name)
    except RuntimeError:  # how timm says that it knows the network and not the tag
        return False
    return True


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
