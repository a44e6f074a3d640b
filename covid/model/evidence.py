"""What each place of an image adds to a logit, computed by a network itself.

The same numbers as an exported file gives: see `covid.export.evidence` for the formula. And the
network of the sanity check of Adebayo et al. 2018, "Sanity checks for saliency maps".
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from covid.model.networks import Network

# Of a feature: the same mean, taken in another order, differs by some 1e-7 of its size.
TOLERANCE = 1e-5
PROBED = 4  # images of noise on which a map has to be what the head reads
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class FeatureMap:
    """The module of a backbone whose output `[batch, channels, height, width]` the head reads."""

    module: str
    averaged: bool  # its mean over all places, or else every place


def feature_map(network: Network, size: int) -> FeatureMap | None:
    """The map of more than one place that the head reads, averaged or flattened, and nothing else.

    Found by what modules give for images of noise of `size` pixels. None where there is none, or
    where something is computed behind it, so that the formula would not hold.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (PROBED, 1, size, size), generator=generator, dtype=torch.uint8)
    maps: dict[str, torch.Tensor] = {}

    def keep(name: str, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
            maps.pop(name, None)  # the last call of a module that is used twice
            maps[name] = output

    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
        for name, module in network.backbone.named_modules() if name
    ]  # fmt: skip
    read: list[torch.Tensor] = []
    hooks.append(network.head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0])))
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            network(noise.to(next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)
    for name, output in reversed(maps.items()):
        for averaged in (True, False):
            made = output.mean((2, 3)) if averaged else output.flatten(1)
            if made.shape == read[0].shape and torch.allclose(
                made, read[0], rtol=TOLERANCE, atol=TOLERANCE
            ):
                return FeatureMap(name, averaged)
    return None


@torch.inference_mode()
def evidence(network: Network, read: FeatureMap, images: torch.Tensor) -> torch.Tensor:
    """float32 `[batch, classes, height, width]`, of uint8 images `[batch, 1, size, size]`.

    What `feature_map` found is `read`; `network` is in eval mode and on the images' device. Summed
    over places, and with W2 (mask of positive hidden units ∘ b1) + b2, it is the logits.
    """
    kept: list[torch.Tensor] = []
    module = network.backbone.get_submodule(read.module)
    hook = module.register_forward_hook(lambda _, __, output: kept.append(output))
    try:
        network(images)
    finally:
        hook.remove()
    features = kept[-1].float()
    first, last = network.get_submodule("head.0"), network.get_submodule("head.3")
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    pooled = features.mean((2, 3)) if read.averaged else features.flatten(1)
    mask = (first(pooled) > 0).float()
    gradient = (mask[:, None] * last.weight) @ first.weight  # [batch, classes, features]
    if read.averaged:
        places = features.shape[2] * features.shape[3]
        return torch.einsum("bcf,bfhw->bchw", gradient, features) / places
    shape = (len(images), len(last.weight), *features.shape[1:])
    by_channel: torch.Tensor = gradient.reshape(shape) * features[:, None]
    return by_channel.sum(2)


@torch.no_grad()
def shuffled(network: Network, seed: int, images: torch.Tensor) -> Network:
    """A copy that has learnt nothing: each tensor's weights in another order, by `seed`.

    So they have the same sizes and none of what they meant. Batch statistics are made anew of
    `images`, uint8 `[batch, 1, size, size]`, else most activations would be cut off or constant.
    In eval mode.
    """
    generator = torch.Generator().manual_seed(seed)
    other = deepcopy(network).eval()
    for parameter in other.parameters():
        order = torch.randperm(parameter.numel(), generator=generator)
        values = parameter.detach().cpu().flatten()[order].reshape(parameter.shape)
        parameter.copy_(values)
    norms = [module for module in other.modules() if isinstance(module, NORMS)]
    if norms and len(images) > 1:  # one image may leave a channel one value, without a variance
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the average of what it sees
            norm.train()
        other(images)
    return other.eval()
