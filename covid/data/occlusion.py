"""Changed copies of radiographs that show what a network looks at: parts hidden, swapped, regreyed.

Every function takes and gives uint8 `[images, size, size]`; what it is given stays as it is.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]
Region = npt.NDArray[np.bool_]  # [size, size], or [images, size, size]

# Of a picture's side. In 138 radiographs of Montgomery and 247 of JSRT it holds 0.6 % of the lungs
# that the masks show; hardly anything but skin, air, arms and what is written there.
BORDER = 1 / 16
PATCHES = 8  # a side: of 64, each holds a rib or two, so that local texture stays
THUMBNAIL = 16  # pixels a side: a lung is 5 x 10 of them
MARKER = 0.1  # of the side: as large as the letters by which sides are told on a film
MARKER_GREY = 240  # lead letters are nearly white, and are not burnt out


def ellipse(size: int) -> Region:
    """The ellipse that touches the four sides: what lungs may fill where no mask is known.

    It is 79 % of a picture. Of the lungs that the masks of Montgomery and JSRT show it holds 99 %
    in the mean and 91 % in the worst of 385 images; what is outside are the four corners.
    """
    away = (np.arange(size) + 0.5) / size - 0.5
    inside: Region = away[:, None] ** 2 + away[None, :] ** 2 <= 0.25
    return inside


def border(size: int) -> Region:
    """The outermost sixteenth on every side."""
    width = max(1, round(BORDER * size))
    region = np.ones((size, size), dtype=bool)
    region[width:-width, width:-width] = False
    return region


def filled(images: Pixels, region: Region, level: int) -> Pixels:
    """`region` in one grey level, the same for all images: a grey of its own would tell of each."""
    return np.where(region, np.uint8(level), images)


def swapped(centres: Pixels, borders: Pixels) -> Pixels:
    """What is inside the ellipse of `centres`, in what is outside it of `borders`."""
    return np.where(ellipse(centres.shape[-1]), centres, borders)


def shuffled(images: Pixels, random: np.random.Generator) -> Pixels:
    """Squares of an eighth of the side, put elsewhere by chance, otherwise in each image.

    Rows and columns that eight squares leave over, at most seven, are turned to black.
    """
    count, size, _ = images.shape
    side = size // PATCHES
    whole = side * PATCHES
    grid = images[:, :whole, :whole].reshape(count, PATCHES, side, PATCHES, side)
    patches = grid.swapaxes(2, 3).reshape(count, PATCHES**2, side, side)
    order = random.permuted(np.tile(np.arange(PATCHES**2), (count, 1)), axis=1)
    moved = np.take_along_axis(patches, order[:, :, None, None], axis=1)
    laid = moved.reshape(count, PATCHES, PATCHES, side, side).swapaxes(2, 3)
    changed = np.zeros_like(images)
    changed[:, :whole, :whole] = laid.reshape(count, whole, whole)
    return changed


def thumbnail(images: Pixels) -> Pixels:
    """What 16 x 16 pixels keep, enlarged again."""

    def coarse(image: Image.Image) -> Image.Image:
        small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        return small.resize(image.size, Image.Resampling.BILINEAR)

    return _each(images, coarse)


def marked(images: Pixels) -> Pixels:
    """A bright square with a dark bar, in the upper left corner of every image alike."""
    size = images.shape[-1]
    side, edge = max(3, round(MARKER * size)), max(1, round(0.02 * size))
    changed = images.copy()
    changed[:, edge : edge + side, edge : edge + side] = MARKER_GREY
    bar = slice(edge + side // 3, edge + 2 * side // 3)
    changed[:, bar, bar] = 0
    return changed


def equalised(images: Pixels) -> Pixels:
    """Every grey level equally frequent: no exposure is left, and the order of greys is."""
    return _each(images, ImageOps.equalize)


def inverted(images: Pixels) -> Pixels:
    return np.asarray(255 - images, dtype=np.uint8)


def gamma(images: Pixels, power: float) -> Pixels:
    """Greys of 0..1 to the power: below 1 lighter, above 1 darker."""
    table = np.round(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    return table[images]


def _each(images: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])
