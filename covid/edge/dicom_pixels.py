"""A DICOM file's first frame to its stored values, whichever package it takes to decompress it."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from covid.errors import ImageError

# What decodes a compression that pydicom and Pillow do not, of packages under permissive licences:
# pylibjpeg and pylibjpeg-openjpeg (MIT), pyjpegls (MIT), python-gdcm (BSD, Apache 2.0). RLE needs
# none, pylibjpeg-rle (MIT) only makes it faster; pylibjpeg-libjpeg (GPL) is not named.
PACKAGES = {
    "JPEG2000": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG2000Lossless": "pylibjpeg pylibjpeg-openjpeg",
    "HTJ2K": "pylibjpeg pylibjpeg-openjpeg",
    "HTJ2KLossless": "pylibjpeg pylibjpeg-openjpeg",
    "HTJ2KLosslessRPCL": "pylibjpeg pylibjpeg-openjpeg",
    "JPEGLSLossless": "pyjpegls",
    "JPEGLSNearLossless": "pyjpegls",
    "JPEGLossless": "python-gdcm",
    "JPEGLosslessSV1": "python-gdcm",
}  # by pydicom's keywords of transfer syntaxes


def decode(path: Path, file: BinaryIO, syntax: Any, header: Any) -> npt.NDArray[Any]:
    """The first frame's stored values `[rows, columns]`, or `[rows, columns, 3]` of colours.

    Integers of the header's sign. A JPEG 2000 stream has a precision and a sign of its own,
    which the header may contradict: then its bits are what the header says that they are, but
    for the sign bit where the stream has fewer bits than the header stores (it lacks that one).
    Raises ImageError where it takes a package that is not there.
    """
    from pydicom.pixels import pixel_array
    from pydicom.uid import JPEG2000, JPEG2000Lossless

    require_decoder(path, syntax, header)
    file.seek(0)
    if syntax not in (JPEG2000, JPEG2000Lossless):
        return np.asarray(pixel_array(file, index=0))
    precision, signed = _stream_of(file)
    is_signed = header.get("PixelRepresentation") == 1
    if signed and not is_signed:
        return _unsigned(file, syntax, precision)
    values = np.asarray(pixel_array(file, index=0))
    if is_signed and not signed and precision < header.BitsStored:
        values &= 2**precision - 1  # pydicom took the stream's highest bit for a sign
    return values


def require_decoder(path: Path, syntax: Any, header: Any) -> None:
    """Raises ImageError unless what is installed decompresses this."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEGExtended12Bit

    if syntax is None:
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise ImageError(
            f"{path}: is compressed ({syntax.name}) in a way that is not read; convert it, for "
            f"example with gdcmconv --raw."
        ) from None
    # Pillow's and GDCM's claims are for 8 of its 12 bits.
    if syntax == JPEGExtended12Bit and header.get("BitsStored") != 8:
        if "pylibjpeg" not in decoder.available_plugins:
            raise ImageError(
                f"{path}: is compressed ({syntax.name}) in a way that is not read; convert it, "
                f"for example with dcmdjpeg of DCMTK."
            )
    elif not decoder.is_available:
        package = PACKAGES.get(syntax.keyword, "python-gdcm")
        raise ImageError(
            f"{path}: is compressed ({syntax.name}) in a way that needs one more package: "
            f"pip install {package}."
        )


def _stream_of(file: BinaryIO) -> tuple[int, bool]:
    """Precision in bits of the first JPEG 2000 stream, and whether it is signed."""
    import pydicom
    from pydicom.pixels.utils import get_j2k_parameters

    dataset = pydicom.dcmread(file)
    frames = int(dataset.get("NumberOfFrames") or 1)
    stream = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=frames)
    file.seek(0)
    parameters = get_j2k_parameters(stream)
    if not parameters:
        raise ValueError("its JPEG 2000 stream has no beginning")
    return parameters["precision"], parameters["is_signed"]


def _unsigned(file: BinaryIO, syntax: Any, precision: int) -> npt.NDArray[Any]:
    """A signed stream's bits as unsigned values."""
    from pydicom.pixels import get_decoder, pixel_array

    if "pillow" not in get_decoder(syntax).available_plugins:
        return np.asarray(pixel_array(file, index=0))
    # Pillow alone adds half the range to make values positive, which turns the highest bit over.
    values = np.asarray(pixel_array(file, index=0, decoding_plugin="pillow"))
    flipped: npt.NDArray[Any] = values ^ values.dtype.type(2 ** (precision - 1))
    return flipped
