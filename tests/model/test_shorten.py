"""Backbones that end early: what is left is the published network's, and reaches the pooling."""

import pytest
import torch
from torch import nn

from covid.errors import ConfigError
from covid.model.networks import Network, freeze, layers, normalise
from tests.model.test_networks import make, some_images


@pytest.mark.parametrize(
    ("arch", "until", "features"),
    [
        ("resnet18", "layer3", 256),
        ("efficientnet_lite0", "blocks.4", 112),
        ("efficientnet_lite0", "blocks.5.0.bn1", 672),  # inside a block that adds nothing to it
        ("densenet121", "features.denseblock2", 512),
        ("vgg16", "features.23", 512 * 7 * 7),
    ],
)
def test_the_head_reads_what_the_last_module_gives(arch: str, until: str, features: int) -> None:
    network = make(arch, until=until).eval()
    kept: list[torch.Tensor] = []
    last = network.backbone.get_submodule(until)
    last.register_forward_hook(lambda module, given, output: kept.append(output))
    with torch.inference_mode():
        row = network.backbone(torch.randn(2, 1, 64, 64))
    pool = nn.AdaptiveAvgPool2d(7 if arch == "vgg16" else 1)
    torch.testing.assert_close(row, pool(kept[0]).flatten(1))
    assert network.traced.features == row.shape[1] == features


def test_what_comes_later_is_gone() -> None:
    whole, short = make("resnet18"), make("resnet18", until="layer3")
    gone = set(whole.backbone.state_dict()) - set(short.backbone.state_dict())
    assert gone and all(name.startswith("layer4.") for name in gone)


def test_the_layers_of_a_short_network_are_the_network_to_the_bit() -> None:
    network, images = make("efficientnet_lite0", until="blocks.5.0.bn1").eval(), some_images()
    with torch.inference_mode():
        whole = network(images)
        step = normalise(images, network.mean, network.std)
        for layer in layers(network):
            step = layer.module(step)
    assert torch.equal(whole, step)


def test_nothing_that_is_gone_can_be_trained() -> None:
    network: Network = make("resnet18", until="layer3")
    with pytest.raises(ConfigError, match="layer4 has no parameters to train"):
        freeze(network, ["layer4"])


def test_a_module_that_is_none_is_refused_with_those_near_it() -> None:
    with pytest.raises(ConfigError, match=r"model.until: 'layer5' is no module .* layer4"):
        make("resnet18", until="layer5")


@pytest.mark.parametrize("inside", ["layer3.0.bn2", "layer3.0.conv1", "layer3.1.conv1"])
def test_a_network_cannot_end_inside_a_block_that_adds_to_it(inside: str) -> None:
    with pytest.raises(ConfigError, match=f"what {inside} gives does not reach the pooling"):
        make("resnet18", until=inside)


def test_a_network_cannot_end_before_a_pooling_that_it_has_not() -> None:
    with pytest.raises(ConfigError, match="does not reach the pooling"):
        make("vit_tiny_patch16_224", until="blocks.3")
