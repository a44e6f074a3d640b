"""What one image shows of a backbone: which modules are called in turn, and when they are not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from covid.model.trace import Step, trace

Forward = Callable[["Two", torch.Tensor], Any]


class Two(nn.Module):
    """Two convolutions, joined and ended by `steps`."""

    def __init__(self, steps: Forward):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.deep = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Identity()
        self.steps = steps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.steps(self, images)
        return features


def in_turn(net: Two, images: torch.Tensor) -> Any:
    return net.fc(torch.flatten(net.pool(net.deep(net.stem(images))), 1))


IN_TURN = (Step("stem"), Step("deep.0"), Step("deep.1"), Step("pool", flatten=True))


def test_modules_that_are_called_in_turn_are_the_steps() -> None:
    traced = trace(Two(in_turn), 16)
    assert (traced.steps, traced.stem, traced.features) == (IN_TURN, "stem", 4)


def test_a_flattening_at_the_end_belongs_to_the_last_step() -> None:
    net = Two(lambda net, images: net.pool(net.deep(net.stem(images))).flatten(1))
    assert trace(net, 16).steps == IN_TURN


def changed_between(net: Two, images: torch.Tensor) -> Any:
    return net.pool(net.deep(net.stem(images) + 1)).flatten(1)


def changed_in_place(net: Two, images: torch.Tensor) -> Any:
    return net.pool(net.deep(net.stem(images).add_(1))).flatten(1)


def changed_before(net: Two, images: torch.Tensor) -> Any:
    return net.pool(net.deep(net.stem(images * 2))).flatten(1)


def changed_after(net: Two, images: torch.Tensor) -> Any:
    return net.pool(net.deep(net.stem(images))).flatten(1) * 2


def added_up(net: Two, images: torch.Tensor) -> Any:
    stem = net.stem(images)
    return net.pool(net.deep(stem.clone()) + stem[:, :, 1:-1, 1:-1]).flatten(1)


def called_twice(net: Two, images: torch.Tensor) -> Any:
    return net.pool(net.deep(net.deep(net.stem(images)))).flatten(1)


def not_called(net: Two, images: torch.Tensor) -> Any:
    return net.pool(net.stem(images)).flatten(1)


def pooled_as_a_function(net: Two, images: torch.Tensor) -> Any:
    return net.deep(net.stem(images)).mean((2, 3))


@pytest.mark.parametrize("steps", [
    changed_between, changed_in_place, changed_before, changed_after, added_up, called_twice,
    not_called, pooled_as_a_function,
])  # fmt: skip
def test_what_is_not_one_module_after_the_other_has_no_steps(steps: Forward) -> None:
    assert trace(Two(steps), 16).steps == ()


def test_a_stem_that_is_given_something_else_than_the_image_is_none() -> None:
    assert trace(Two(changed_before), 16).stem is None


def test_a_stem_beside_another_reader_of_the_image_is_none() -> None:
    class Side(Two):
        def __init__(self) -> None:
            super().__init__(in_turn)
            self.side = nn.Conv2d(1, 4, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.side(images).mean((2, 3))
            return features + super().forward(images)

    assert trace(Side(), 16).stem is None


def test_a_convolution_that_is_not_linear_in_its_weights_is_no_stem() -> None:
    class Standardised(nn.Conv2d):
        pass

    net = Two(in_turn)
    net.stem = Standardised(1, 4, 3)
    assert trace(net, 16).stem is None


def test_a_network_that_gives_a_feature_map_is_refused() -> None:
    with pytest.raises(ValueError, match="one row of features"):
        trace(Two(lambda net, images: net.stem(images)), 16)


def test_no_hook_is_left() -> None:
    net = Two(in_turn)
    trace(net, 16)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in net.modules())
