"""An image file to a uint8 grey array: THE preprocessing, of training and prediction alike.

Training, evaluation, calibration and prediction all read their images here, so that a network
meets the pixels that it learnt from. A change that may move a pixel raises
PREPROCESSING_VERSION, which is a part of every cache's key and stands in every card as `greys`:
files exported before go on being given the pixels of their own version.

1: more than 8 bits by the depth that holds the largest value, DICOM from the smallest value to
the largest. 2: a few values may lie beyond white and black, and DICOM's window decides.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from covid.edge import dicom
from covid.edge.greys import TOO_BRIGHT, depth
from covid.errors import ImageError

MAX_PIXELS = 200_000_000
PREPROCESSING_VERSION = 2
GREYS = (1, 2)  # the versions that can be read

# Pillow warns of files with more pixels than this when it opens them, and refuses those with
# more than twice as many, before it takes any memory for them (a GIF can need it before its
# size can be asked). This holds for the whole process, whoever else uses Pillow in it. Files
# between once and twice this size are refused below, after Pillow's warning.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# Formats that Pillow lists and this module does not read: those that it only recognises, or has
# drawn by an external program (whatever the file's name says), and wrappers around another
# image whose true size shows only while it is decoded (icons, textures, press archives).
UNREAD_FORMATS = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}
UNREAD_FORMATS |= {"BLP", "CUR", "FPX", "ICNS", "ICO", "IPTC", "MIC"}

# What a damaged file can make Pillow raise. Its readers parse foreign bytes without checks of
# their own, so that a damaged file can show as any of Python's exceptions.
# Warnings are among them for those who run Python with -W error.
DECODING_ERRORS: tuple[type[Exception], ...] = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError, AssertionError,
    LookupError, ArithmeticError, BufferError, MemoryError, RuntimeError, Warning,
    struct.error, zlib.error,
)  # fmt: skip

TRANSPOSED = {  # EXIF orientation: how the stored pixels become upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PREMULTIPLIED = {"La": "L", "RGBa": "RGB"}  # colours already multiplied by their alpha
VIA_RGB = ("CMYK", "HSV", "YCbCr")
DIRECTLY = ("1", "L", "P", "RGB", "RGBX")  # by Pillow's own conversion to "L"
GREY_MODES = ("1", "L", "LA", "La", "F")  # and those of integers, which begin with "I"
# Places a side at which colours are looked at, and levels between the largest and the smallest of
# red, green and blue from which on a place is coloured: tinted radiographs have 5, and JPEG's
# colours, rounded, a few.
COLOUR_PLACES = 64
COLOURED = 32


class Picture(NamedTuple):
    """An image's greys, and what is lost with its colours."""

    grey: Image.Image  # mode "L", of its own size, upright
    coloured: float  # share of its area, 0..1, that is no grey


class Header(NamedTuple):
    """What a file says of itself before its picture."""

    format: str  # Pillow's name: "PNG", "JPEG", ...
    mode: str  # Pillow's colour mode: "L", "RGB", "I;16", ...
    width: int  # as stored, whatever EXIF says of turning it
    height: int


def read_image(
    path: Path, size: int, *, greys: int = PREPROCESSING_VERSION
) -> npt.NDArray[np.uint8]:
    """The file's first frame as uint8 `[size, size]`, 0 black to 255 white.

    Upright, grey (see `read_grey`), resized without regard to its aspect ratio. The array is
    the caller's own and can be written to. Raises ImageError, as `read_grey` does.
    """
    return resize(read_grey(path, greys=greys), size)


def read_grey(path: Path, *, greys: int = PREPROCESSING_VERSION) -> Image.Image:
    """The file's first frame as a mode "L" image of its own size, upright as EXIF has it.

    Colours become 0.299 R + 0.587 G + 0.114 B. What is transparent lies over black. More than
    8 bits are cut to their upper 8, of the smallest depth that holds the image's 99.9th
    percentile (what is brighter becomes white): radiographs of 12 bits often come in files of
    16. (Colours of 16 bits keep their upper 8.) Floats of which as many are at most 1 are scaled
    by 255, others are rounded and then treated as integers are. DICOM files, known by their
    content and not by name, become grey as `read_dicom` says. `greys` is one of GREYS, the
    version of all this: in version 1 it is the depth of the largest value.

    Raises ImageError, one sentence that names the file, where there is no file to read, it is
    no image or a damaged one, it is less than 2 pixels wide or high, has more than MAX_PIXELS
    (refused before anything is decoded), or values that no grey can be made of.
    """
    return read_picture(path, greys=greys).grey


def read_picture(path: Path, *, greys: int = PREPROCESSING_VERSION) -> Picture:
    """As `read_grey`, with the share of the area that has a colour; DICOM files have none."""
    with _opened(path) as file:
        if dicom.is_dicom(file):
            return Picture(dicom.read_dicom(path, file, _check_size, greys), 0.0)
        with Image.open(file, formats=_readable_formats()) as image:
            _check_size(path, *image.size)
            _check_strips(image)
            _scale_transparent_key(image)
            image.load()
            return Picture(_upright(_to_grey(path, image, greys), image), _coloured(image))


def read_header(path: Path) -> Header:
    """The file's format, colour mode and size, without decoding its picture.

    DICOM's mode is "L", what `read_grey` makes of it. Raises ImageError, as `read_grey` does, for
    what shows without decoding.
    """
    with _opened(path) as file:
        if dicom.is_dicom(file):
            return Header("DICOM", "L", *dicom.read_dicom_size(path, file, _check_size))
        with Image.open(file, formats=_readable_formats()) as image:
            _check_size(path, *image.size)
            return Header(image.format or "", image.mode, *image.size)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, open; whatever goes wrong with it inside becomes an ImageError."""
    with _open_file(path) as file:
        try:
            yield file
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{path}: is not an image of a known format, or its beginning is damaged."
            ) from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            most = MAX_PIXELS // 1_000_000
            raise ImageError(f"{path}: is larger than {most} megapixels, the most read.") from error
        except MemoryError as error:
            raise ImageError(f"{path}: needs more memory than there is, or is damaged.") from error
        except DECODING_ERRORS as error:
            reason = str(error).strip(" .")[:200] or type(error).__name__
            raise ImageError(f"{path}: is damaged or cut short ({reason}).") from error


def resize(grey: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """A mode "L" image as uint8 `[size, size]`: bilinear, with antialiasing where it shrinks."""
    return np.array(grey.resize((size, size), Image.Resampling.BILINEAR))


@cache
def image_endings() -> frozenset[str]:
    """Lower-case endings (".png", ...) of the formats that `read_image` reads.

    DICOM's are among them where pydicom is missing too: those files are refused, not passed by.
    """
    formats = {*_readable_formats(), "MPO"}  # MPO is opened as the JPEG that it begins with
    endings = Image.registered_extensions()
    return frozenset(ending for ending, name in endings.items() if name in formats).union(
        dicom.ENDINGS
    )


@cache
def _readable_formats() -> tuple[str, ...]:
    Image.init()  # else the list holds only the formats used so far
    return tuple(name for name in Image.ID if name not in UNREAD_FORMATS)


def _open_file(path: Path) -> BinaryIO:
    # Pillow is given an open file, not a name: by name it would map some formats into memory,
    # and a file that shrinks meanwhile would kill the process.
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{path}: is a folder, not an image.")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe could wait forever
            raise ImageError(f"{path}: is a device or a pipe, not a file.")
        if status.st_size == 0:
            raise ImageError(f"{path}: is empty (0 bytes).")
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file.") from error
    except PermissionError as error:
        raise ImageError(f"{path}: you have no permission to read it.") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: cannot be opened ({reason}).") from error


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if min(width, height) < 2:
        raise ImageError(f"{path}: is {width} x {height} pixels, too small for an image.")


def _check_strips(image: Any) -> None:
    # Where an uncompressed TIFF has fewer strips than its height asks for, Pillow leaves the
    # rest of the picture black and says nothing.
    if image.format != "TIFF" or any(tile.codec_name != "raw" for tile in image.tile):
        return
    width, height = image.tag_v2[256], image.tag_v2[257]  # as stored, before it is turned upright
    covered = 0
    for left, top, right, bottom in (tile.extents for tile in image.tile):
        covered += (min(right, width) - left) * (min(bottom, height) - top)
    if covered < width * height:
        raise ValueError("it has too few strips for its size")


def _scale_transparent_key(image: Any) -> None:
    # A PNG names its transparent colour in the file's bit depth; Pillow decodes to 8 bits and
    # leaves the name as it was.
    key = image.info.get("transparency")
    stored_as = image.tile[0].args if image.format == "PNG" and image.tile else None
    if stored_as in ("L;2", "L;4"):
        if isinstance(key, int):
            image.info["transparency"] = key * (85 if stored_as == "L;2" else 17)
    elif stored_as == "RGB;16B" and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _to_grey(path: Path, image: Image.Image, greys: int) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _to_8_bits(path, image, TOO_BRIGHT[greys])
    if image.mode in PREMULTIPLIED:
        image = Image.merge(PREMULTIPLIED[image.mode], image.split()[:-1])
    elif image.has_transparency_data:
        coloured = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", image.size)
        image.paste(coloured, mask=coloured)
    elif image.mode in VIA_RGB:
        image = image.convert("RGB")
    if image.mode not in DIRECTLY:
        raise ImageError(f"{path}: has the colour mode {image.mode}, which cannot be made grey.")
    return image.convert("L")


def _coloured(image: Image.Image) -> float:
    """The share of an image's area that is no grey, as it lies over black."""
    if image.mode in GREY_MODES or image.mode.startswith("I"):
        return 0.0
    # Places here and there are enough for a share, and take no time on large images.
    few = image.resize((COLOUR_PLACES, COLOUR_PLACES), Image.Resampling.NEAREST)
    alpha: npt.NDArray[np.float64] = np.ones(1)
    if few.mode in PREMULTIPLIED:
        few = Image.merge(PREMULTIPLIED[few.mode], few.split()[:-1])
    elif few.has_transparency_data:
        few = few.convert("RGBA")
        alpha = np.asarray(few.getchannel("A")) / 255
    channels = np.asarray(few.convert("RGB"))
    spread = (channels.max(axis=2) - channels.min(axis=2)) * alpha
    return float((spread > COLOURED).mean())


def _to_8_bits(path: Path, image: Image.Image, too_bright: float) -> Image.Image:
    values: npt.NDArray[Any] = np.asarray(image)
    smallest, largest = values.min(), values.max()
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        raise ImageError(f"{path}: has values that are not finite numbers.")
    if smallest < 0:
        raise ImageError(f"{path}: has negative values, which no grey stands for.")
    key = image.info.get("transparency")  # the value that is transparent, in a PNG of 16 bits
    if isinstance(key, int):
        values = np.where(values == key, 0, values)
    if image.mode == "F":
        shares = np.count_nonzero(values > 1) <= int(values.size * too_bright)
        values = np.rint(np.minimum(values, 1) * 255 if shares else values)
    surplus = depth(values, too_bright) - 8
    values = np.ldexp(values, -surplus) if image.mode == "F" else values >> surplus
    grey = np.minimum(values, 255).astype(np.uint8)
    # TIFF can count from white to black; Pillow turns that round for 8 bits, but not for more.
    photometric = getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation)
    return Image.fromarray(255 - grey if photometric == 0 else grey)


def _upright(grey: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except DECODING_ERRORS:  # what cannot be read turns nothing: the pixels are sound
        orientation = None
    # Nothing of the file's metadata goes along, so that nobody turns the image a second time.
    grey.info.clear()
    return grey.transpose(TRANSPOSED[orientation]) if orientation in TRANSPOSED else grey
