"""One epoch of training, one pass of prediction: in any number of processes, on any device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn
from torch.utils.data import DataLoader

from covid.data.batches import Batch
from covid.data.drawings import Augmentation
from covid.edge.labels import LabelSpace, Task
from covid.errors import ConfigError, TrainingError
from covid.model.losses import Loss
from covid.training.watch import has_gradient


@dataclass(frozen=True)
class Step:
    """What one step of training saw, over all processes, each image once."""

    predictions: "Predictions"  # before the update
    loss: float  # mean over the targets that are known
    images: int
    updated: bool  # whether the weights moved (gradients may add up over several steps)
    gradient: bool  # whether any gradient was not exactly zero


@dataclass(frozen=True)
class Predictions:
    """Logits and targets of some images, in their order."""

    logits: npt.NDArray[np.float32]  # [images, classes]
    targets: npt.NDArray[np.float32]  # [images, classes], 1 or 0, NaN where not known

    def probabilities(self, task: Task) -> npt.NDArray[np.float32]:
        """Sigmoid of each logit (`multilabel`) or softmax over classes (`single_label`)."""
        scores = torch.from_numpy(self.logits)
        chosen = scores.softmax(dim=1) if task == "single_label" else scores.sigmoid()
        return chosen.numpy()


def train_epoch(
    accelerator: Accelerator,
    network: nn.Module,
    batches: DataLoader[Batch],
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    gradient_clip: float | None,
    images: int,
    augmentation: Augmentation | None = None,
) -> Iterator[Step]:
    """Trains on every batch once, and gives each step to the caller to count.

    `images` are those of the epoch that are still to come. Where processes share out batches,
    Accelerate fills the last ones with images from the epoch's beginning, which do not count
    again; it does not know of them itself once the first batches of a loader are skipped.
    `augmentation` is what drew the batches' numbers. Where it mixes images the loss is of mixed
    targets, while a step's targets, which accuracy is counted by, are those of the larger share.

    A process whose targets are known to a smaller part counts less by as much, so that the update
    follows the mean over the known targets of all; where gradients add up over several steps, each
    step counts alike.

    Raises TrainingError before an update that would use a loss that is no finite number.
    """
    for batch in batches:
        with accelerator.accumulate(network):
            inputs, targets = augmented(batch, augmentation)
            logits = network(inputs).float()
            batch_loss = loss(logits, targets)
            # Asking for a value waits for the device: the price of never training on a NaN.
            # The mean over processes, so that all of them stop where one must.
            known = (~targets.isnan()).sum().to(batch_loss.dtype)
            means = accelerator.reduce(torch.stack([batch_loss.detach(), known]), "mean")
            value, known_on_average = means.tolist()
            if not np.isfinite(value):
                raise TrainingError(f"the loss became {value}")
            share = known.item() / max(known_on_average, 1.0)
            accelerator.backward(batch_loss if share == 1 else batch_loss * share)
            if accelerator.sync_gradients and gradient_clip is not None:
                accelerator.clip_grad_norm_(network.parameters(), gradient_clip)
            gradient = has_gradient(optimizer)
            optimizer.step()
            optimizer.zero_grad()
        gathered = accelerator.gather((logits.detach(), targets, batch.targets))
        seen, trained_on, own = (part[:images] for part in gathered)
        images -= len(seen)
        updated = accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped
        predictions = Predictions(seen.cpu().numpy(), own.cpu().numpy())
        yield Step(predictions, loss(seen, trained_on).item(), len(seen), updated, gradient)


def none_alone(
    accelerator: Accelerator, network: nn.Module, *, images: int, batch_size: int, size: int
) -> bool:
    """Whether an image that is left over by whole batches needs to join the last of them.

    Batch normalisation trains on the variance of a channel over a batch. Where it sees maps of
    1 × 1, as after five halvings of 32 pixels, a lone image leaves one value, which has none, and
    torch refuses it. Several processes leave no image alone: Accelerate fills their batches.
    `network` is on the CPU, in the modes that it trains in, and is left in eval mode. `images` of
    `size` × `size` pixels are an epoch. Raises ConfigError where every batch is of one image.
    """
    if batch_size > 1 and (images % batch_size != 1 or accelerator.num_processes > 1):
        return False
    if not normalises_one_value(network, size):
        return False
    if min(images, batch_size) == 1:
        raise ConfigError(
            f"batch_size: a batch of one image of {size} pixels leaves batch normalisation one "
            f"value per channel, which has no variance; have at least two images in a batch, or a "
            f"larger data.image_size."
        )
    return True


@torch.no_grad()
def normalises_one_value(network: nn.Module, size: int) -> bool:
    """Whether batch normalisation in training mode is given one value per channel by one image.

    Leaves `network` in eval mode, so that nothing moves while it is tried.
    """
    seen: list[bool] = []

    def note_shape(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen.append(inputs[0][:, 0].numel() == 1)

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    layers = [part for part in network.modules() if isinstance(part, kinds) and part.training]
    hooks = [layer.register_forward_pre_hook(note_shape) for layer in layers]
    network.eval()
    network(torch.zeros(1, 1, size, size, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return any(seen)


def mean_loss(loss: Loss, predictions: Predictions) -> float:
    """The loss of a whole split at once, so that the size of batches has no part in it."""
    return loss(
        torch.from_numpy(predictions.logits), torch.from_numpy(predictions.targets)
    ).item()


@torch.inference_mode()
def predict(
    accelerator: Accelerator,
    network: nn.Module,
    batches: DataLoader[Batch],
    advance: Callable[[int], object] | None = None,
) -> Predictions:
    """Logits of every image of a split, from `network` in eval mode, where it stays.

    Every process evaluates with the main one's batch statistics: training leaves each its own.
    `advance(n)`, where given, is called after every n images.
    """
    network.eval()
    for buffer in network.buffers():
        broadcast(buffer, from_process=0)
    logits: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    positions: list[torch.Tensor] = []
    for batch in batches:
        with accelerator.autocast():
            output = network(batch.inputs).float()
        # Processes share out the batches; the last ones repeat images, which this drops.
        seen = accelerator.gather_for_metrics((output, batch.targets, batch.positions))
        for whole, part in zip((logits, targets, positions), seen, strict=True):
            whole.append(part.cpu())
        if advance is not None:
            advance(len(seen[0]))
    order = torch.cat(positions).argsort()
    return Predictions(torch.cat(logits)[order].numpy(), torch.cat(targets)[order].numpy())


def count_correct(space: LabelSpace, predictions: Predictions) -> int:
    """Images whose decision is wholly correct: of all their labels that are known."""
    decided = space.decide(predictions.probabilities(space.task))
    correct = (decided == predictions.targets) | np.isnan(predictions.targets)
    return int(correct.all(axis=1).sum())


def augmented(
    batch: Batch, augmentation: Augmentation | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch's inputs as training sees them, on its device, and targets, 0..1 where mixed.

    What is mixed from a target that is not known is not known.
    """
    images, targets = flip(batch.inputs, batch.flipped), batch.targets
    if augmentation is None or batch.numbers is None:  # features are of drawings already
        return images, targets
    images = augmentation.draw(images, batch.numbers)
    if batch.partners is None or batch.shares is None:
        return images, targets
    others, their_targets = augmented(batch.partners, augmentation)
    shares = batch.shares[:, None]
    mixed = torch.lerp(others, images, shares[:, :, None, None])
    return mixed, torch.lerp(their_targets, targets, shares)


def flip(images: torch.Tensor, flipped: torch.Tensor | None) -> torch.Tensor:
    """Mirrors left to right those images `[batch, 1, size, size]` where `flipped` is true."""
    if flipped is None:
        return images
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)
