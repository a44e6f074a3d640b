"""A backbone that ends earlier than its published network: the first layers, then its pooling.

The last layers of a network tell ImageNet's classes apart; what earlier ones see is more general
(Yosinski et al. 2014, "How transferable are features in deep neural networks?"), there are more
places of it, and a few hundred images suffice to fine-tune what is left.
"""

import torch
from torch import nn

from covid.errors import ConfigError
from covid.model.modules import find_module

# torchvision's, and timm's, which holds one.
POOLING = ("AdaptiveAvgPool2d", "SelectAdaptivePool2d")


def shorten(backbone: nn.Module, last: str, image_size: int) -> None:
    """Takes out of `backbone` what comes after its module `last`, but for the pooling.

    Other modules keep their names, and with them their published weights. Raises ConfigError where
    there is no such module, or where what it gives is not what reaches the pooling then, as inside
    a residual block, which adds to it.
    """
    module = find_module(backbone, last, "model.until")
    parent = backbone
    for part in last.split("."):
        children = list(parent.named_children())
        place = [name for name, _ in children].index(part)
        for name, child in children[place + 1 :]:
            if type(child).__name__ not in POOLING:
                setattr(parent, name, nn.Identity())
        parent = parent.get_submodule(part)
    if not _reaches_pooling(backbone, module, image_size):
        raise ConfigError(
            f"model.until: what {last} gives does not reach the pooling as it is, so the network "
            f"cannot end there; name a whole block."
        )


def _reaches_pooling(backbone: nn.Module, last: nn.Module, image_size: int) -> bool:
    """Whether the pooling is given the very tensor that `last` gives, unchanged since."""
    given, pooled = list[tuple[torch.Tensor, int]](), list[tuple[torch.Tensor, int]]()

    def keep_output(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        given.append((output, output._version))

    def keep_input(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        pooled.append((inputs[0], inputs[0]._version))

    hooks = [last.register_forward_hook(keep_output)]
    hooks += [
        module.register_forward_pre_hook(keep_input)
        for module in backbone.modules()
        if type(module).__name__ in POOLING
    ]
    training = backbone.training
    backbone.eval()
    try:
        # Not inference_mode, in which tensors do not count their changes.
        with torch.no_grad():
            backbone(torch.zeros(1, 1, image_size, image_size))
    except RuntimeError:  # a sum of tensors that no longer fit each other
        return False
    finally:
        for handle in hooks:
            handle.remove()
        backbone.train(training)
    if len(given) != 1 or not pooled:
        return False
    (output, changes), (read, changes_then) = given[0], pooled[0]
    return output is read and changes == changes_then
