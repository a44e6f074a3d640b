"""The optimiser and its learning rate over time, as a config names them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from covid.config import SGD, Adam, AdamW, Cosine, NoScheduler, OneCycle, Plateau


def make_optimizer(
    config: Adam | AdamW | SGD, layers: Sequence[Sequence[nn.Parameter]]
) -> torch.optim.Optimizer:
    """torch's optimiser; Adam's betas (0.9, 0.999) and epsilon 1e-8 are torch's own.

    `layers` are what trains, from the head down. The rate of layer n below the head is
    lr · layer_decay^n (Howard & Ruder 2018, "Universal language model fine-tuning for text
    classification", section 3.2), and there is one group of parameters for each rate.
    """
    groups: list[dict[str, Any]] = [
        {"params": list(layer), "lr": config.lr * config.layer_decay**depth}
        for depth, layer in enumerate(layers)
        if layer
    ]
    if config.layer_decay == 1:
        groups = [{"params": [each for layer in layers for each in layer]}]
    if isinstance(config, SGD):
        return torch.optim.SGD(
            groups, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    kind = torch.optim.Adam if isinstance(config, Adam) else torch.optim.AdamW
    return kind(groups, config.lr, weight_decay=config.weight_decay)


class Schedule:
    """Moves the learning rate: after each update of the weights, or after each epoch.

    It is not handed to Accelerate, which would step it once per process: `updates_per_epoch`
    counts what one process does.
    """

    def __init__(
        self,
        config: NoScheduler | Plateau | Cosine | OneCycle,
        optimizer: torch.optim.Optimizer,
        *,
        epochs: int,
        updates_per_epoch: int,
    ):
        self.optimizer = optimizer
        self.by_update: lr_scheduler.LRScheduler | None = None
        self.by_epoch: lr_scheduler.ReduceLROnPlateau | None = None
        updates = epochs * updates_per_epoch
        if isinstance(config, Plateau):
            self.by_epoch = lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=config.factor, patience=config.patience
            )
        elif isinstance(config, OneCycle):
            head = optimizer.param_groups[0]["lr"]  # other layers keep their share of its rate
            highest = [config.max_lr * group["lr"] / head for group in optimizer.param_groups]
            # Momentum falls while the rate rises, as in the paper: see docs/configuration.md.
            self.by_update = lr_scheduler.OneCycleLR(optimizer, highest, total_steps=updates)
        elif isinstance(config, Cosine):
            warmup = round(config.warmup_epochs * updates_per_epoch)
            falling = lr_scheduler.CosineAnnealingLR(optimizer, max(1, updates - warmup))
            self.by_update = falling
            if warmup:
                rising = lr_scheduler.LinearLR(optimizer, 1 / (warmup + 1), 1, warmup)
                self.by_update = lr_scheduler.SequentialLR(optimizer, [rising, falling], [warmup])

    def after_update(self) -> None:
        if self.by_update is not None:
            self.by_update.step()

    def after_epoch(self, validation_loss: float) -> None:
        if self.by_epoch is not None:
            self.by_epoch.step(validation_loss)

    @property
    def learning_rate(self) -> float:
        """The head's."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        scheduler = self.by_update or self.by_epoch
        return dict(scheduler.state_dict()) if scheduler else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        scheduler = self.by_update or self.by_epoch
        if scheduler:
            scheduler.load_state_dict(state)
