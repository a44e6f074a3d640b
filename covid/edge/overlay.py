"""A radiograph under a map of what its places add to a logit: grey is the image, colour the map.

Colour is mixed in OKLab (Ottosson 2020, "A perceptual color space for image processing"), where
equal steps look equal: lightness shows the radiograph and nothing else, orange what speaks for a
class, blue what speaks against it, and the distance from grey how much. Orange and blue lie apart
for all common kinds of colour blindness.
"""

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

_SMOOTHLY = Image.Resampling.BILINEAR
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Lightness of black and of white, 0..1: further out sRGB has no room for colour, and what is black
# in a radiograph must not hide what a network reads there.
DARKEST, LIGHTEST = 0.38, 0.82
CHROMA = 0.12  # OKLab's distance from grey at full strength; hardly more fits at these lightnesses
FOR, AGAINST = 60, 255  # hues in degrees: orange, blue
STEPS = 127  # of strength in either direction
SHARES = (0.5, 0.9)  # of all that speaks for a class, inside the thick and the thin line
LINE = round(0.97 * 255)  # grey level of lines
LINE_WIDTH = 0.004  # of the thin line, and of the image's shorter side; a pixel of it at least
LEGEND_GREY = 160  # grey level of the image that the legend's colours lie on
# Pixels of the shorter side that lines are drawn at, whatever the image's: a line is 4 wide there,
# enough for smooth edges once it is made smaller or larger.
CANVAS = 1024
LONGEST = 4 * CANVAS  # of the other side, in case a picture is all but a line itself


def overlay(grey: Pixels, evidence: Floats, scale: float) -> Pixels:
    """uint8 `[height, width]` and a map over it, `[h, w]`, as uint8 `[height, width, 3]` in sRGB.

    Colour is full where the map reaches `scale` or more in magnitude. A thick line holds half of
    what speaks for the class, a thin one 90 %; there is none where nothing does.
    """
    height, width = grey.shape
    smooth = enlarged(evidence, width, height)
    strength = np.rint(np.clip(smooth / scale, -1, 1) * STEPS).astype(np.int16) + STEPS
    picture: Pixels = _palette()[grey, strength]
    if not (evidence > 0).any():
        return picture
    lines = np.asarray(_lines(evidence, width, height).resize((width, height), _SMOOTHLY))
    drawn = lines > 0
    share = lines[drawn, np.newaxis].astype(np.float32) / 255
    picture[drawn] = np.rint(picture[drawn] * (1 - share) + LINE * share).astype(np.uint8)
    return picture


def legend(width: int, height: int) -> Pixels:
    """uint8 `[height, width, 3]`: full against on the left, full for on the right, of mid grey."""
    strength = np.rint(np.linspace(0, 2 * STEPS, width)).astype(np.int16)
    row = _palette()[LEGEND_GREY, strength]
    return np.array(np.broadcast_to(row, (height, width, 3)))


def enlarged(evidence: Floats, width: int, height: int) -> Floats:
    """A map at another size, `[height, width]`, linear between the middles of its places."""
    return np.asarray(Image.fromarray(evidence).resize((width, height), _SMOOTHLY))


def _lines(evidence: Floats, width: int, height: int) -> Image.Image:
    """The lines, 255 on 0, at the size that they are drawn at."""
    factor = CANVAS / min(width, height)
    size = [max(1, min(LONGEST, round(side * factor))) for side in (width, height)]
    smooth = enlarged(evidence, *size)
    drawn = np.zeros(smooth.shape, dtype=bool)
    thin = math.ceil(max(LINE_WIDTH * CANVAS, factor))
    for share, thickness in zip(SHARES, (2 * thin, thin), strict=True):
        drawn |= _outline(_holding(smooth, share), thickness)
    return Image.fromarray(np.where(drawn, np.uint8(255), np.uint8(0)))


def _holding(map_: Floats, share: float) -> npt.NDArray[np.bool_]:
    """The places of largest value that together hold a share of all that is above zero."""
    above = np.sort(map_[map_ > 0])[::-1]
    if not len(above):
        return np.zeros(map_.shape, dtype=bool)
    held = np.cumsum(above, dtype=np.float64)
    least = above[np.searchsorted(held, share * held[-1])]
    return np.asarray(map_ >= least)


def _outline(inside: npt.NDArray[np.bool_], thickness: int) -> npt.NDArray[np.bool_]:
    """The inner edge of an area, so many pixels wide; the image's own border is none."""
    padded = np.pad(inside, thickness, mode="edge")
    height, width = inside.shape
    kept = inside.copy()
    for distance in range(1, thickness + 1):
        for down, right in ((distance, 0), (-distance, 0), (0, distance), (0, -distance)):
            top, left = thickness + down, thickness + right
            kept &= padded[top : top + height, left : left + width]
    return np.asarray(inside & ~kept)


@cache
def _palette() -> Pixels:
    """uint8 `[256 greys, 2 · STEPS + 1 strengths, 3]`, sRGB; strength 0 is full against."""
    lightness = np.linspace(DARKEST, LIGHTEST, 256)[:, np.newaxis]
    strength = np.linspace(-1, 1, 2 * STEPS + 1)[np.newaxis]
    hue = np.where(strength < 0, math.radians(AGAINST), math.radians(FOR))
    chroma = CHROMA * np.abs(strength)
    return _srgb(lightness, chroma * np.cos(hue), chroma * np.sin(hue))


def _srgb(
    lightness: npt.NDArray[np.float64], a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]
) -> Pixels:
    """OKLab to 8-bit sRGB by Ottosson's matrices; what lies beyond sRGB is cut."""
    lms = (
        np.stack(
            np.broadcast_arrays(
                lightness + 0.3963377774 * a + 0.2158037573 * b,
                lightness - 0.1055613458 * a - 0.0638541728 * b,
                lightness - 0.0894841775 * a - 1.2914855480 * b,
            ),
            axis=-1,
        )
        ** 3
    )
    linear = lms @ np.array([
        [4.0767416621, -1.2684380046, -0.0041960863],
        [-3.3077115913, 2.6097574011, -0.7034186147],
        [0.2309699292, -0.3413193965, 1.7076147010],
    ])  # fmt: skip
    linear = linear.clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(curved * 255), dtype=np.uint8)
