"""Batches: images by index, or the features kept of them; their labels; what is drawn of them.

The order of an epoch, its flips and its augmentations follow from the seed and the epoch's number
alone, so they are the same in any number of processes, and a run that goes on after an
interruption needs no record of them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from covid.data.cache import Images
from covid.data.drawings import FLIP, SHUFFLE, Augmentation


class Batch(NamedTuple):
    inputs: torch.Tensor  # images, uint8 [batch, 1, size, size]; or features, float [batch, …]
    # bool [batch]: mirror left to right before the network; None: features, mirrored already
    flipped: torch.Tensor | None
    targets: torch.Tensor  # float32 [batch, classes], 0 or 1, NaN where not known
    positions: torch.Tensor  # int64 [batch]: place in the split
    numbers: torch.Tensor | None = None  # float32 [batch, …]: what an Augmentation draws from
    partners: "Batch | None" = None  # mixup: the image that is mixed into each
    shares: torch.Tensor | None = None  # float32 [batch]: of the image itself; the rest is that one


class Features(Protocol):
    """What a network's frozen layers make of images, kept."""

    def read(self, indices: Sequence[int], drawings: torch.Tensor) -> torch.Tensor:
        """Of a drawing of each image, `[len(indices)]`: 0 is the image as it is.

        1 is its mirror image; where an Augmentation has variants, 1 + v is its variant v.
        """
        ...


class Split(Dataset[Batch]):
    """The images of one split, or the `features` kept of them, fetched a batch at a time.

    `seed` None: for evaluating, in order and as they are. Otherwise `begin_epoch` chooses an
    order and, where `horizontal_flip` says so, half of the images to flip; `augmentation` draws
    the rest. `balanced`: as many images as there are, but drawn anew, each set of labels as often
    as any other; then one may come twice in an epoch, alike both times, and others not at all.
    """

    def __init__(
        self,
        images: Images,
        indices: Sequence[int],
        targets: npt.NDArray[np.bool_ | np.float32],
        *,
        seed: int | None = None,
        horizontal_flip: bool = False,
        augmentation: Augmentation | None = None,
        balanced: bool = False,
    ):
        self.images = images
        self.features: Features | None = None
        self.indices = np.asarray(indices, dtype=np.int64)
        self.targets = torch.from_numpy(targets.astype(np.float32))
        self.seed = seed
        self.horizontal_flip = horizontal_flip
        self.augmentation = augmentation
        self.chances = _balanced(targets) if balanced else None
        self.epoch = 0
        self.order = np.arange(len(indices))
        self.flips = torch.zeros(len(indices), dtype=torch.bool)

    def begin_epoch(self, epoch: int) -> None:
        # Not named set_epoch: Accelerate would call that with a count of its own.
        if self.seed is None:
            return
        self.epoch = epoch
        shuffle = np.random.default_rng([self.seed, SHUFFLE, epoch])
        if self.chances is None:
            self.order = shuffle.permutation(len(self.indices))
        else:
            self.order = shuffle.choice(len(self.indices), size=len(self.indices), p=self.chances)
        if self.horizontal_flip:
            flip = np.random.default_rng([self.seed, FLIP, epoch])
            self.flips = torch.from_numpy(flip.random(len(self.indices)) < 0.5)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitems__(self, positions: list[int]) -> Batch:
        if self.features is None:
            return self.cut(positions)
        indices, chosen = self.indices[positions].tolist(), torch.tensor(positions)
        drawings = self.flips[chosen].long()
        if self.augmentation is not None:
            drawings = 1 + torch.from_numpy(self.augmentation.shown(self.epoch, indices))
        return Batch(self.features.read(indices, drawings), None, self.targets[chosen], chosen)

    def cut(self, positions: Sequence[int]) -> Batch:
        """The images at `positions`, with what is to be done to them in the epoch in hand."""
        batch = self._unmixed(positions)
        if self.augmentation is None or self.augmentation.mixup is None:
            return batch
        assert batch.numbers is not None
        others, shares = self.augmentation.partners(batch.numbers, len(self))
        # Places count all images but the image itself; where it is the only one it meets itself.
        others = (others + (others >= batch.positions)).clamp(max=len(self) - 1)
        return batch._replace(partners=self._unmixed(others.tolist()), shares=shares)

    def _unmixed(self, positions: Sequence[int]) -> Batch:
        indices, chosen = self.indices[list(positions)].tolist(), torch.tensor(positions)
        pixels = torch.from_numpy(self.images.read(indices)).unsqueeze(1)
        batch = Batch(pixels, self.flips[chosen], self.targets[chosen], chosen)
        if self.augmentation is None:
            return batch
        shown = self.augmentation.shown(self.epoch, indices)
        return batch._replace(numbers=self.augmentation.numbers(shown.tolist(), indices))


class SplitOrder(Sampler[int]):
    """The positions of a split in the order of its epoch, each once unless it is balanced."""

    def __init__(self, split: Split):
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __iter__(self) -> Iterator[int]:
        yield from self.split.order.tolist()


def _balanced(targets: npt.NDArray[np.bool_ | np.float32]) -> npt.NDArray[np.float64]:
    """Chances `[images]` that give each distinct row of `targets` the same sum."""
    # What is not known is a value like the others: NaN would make each row a kind of its own.
    rows = np.nan_to_num(targets.astype(np.float32), nan=-1)
    _, kind, images = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    chances: npt.NDArray[np.float64] = 1 / (len(images) * images[kind.reshape(-1)])
    return chances


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
