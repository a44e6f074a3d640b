"""Modules by the names that configs have for them, and in order."""

import pytest
from torch import nn

from covid.errors import ConfigError
from covid.model.modules import find_module, modules_in_order


def backbone() -> nn.Module:
    """A stem, and two plain sequences inside each other."""
    inner = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())
    return nn.ModuleDict({"stem": nn.Conv2d(1, 4, 3), "deep": nn.Sequential(inner, nn.Flatten())})


def test_a_module_is_found_by_its_name() -> None:
    network = backbone()
    assert isinstance(find_module(network, "deep.0.1", "model.until"), nn.ReLU)


@pytest.mark.parametrize(("name", "near"), [("deep.0.7", "deep.0.1"), ("", "stem, deep")])
def test_a_name_of_none_is_refused_with_the_key_and_those_near_it(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"^model.until: '{name}' is no module .* {near}"):
        find_module(backbone(), name, "model.until")


def test_plain_sequences_are_gone_through_in_order() -> None:
    names = [name for name, _ in modules_in_order(backbone())]
    assert names == ["stem", "deep.0.0", "deep.0.1", "deep.1"]
