"""DICOM's values to greys: windows, tables, padding and polarity against plain arithmetic."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from covid.edge.images import read_grey
from covid.errors import ImageError
from tests.edge.dicom_files import RAMP, Array, dicom, pydicom, table, uid

same_folder = settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Its greys are evenly frequent, as those of a picture that fills its range.
RADIOGRAPH = np.arange(64 * 64).reshape(64, 64).astype(np.uint16)  # 12 bits


def grey(path: Path, greys: int = 2) -> Array:
    return np.asarray(read_grey(path, greys=greys)).astype(int)


def written(folder: Path, stored: Any, bits: int = 12, **changes: Any) -> Array:
    """The greys of a file with these values."""
    return grey(dicom(folder / "a.dcm", np.asarray(stored), bits, **changes))


def exact(low: float, high: float) -> dict[str, Any]:
    return {"WindowCenter": (low + high) / 2, "WindowWidth": high - low,
            "VOILUTFunction": "LINEAR_EXACT"}  # fmt: skip


def scaled(values: Any, low: float, high: float) -> list[list[int]]:
    """From `low` to `high` on 0..255, in plain Python."""
    shares = [[min(max((v - low) / (high - low), 0), 1) for v in row] for row in values.tolist()]
    return [[round(share * 255) for share in row] for row in shares]


# Windows ------------------------------------------------------------------------------------


def test_a_window_s_own_range_becomes_the_greys(tmp_path: Path) -> None:
    actual = written(tmp_path, RAMP, **exact(-1000, 7000))
    assert actual.tolist() == scaled(RAMP, -1000, 7000)


def test_what_lies_beside_a_window_is_black_or_white(tmp_path: Path) -> None:
    assert written(tmp_path, RAMP, **exact(1000, 3000)).tolist() == scaled(RAMP, 1000, 3000)


def test_one_marker_moves_no_grey(tmp_path: Path) -> None:
    plain = np.minimum(RADIOGRAPH, 2000)
    marked = plain.copy()
    marked[0, 0] = 4095
    window = {"WindowCenter": 1000, "WindowWidth": 2000}
    without, with_it = (written(tmp_path, values, **window) for values in (plain, marked))
    assert (without.ravel()[1:] == with_it.ravel()[1:]).all()


@same_folder
@given(center=st.integers(-500, 5000), width=st.integers(1, 5000))
def test_a_linear_window_is_the_standard_s_formula(
    tmp_path: Path, center: int, width: int
) -> None:
    def share(value: int) -> float:  # PS3.3 C.11.2.1.2.1
        if value <= center - 0.5 - (width - 1) / 2:
            return 0
        if value > center - 0.5 + (width - 1) / 2:
            return 1
        return (value - (center - 0.5)) / (width - 1) + 0.5

    expected = [[round(255 * share(value)) for value in row] for row in RAMP.tolist()]
    if min(map(min, expected)) == max(map(max, expected)):
        return  # it shows nothing, and is refused
    actual = written(tmp_path, RAMP, WindowCenter=center, WindowWidth=width)
    assert actual.tolist() == expected


def test_a_sigmoid_is_the_standard_s_formula(tmp_path: Path) -> None:
    actual = written(
        tmp_path, RAMP, WindowCenter=2000, WindowWidth=1500, VOILUTFunction="SIGMOID"
    )
    expected = [[round(255 / (1 + math.exp(-4 * (value - 2000) / 1500))) for value in row]
                for row in RAMP.tolist()]  # fmt: skip
    assert actual.tolist() == expected


def test_a_steep_sigmoid_does_not_overflow(tmp_path: Path) -> None:
    actual = written(tmp_path, RAMP, WindowCenter=2500, WindowWidth=0.01, VOILUTFunction="SIGMOID")
    assert actual.tolist() == [[0, 0, 0], [255, 255, 255]]


def test_the_first_of_several_windows_counts(tmp_path: Path) -> None:
    actual = written(
        tmp_path, RAMP, WindowCenter=[2000, 9], WindowWidth=[2000, 9],
        VOILUTFunction="LINEAR_EXACT",
    )  # fmt: skip
    assert actual.tolist() == scaled(RAMP, 1000, 3000)


def test_a_window_is_meant_for_values_after_the_modality_lut(tmp_path: Path) -> None:
    actual = written(
        tmp_path, RAMP, RescaleSlope=2, RescaleIntercept=-1000, RescaleType="US",
        **exact(1000, 5000),
    )  # fmt: skip
    assert actual.tolist() == scaled(RAMP * 2 - 1000.0, 1000, 5000)


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 1000, "WindowWidth": 0},
        {"WindowCenter": 1000, "WindowWidth": -5},
        {"WindowCenter": 1000},
        {"WindowWidth": 1000},
        {"WindowCenter": 1000, "WindowWidth": 500, "VOILUTFunction": "CUBIC"},
    ],
)
def test_a_window_that_cannot_be_is_as_none(tmp_path: Path, window: dict[str, Any]) -> None:
    without = written(tmp_path, RADIOGRAPH)
    assert (written(tmp_path, RADIOGRAPH, **window) == without).all()


def test_a_window_that_shows_nothing_is_refused(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, WindowCenter=-3000, WindowWidth=100)
    with pytest.raises(ImageError, match=r"window \(center -3000, width 100\) shows none of its"):
        read_grey(path)


# Tables -------------------------------------------------------------------------------------


def test_a_table_is_looked_up_and_its_depth_becomes_the_greys(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 3]], np.uint16)
    actual = written(tmp_path, values, VOILUTSequence=table(0, 1000, 3000, 4000, bits=12))
    assert actual.tolist() == scaled(np.array([[0, 1000], [3000, 4000]]), 0, 4095)


def test_a_table_that_claims_more_bits_than_it_uses_is_not_dark(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 3]], np.uint16)
    claims = [written(tmp_path, values, VOILUTSequence=table(0, 1000, 3000, 4000, bits=bits))
              for bits in (12, 16)]  # fmt: skip
    assert (claims[0] == claims[1]).all()


def test_a_table_s_ends_are_for_all_beyond_them(tmp_path: Path) -> None:
    values = np.array([[0, 9], [11, 30]], np.uint16)
    actual = written(tmp_path, values, VOILUTSequence=table(10, 100, 200, 255, first=9, bits=8))
    assert actual.tolist() == [[10, 10], [200, 255]]


def test_a_table_is_looked_up_at_the_nearest_row(tmp_path: Path) -> None:
    # 100 * 0.29 is 28.999999999999996
    actual = written(
        tmp_path, np.array([[0, 100], [200, 0]], np.uint16),
        VOILUTSequence=table(0, *[0] * 28, 500, *[1023] * 30),
        RescaleSlope=0.29, RescaleIntercept=0, RescaleType="US",
    )  # fmt: skip
    assert actual.tolist() == [[0, 125], [255, 0]]


def test_a_table_is_read_where_its_bytes_are_the_other_way_round(tmp_path: Path) -> None:
    values, entries = np.array([[0, 1], [2, 3]]), (0, 1, 2, 255)
    little = written(tmp_path, values.astype("<u2"), VOILUTSequence=table(*entries))
    turned = table(*entries)
    turned[0].add_new("LUTData", "OW", np.array(entries, ">u2").tobytes())
    big = written(
        tmp_path, values.astype(">u2"), VOILUTSequence=turned,
        TransferSyntaxUID=uid.ExplicitVRBigEndian,
    )  # fmt: skip
    assert little.tolist() == big.tolist() == [[0, 1], [2, 255]]


def test_a_modality_table_comes_before_the_window(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 3]], np.uint16)
    actual = written(
        tmp_path, values, ModalityLUTSequence=table(4000, 3000, 1000, 0, bits=12),
        **exact(0, 4000),
    )  # fmt: skip
    assert actual.tolist() == scaled(np.array([[4000, 3000], [1000, 0]]), 0, 4000)


def test_a_table_wins_over_a_window(tmp_path: Path) -> None:
    both = written(tmp_path, RAMP, VOILUTSequence=table(*range(4096), bits=12), **exact(0, 9))
    assert both.tolist() == scaled(RAMP, 0, 4095)


def test_a_table_of_one_value_is_as_none(tmp_path: Path) -> None:
    flat = written(tmp_path, RADIOGRAPH, VOILUTSequence=table(7, 7, 7))
    assert (flat == written(tmp_path, RADIOGRAPH)).all()


# Without either -----------------------------------------------------------------------------


def test_a_few_pixels_at_each_end_decide_nothing(tmp_path: Path) -> None:
    plain = 1000 + RADIOGRAPH // 4
    marked = plain.copy()
    marked[0, :10], marked[-1, :10] = 0, 4095  # 0.24 % of the pixels at either end
    inner = np.s_[10:-10]
    difference = written(tmp_path, plain)[inner] - written(tmp_path, marked)[inner]
    assert np.abs(difference).max() <= 2


def test_a_narrow_range_fills_all_greys(tmp_path: Path) -> None:
    values = np.array([[500, 510], [520, 500]], np.uint16)
    assert written(tmp_path, values).tolist() == [[0, 128], [255, 0]]


@pytest.mark.parametrize(
    "padding",
    [
        {"PixelPaddingValue": 4095},
        {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095},
        {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000},
    ],
)
def test_padding_is_not_counted(tmp_path: Path, padding: dict[str, Any]) -> None:
    values = 1000 + RADIOGRAPH // 4
    values[:, :20] = 4095
    assert written(tmp_path, values, **padding)[:, 20:].max() == 255
    assert written(tmp_path, values)[:, 20:].max() < 128  # else the above shows nothing


def test_padding_is_meant_for_values_before_the_modality_lut(tmp_path: Path) -> None:
    values = 1000 + RADIOGRAPH // 4
    values[:, :20] = 4095
    actual = written(tmp_path, values, PixelPaddingValue=4095, RescaleSlope=3,
                     RescaleIntercept=-77, RescaleType="US")  # fmt: skip
    assert actual[:, 20:].max() == 255


def test_padding_below_zero_is_known_by_its_unsigned_spelling(tmp_path: Path) -> None:
    values = (RADIOGRAPH // 4).astype(np.int16)
    values[:, :20] = -2000
    signed = written(tmp_path, values, bits=16, PixelPaddingValue=-2000)
    path = dicom(tmp_path / "a.dcm", values, 16, PixelPaddingValue=-2000)
    dataset = pydicom.dcmread(path)
    dataset["PixelPaddingValue"] = pydicom.DataElement("PixelPaddingValue", "US", 63536)
    dataset.save_as(path)
    assert (grey(path) == signed).all() and signed[:, 20:].min() == 0


def test_nothing_but_padding_is_black(tmp_path: Path) -> None:
    flat = np.full((4, 4), 9, np.uint16)
    assert written(tmp_path, flat, PixelPaddingValue=9).max() == 0


def test_values_all_alike_are_black(tmp_path: Path) -> None:
    assert written(tmp_path, np.full((2, 2), 700, np.uint16)).max() == 0


def test_two_greys_stay_apart_however_few_pixels_one_has(tmp_path: Path) -> None:
    values = np.zeros((32, 32), np.uint16)
    values[3, 4] = 4000
    actual = written(tmp_path, values)
    assert (actual[3, 4], actual.sum()) == (255, 255)


def test_8_bits_are_greys_already(tmp_path: Path) -> None:
    values = np.array([[50, 60], [70, 200]], np.uint8)
    assert written(tmp_path, values, bits=8).tolist() == values.tolist()


def test_8_bits_that_mean_something_else_are_stretched(tmp_path: Path) -> None:
    values = np.array([[50, 60], [70, 150]], np.uint8)
    actual = written(tmp_path, values, bits=8, RescaleSlope=2, RescaleIntercept=0,
                     RescaleType="US")  # fmt: skip
    assert actual.tolist() == scaled(values, 50, 150)


# Polarity, signs and depths -----------------------------------------------------------------


@pytest.mark.parametrize("window", [{}, exact(500, 3500), {"VOILUTSequence": table(0, 9, 77)}])
def test_what_counts_from_white_is_turned_round_at_last(
    tmp_path: Path, window: dict[str, Any]
) -> None:
    plain = written(tmp_path, RADIOGRAPH, **window)
    turned = written(tmp_path, RADIOGRAPH, PhotometricInterpretation="MONOCHROME1", **window)
    assert (turned == 255 - plain).all()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_every_depth_and_sign_shows_the_same_picture(
    tmp_path: Path, bits: int, signed: bool
) -> None:
    picture = np.arange(32 * 32).reshape(32, 32)
    low = -(2 ** (bits - 1)) if signed else 0
    stored = (picture * 2 ** (bits - 10) + low).astype(np.int16 if signed else np.uint16)
    span = exact(low, low + 1024 * 2 ** (bits - 10))
    expected = scaled(picture, 0, 1024)
    assert written(tmp_path, stored, bits, **span).tolist() == expected


def test_bits_above_those_stored_are_no_part_of_a_value(tmp_path: Path) -> None:
    littered = RAMP | 0xA000
    window = exact(0, 4095)
    assert (written(tmp_path, littered, **window) == written(tmp_path, RAMP, **window)).all()


def as_png(values: Array) -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return Image.open(file)


@pytest.mark.parametrize(
    "window", [{}, {"WindowCenter": 2048, "WindowWidth": 4096}, exact(0, 4095)]
)
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_radiograph_has_the_same_greys_in_every_format(
    tmp_path: Path, window: dict[str, Any], kind: str
) -> None:
    as_png((RADIOGRAPH >> 4).astype(np.uint8)).save(tmp_path / "8.png")
    as_png(RADIOGRAPH).save(tmp_path / "12.png")
    as_png(RADIOGRAPH * 16 + RADIOGRAPH // 256).save(tmp_path / "16.png")
    pictures = [grey(tmp_path / f"{name}.png") for name in ("8", "12", "16")]
    stored = 4095 - RADIOGRAPH if kind == "MONOCHROME1" else RADIOGRAPH
    pictures.append(written(tmp_path, stored, PhotometricInterpretation=kind, **window))
    pictures.append(
        written(tmp_path, (stored >> 4).astype(np.uint8), bits=8, PhotometricInterpretation=kind)
    )
    for picture in pictures[1:]:
        assert np.abs(picture - pictures[0]).max() <= 2


# Version 1 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [{}, exact(1000, 3000), exact(-1000, 7000)])
def test_version_1_goes_from_the_smallest_value_shown_to_the_largest(
    tmp_path: Path, window: dict[str, Any]
) -> None:
    values = RAMP + np.uint16(0)
    values[0, 0] = 700
    actual = grey(dicom(tmp_path / "a.dcm", values, **window), greys=1)
    low, high = (1000, 3000) if window.get("WindowWidth") == 2000 else (700, 4095)
    assert actual.tolist() == scaled(values, low, high)


def test_version_1_looks_tables_up_too(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 3]], np.uint16)
    path = dicom(tmp_path / "a.dcm", values, VOILUTSequence=table(0, 100, 400, 1000))
    assert grey(path, greys=1).tolist() == scaled(np.array([[0, 100], [400, 1000]]), 0, 1000)
