"""What makes an image unfamiliar before a network is asked, and when its novelty does."""

import numpy as np
import pytest
from PIL import Image

from covid.edge.images import Picture
from covid.edge.novelty import MAX_ASPECT, MAX_COLOURED, MIN_DEVIATION, reasons, see

SIZE = 32


def picture(
    width: int = 40, height: int = 40, *, spread: int = 60, coloured: float = 0.0
) -> Picture:
    """Half of it 100 - spread, half 100 + spread: `spread` is its greys' deviation."""
    greys = np.full((height, width), 100 - spread, np.uint8)
    greys[: height // 2] = 100 + spread
    return Picture(Image.fromarray(greys), coloured)


def test_a_radiograph_raises_no_doubt() -> None:
    seen = see(picture(), SIZE)
    assert seen.doubts == () and seen.pixels.shape == (SIZE, SIZE)


@pytest.mark.parametrize("share, doubts", [(MAX_COLOURED, ()), (MAX_COLOURED + 0.01, ("colour",))])
def test_colours_over_much_of_an_image_raise_a_doubt(share: float, doubts: tuple[str]) -> None:
    assert see(picture(coloured=share), SIZE).doubts == doubts


@pytest.mark.parametrize("upright", [True, False])
def test_a_strip_raises_a_doubt_whichever_way_it_lies(upright: bool) -> None:
    for side, doubts in ((int(40 * MAX_ASPECT), ()), (int(40 * MAX_ASPECT) + 2, ("aspect",))):
        width, height = (40, side) if upright else (side, 40)
        assert see(picture(width, height), SIZE).doubts == doubts


def test_an_image_of_nearly_one_grey_raises_a_doubt() -> None:
    assert see(picture(spread=int(MIN_DEVIATION) + 2), SIZE).doubts == ()
    assert see(picture(spread=int(MIN_DEVIATION) - 2), SIZE).doubts == ("greys",)


def test_a_novelty_that_is_no_number_is_unfamiliar() -> None:
    assert reasons((), float("nan"), 1.0) == ("novelty",)
