"""augmentation.png: what training sees of some images, drawn before it starts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from covid.data.batches import Batch, Split
from covid.edge.labels import read_cell
from covid.evaluation.contact_sheet import SheetRow, draw_contact_sheet
from covid.training.epochs import augmented

IMAGES, WAYS = 8, 4


def write_augmentation_sheet(path: Path, split: Split, labels: Sequence[str], title: str) -> None:
    """Eight training images, each as it is and as the first four epochs, or variants, show it.

    `labels`, `[images]`, are the split's images' cells. Where nothing is done to images they are
    shown as they are. Leaves `split` at one of its first epochs. Raises StorageError.
    """
    positions = choose_spread(labels, IMAGES)
    batches = ways(split, positions)
    originals = _grey(split.cut(positions).inputs)
    pictures = [_grey(augmented(batch, split.augmentation)[0]) for batch in batches.values()]
    captions = [_captions(split, batch, labels) for batch in batches.values()]
    rows = [
        SheetRow(
            labels[position],
            originals[place],
            [(made[place], said[place]) for made, said in zip(pictures, captions, strict=True)],
        )
        for place, position in enumerate(positions)
    ]
    shown = "nothing is done to them" if not batches else "as they are, and as training sees them"
    draw_contact_sheet(
        path, rows, list(batches), "Augmentation", f"{title} · training images, {shown}"
    )


def choose_spread(labels: Sequence[str], count: int) -> list[int]:
    """Positions of up to `count` images: labels in turn, evenly through each label's images.

    An image of several stands for the first one in its cell.
    """
    places: dict[str, list[int]] = {}
    for position, cell in enumerate(labels):
        places.setdefault(next(iter(read_cell(cell))), []).append(position)
    names = sorted(places)
    shares = {name: 0 for name in names}
    for turn in range(min(count, len(labels)) * len(names)):
        name = names[turn % len(names)]
        if sum(shares.values()) < count and shares[name] < len(places[name]):
            shares[name] += 1
    return [
        places[name][len(places[name]) * number // shares[name]]
        for name in names
        for number in range(shares[name])
    ]


def ways(split: Split, positions: Sequence[int]) -> dict[str, Batch]:
    """By what a column of the sheet is called, the images as an epoch or a variant shows them."""
    augmentation = split.augmentation
    if augmentation is None and not split.horizontal_flip:
        return {}
    if augmentation is not None and augmentation.variants and augmentation.mixup is None:
        indices = split.indices[list(positions)].tolist()
        numbers = [
            augmentation.numbers([variant] * len(indices), indices)
            for variant in range(min(WAYS, augmentation.variants))
        ]
        batch = split.cut(positions)
        return {
            f"variant {place + 1} of {augmentation.variants}": batch._replace(numbers=own)
            for place, own in enumerate(numbers)
        }
    batches = {}
    for epoch in range(WAYS):
        split.begin_epoch(epoch)
        batches[f"epoch {epoch + 1}"] = split.cut(positions)
    return batches


def _captions(split: Split, batch: Batch, labels: Sequence[str]) -> list[str]:
    """What is done to each image of a batch, in a few words."""
    augmentation, images = split.augmentation, len(batch.targets)
    flipped = [False] * images if batch.flipped is None else batch.flipped.tolist()
    words = [["flip"] if mirrored else [] for mirrored in flipped]
    if augmentation is not None and batch.numbers is not None:
        words = [a + b for a, b in zip(words, augmentation.describe(batch.numbers), strict=True)]
    if batch.partners is not None and batch.shares is not None:
        others = batch.partners.positions.tolist()
        for said, share, other in zip(words, batch.shares.tolist(), others, strict=True):
            if round(share, 2) < 1:
                said.append(f"{1 - share:.0%} {labels[other]} mixed in")
    return [", ".join(said) or "as it is" for said in words]


def _grey(images: torch.Tensor) -> npt.NDArray[np.uint8]:
    """`[batch, 1, size, size]` of 0..255 to uint8 `[batch, size, size]`."""
    pixels: npt.NDArray[np.uint8] = images[:, 0].float().round().to(torch.uint8).numpy()
    return pixels
