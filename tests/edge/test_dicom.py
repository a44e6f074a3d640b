"""DICOM files, written by pydicom: what is read of them, and every refusal."""

import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covid.edge.images import Header, image_endings, read_grey, read_header, read_image
from covid.errors import ImageError
from tests.edge.dicom_files import RAMP, Array, compressed, dicom, pydicom, uid


def stretched(values: Array) -> list[list[int]]:
    """From smallest to largest on 0..255, in plain Python."""
    lowest, highest = int(values.min()), int(values.max())
    return [[round((int(v) - lowest) * 255 / (highest - lowest)) for v in row] for row in values]


def grey(path: Path) -> list[list[int]]:
    pixels: list[list[int]] = np.asarray(read_grey(path)).tolist()
    return pixels


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_grey(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.endswith("."), message
    return message


# What is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["image.dcm", "image", "image.png"])
def test_a_dicom_file_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    assert grey(dicom(tmp_path / name, RAMP)) == stretched(RAMP)


def test_a_dicom_file_of_16_bits_is_stretched(tmp_path: Path) -> None:
    values = RAMP * 16
    assert grey(dicom(tmp_path / "a.dcm", values, bits=16)) == stretched(values)


def test_what_counts_from_white_is_turned_round(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")
    assert grey(path) == [[255 - value for value in row] for row in stretched(RAMP)]


def test_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]])
    path = dicom(
        tmp_path / "a.dcm", RAMP, NumberOfFrames=3, PixelData=frames.tobytes()
    )
    assert grey(path) == stretched(RAMP)


def test_colours_of_8_bits_become_their_luma(tmp_path: Path) -> None:
    rgb = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)
    assert grey(dicom(tmp_path / "a.dcm", rgb, bits=8)) == [[76, 150], [29, 9]]


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP)
    written = pydicom.dcmread(path)
    written.compress(uid.RLELossless)
    written.save_as(path)
    assert grey(path) == stretched(RAMP)


def test_it_is_resized_as_every_image_is(tmp_path: Path) -> None:
    pixels = read_image(dicom(tmp_path / "a.dcm", RAMP), 8)
    assert (pixels.dtype.name, pixels.shape) == ("uint8", (8, 8))


def test_dicom_s_endings_are_images(tmp_path: Path) -> None:
    assert {".dcm", ".dicom"} <= image_endings()


# What a header says ------------------------------------------------------------------------


def test_a_header_says_what_the_image_will_be(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP)
    image = read_grey(path)
    assert read_header(path) == Header("DICOM", image.mode, *image.size)


def test_a_header_is_read_where_pixels_are_cut_off(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", np.tile(RAMP, (50, 50)))
    path.write_bytes(path.read_bytes()[:-20_000])
    assert "is damaged or cut short" in refusal(path)
    assert read_header(path) == Header("DICOM", "L", 150, 100)


def test_a_header_is_read_where_pixels_are_damaged(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.dcm", uid.RLELossless, b"no picture at all")
    assert "is damaged or cut short" in refusal(path)
    assert read_header(path) == Header("DICOM", "L", 3, 2)


def test_a_header_is_read_where_pixels_are_stored_in_an_unknown_way(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.dcm", uid.MPEG2MPML, b"a film")
    assert "is compressed" in refusal(path)
    assert read_header(path) == Header("DICOM", "L", 3, 2)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"PhotometricInterpretation": None, "PixelData": None}, "is a DICOM file without pixels"),
        ({"Rows": 20_000, "Columns": 20_000}, "is larger than 200 megapixels"),
        ({"TransferSyntaxUID": uid.DeflatedExplicitVRLittleEndian}, "is deflated as a whole"),
    ],
)
def test_a_header_that_shows_that_nothing_can_be_read_is_refused(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ImageError, match=sentence):
        read_header(dicom(tmp_path / "a.dcm", RAMP, **changes))


# What is refused ----------------------------------------------------------------------------


def test_without_pydicom_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert "is a DICOM file; to read those, `pip install '.[dicom]'`" in refusal(path)


def test_a_file_without_pixels_is_refused(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, PhotometricInterpretation=None, PixelData=None)
    assert "is a DICOM file without pixels" in refusal(path)


def test_a_file_that_announces_pixels_and_has_none_is_refused(tmp_path: Path) -> None:
    assert "is damaged or cut short" in refusal(dicom(tmp_path / "a.dcm", RAMP, PixelData=None))


def test_more_than_200_megapixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, Rows=20_000, Columns=20_000)
    assert "is larger than 200 megapixels, the most read" in refusal(path)


@pytest.mark.parametrize("side", [0, 1])
def test_hardly_any_pixels_are_refused(tmp_path: Path, side: int) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, Rows=side, Columns=2)
    assert f"is 2 x {side} pixels, too small for an image" in refusal(path)


def test_a_palette_is_refused(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, PhotometricInterpretation="PALETTE COLOR")
    assert "has the colours PALETTE COLOR of 16 bits" in refusal(path)


def test_colours_of_16_bits_are_refused(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", np.zeros((2, 2, 3), np.uint16), bits=16)
    assert "has the colours RGB of 16 bits" in refusal(path)


def test_a_file_deflated_as_a_whole_is_not_inflated(tmp_path: Path) -> None:
    bomb = np.zeros((5000, 5000), np.uint16)
    path = dicom(tmp_path / "a.dcm", bomb, TransferSyntaxUID=uid.DeflatedExplicitVRLittleEndian)
    assert "is deflated as a whole, which is not read" in refusal(path)


@pytest.mark.parametrize(
    ("syntax", "package"),
    [
        (uid.JPEGLSLossless, "pyjpegls"),
        (uid.JPEGLosslessSV1, "python-gdcm"),
        (uid.HTJ2K, "pylibjpeg pylibjpeg-openjpeg"),
    ],
)
def test_a_compression_that_needs_another_package_says_which(
    tmp_path: Path, syntax: Any, package: str
) -> None:
    from pydicom.pixels import get_decoder

    if get_decoder(syntax).is_available:
        pytest.skip("the package is installed")
    path = compressed(tmp_path / "a.dcm", syntax, b"\xff\xd8\xff\xd9")
    assert re.search(rf"is compressed .* needs one more package: pip install {package}\.",
                     refusal(path))  # fmt: skip


def test_jpeg_of_12_bits_is_refused_though_pillow_claims_it(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.dcm", uid.JPEGExtended12Bit, b"\xff\xd8\xff\xd9")
    assert re.search("is compressed .* in a way that is not read; convert it", refusal(path))


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    values = np.array([[1, np.nan], [3, 4]], np.float32)
    path = dicom(
        tmp_path / "a.dcm", values, bits=32, PixelData=None, BitsStored=None, HighBit=None,
        PixelRepresentation=None, FloatPixelData=values.tobytes(),
    )  # fmt: skip
    assert "has values that are not finite numbers" in refusal(path)


@pytest.mark.filterwarnings("ignore")
def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    whole = dicom(tmp_path / "a.dcm", np.tile(RAMP, (8, 8))).read_bytes()
    for length in range(132, len(whole), 23):
        (tmp_path / "cut.dcm").write_bytes(whole[:length])
        refusal(tmp_path / "cut.dcm")


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_an_image_or_a_refusal(tmp_path: Path) -> None:
    sound = dicom(
        tmp_path / "a.dcm", np.tile(RAMP, (4, 4)), WindowCenter=2000, WindowWidth=2000,
        RescaleSlope=1, RescaleIntercept=0,
    ).read_bytes()  # fmt: skip
    chance = random.Random(0)
    for _ in range(300):
        broken = bytearray(sound)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(132, len(broken))] = chance.choice([0, 1, 127, 128, 255])
        (tmp_path / "b.dcm").write_bytes(broken)
        try:
            pixels = read_image(tmp_path / "b.dcm", 8)
        except ImageError as error:
            assert str(error).startswith(f"{tmp_path / 'b.dcm'}: ")
        else:
            assert pixels.shape == (8, 8)


@pytest.mark.filterwarnings("ignore")
def test_the_files_that_pydicom_is_tested_with_are_images_or_refusals() -> None:
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    files = [path for path in folder.rglob("*.dcm")]
    if not files:
        pytest.skip("this pydicom comes without its test files")
    read = 0
    for path in files:
        try:
            read += min(read_grey(path).size) > 1
        except ImageError:
            continue
    assert read > 20
