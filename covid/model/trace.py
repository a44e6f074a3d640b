"""What a backbone does with an image, seen by running it once: which layers, one after the other.

Not declared by hand, so that it holds for any network: a layer follows another where it is given
the very tensor that the other gave, unchanged since.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from covid.model.modules import modules_in_order


class Step(NamedTuple):
    """A module of a backbone, and whether what it gives is flattened to one row per image."""

    name: str
    flatten: bool = False


@dataclass(frozen=True)
class Trace:
    """What is known of a backbone after one image."""

    features: int  # numbers that it gives for an image
    stem: str | None  # the plain convolution that is all that reads the image; None: there is none
    steps: tuple[Step, ...]  # modules that in turn are the backbone; empty: it is no such chain


def trace(backbone: nn.Module, image_size: int) -> Trace:
    """Runs `backbone`, in eval mode, on a black image `[1, 1, image_size, image_size]`.

    It is left in training mode. Raises ValueError where it does not give `[1, features]`, and
    whatever it raises itself where the size does not suit it.
    """
    parts = dict(modules_in_order(backbone))
    image = torch.zeros(1, 1, image_size, image_size)
    chain, readers = _Chain(image), dict[str, nn.Module]()

    def read(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...]) -> None:
            if any(each is image for each in given):
                readers[name] = module

        return hook

    hooks = [
        module.register_forward_pre_hook(read(name))
        for name, module in backbone.named_modules()
        if not any(module.children())
    ]
    for name, module in parts.items():
        hooks += [
            module.register_forward_pre_hook(chain.before(name), with_kwargs=True),
            module.register_forward_hook(chain.after(name)),
        ]
    backbone.eval()
    try:
        # Not inference_mode, in which tensors do not count their changes.
        with torch.no_grad():
            features = backbone(image)
    finally:
        for handle in hooks:
            handle.remove()
        backbone.train()
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        raise ValueError("it does not give one row of features per image")
    idle = {name for name, module in parts.items() if type(module) is nn.Identity}
    whole = chain.ends_with(features) and chain.called | idle == set(parts)
    steps = tuple(step for step in chain.steps if step.name not in idle)
    stem = next((name for name, each in readers.items() if _plain(each)), None)
    return Trace(
        features.shape[1],
        stem if len(readers) == 1 else None,
        steps if whole else (),
    )


def _plain(module: nn.Module) -> bool:
    """Whether a module is a convolution of one channel, linear in its weights.

    timm's Conv2dSame is one with the padding of TensorFlow; others of its convolutions
    standardise their weights.
    """
    named = type(module) is nn.Conv2d or type(module).__name__ == "Conv2dSame"
    return isinstance(module, nn.Conv2d) and named and module.in_channels == 1


class _Chain:
    """Whether modules are called once each, and each is given what the one before it gave.

    Holds on to one tensor at a time: activations of large images take gigabytes together.
    """

    def __init__(self, image: torch.Tensor):
        self.steps: list[Step] = []
        self.called: set[str] = set()
        self._broken, self._running = False, False
        self._last, self._version = image, image._version

    def before(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            alone = len(given) == 1 and not named and not self._running
            follows = alone and self._follows(given[0])
            self._broken |= not follows or name in self.called
            self.called.add(name)
            self._running = True

        return hook

    def after(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            self._running = False
            self.steps.append(Step(name))
            if isinstance(output, torch.Tensor):
                self._last, self._version = output, output._version
            else:
                self._broken = True

        return hook

    def ends_with(self, features: torch.Tensor) -> bool:
        return self._follows(features) and not self._broken

    def _follows(self, given: Any) -> bool:
        """Whether `given` is what was given last, unchanged; or that flattened, which is noted."""
        if not isinstance(given, torch.Tensor) or given._version != self._version:
            return False
        if given is self._last:
            return True
        rows = (len(self._last), self._last[0].numel())
        same = given.shape == rows and given.data_ptr() == self._last.data_ptr()
        if same and self.steps:
            self.steps[-1] = self.steps[-1]._replace(flatten=True)
            self._last = given
        return same and bool(self.steps)
