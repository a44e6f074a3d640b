"""A sheet of small pictures, each row headed by the image that the others were made from.

Pillow alone: a run draws one before it trains, and matplotlib would take ten times as long.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from covid.edge.files import replacing

SIDE, GAP, MARGIN = 160, 8, 28  # pixels: of a picture, between two, around all
HEADED = 20  # between an original and what was made of it, and twice that between two blocks
INK, FAINT, RULE = 40, 110, 218  # grey levels: what is read first, what explains it, lines
SMALL, NORMAL, LARGE = 12, 15, 24  # pixels of a font
LEADING = 1.3  # line height over font size
MAX_LINES = 5  # the most under a picture


class SheetRow(NamedTuple):
    """An image and what was made of it; pixels are uint8 `[size, size]`."""

    label: str
    original: npt.NDArray[np.uint8]
    drawings: Sequence[tuple[npt.NDArray[np.uint8], str]]  # pixels, and what was done


def draw_contact_sheet(
    path: Path, rows: Sequence[SheetRow], columns: Sequence[str], heading: str, line: str
) -> None:
    """Writes a grey PNG, whole or not at all: rows in two blocks, `columns` over their drawings.

    Every row has as many drawings as there are columns. Raises StorageError.
    """
    with replacing(path) as beside:
        # Level 1 is half as long for a twentieth more bytes: grey noise does not compress.
        contact_sheet(rows, columns, heading, line).save(beside, format="png", compress_level=1)


def contact_sheet(
    rows: Sequence[SheetRow], columns: Sequence[str], heading: str, line: str
) -> Image.Image:
    """The sheet, mode L."""
    blocks = 2 if len(rows) > 1 and columns else 1
    in_block = -(-len(rows) // blocks)
    if not columns:  # originals alone stand side by side
        return _originals(rows, heading, line)
    width_of_block = SIDE + HEADED + len(columns) * (SIDE + GAP) - GAP
    captions = [[_wrap(words, SIDE) for _, words in row.drawings] for row in rows]
    lines = max((len(words) for row in captions for words in row), default=1)
    pitch = SIDE + _under(max(lines, 2)) + GAP
    top = MARGIN + 64
    width = 2 * MARGIN + blocks * width_of_block + (blocks - 1) * 2 * HEADED
    sheet, draw = _page(width, top + 22 + in_block * pitch + MARGIN - GAP, heading, line)
    for number, (row, words) in enumerate(zip(rows, captions, strict=True)):
        block, place = divmod(number, in_block)
        left = MARGIN + block * (width_of_block + 2 * HEADED)
        y = top + 22 + place * pitch
        if place == 0:
            _column_heads(draw, left, top, columns, width_of_block)
        _picture(sheet, row.original, left, y)
        _text(draw, left, y + SIDE + 6, [_shorten(row.label, SIDE, NORMAL)], NORMAL, INK)
        for column, ((pixels, _), said) in enumerate(zip(row.drawings, words, strict=True)):
            x = left + SIDE + HEADED + column * (SIDE + GAP)
            _picture(sheet, pixels, x, y)
            _text(draw, x, y + SIDE + 6, said, SMALL, FAINT)
    return sheet


def _originals(rows: Sequence[SheetRow], heading: str, line: str) -> Image.Image:
    in_line = min(4, max(1, len(rows)))
    pitch, top = SIDE + _under(2) + GAP, MARGIN + 70
    width = max(2 * MARGIN + in_line * (SIDE + GAP) - GAP, 700)
    height = top + -(-len(rows) // in_line) * pitch + MARGIN - GAP
    sheet, draw = _page(width, height, heading, line)
    for number, row in enumerate(rows):
        x = MARGIN + number % in_line * (SIDE + GAP)
        y = top + number // in_line * pitch
        _picture(sheet, row.original, x, y)
        _text(draw, x, y + SIDE + 6, [_shorten(row.label, SIDE, NORMAL)], NORMAL, INK)
    return sheet


def _page(
    width: int, height: int, heading: str, line: str
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(sheet)
    _text(draw, MARGIN, MARGIN - 6, [heading], LARGE, INK)
    _text(draw, MARGIN, MARGIN + 30, [_shorten(line, width - 2 * MARGIN, NORMAL)], NORMAL, FAINT)
    return sheet, draw


def _column_heads(
    draw: ImageDraw.ImageDraw, left: int, y: int, columns: Sequence[str], width: int
) -> None:
    _text(draw, left, y, ["as it is"], SMALL, FAINT)
    for column, name in enumerate(columns):
        x = left + SIDE + HEADED + column * (SIDE + GAP)
        _text(draw, x, y, [_shorten(name, SIDE, SMALL)], SMALL, FAINT)
    draw.line((left, y + 17, left + width - 1, y + 17), fill=RULE)


def _picture(sheet: Image.Image, pixels: npt.NDArray[np.uint8], x: int, y: int) -> None:
    sheet.paste(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR), (x, y))


def _under(lines: int) -> int:
    """Pixels that captions of so many lines take below a picture."""
    return 6 + round(lines * SMALL * LEADING) + 6


def _text(
    draw: ImageDraw.ImageDraw, x: int, y: int, lines: Sequence[str], size: int, grey: int
) -> None:
    for place, words in enumerate(lines):
        draw.text((x, y + round(place * size * LEADING)), words, fill=grey, font=_font(size))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@cache
def _length(text: str, size: int) -> float:
    """Pixels that a line takes."""
    return _font(size).getlength(text)


def _wrap(text: str, width: int) -> list[str]:
    """Lines of small text that fit, broken after commas; the last may stand for more."""
    lines: list[str] = []
    for part in text.split(", "):
        longer = f"{lines[-1]}, {part}" if lines else part
        if lines and _length(longer, SMALL) <= width:
            lines[-1] = longer
        else:
            lines.append(_shorten(part, width, SMALL))
    return (
        lines if len(lines) <= MAX_LINES else [*lines[: MAX_LINES - 1], f"{lines[MAX_LINES - 1]} …"]
    )


def _shorten(text: str, width: int, size: int) -> str:
    """The start of a text that is too long, and an ellipsis."""
    short = text
    while _length(short, size) > width and len(short) > 1:
        short = f"{short[:-2]}…"
    return short
