"""Drawings of images: which numbers each is made from, and what is made of a batch of them.

An image's drawing follows from the seed, the image and the epoch alone (or, with `variants`, which
of its fixed drawings the epoch shows), so resuming, several processes and kept features agree.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import betaincinv

from covid.config import DataConfig
from covid.config_augment import AugmentSection, Flip, Mixup
from covid.data.augment import OPERATIONS

SHUFFLE, FLIP, AUGMENT, VARIANT = range(4)  # what a random stream is for; part of its seed
MIXUP_DRAWS = 3  # whether, how much of itself, with which other


class Augmentation:
    """What is done to each training image, from a row of numbers of its own.

    A drawing is made from the numbers of (seed, drawing, image): `variants` None, one for each
    epoch; otherwise each image has drawings 0 to `variants` - 1, and an epoch shows one of them.
    """

    def __init__(
        self, sections: Sequence[AugmentSection], *, seed: int, variants: int | None = None
    ):
        self.sections = [section for section in sections if not isinstance(section, Mixup)]
        self.mixup = next((section for section in sections if isinstance(section, Mixup)), None)
        self.seed, self.variants = seed, variants
        self._operations = [(OPERATIONS[section.name], section) for section in self.sections]
        self._lengths = [1 + len(operation.draws) for operation, _ in self._operations]
        self.numbers_of_an_image = sum(self._lengths) + MIXUP_DRAWS * (self.mixup is not None)

    @classmethod
    def from_config(cls, config: DataConfig, seed: int) -> "Augmentation | None":
        """What `data.augment` and `data.variants` say; None where nothing is to be done.

        With variants, `horizontal_flip` is part of each drawing: its first operation.
        """
        if not config.augment:
            return None
        mirrored = config.horizontal_flip and config.variants is not None
        first = (Flip(name="flip"),) if mirrored else ()
        return cls([*first, *config.augment], seed=seed, variants=config.variants)

    @property
    def identity(self) -> list[object]:
        """Plain values that change with what any drawing shows, but not with mixup."""
        return [self.seed, self.variants, [section.model_dump() for section in self.sections]]

    def shown(self, epoch: int, indices: Sequence[int]) -> npt.NDArray[np.int64]:
        """The drawing of each image that an epoch shows, `[len(indices)]`."""
        if self.variants is None:
            return np.full(len(indices), epoch)
        chosen = [
            np.random.default_rng([self.seed, VARIANT, epoch, i]).integers(self.variants)
            for i in indices
        ]
        return np.array(chosen, dtype=np.int64)

    def numbers(self, drawings: Sequence[int], indices: Sequence[int]) -> torch.Tensor:
        """What a drawing of each image is made from: float32 `[len(indices), numbers]` of 0..1."""
        count = self.numbers_of_an_image
        drawn = np.empty((len(indices), count), dtype=np.float32)
        for numbers, drawing, i in zip(drawn, drawings, indices, strict=True):
            generator = np.random.default_rng([self.seed, AUGMENT, drawing, i])
            generator.random(out=numbers, dtype=np.float32)
        return torch.from_numpy(drawn)

    def draw(self, images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Each image as its numbers say, but unmixed: float32 `[batch, 1, size, size]`, 0..255.

        `images` are of the same shape, uint8 or float32, and on the device of `numbers`.
        """
        images = images.float()
        for (operation, section), own in zip(self._operations, self._own(numbers), strict=True):
            images = operation.run(section, images, own)
        return images

    def partners(self, numbers: torch.Tensor, images: int) -> tuple[torch.Tensor, torch.Tensor]:
        """For mixup: of each image, which other to mix in, and its own share.

        Returns the places (int64 `[batch]`) among the `images - 1` others, and shares (float32
        `[batch]`, 0.5..1): the larger of l and 1 - l, with l from Beta(alpha, alpha).
        """
        assert self.mixup is not None
        whether, share, other = numbers[:, -MIXUP_DRAWS:].double().unbind(1)
        drawn = betaincinv(self.mixup.alpha, self.mixup.alpha, share.numpy())
        own = torch.from_numpy(np.maximum(drawn, 1 - drawn))
        own = torch.where(whether < self.mixup.probability, own, 1.0)
        return (other * (images - 1)).long(), own.float()

    def describe(self, numbers: torch.Tensor) -> list[list[str]]:
        """What is done to each image, in a few words for each operation."""
        described = []
        for drawn in numbers:
            parts = zip(self._operations, self._own(drawn[None]), strict=True)
            words = [operation.describe(section, own[0]) for (operation, section), own in parts]
            described.append([word for word in words if word])
        return described

    def _own(self, numbers: torch.Tensor) -> Sequence[torch.Tensor]:
        """The columns of each operation."""
        columns: Sequence[torch.Tensor] = numbers[:, : sum(self._lengths)].split(self._lengths, 1)
        return columns
