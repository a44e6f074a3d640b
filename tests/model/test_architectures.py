"""Which networks there are: names that are known, and grey stems that equal colour ones."""

import re

import pytest
import torch
from torch import nn

from covid.config import ModelConfig
from covid.errors import ConfigError
from covid.model import architectures
from covid.model.architectures import find_architecture, grey_stem
from covid.model.networks import build_network, freeze, frozen_layers, layers
from tests.conftest import PROJECT


@pytest.mark.parametrize("bias", [True, False])
def test_a_grey_stem_equals_the_colour_stem_on_repeated_grey(bias: bool) -> None:
    torch.manual_seed(0)
    colour = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=bias)
    grey = torch.rand(2, 1, 32, 32)
    # Summing 147 products in another order: some float32 roundings of numbers near 1.
    assert torch.allclose(grey_stem(colour)(grey), colour(grey.repeat(1, 3, 1, 1)), atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50.a1_in1k", "test_convnext"])
def test_a_published_name_is_known(name: str) -> None:
    find_architecture(name)


@pytest.mark.parametrize(("name", "near"), [
    ("resnet19", "resnet18"),
    ("densnet121", "densenet121"),
    ("resnet50.a1_in2k", r"resnet50\.a1_in1k"),
    ("hf-hub:timm/resnet50", "near it are"),
    ("?", "near it are"),
])  # fmt: skip
def test_a_name_of_no_network_is_refused_with_those_near_it(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"^model.arch: '{re.escape(name)}' is neither .*{near}"):
        find_architecture(name)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "test_convnext"])
def test_a_backbone_s_tensors_are_called_as_the_published_network_s(name: str) -> None:
    architecture = find_architecture(name)
    published = architecture.published().state_dict()
    backbone = architecture.backbone(64).state_dict()
    assert set(backbone) < set(published)


def entry_in_the_documentation() -> str:
    text = (PROJECT / "docs" / "architecture.md").read_text()
    text = text.partition("## Add a network")[2].partition("\n## ")[0]
    added = [line.strip() for line in text.splitlines() if line.startswith("    +")]
    return "\n".join(line.removeprefix("+") for line in added)


def test_the_network_that_the_documentation_adds_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    added = eval(f"{{{entry_in_the_documentation()}}}", dict(vars(architectures)))
    ((name, architecture),) = added.items()
    monkeypatch.setitem(architectures.ARCHITECTURES, name, architecture)
    model = ModelConfig(arch=name, weights="none", hidden_units=8)
    network = build_network(model, 3, mean=0.5, std=0.25, image_size=64).eval()
    freeze(network, ["conv5"])
    steps = layers(network)
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, 64, 64, dtype=torch.uint8)).shape == (2, 3)
    assert (len(steps), frozen_layers(steps)) == (2, 0)  # it takes a mean between its modules
