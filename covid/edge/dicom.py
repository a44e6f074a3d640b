"""DICOM files, where pydicom is installed: what a radiograph is before it becomes a PNG."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from covid.edge.dicom_greys import to_grey, to_grey_of_version_1
from covid.edge.dicom_pixels import decode, require_decoder
from covid.errors import ImageError

ENDINGS = (".dcm", ".dicom")
MARK, MARK_PLACE = b"DICM", 128
GREYS = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def is_dicom(file: BinaryIO) -> bool:
    """Whether DICOM's mark stands behind its preamble; leaves `file` at its beginning."""
    file.seek(MARK_PLACE)
    mark = file.read(len(MARK))
    file.seek(0)
    return mark == MARK


def read_dicom(
    path: Path, file: BinaryIO, check_size: Callable[[Path, int, int], None], greys: int
) -> Image.Image:
    """The first frame as a mode "L" image.

    Stored values become grey as their header says (`dicom_greys.to_grey`); colours of 8 bits
    become their luma. `check_size(path, width, height)` is asked before pixels are decoded.
    `greys` is the version of the preprocessing: 1 stretches what a viewer shows from its
    smallest to its largest value, and takes JPEG 2000 for what pydicom makes of it.

    Raises ImageError where pydicom is missing, where there are no pixels or they are stored in
    a way that is not read; damage may raise any of Python's exceptions.
    """
    with pydicom_at_hand(path):
        syntax, header = _read_header(path, file, check_size)
        kind = header.get("PhotometricInterpretation")
        if kind not in GREYS and not (kind in COLOURS and header.get("BitsAllocated") == 8):
            raise ImageError(
                f"{path}: has the colours {kind} of {header.get('BitsAllocated')} bits; "
                f"grey and colours of 8 bits are read."
            )
        if greys == 1:
            from pydicom.pixels import pixel_array

            require_decoder(path, syntax, header)
            file.seek(0)
            values = pixel_array(file, index=0)
        else:
            values = decode(path, file, syntax, header)
        if kind in COLOURS:
            return Image.fromarray(np.asarray(values, dtype=np.uint8)).convert("L")
        convert = to_grey_of_version_1 if greys == 1 else to_grey
        return Image.fromarray(convert(path, values, header))


def read_dicom_size(
    path: Path, file: BinaryIO, check_size: Callable[[Path, int, int], None]
) -> tuple[int, int]:
    """Width and height as the header has them; its pixels are neither read nor decoded.

    So a file whose pixels are damaged, or stored in a way that is not read, has a size too.
    Raises what `read_dicom` raises before it decodes.
    """
    with pydicom_at_hand(path):
        _, header = _read_header(path, file, check_size)
        return int(header.Columns), int(header.Rows)


@contextmanager
def pydicom_at_hand(path: Path) -> Iterator[None]:
    """Raises ImageError where pydicom is missing; turns its own errors into ValueError."""
    try:
        import pydicom
    except ModuleNotFoundError:
        raise ImageError(
            f"{path}: is a DICOM file; to read those, `pip install '.[dicom]'` in the project's "
            f"folder, or pip install pydicom."
        ) from None
    # pydicom warns of invalid values, of which a damaged file has many.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        yield
    except (pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException) as error:
        raise ValueError(*error.args) from error  # these two have no class but Exception


def _read_header(
    path: Path, file: BinaryIO, check_size: Callable[[Path, int, int], None]
) -> tuple[Any, Any]:
    """The transfer syntax, None where the file names none, and all that stands before pixels."""
    import pydicom
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    syntax = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian:  # pydicom would inflate it, whatever its size
        raise ImageError(f"{path}: is deflated as a whole, which is not read; convert it.")
    header = pydicom.dcmread(file, stop_before_pixels=True)
    kind = header.get("PhotometricInterpretation")
    if kind is None or "Rows" not in header or "Columns" not in header:
        raise ImageError(f"{path}: is a DICOM file without pixels.")
    check_size(path, int(header.Columns), int(header.Rows))
    return syntax, header
