"""The modules of a backbone: by the names that configs have for them, and in order."""

import difflib
from collections.abc import Iterator

from torch import nn

from covid.errors import ConfigError

MAX_SUGGESTIONS = 3  # names like a wrong one that a sentence lists


def find_module(backbone: nn.Module, name: str, key: str) -> nn.Module:
    """The module called `name`, such as `layer4.1`, which the config's `key` names.

    Raises ConfigError where there is none, with the names that are most like it.
    """
    modules: dict[str, nn.Module] = {own: each for own, each in backbone.named_modules() if own}
    if name not in modules:
        close = difflib.get_close_matches(name, modules, n=MAX_SUGGESTIONS)
        near = ", ".join(close or dict(backbone.named_children()))
        raise ConfigError(f"{key}: {name!r} is no module of this network; near it are {near}.")
    return modules[name]


def modules_in_order(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Its children by name, and in place of one that only calls its own in turn, those."""
    for name, child in module.named_children():
        if type(child) is nn.Sequential:
            for inner, part in modules_in_order(child):
                yield f"{name}.{inner}", part
        else:
            yield name, child
