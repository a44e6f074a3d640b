"""Whether an image is unlike those that a network learnt from, before its answer is believed.

The graph says how far its features are from the training images' (`covid.export.novelty`); what it
is not shown, an image's colours and its shape, is looked at here, before it is grey and square.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from covid.edge.images import Picture, resize

Pixels = npt.NDArray[np.uint8]

# The reasons, as they stand in the column `unfamiliar`.
COLOUR, ASPECT, GREYS, NOVELTY = "colour", "aspect", "greys", "novelty"
# Share of the area that has a colour. Of 23 radiographs as found, 2 are tinted and none has a place
# that counts as coloured; markers and arrows cover less than a tenth. Photographs have 0.4 or more.
MAX_COLOURED = 0.2
# The longer side over the shorter. A film is at most 43 cm by 35 (1.23); of 2,845 radiographs of
# two collections, cropped ones among them, the longest has 2.10.
MAX_ASPECT = 2.2
# Grey levels, the deviation of an image's: the flattest of the same 2,845 has 19.
MIN_DEVIATION = 10.0


class Seen(NamedTuple):
    """An image as a network sees it, and what makes it unfamiliar whatever the network says."""

    pixels: Pixels  # uint8 [size, size]
    doubts: tuple[str, ...] = ()


def see(picture: Picture, size: int) -> Seen:
    """A picture as `[size, size]`, with COLOUR, ASPECT and GREYS where they hold for it."""
    pixels = resize(picture.grey, size)
    width, height = picture.grey.size
    holds = {
        COLOUR: picture.coloured > MAX_COLOURED,
        ASPECT: max(width, height) > MAX_ASPECT * min(width, height),
        GREYS: float(pixels.std()) < MIN_DEVIATION,
    }
    return Seen(pixels, tuple(doubt for doubt, there in holds.items() if there))


def reasons(doubts: tuple[str, ...], novelty: float, threshold: float) -> tuple[str, ...]:
    """Why an image is unfamiliar; empty where it is not."""
    return doubts if novelty <= threshold else (*doubts, NOVELTY)
