"""DICOM files of a few pixels, written by pydicom; where it is missing, their tests skip."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pydicom = pytest.importorskip("pydicom", reason="DICOM files are read where pydicom is installed")

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset  # noqa: E402

uid = pydicom.uid
Array = npt.NDArray[Any]
RAMP = np.array([[0, 1000, 2000], [3000, 4000, 4095]], dtype=np.uint16)


def dicom(path: Path, stored: Array, bits: int = 12, **changes: Any) -> Path:
    """A radiograph of `bits` bits; `changes` are DICOM's names and values, None to leave out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    meta.TransferSyntaxUID = changes.pop("TransferSyntaxUID", uid.ExplicitVRLittleEndian)
    written = FileDataset(
        str(path), {}, file_meta=meta, preamble=bytes(128), is_implicit_VR=False,
        is_little_endian=meta.TransferSyntaxUID.is_little_endian,
    )  # fmt: skip
    colours = stored.ndim == 3
    fields = {
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 3 if colours else 1,
        "PhotometricInterpretation": "RGB" if colours else "MONOCHROME2",
        "BitsAllocated": stored.dtype.itemsize * 8,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": stored.tobytes(),
        **({"PlanarConfiguration": 0} if colours else {}),
        **changes,
    }
    for name, value in fields.items():
        if value is not None:
            setattr(written, name, value)
    written.save_as(path, enforce_file_format=True)
    return path


def compressed(path: Path, syntax: Any, frame: bytes) -> Path:
    """RAMP's header, and behind it a `frame` that is said to be compressed."""
    return compressed_as(path, RAMP, 12, syntax, frame)


def compressed_as(path: Path, stored: Array, bits: int, syntax: Any, frame: bytes) -> Path:
    """The header of `stored`, and behind it a `frame` that is said to be compressed."""
    written = pydicom.dcmread(dicom(path, stored, bits))
    written.file_meta.TransferSyntaxUID = syntax
    written.PixelData = pydicom.encaps.encapsulate([frame])
    written["PixelData"].is_undefined_length = True
    written.save_as(path)
    return path


def table(*entries: int, first: int = 0, bits: int = 16) -> list[Dataset]:
    """A sequence of one look-up table, for VOILUTSequence or ModalityLUTSequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = np.array(entries, np.uint16).tobytes()
    return [item]
