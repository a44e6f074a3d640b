"""Images: every kind of file against arithmetic done here in plain numpy, and every refusal.

PNG and TIFF files are written byte by byte, so that no mistake of Pillow's writer can hide the
same mistake of its reader, and so that files no writer would make can be tried.
"""

import base64
import hashlib
import io
import os
import random
import re
import resource
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from covid.edge.images import (
    GREYS,
    MAX_PIXELS,
    Header,
    image_endings,
    read_grey,
    read_header,
    read_image,
    read_picture,
    resize,
)
from covid.errors import ImageError

Array = npt.NDArray[Any]
Write = Callable[[bytes], Path]

# One example overwrites the file of the one before, so sharing the folder is safe.
examples = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
sides = st.integers(2, 9)


def pixels(dtype: Any, channels: int = 0, **elements: Any) -> st.SearchStrategy[Array]:
    shape = st.tuples(sides, sides, *([st.just(channels)] if channels else []))
    values = arrays.from_dtype(np.dtype(dtype), **elements)
    return arrays.arrays(dtype, shape, elements=values)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts bytes into a file; its name has no ending, as the bytes alone must tell the format."""

    def to_file(content: bytes) -> Path:
        path = tmp_path / "image"
        path.write_bytes(content)
        return path

    return to_file


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(width: int, height: int, depth: int, kind: int, data: bytes, *more: bytes) -> bytes:
    """`kind`: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA; `data`: rows without filters."""
    row = max(1, len(data) // max(1, height))
    rows = b"".join(b"\0" + data[start : start + row] for start in range(0, len(data), row))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def png_of(array: Array, kind: int, *more: bytes) -> bytes:
    height, width = array.shape[:2]
    depth = array.dtype.itemsize * 8
    return png(width, height, depth, kind, array.astype(array.dtype.newbyteorder(">")).tobytes(),
               *more)  # fmt: skip


def tiff(array: Array, order: str = "<", photometric: int = 1, **more: int) -> bytes:
    """Uncompressed, one strip; `order` is "<" or ">"; `more` are `tagNUMBER=value`."""
    height, width = array.shape[:2]
    bands = array.shape[2] if array.ndim == 3 else 1
    kinds = {"u": 1, "i": 2, "f": 3}
    tags = {256: width, 257: height, 258: array.dtype.itemsize * 8, 259: 1, 262: photometric}
    tags |= {273: 8, 277: bands, 278: height, 279: array.nbytes, 339: kinds[array.dtype.kind]}
    tags |= {int(name[3:]): value for name, value in more.items()}
    per_band = {258, 339} if bands > 1 else set()
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    extra, entries = b"", b""
    for tag, value in sorted(tags.items()):
        if tag in per_band:
            place = 8 + len(data) + len(extra)
            extra += struct.pack(f"{order}{bands}H", *[value] * bands)
            if bands > 2:
                entries += struct.pack(f"{order}HHII", tag, 3, bands, place)
            else:
                entries += struct.pack(f"{order}HHIHH", tag, 3, 2, value, value)
        elif tag in (256, 257, 273, 278, 279):
            entries += struct.pack(f"{order}HHII", tag, 4, 1, value)
        else:
            entries += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    start = 8 + len(data) + len(extra)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + data + extra + struct.pack(order + "H", len(tags)) + entries + b"\0" * 4


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def grey_of(rgb: Array) -> Array:
    """ITU-R 601 luma in 16 bits of fixed point, rounded: 19595 + 38470 + 7471 = 65536."""
    red, green, blue = (rgb[..., band].astype(np.int64) for band in range(3))
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


def over_black(values: Array, alpha: Array) -> Array:
    """values · alpha / 255, rounded; it is never half way, as 255 is odd."""
    return (2 * values.astype(np.int64) * alpha.astype(np.int64) + 255) // 510


def upper_bits(values: Array) -> Array:
    largest = max(int(value) for value in values.flat)
    bits = next(depth for depth in range(8, 129) if largest < 2**depth)
    return np.array([[int(value) // 2 ** (bits - 8) for value in row] for row in values])


def assert_reads_as(path: Path, expected: Array) -> None:
    np.testing.assert_array_equal(np.asarray(read_grey(path)), expected)


# Grey from every kind of file ---------------------------------------------------------------


@examples
@given(values=pixels(np.uint8))
def test_8_bit_grey_is_left_as_it_is(write: Write, values: Array) -> None:
    assert_reads_as(write(png_of(values, 0)), values)


@examples
@given(bits=pixels(np.bool_))
def test_1_bit_is_black_and_white(write: Write, bits: Array) -> None:
    height, width = bits.shape
    data = png(width, height, 1, 0, np.packbits(bits, axis=1).tobytes())
    assert_reads_as(write(data), bits * 255)


@pytest.mark.parametrize("depth", [2, 4])
def test_grey_of_few_bits_fills_the_range(write: Write, depth: int) -> None:
    data = png(8 // depth, 2, depth, 0, bytes([0b00011011, 0b11100100]))
    stored = [[0, 1, 2, 3], [3, 2, 1, 0]] if depth == 2 else [[1, 11], [14, 4]]
    assert_reads_as(write(data), np.array(stored) * (255 // (2**depth - 1)))


@examples
@given(rgb=pixels(np.uint8, 3))
def test_colour_becomes_its_luma(write: Write, rgb: Array) -> None:
    assert_reads_as(write(png_of(rgb, 2)), grey_of(rgb))


@examples
@given(rgba=pixels(np.uint8, 4))
def test_colour_with_alpha_lies_over_black(write: Write, rgba: Array) -> None:
    assert_reads_as(write(png_of(rgba, 6)), grey_of(over_black(rgba[..., :3], rgba[..., 3:])))


@examples
@given(pair=pixels(np.uint8, 2))
def test_grey_with_alpha_lies_over_black(write: Write, pair: Array) -> None:
    assert_reads_as(write(png_of(pair, 4)), over_black(pair[..., 0], pair[..., 1]))


@examples
@given(pair=pixels(np.uint8, 2))
def test_grey_multiplied_by_its_alpha_lies_over_black_already(write: Write, pair: Array) -> None:
    assert_reads_as(write(tiff(pair, tag338=1)), pair[..., 0])


@examples
@given(indices=pixels(np.uint8, max_value=15), palette=arrays.arrays(np.uint8, (16, 3)))
def test_a_palette_is_resolved(write: Write, indices: Array, palette: Array) -> None:
    data = png_of(indices, 3, chunk(b"PLTE", palette.tobytes()))
    assert_reads_as(write(data), grey_of(palette[indices]))


@examples
@given(
    indices=pixels(np.uint8, max_value=15),
    palette=arrays.arrays(np.uint8, (16, 3)),
    alpha=arrays.arrays(np.uint8, st.integers(1, 16)),
)
def test_a_palette_s_alpha_lies_over_black(
    write: Write, indices: Array, palette: Array, alpha: Array
) -> None:
    data = png_of(indices, 3, chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", alpha.tobytes()))
    of_entry = np.append(alpha, np.full(16 - len(alpha), 255, np.uint8))
    assert_reads_as(write(data), grey_of(over_black(palette, of_entry[:, None])[indices]))


def test_a_gif_s_transparent_colour_is_black(write: Write) -> None:
    image = Image.new("P", (2, 2))
    image.putpalette([200, 200, 200, 90, 90, 90])
    image.putdata([0, 1, 1, 0])
    data = saved(image, "GIF", transparency=1)
    assert_reads_as(write(data), np.array([[200, 0], [0, 200]]))


@examples
@given(rgb=pixels(np.uint8, 3, max_value=1), key=arrays.arrays(np.uint8, 3))
def test_a_transparent_colour_is_black(write: Write, rgb: Array, key: Array) -> None:
    key = key % 2
    data = png_of(rgb, 2, chunk(b"tRNS", struct.pack(">3H", *key)))
    assert_reads_as(write(data), grey_of(np.where((rgb == key).all(2, keepdims=True), 0, rgb)))


@examples
@given(values=pixels(np.uint8, max_value=3), key=st.integers(0, 3))
def test_a_transparent_grey_is_black(write: Write, values: Array, key: int) -> None:
    data = png_of(values, 0, chunk(b"tRNS", struct.pack(">H", key)))
    assert_reads_as(write(data), np.where(values == key, 0, values))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_transparent_grey_is_found_whatever_the_depth(write: Write, depth: int) -> None:
    white = 2**depth - 1
    transparent = chunk(b"tRNS", struct.pack(">H", white))
    data = png(8 // depth, 2, depth, 0, bytes([0b11111111, 0]), transparent)
    assert_reads_as(write(data), np.zeros((2, 8 // depth)))


def test_a_transparent_grey_of_16_bits_does_not_count_as_the_largest(write: Write) -> None:
    values = np.array([[65535, 4095], [2048, 16]], np.uint16)
    data = png_of(values, 0, chunk(b"tRNS", struct.pack(">H", 65535)))
    assert_reads_as(write(data), np.array([[0, 255], [128, 1]]))


def test_a_transparent_colour_of_16_bits_is_black(write: Write) -> None:
    values = np.array([[[0, 1000, 2000], [3000, 4000, 5000]]] * 2, np.uint16)
    data = png_of(values, 2, chunk(b"tRNS", struct.pack(">3H", 3000, 4000, 5000)))
    assert_reads_as(write(data), grey_of(values >> 8) * [1, 0])


@examples
@given(cmyk=pixels(np.uint8, 4))
def test_inks_become_light_before_they_become_grey(write: Write, cmyk: Array) -> None:
    light = 255 - cmyk[..., 3:].astype(np.int64)
    rgb = light - over_black(cmyk[..., :3], light)
    assert_reads_as(write(tiff(cmyk, photometric=5)), grey_of(rgb))


@examples
@given(ycc=pixels(np.uint8, 3))
def test_luma_and_chroma_become_colours_before_they_become_grey(write: Write, ycc: Array) -> None:
    luma, blue, red = (ycc[..., band].astype(float) - (0, 128, 128)[band] for band in range(3))
    light = [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue]
    expected = grey_of(np.stack(light, 2).round().clip(0, 255))
    actual = np.asarray(read_grey(write(tiff(ycc, photometric=6)))).astype(int)
    # Pillow rounds each term of a sum, so a colour can be one off, and its grey with it.
    assert np.abs(actual - expected).max() <= 1


# More than 8 bits ---------------------------------------------------------------------------


@examples
@given(values=pixels(np.uint16))
def test_a_png_of_16_bits_keeps_the_upper_8_of_its_depth(write: Write, values: Array) -> None:
    assert_reads_as(write(png_of(values, 0)), upper_bits(values))


@pytest.mark.parametrize("order", ["<", ">"])
@examples
@given(values=pixels(np.uint16))
def test_a_tiff_of_16_bits_reads_alike_in_both_byte_orders(
    write: Write, order: str, values: Array
) -> None:
    assert_reads_as(write(tiff(values, order)), upper_bits(values))


@pytest.mark.parametrize("order", ["<", ">"])
@examples
@given(values=pixels(np.int32, min_value=0))
def test_a_tiff_of_32_bits_keeps_the_upper_8_of_its_depth(
    write: Write, order: str, values: Array
) -> None:
    assert_reads_as(write(tiff(values, order)), upper_bits(values))


@examples
@given(values=pixels(np.int16, min_value=0))
def test_signed_values_that_are_not_negative_read_as_unsigned_ones(
    write: Write, values: Array
) -> None:
    assert_reads_as(write(tiff(values)), upper_bits(values))


@pytest.mark.parametrize("largest", [4095, 60_000])
def test_one_hot_pixel_darkens_nothing(write: Write, largest: int) -> None:
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    expected = values >> 4
    values[0, 0], expected[0, 0] = largest, 255
    assert_reads_as(write(png_of(values, 0)), expected)


def test_more_bright_pixels_than_a_thousandth_are_a_part_of_the_picture(write: Write) -> None:
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    values[0, :5] = 65535  # of 4,096, four may be
    assert_reads_as(write(png_of(values, 0)), values >> 8)


def test_one_hot_pixel_among_shares_darkens_nothing(write: Write) -> None:
    values = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    expected = np.rint(values * 255)
    values[0, 0], expected[0, 0] = 3e38, 255
    assert_reads_as(write(tiff(values)), expected)


@examples
@given(values=pixels(np.uint16))
def test_version_1_of_the_greys_is_the_depth_of_the_largest_value(
    write: Write, values: Array
) -> None:
    hot = np.tile(values, (40, 40))
    hot[0, 0] = 40_000
    expected = hot >> (8 if hot.max() >= 2**15 else 0)
    actual = np.asarray(read_grey(write(png_of(hot, 0)), greys=1))
    np.testing.assert_array_equal(actual, expected)


def test_8_bits_are_the_same_in_every_version(write: Write) -> None:
    path = write(pattern("grey"))
    readings = [read_image(path, 24, greys=greys) for greys in GREYS]
    assert all((reading == readings[0]).all() for reading in readings)


def test_12_bits_in_a_file_of_16_use_the_whole_range(write: Write) -> None:
    values = np.array([[0, 15, 16], [2048, 4080, 4095]], np.uint16)
    assert_reads_as(write(png_of(values, 0)), np.array([[0, 0, 1], [128, 255, 255]]))


def test_8_bits_in_a_file_of_16_stay_as_they_are(write: Write) -> None:
    values = np.array([[0, 1], [2, 3]], np.uint16)
    assert_reads_as(write(png_of(values, 0)), values)


def test_a_tiff_of_16_bits_that_counts_from_white_is_turned_round(write: Write) -> None:
    values = np.array([[0, 16], [2048, 4095]], np.uint16)
    data = tiff(values, photometric=0)
    assert_reads_as(write(data), np.array([[255, 254], [127, 0]]))


def test_a_tiff_of_8_bits_that_counts_from_white_is_turned_round(write: Write) -> None:
    values = np.array([[0, 16], [128, 255]], np.uint8)
    assert_reads_as(write(tiff(values, photometric=0)), 255 - values)


@examples
@given(values=pixels(np.float32, min_value=0, max_value=1))
def test_floats_of_at_most_one_are_scaled(write: Write, values: Array) -> None:
    values[0, 0] = 1
    assert_reads_as(write(tiff(values)), np.rint(values * np.float32(255)))


@examples
@given(values=pixels(np.float32, min_value=0, allow_nan=False, allow_infinity=False))
def test_larger_floats_are_rounded_and_read_as_integers(write: Write, values: Array) -> None:
    values[0, 0] = max(values[0, 0], np.float32(1.5))
    assert_reads_as(write(tiff(values)), upper_bits(np.rint(values)))


# Upright ------------------------------------------------------------------------------------

UPRIGHT = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
# How an upright image is stored under each orientation, straight from EXIF's table of which
# side of the scene the first row and the first column show.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: UPRIGHT.T[::-1],
    7: UPRIGHT[::-1, ::-1].T,
    8: UPRIGHT.T[:, ::-1],
}


def exif(orientation: int) -> bytes:
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


@pytest.mark.parametrize("orientation", STORED)
def test_a_png_is_upright(write: Write, orientation: int) -> None:
    data = png_of(STORED[orientation], 0, chunk(b"eXIf", exif(orientation)))
    assert_reads_as(write(data), UPRIGHT)


@pytest.mark.parametrize("orientation", STORED)
def test_a_tiff_is_upright(write: Write, orientation: int) -> None:
    assert_reads_as(write(tiff(STORED[orientation], tag274=orientation)), UPRIGHT)


@pytest.mark.parametrize("orientation", STORED)
def test_a_tiff_of_16_bits_is_upright(write: Write, orientation: int) -> None:
    stored = STORED[orientation].astype(np.uint16)
    assert_reads_as(write(tiff(stored, ">", tag274=orientation)), UPRIGHT)


@pytest.mark.parametrize("orientation", STORED)
def test_a_jpeg_is_upright(write: Write, orientation: int) -> None:
    flat = np.kron(STORED[orientation], np.ones((16, 16), np.uint8))
    tag = b"Exif\0\0" + exif(orientation)
    path = write(saved(Image.fromarray(flat), "JPEG", quality=100, subsampling=0, exif=tag))
    assert_reads_as(path, np.kron(UPRIGHT, np.ones((16, 16), np.uint8)))


def test_nothing_is_left_that_could_turn_an_image_twice(write: Write) -> None:
    grey = read_grey(write(png_of(STORED[6], 0, chunk(b"eXIf", exif(6)))))
    assert not grey.getexif()


def test_an_exif_block_that_cannot_be_read_turns_nothing(write: Write) -> None:
    assert_reads_as(write(png_of(UPRIGHT, 0, chunk(b"eXIf", b"none at all"))), UPRIGHT)


@pytest.mark.parametrize("form", ["GIF", "TIFF", "PNG"])
def test_the_first_of_several_frames_is_read(write: Write, form: str) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    data = saved(frames[0], form, save_all=True, append_images=frames[1:])
    assert_reads_as(write(data), np.full((4, 4), 10))


# Resizing -----------------------------------------------------------------------------------


def triangles(length: int, size: int) -> npt.NDArray[np.float64]:
    """Weights `[size, length]`: a triangle around each new pixel's centre, never narrower than
    the old pixels' distance, so that what shrinks is averaged."""
    step = length / size
    reach = max(step, 1.0)
    centres = (np.arange(size) + 0.5) * step
    places = np.arange(length) + 0.5
    weights = np.maximum(0.0, 1 - np.abs(places - centres[:, None]) / reach)
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float64)


@examples
@given(
    values=arrays.arrays(np.uint8, st.tuples(st.integers(2, 40), st.integers(2, 40))),
    size=st.integers(1, 50),
)
def test_resizing_is_a_triangle_filter(values: Array, size: int) -> None:
    height, width = values.shape
    expected = triangles(height, size) @ values @ triangles(width, size).T
    actual = resize(Image.fromarray(values), size)
    # Pillow rounds to whole greys after each of its two passes: half a grey each, and a little
    # for its weights of 22 bits.
    assert np.abs(actual - expected).max() <= 1.001


@examples
@given(values=arrays.arrays(np.uint8, st.integers(2, 20).map(lambda side: (side, side))))
def test_an_image_of_the_right_size_is_left_as_it_is(write: Write, values: Array) -> None:
    actual = read_image(write(png_of(values, 0)), len(values))
    np.testing.assert_array_equal(actual, values)


def test_the_array_is_uint8_and_the_caller_s_own(write: Write) -> None:
    actual = read_image(write(png_of(UPRIGHT, 0)), 5)
    assert (actual.dtype.name, actual.shape, actual.flags.writeable) == ("uint8", (5, 5), True)


# Bit for bit --------------------------------------------------------------------------------

# A change here is a change of every network's input: raise PREPROCESSING_VERSION.
GOLDEN = {
    ("grey", 24): "9bad9156eeab0e01",
    ("grey", 96): "1b978c22d90389b3",
    ("grey", 160): "f498245267ca7e18",
    ("colour", 24): "9004b2b143bd9667",
    ("alpha", 33): "bbd24f807312627b",
    ("12 bits", 24): "ec9bb42889dda4d9",
}
JPEG = """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdB
RkxOUlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P
T09PT09PT09PT09PT0//wAARCABAAFADASIAAhEBAxEB/8QAGgAAAwEBAQEAAAAAAAAAAAAAAwQFAgEGAP/EACEQAAICAQUB
AQEBAAAAAAAAAAABAgMRBBIhMUETYSJR/8QAGAEAAwEBAAAAAAAAAAAAAAAAAwQFBgL/xAAeEQABBAIDAQAAAAAAAAAAAAAA
AQIDEQQTEiExQf/aAAwDAQACEQMRAD8Ahy0+F0cshtKVlXArqIYybBz7LOXUadEmTwHXIvOLyNVReQM1US0ylV1A407hl6b8
N0VlD5cEjIkpS7E1HttSBOnb4cmsD+or4YnfF5FnOsUzJNfgjkajDcKKLyUqIMUyKRAEOQr3Up6CzoXvg2FcshXDd4ah68QW
RkbUpCBOl5Ga6mmOPTt+Bvg14LzTJXolpVHWJ0xwPeCuNodzJc/ZUZloxKEr1kWuqbY4/wCgjpz4KvfxA5L9vhBVLyUKa2gj
07/wP89vgnPLf0HGxY1sNHso1Qz4J118lWiH4a7JdSekjFlVypYBU8dG7asLoajFYNXRWCTLIt+l6TjwPO3LHhlvkZ1EOXwC
cOejh7uvSBlTKjugFaz4U66sroTphz0V6YrBMyn19KeG/lVk+VHHRi6vHhRlFYF9TBck10i36PZaojegsaMPofrgoh5afHh9
OG02csnIznHT2LJpIJZhoXlLAZciEqKFdnX0T7atxx6fkejVuGXpkJyyqhy+LZ2RIVYH4YR2dO05PgRmcrguzSClJYM2xTB7
hqMdwhLaHb8vZ0f/2Q==
"""
JPEG_GOLDEN = {8: "8932bfd88e64dde2", 32: "6c1c5a4156a98fc2", 64: "aa5b8812074e1c0a"}


def pattern(kind: str) -> bytes:
    """96 x 80 pixels of whole-number arithmetic: ramps, edges, and detail as fine as pixels."""
    row, column = np.mgrid[:80, :96].astype(np.int64)
    bands = [row * 3 + column, (row * column) // 7, (row ^ column) * 5, 255 - (row // 9) * 16]
    values = np.stack(bands, 2) % 256
    if kind == "12 bits":
        return png_of((values[..., 2] * 16 + values[..., 0] // 16).astype(np.uint16), 0)
    channels, form = {"grey": (1, 0), "colour": (3, 2), "alpha": (4, 6)}[kind]
    return png_of(values[..., :channels].astype(np.uint8), form)


def fingerprint(values: Array) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(("kind", "size"), GOLDEN)
def test_no_pixel_moves(write: Write, kind: str, size: int) -> None:
    assert fingerprint(read_image(write(pattern(kind)), size)) == GOLDEN[kind, size]


@pytest.mark.parametrize("size", JPEG_GOLDEN)
def test_no_pixel_of_a_jpeg_moves(write: Write, size: int) -> None:
    assert fingerprint(read_image(write(base64.b64decode(JPEG)), size)) == JPEG_GOLDEN[size]


# Refusals -----------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, 8)
    return str(caught.value)


def assert_refused(path: Path, why: str) -> None:
    message = refusal(path)
    assert re.fullmatch(re.escape(f"{path}: ") + why + r"\.", message), message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "missing.png", "there is no such file")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path, "is a folder, not an image")


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert_refused(tmp_path / "pipe", "is a device or a pipe, not a file")


def test_a_file_that_may_not_be_read_is_refused(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(png_of(UPRIGHT, 0))

    def forbidden(*_: object) -> None:  # root may read what chmod forbids, so chmod won't do
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    assert_refused(path, "you have no permission to read it")


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / ("x" * 300), r"cannot be opened \(File name too long\)")


def test_an_empty_file_is_refused(write: Write) -> None:
    assert_refused(write(b""), r"is empty \(0 bytes\)")


UNKNOWN = "is not an image of a known format, or its beginning is damaged"


@pytest.mark.parametrize("content", [b"path,label\n", b"%PDF-1.7\n", b"\0" * 200, b"\x89PNG"])
def test_what_is_no_image_is_refused(write: Write, content: bytes) -> None:
    assert_refused(write(content), UNKNOWN)


def test_nothing_is_drawn_by_external_programs(write: Write) -> None:
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    assert_refused(write(drawing), UNKNOWN)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "PPM"])
def test_a_file_cut_short_is_refused(write: Write, form: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    data = saved(Image.fromarray(noise), form)
    assert_refused(write(data[: len(data) * 2 // 3]), r"is damaged or cut short \(.+\)")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_tiff_without_its_last_strips_is_refused(write: Write, kind: type) -> None:
    half = tiff(np.full((20, 20), 99, kind), tag257=40, tag278=20)
    assert_refused(write(half), r"is damaged or cut short \(it has too few strips for its size\)")


def test_a_tiff_in_strips_and_planes_is_read_whole(write: Write) -> None:
    values = np.arange(3 * 6 * 4, dtype=np.uint8).reshape(6, 4, 3)
    for options in ({}, {"tiffinfo": {278: 2}}, {"compression": "tiff_lzw"}):
        content = saved(Image.fromarray(values), "TIFF", **options)
        assert_reads_as(write(content), grey_of(values))


@pytest.mark.parametrize(("width", "height"), [(1, 5), (5, 1), (1, 1)])
def test_one_pixel_wide_or_high_is_refused(write: Write, width: int, height: int) -> None:
    path = write(png_of(np.zeros((height, width), np.uint8), 0))
    assert_refused(path, f"is {width} x {height} pixels, too small for an image")


def test_no_pixels_at_all_are_refused(write: Write) -> None:
    assert_refused(write(png(0, 0, 8, 0, b"")), UNKNOWN)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_negative_values_are_refused(write: Write, dtype: Any) -> None:
    path = write(tiff(np.array([[-1, 2], [3, 4]], dtype)))
    assert_refused(path, "has negative values, which no grey stands for")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_that_are_not_finite_are_refused(write: Write, value: float) -> None:
    path = write(tiff(np.array([[1, 2], [value, 3]], np.float32)))
    assert_refused(path, "has values that are not finite numbers")


def test_a_colour_mode_without_grey_is_refused(write: Write) -> None:
    path = write(tiff(np.zeros((3, 3, 3), np.uint8), photometric=8))
    assert_refused(path, "has the colour mode LAB, which cannot be made grey")


def test_a_refusal_is_one_line_whatever_the_name(tmp_path: Path) -> None:
    assert "\n" not in refusal(tmp_path / "two\nlines.png")


def test_no_file_stays_open(write: Write) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    sound = [saved(Image.fromarray(noise), form) for form in ("PNG", "JPEG", "GIF", "WEBP")]
    sound.append(saved(Image.fromarray(noise), "TIFF", compression="tiff_lzw"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged metadata
        # Python warns of a file that it had to close itself; as an error, pytest reports it.
        warnings.simplefilter("error", ResourceWarning)
        opened = len(os.listdir("/proc/self/fd"))
        for data in sound:
            read_grey(write(data))
            refusal(write(data[:10]))
            refusal(write(data[:150] + b"\xff" * 40 + data[190:400]))
        assert len(os.listdir("/proc/self/fd")) == opened


# Bombs --------------------------------------------------------------------------------------


def gif_bomb(screen_side: int) -> bytes:
    """Its first frame is to be wiped out afterwards, for which Pillow makes room on opening."""
    screen = struct.pack("<HHBBB", screen_side, screen_side, 0x80, 0, 0) + bytes(6)
    wipe = b"!\xf9\x04" + bytes([2 << 2, 0, 0, 0]) + b"\0"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0) + b"\x02\x02\x44\x01\0;"
    return b"GIF89a" + screen + wipe + frame


def icon_bomb() -> bytes:
    """An icon of 16 x 16 pixels by its own account, and a PNG inside it that is not."""
    inside = png(60000, 60000, 8, 0, b"")
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22) + inside


BOMBS = {
    "png": png(60000, 60000, 8, 0, b""),
    "tiff": tiff(UPRIGHT, tag256=60000, tag257=60000, tag278=60000),
    "gif": gif_bomb(60000),
    "gif with a frame larger than its screen": gif_bomb(9),
    "little over the limit": png(MAX_PIXELS // 10_000 + 1, 10_000, 8, 0, b""),
}
TOO_LARGE = "is larger than 200 megapixels, the most read"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BOMBS)
def test_more_than_200_megapixels_are_refused(write: Write, name: str) -> None:
    assert_refused(write(BOMBS[name]), TOO_LARGE)


def test_a_bomb_within_an_icon_is_never_opened(write: Write) -> None:
    assert_refused(write(icon_bomb()), UNKNOWN)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_before_they_take_time(write: Write) -> None:
    paths = [write(bomb) for bomb in [*BOMBS.values(), icon_bomb()]]
    image_endings()  # imports Pillow's readers, which takes its own time
    start = time.perf_counter()
    for path in paths:
        refusal(path)
    assert time.perf_counter() - start < 0.5


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_before_they_take_memory(write: Write) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for bomb in [*BOMBS.values(), icon_bomb()]:
        refusal(write(bomb))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 50_000  # kilobytes, on Linux; the smallest bomb is 200,000


def test_a_bomb_is_one_too_where_warnings_are_errors(write: Write) -> None:
    path = write(BOMBS["little over the limit"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_refused(path, TOO_LARGE)


@pytest.mark.parametrize("megapixels", [100, 200])
def test_up_to_200_megapixels_are_not_warned_of(
    write: Write, recwarn: pytest.WarningsRecorder, megapixels: int
) -> None:
    refusal(write(png(megapixels * 100, 10_000, 8, 0, b"")))  # there is nothing in it
    assert not recwarn.list


def test_200_megapixels_are_decoded(write: Write) -> None:
    path = write(png(MAX_PIXELS // 10_000, 10_000, 8, 0, b""))  # only to find nothing in it
    assert_refused(path, r"is damaged or cut short \(.+\)")


# Damage, threads, names ---------------------------------------------------------------------


def damaged(data: bytes, chance: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        # Half of all damage goes to the first bytes, where the readers' decisions are made.
        place = chance.randrange(len(broken) if chance.random() < 0.5 else min(64, len(broken)))
        match chance.randrange(4):
            case 0:
                broken[place] ^= 1 << chance.randrange(8)
            case 1:
                broken[place:place] = chance.randbytes(chance.randint(1, 8))
            case 2:
                broken[place] = chance.choice([0, 127, 128, 255])
            case _:
                del broken[place + 2 :]
    return bytes(broken)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "TIFF", "LZW", "BMP", "WEBP", "PPM"])
def test_a_damaged_file_is_an_image_or_a_refusal(write: Write, form: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    options = {"compression": "tiff_lzw"} if form == "LZW" else {}
    sound = saved(Image.fromarray(noise), {"LZW": "TIFF"}.get(form, form), **options)
    chance = random.Random(form)
    for _ in range(40):
        path = write(damaged(sound, chance))
        try:
            actual = read_image(path, 8)
        except ImageError as error:
            message = str(error)
            assert message.startswith(f"{path}: ") and "\n" not in message
        else:
            assert (actual.dtype.name, actual.shape) == ("uint8", (8, 8))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "TIFF", "LZW", "BMP", "WEBP", "PPM"])
def test_no_part_of_an_image_passes_for_the_whole(write: Write, form: str) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    options = {"compression": "tiff_lzw"} if form == "LZW" else {}
    data = saved(Image.fromarray(noise), {"LZW": "TIFF"}.get(form, form), **options)
    whole = np.asarray(read_grey(write(data)))
    for length in [*range(1, len(data), 41), *range(len(data) - 20, len(data))]:
        path = write(data[:length])
        try:
            actual = np.asarray(read_grey(path))
        except ImageError:
            continue
        np.testing.assert_array_equal(actual, whole)


def test_four_threads_read_what_one_reads(tmp_path: Path) -> None:
    paths = []
    for place, form in enumerate(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"] * 6):
        values = np.random.default_rng(place).integers(0, 256, (90, 70, 3), dtype=np.uint8)
        paths.append(tmp_path / str(place))
        paths[-1].write_bytes(saved(Image.fromarray(values), form))
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda path: read_image(path, 50), paths))
    for path, actual in zip(paths, together, strict=True):
        np.testing.assert_array_equal(actual, read_image(path, 50))


def test_the_endings_of_common_images_are_known() -> None:
    common = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm"}
    assert common <= image_endings()


def test_endings_that_nothing_here_reads_are_left_out() -> None:
    unread = {".pdf", ".mpg", ".mpeg", ".eps", ".ps", ".wmf", ".emf", ".hdf", ".h5", ".ico"}
    assert not image_endings() & (unread | {".grib", ".bufr", ".fit", ".fits", ""})


def test_endings_are_lower_case_and_begin_with_a_dot() -> None:
    assert all(ending == ending.lower() and ending[0] == "." for ending in image_endings())


def test_a_header_is_read_without_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.effect_noise((300, 200), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:100])  # nothing of the picture is left
    assert read_header(path) == Header("PNG", "RGB", 300, 200)


def test_a_header_that_cannot_be_read_is_our_error(write: Write) -> None:
    with pytest.raises(ImageError, match="is not an image"):
        read_header(write(b"a letter to the editor"))


# Colours ------------------------------------------------------------------------------------


def share_coloured(path: Path, image: Image.Image) -> float:
    image.save(path)
    return read_picture(path).coloured


def test_the_share_of_an_image_that_is_coloured_is_known(tmp_path: Path) -> None:
    image = Image.new("RGB", (128, 128), (90, 90, 90))
    image.paste((200, 90, 90), (0, 0, 128, 32))
    assert share_coloured(tmp_path / "a.png", image) == 0.25
    assert share_coloured(tmp_path / "b.png", image.quantize(8)) == 0.25


def test_a_tint_is_no_colour(tmp_path: Path) -> None:
    assert share_coloured(tmp_path / "a.png", Image.new("RGB", (9, 9), (120, 130, 140))) == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grey_files_have_no_colour(tmp_path: Path, mode: str) -> None:
    assert share_coloured(tmp_path / "a.png", Image.new(mode, (9, 9))) == 0


def test_a_colour_that_is_transparent_does_not_count(tmp_path: Path) -> None:
    image = Image.new("RGBA", (128, 128), (255, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 64, 128))
    assert share_coloured(tmp_path / "a.png", image) == 0.5


def test_inks_have_a_colour(tmp_path: Path) -> None:
    assert share_coloured(tmp_path / "a.jpg", Image.new("CMYK", (64, 64), (0, 255, 255, 0))) == 1
