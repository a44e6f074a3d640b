"""Batches: images by the row, or the features kept of them, their labels, what is flipped.

The order of an epoch and its flips follow from the seed and the epoch's number alone, so they
are the same in any number of processes, and a run that goes on after an interruption needs no
record of them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from covid.data.cache import Images

SHUFFLE, FLIP = 0, 1  # what a random stream is for; part of its seed


class Batch(NamedTuple):
    inputs: torch.Tensor  # images, uint8 [batch, 1, size, size]; or features, float [batch, …]
    # bool [batch]: mirror left to right before the network; None: features, mirrored already
    flipped: torch.Tensor | None
    targets: torch.Tensor  # float32 [batch, classes], 0 or 1
    positions: torch.Tensor  # int64 [batch]: place in the split


class Features(Protocol):
    """What a network's frozen layers make of images, kept."""

    def read(self, rows: Sequence[int], flipped: torch.Tensor) -> torch.Tensor:
        """Of each image, or where `flipped` (bool `[len(rows)]`) of its mirror image."""
        ...


class Split(Dataset[Batch]):
    """The images of one split, or the `features` kept of them, fetched a batch at a time.

    `seed` None: for evaluating, in order and never flipped. Otherwise `begin_epoch` chooses an
    order and, where `horizontal_flip` says so, half of the images to flip.
    """

    def __init__(
        self,
        images: Images,
        rows: Sequence[int],
        targets: npt.NDArray[np.bool_],
        *,
        seed: int | None = None,
        horizontal_flip: bool = False,
    ):
        self.images = images
        self.features: Features | None = None
        self.rows = np.asarray(rows, dtype=np.int64)
        self.targets = torch.from_numpy(targets.astype(np.float32))
        self.seed = seed
        self.horizontal_flip = horizontal_flip
        self.order = np.arange(len(rows))
        self.flips = torch.zeros(len(rows), dtype=torch.bool)

    def begin_epoch(self, epoch: int) -> None:
        # Not named set_epoch: Accelerate would call that with a count of its own.
        if self.seed is None:
            return
        shuffle = np.random.default_rng([self.seed, SHUFFLE, epoch])
        self.order = shuffle.permutation(len(self.rows))
        if self.horizontal_flip:
            flip = np.random.default_rng([self.seed, FLIP, epoch])
            self.flips = torch.from_numpy(flip.random(len(self.rows)) < 0.5)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, positions: list[int]) -> Batch:
        rows, chosen = self.rows[positions].tolist(), torch.tensor(positions)
        flipped, targets = self.flips[chosen], self.targets[chosen]
        if self.features is not None:
            return Batch(self.features.read(rows, flipped), None, targets, chosen)
        pixels = torch.from_numpy(self.images.read(rows)).unsqueeze(1)
        return Batch(pixels, flipped, targets, chosen)


class SplitOrder(Sampler[int]):
    """Every position of a split once, in the order of its epoch."""

    def __init__(self, split: Split):
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __iter__(self) -> Iterator[int]:
        yield from self.split.order.tolist()


class NoneAlone(BatchSampler):
    """Batches of `batch_size`, at least 2; an image left over at the end joins the last of them."""

    def __iter__(self) -> Iterator[list[int]]:
        batches = list(super().__iter__())
        if len(batches) > 1 and len(batches[-1]) == 1:
            alone = batches.pop()
            batches[-1] += alone
        yield from batches

    def __len__(self) -> int:
        batches, images = super().__len__(), len(self.sampler)  # type: ignore[arg-type]
        return batches - 1 if batches > 1 and images % self.batch_size == 1 else batches


def load_batches(
    split: Split, *, batch_size: int, workers: int, none_alone: bool = False
) -> DataLoader[Batch]:
    """Batches of a split; `workers` processes read them, 0 for this one.

    `none_alone`: where one image would be left for the last batch, the one before it takes that in
    and is larger by one. Not for several processes: Accelerate shares out batches of one size, and
    fills the last ones itself.
    """
    order = SplitOrder(split)
    kind = NoneAlone if none_alone else BatchSampler
    return DataLoader(
        split,
        batch_sampler=kind(order, batch_size, drop_last=False),
        collate_fn=_as_it_is,  # type: ignore[arg-type]  # __getitems__ has made a batch already
        num_workers=workers,
        pin_memory=workers > 0,  # workers are there to feed a GPU
        generator=torch.Generator(),  # of its own, so that reading leaves dropout's draws alone
    )


def _as_it_is(batch: Batch) -> Batch:
    return batch
