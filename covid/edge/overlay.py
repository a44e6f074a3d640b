"""A radiograph under a map of what its places add to a logit: grey is the image, colour the map.

Colour is mixed in OKLab (Ottosson 2020, "A perceptual color space for image processing"), where
equal steps look equal: lightness shows the radiograph and nothing else, orange what speaks for a
class, blue what speaks against it, and the distance from grey how much. Orange and blue lie apart
for all common kinds of colour blindness.
"""

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from covid.edge.contours import DRAWN, SMALLEST, Contour, inside, interpolated

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Lightness of black and of white, 0..1: further out sRGB has no room for colour, and what is black
# in a radiograph must not hide what a network reads there.
DARKEST, LIGHTEST = 0.38, 0.82
CHROMA = 0.12  # OKLab's distance from grey at full strength; hardly more fits at these lightnesses
FOR, AGAINST = 60, 255  # hues in degrees: orange, blue
STEPS = 127  # of strength in either direction
LINE, EDGE = round(0.97 * 255), round(0.1 * 255)  # grey levels of lines and of their rims
RIM = 0.6  # a rim's opacity: seen on white, and hardly a second line on black
LINE_WIDTH = 0.004  # of the thin line, and of the image's shorter side; a pixel of it at least
RIM_WIDTH = 0.75  # widths of the thin line
THICK = 2  # widths of the thin line that the thick one has
LEGEND_GREY = 160  # grey level of the image that the legend's colours lie on
# Pixels of the shorter side that lines are drawn at, whatever the image's: a line is 4 wide there,
# enough for smooth edges once it is made smaller or larger.
CANVAS = 1024
LONGEST = 4 * CANVAS  # of the other side, in case a picture is all but a line itself


def overlay(grey: Pixels, evidence: Floats, scale: float, lines: Sequence[Contour]) -> Pixels:
    """uint8 `[height, width]` and a map over it, `[h, w]`, as uint8 `[height, width, 3]` in sRGB.

    Colour is full where the map reaches `scale` or more in magnitude. Of `lines`, those of this
    map, the first is thick; they are white with a dark rim.
    """
    height, width = grey.shape
    smooth = interpolated(evidence, width, height)
    strength = np.rint(np.clip(smooth / scale, -1, 1) * STEPS).astype(np.int16) + STEPS
    picture: Pixels = _palette()[grey, strength]
    if not lines:
        return picture
    white, rim = (
        np.asarray(drawn.resize((width, height), Image.Resampling.BILINEAR))
        for drawn in _drawn(evidence, lines, width, height)
    )
    drawn = rim > 0
    line = white[drawn, np.newaxis].astype(np.float32) / 255
    dark = np.maximum(rim[drawn, np.newaxis].astype(np.float32) / 255 * RIM - line, 0)
    mixed = picture[drawn] * (1 - line - dark) + LINE * line + EDGE * dark
    picture[drawn] = np.rint(mixed).astype(np.uint8)
    return picture


def legend(width: int, height: int) -> Pixels:
    """uint8 `[height, width, 3]`: full against on the left, full for on the right, of mid grey."""
    strength = np.rint(np.linspace(0, 2 * STEPS, width)).astype(np.int16)
    row = _palette()[LEGEND_GREY, strength]
    return np.array(np.broadcast_to(row, (height, width, 3)))


def _drawn(
    evidence: Floats, lines: Sequence[Contour], width: int, height: int
) -> tuple[Image.Image, Image.Image]:
    """Where lines are, and where lines with their rims are, 255 on 0, at the canvas's size.

    A blurred area's value says how far its edge is: 255 times the normal distribution of the
    distance over the blur. So lines are equally wide in all directions, and end at the border.
    """
    factor = CANVAS / min(width, height)
    size = [max(1, min(LONGEST, round(side * factor))) for side in (width, height)]
    smooth = interpolated(evidence, *size)
    thin = max(LINE_WIDTH * CANVAS, factor)
    white, rim = np.zeros(smooth.shape, np.uint8), np.zeros(smooth.shape, np.uint8)
    smallest = DRAWN * SMALLEST * smooth.size / evidence.size
    for number, contour in enumerate(lines):
        area = Image.fromarray(inside(smooth, contour.level, smallest).astype(np.uint8) * 255)
        blurred = np.asarray(area.filter(ImageFilter.GaussianBlur(thin)))
        wide = thin * (THICK if number == 0 else 1)
        white = np.maximum(white, _within(wide / 2 / thin)[blurred])
        rim = np.maximum(rim, _within(wide / 2 / thin + RIM_WIDTH)[blurred])
    return Image.fromarray(white), Image.fromarray(rim)


@cache
def _within(distance: float) -> Pixels:
    """uint8 `[256]`: 255 for values of a blurred area that lie nearer to its edge, in blurs."""
    normal = NormalDist().cdf(distance)
    value = np.arange(256) / 255
    return np.where((value > 1 - normal) & (value < normal), np.uint8(255), np.uint8(0))


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
