"""JPEG 2000 inside DICOM: the stream's own precision and sign, beside what the header says."""

import base64
from pathlib import Path

import numpy as np
import pytest

from covid.edge.dicom_pixels import decode
from covid.edge.images import read_grey
from tests.edge.dicom_files import Array, compressed_as, pydicom, uid

# Streams of 32 x 32 pixels in four squares and 12 bits, written by OpenJPEG 2.5.
UNSIGNED = """
/0//UQApAAAAAAAgAAAAIAAAAAAAAAAAAAAAIAAAACAAAAAAAAAAAAABCwEB/1IADAAAAAEABQQEAAH/XAATQGBoaHBoaHBo
aHBoaHBoaHD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAADqAAH/k8/kCAbCw/YCn+AO
AfaBAAFzAs+/BHHB+YNH8hEAPnCgCBOSGX2BCaXWLt8V/38C2+iHP8P2DY/kNgB84cAXMSiEbACW+FX2Q3CPDHdlxnWhZXzM
36+JfxatLyQMCn/D9haP5GIAfOGAIW4NGUax8OIjuMrEmCWSf7HN6xqTHwDUwKFgsTJBiL/TlWb1gXJbLJJQj9BgHyQrb048
j8P2GI/kagB84QCTufFPKSJa1k3zcFpCFuEGJqkHExJ9NntnaqrsY75cWgI/PZapZMPyJbs69YVa0Dgh8YMVCp//2Q==
"""
SIGNED = """
/0//UQApAAAAAAAgAAAAIAAAAAAAAAAAAAAAIAAAACAAAAAAAAAAAAABiwEB/1IADAAAAAEABQQEAAH/XAATQGBoaHBoaHBo
aHBoaHBoaHD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAACmAAH/k8/kCAbtw/YCn+AI
ABcCt8H5g0fyDggVrQgnXwml3JTIlj/D9guP5DQXLHOCVezdiks6Zwx3ZcZ07EBNJJBaLl/D9hOP5Fghbg0YvmQtZgEEU0SK
fej8T3ycANTAoWCxMkJMg2nawWxvtX56iC/+38P2EY/kSDXyP+ONPKCAABghdpbNiJqHZ2qq7/niHNgAAMAFhI3Fi0Ff/9k=
"""
SQUARES = {UNSIGNED: [[0, 1000], [3000, 4095]], SIGNED: [[-2048, -1000], [1000, 2047]]}


def file(folder: Path, stream: str, bits: int, signed: bool) -> Path:
    stored = np.zeros((32, 32), np.int16 if signed else np.uint16)
    path = folder / "a.dcm"
    return compressed_as(path, stored, bits, uid.JPEG2000Lossless, base64.b64decode(stream))


def squares(path: Path) -> list[list[int]]:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    with path.open("rb") as opened:
        values: Array = decode(path, opened, uid.JPEG2000Lossless, header)
    corners: list[list[int]] = values[::16, ::16].astype(int).tolist()
    assert (values == np.kron(values[::16, ::16], np.ones((16, 16), int))).all()
    return corners


@pytest.mark.parametrize("bits", [12, 14, 16])
@pytest.mark.parametrize(("stream", "signed"), [(UNSIGNED, False), (SIGNED, True)])
def test_a_stream_of_fewer_bits_than_are_stored_is_read_by_its_own(
    tmp_path: Path, stream: str, signed: bool, bits: int
) -> None:
    assert squares(file(tmp_path, stream, bits, signed)) == SQUARES[stream]


@pytest.mark.parametrize("bits", [8, 10])
def test_a_stream_of_more_bits_than_are_stored_is_read_by_its_own(
    tmp_path: Path, bits: int
) -> None:
    assert squares(file(tmp_path, UNSIGNED, bits, False)) == SQUARES[UNSIGNED]


def test_negative_values_in_an_unsigned_stream_are_negative(tmp_path: Path) -> None:
    assert squares(file(tmp_path, UNSIGNED, 12, True)) == [[0, 1000], [3000 - 4096, 4095 - 4096]]


def test_a_stream_without_the_sign_s_bit_has_no_negative_values(tmp_path: Path) -> None:
    assert squares(file(tmp_path, UNSIGNED, 16, True)) == SQUARES[UNSIGNED]


@pytest.mark.parametrize("bits", [12, 16])
def test_a_signed_stream_of_an_unsigned_image_keeps_its_bits(tmp_path: Path, bits: int) -> None:
    kept = [[-2048 + 4096, -1000 + 4096], [1000, 2047]]
    assert squares(file(tmp_path, SIGNED, bits, False)) == kept


def test_12_bits_that_are_said_to_be_8_are_not_cut(tmp_path: Path) -> None:
    grey = np.asarray(read_grey(file(tmp_path, UNSIGNED, 8, False)))
    assert grey[::16, ::16].tolist() == [[0, 62], [187, 255]]  # 255 * 1000 / 4095 and so on


def test_greys_do_not_depend_on_the_bits_that_the_header_says(tmp_path: Path) -> None:
    readings = [np.asarray(read_grey(file(tmp_path, SIGNED, bits, True))) for bits in (12, 16)]
    assert (readings[0] == readings[1]).all()
