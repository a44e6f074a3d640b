"""What augmentations do: batches of grey images in and out, parameters of their own for each image.

Every function takes float32 images `[batch, 1, size, size]` on the scale 0..255 and one float32
tensor `[batch, 1, 1, 1]` per parameter, and gives images of that shape; `Operation.run` brings
what leaves 0..255 back. What one image becomes does not depend on the others.

They are plain torch because torchvision's functions take one parameter for a whole batch, except
its `equalize`, which takes none, and because Kornia's draw their own from torch's generator.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional
from torchvision.transforms.v2.functional import equalize as equalize_grey_levels

from covid.config_augment import AugmentSection

WHITE = 255.0


class Operation(NamedTuple):
    """A function above, and what it draws for each image.

    `draws` has one entry per parameter: the key of the section whose range it is drawn from,
    evenly, or None for a number of 0..1.
    """

    function: Callable[..., torch.Tensor]
    draws: tuple[str | None, ...] = ()

    def values(self, section: AugmentSection, numbers: torch.Tensor) -> list[torch.Tensor]:
        """Parameters `[batch]`, one per draw, from `numbers` in 0..1, `[batch, draws]`."""
        ranges = [(0.0, 1.0) if key is None else getattr(section, key) for key in self.draws]
        return [
            low + (high - low) * column
            for (low, high), column in zip(ranges, numbers.unbind(1), strict=True)
        ]

    def run(
        self, section: AugmentSection, images: torch.Tensor, numbers: torch.Tensor
    ) -> torch.Tensor:
        """float32 images of 0..255; those whose first number is below `probability` are changed.

        `numbers`, `[batch, 1 + draws]`, are in 0..1; `images` are float32 and stay as they are.
        """
        values = self.values(section, numbers[:, 1:])
        changed = self.function(images, *(value[:, None, None, None] for value in values))
        changed = changed.clamp(0, WHITE)
        if section.probability == 1:
            return changed
        return torch.where(numbers[:, :1, None, None] < section.probability, changed, images)

    def describe(self, section: AugmentSection, numbers: torch.Tensor) -> str:
        """What is done to one image, in words, from its `[1 + draws]` numbers; empty: nothing."""
        if numbers[0] >= section.probability:
            return ""
        words: dict[str, str] = {}
        for key, value in zip(self.draws, self.values(section, numbers[None, 1:]), strict=True):
            # A range that is left at what changes nothing is not worth a word.
            if key and getattr(section, key) != type(section).model_fields[key].default:
                words[key] = f"{words.get(key, key)} {value.item():.2f}"
        if not words:
            return section.name
        if len(self.draws) - self.draws.count(None) == 1:  # its name says what the number is
            return f"{section.name} {' '.join(words.values()).partition(' ')[2]}"
        return f"{section.name} {', '.join(words.values())}"


def flip(images: torch.Tensor) -> torch.Tensor:
    """The mirror image, left to right."""
    return images.flip(-1)


def affine(
    images: torch.Tensor,
    degrees: torch.Tensor,
    scale: torch.Tensor,
    across: torch.Tensor,
    down: torch.Tensor,
    shear: torch.Tensor,
) -> torch.Tensor:
    """Sheared by an angle, scaled, turned (clockwise) about the centre, then shifted.

    Angles are degrees, shifts shares of the side. Bilinear between pixels; what comes from outside
    the image is black.
    """
    turn, slant = torch.deg2rad(degrees.flatten()), torch.tan(torch.deg2rad(shear.flatten()))
    cos, sin = turn.cos() / scale.flatten(), turn.sin() / scale.flatten()
    # An output pixel at p shows what lies at shear⁻¹ · (turn · scale)⁻¹ · (p - shift), where x and
    # y go from -1 to 1, so that a side is 2.
    xx, xy, yx, yy = cos + slant * sin, sin - slant * cos, -sin, cos
    right, low = 2 * across.flatten(), 2 * down.flatten()
    size = images.shape[-1]
    centres = (2 * torch.arange(size, device=images.device) + 1) / size - 1
    grid = images.new_empty((len(images), size, size, 2))
    # Each number is one of its column and one of its row: a fiftieth of the time of affine_grid,
    # which multiplies matrices of 65,536 × 3 and 3 × 2.
    for place, (x, y) in enumerate(((xx, xy), (yx, yy))):
        columns, rows = torch.outer(x, centres), torch.outer(y, centres)
        columns -= (x * right + y * low)[:, None]
        grid[..., place] = columns[:, None, :] + rows[:, :, None]
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def gamma(images: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """Grey levels, as shares of white, to a power: above 1 is darker."""
    return (images / WHITE) ** exponent * WHITE


def contrast(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Distances from the image's own mean, times a factor."""
    return torch.lerp(images.mean(dim=(1, 2, 3), keepdim=True), images, factor)


def brightness(images: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """A share of white is added."""
    return images + share * WHITE


def equalize(images: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """A `share` of the image whose grey levels are as evenly frequent as they can be made.

    The rest is the image as it was: between the two lie the looks of other devices.
    """
    levels: torch.Tensor = equalize_grey_levels(images.round().to(torch.uint8))
    return torch.lerp(images, levels.to(images.dtype), share)


def cutout(
    images: torch.Tensor, side: torch.Tensor, across: torch.Tensor, down: torch.Tensor
) -> torch.Tensor:
    """A black square, inside the image (DeVries & Taylor 2017, whose squares may stand out)."""
    places = (torch.arange(images.shape[-1], device=images.device) + 0.5) / images.shape[-1]
    left, top = across * (1 - side), down * (1 - side)
    columns = (places >= left) & (places < left + side)
    rows = (places[:, None] >= top) & (places[:, None] < top + side)
    return images.masked_fill(columns & rows, 0.0)


def noise(images: torch.Tensor, deviation: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Normal noise, of its own for each pixel; `deviation` is a share of white.

    It is made by numpy, and so is the same on every device; an image's follows from its `seed`.
    """
    normal = np.empty(images.shape, dtype=np.float32)
    for image, number in zip(normal, seed.flatten().tolist(), strict=True):
        generator = np.random.Generator(np.random.SFC64(int(number * 2**24)))  # float32's digits
        generator.standard_normal(out=image, dtype=np.float32)
    return images + torch.from_numpy(normal).to(images.device) * (deviation * WHITE)


def blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """A Gaussian of `sigma` pixels; beyond its edge the image is taken to repeat its last pixel."""
    # Beyond three deviations lies a four-hundredth of its weight.
    reach = torch.ceil(3 * sigma)
    longest = max(1, int(reach.max().item()))
    offsets = torch.arange(-longest, longest + 1, device=images.device)
    # At 0.05 nothing is left beside the middle: so 0 changes nothing, and does not divide.
    weights = torch.exp(-0.5 * (offsets / sigma.clamp(min=0.05)) ** 2)  # [batch, 1, 1, taps]
    weights = weights * (offsets.abs() <= reach)  # whatever its neighbours need
    weights = weights / weights.sum(dim=-1, keepdim=True)
    batch = images.transpose(0, 1)  # a channel an image: each has its own weights
    padded = functional.pad(batch, (longest,) * 4, mode="replicate")
    across = functional.conv2d(padded, weights, groups=len(images))
    both = functional.conv2d(across, weights.transpose(2, 3), groups=len(images))
    return both.transpose(0, 1)


# By the name in `data.augment`. `mixup`, which takes two images, is in drawings.py.
OPERATIONS = {
    "flip": Operation(flip),
    "affine": Operation(affine, ("degrees", "scale", "shift", "shift", "shear")),
    "gamma": Operation(gamma, ("range",)),
    "contrast": Operation(contrast, ("range",)),
    "brightness": Operation(brightness, ("range",)),
    "equalize": Operation(equalize, ("share",)),
    "cutout": Operation(cutout, ("size", None, None)),
    "noise": Operation(noise, ("deviation", None)),
    "blur": Operation(blur, ("sigma",)),
}
