"""What headers say of a set: every trait by itself, counted, and nothing of a person."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covid.edge.dicom_header import read_all_traits, read_attributes, survey
from covid.edge.images import read_grey
from covid.errors import ImageError
from tests.edge.dicom_files import RAMP, dicom, pydicom, table, uid

WINDOW = {"WindowCenter": 2000, "WindowWidth": 4000}
# Values as DICOM has them -> the one trait that they show.
SHOWN: list[tuple[dict[str, Any], str]] = [
    ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
    ({"SOPClassUID": uid.DigitalXRayImageStorageForProcessing}, "for_processing"),
    ({"SOPClassUID": uid.SecondaryCaptureImageStorage}, "secondary_capture"),
    ({"SOPClassUID": uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage},
     "secondary_capture"),
    ({"ConversionType": "WSD"}, "secondary_capture"),
    ({"BurnedInAnnotation": "YES"}, "burned_in"),
    ({"NumberOfFrames": 2, "PixelData": RAMP.tobytes() * 2}, "frames"),
    ({"WindowCenter": [1, 2], "WindowWidth": [9, 9]}, "windows"),
    ({"VOILUTSequence": table(0, 1) + table(0, 2)}, "windows"),
    ({"WindowCenter": None, "WindowWidth": None}, "no_window"),
    ({"WindowWidth": 0}, "no_window"),
    ({"ViewPosition": "LL"}, "lateral"),
    ({"ViewPosition": "RL", "PatientOrientation": ["L", "F"]}, "lateral"),
    ({"PatientOrientation": ["A", "F"]}, "lateral"),
    ({"PatientOrientation": ["P", "FL"]}, "lateral"),
]  # fmt: skip
PLAIN: list[dict[str, Any]] = [
    {},
    {"PresentationIntentType": "FOR PRESENTATION"},
    {"SOPClassUID": uid.DigitalXRayImageStorageForPresentation},
    {"BurnedInAnnotation": "NO"},
    {"NumberOfFrames": 1},
    {"WindowCenter": [2000], "WindowWidth": [4000]},
    {"ViewPosition": "PA"},
    {"ViewPosition": "LLD"},
    {"ViewPosition": "AP", "PatientOrientation": ["A", "F"]},
    {"ViewPosition": "", "PatientOrientation": ["L", "F"]},
    {"PatientOrientation": []},
    {"PatientOrientation": ""},
    {"WindowCenter": None, "WindowWidth": None, "VOILUTSequence": table(0, 1)},
]


def traits(folder: Path, **changes: Any) -> set[str]:
    path = dicom(folder / "a.dcm", RAMP, **{**WINDOW, **changes})
    (read,) = read_all_traits([path])
    return {name for name, shown in asdict(read).items() if shown}


@pytest.mark.parametrize(("changes", "trait"), SHOWN)
def test_a_trait_is_read(tmp_path: Path, changes: dict[str, Any], trait: str) -> None:
    assert traits(tmp_path, **changes) == {trait}


@pytest.mark.parametrize("changes", PLAIN)
def test_a_plain_radiograph_has_no_trait(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert traits(tmp_path, **changes) == set()


def test_8_bits_need_no_window(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP.astype(np.uint8), bits=8)
    assert not read_all_traits([path])[0].no_window


def test_an_overlay_is_seen(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, **WINDOW)
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x60020010, "US", 2)
    dataset.save_as(path)
    assert read_all_traits([path])[0].overlay


def test_a_value_that_makes_no_sense_counts_as_absent(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, **WINDOW, NumberOfFrames=2, ViewPosition="LL")
    content = path.read_bytes()
    assert content.count(b"IS\x02\x002 ") == 1  # an integer written out, two bytes long
    path.write_bytes(content.replace(b"IS\x02\x002 ", b"IS\x02\x00zz"))
    (read,) = read_all_traits([path])
    assert (read.frames, read.lateral) == (False, True)


def test_a_value_of_no_possible_length_counts_as_absent(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, ViewPosition="LL")
    content = path.read_bytes()
    stored = b"\x28\0\x01\x01US\x02\0\x0c\0"  # BitsStored: 12
    assert content.count(stored) == 1
    path.write_bytes(content.replace(stored, b"\x28\0\x01\x01US\x03\0\x0c\0\0"))
    (read,) = read_all_traits([path])
    assert (read.no_window, read.lateral) == (False, True)


def test_a_set_has_one_sentence_a_trait_with_its_count(tmp_path: Path) -> None:
    paths = [
        dicom(tmp_path / f"{n}.dcm", RAMP, **WINDOW,
              PresentationIntentType="FOR PROCESSING" if n < 2 else "FOR PRESENTATION",
              BurnedInAnnotation="YES" if n == 4 else "NO")
        for n in range(5)
    ]  # fmt: skip
    processing, burned_in = survey(paths)
    assert processing.startswith("2 of 5 DICOM images are marked FOR PROCESSING: raw values")
    assert burned_in.startswith("1 of 5 DICOM images are said to have writing burned into")


def test_lateral_views_are_nothing_to_say_where_training_had_some(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, **WINDOW, ViewPosition="LL")
    assert len(survey([path])) == 1
    assert survey([path], lateral_known=True) == []


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_only_dicom_images_are_counted(tmp_path: Path) -> None:
    named = [
        dicom(tmp_path / name, RAMP, **WINDOW, BurnedInAnnotation="YES")
        for name in ("a.dcm", "b", "c.DICOM", "1.2.840.1")
    ]
    (tmp_path / "d.dcm").write_bytes(b"no such thing")
    (tmp_path / "e.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 50)
    (tmp_path / "f.png").write_bytes(b"\x89PNG")
    dicom(tmp_path / "report.dcm", RAMP, Rows=None, Columns=None, PixelData=None)
    others = [tmp_path / name for name in ("d.dcm", "e.dcm", "f.png", "report.dcm", "missing.dcm")]
    (sentence,) = survey([*named, *others])
    assert sentence.startswith("4 of 4 ")


def test_nothing_that_was_not_named_is_read(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, PatientName="DOE^JANE", PatientID="4711")
    header = read_attributes(path, ["PatientID"])
    assert header is not None and [element.keyword for element in header] == ["PatientID"]


def test_a_file_deflated_as_a_whole_is_not_inflated(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, TransferSyntaxUID=uid.DeflatedExplicitVRLittleEndian)
    with pytest.raises(ImageError, match="its header cannot be read .it is deflated"):
        read_attributes(path, ["Rows"])


@pytest.mark.filterwarnings("ignore:Expected .* VR:UserWarning:pydicom")
def test_a_damaged_header_never_stops_a_survey(tmp_path: Path) -> None:
    sound = dicom(tmp_path / "a.dcm", RAMP, **WINDOW, ViewPosition="PA", NumberOfFrames=1,
                  VOILUTSequence=table(0, 1)).read_bytes()  # fmt: skip
    draw = np.random.default_rng(0)
    for _ in range(200):
        broken = np.frombuffer(sound, np.uint8).copy()
        broken[draw.integers(132, len(broken), 3)] = draw.integers(0, 256, 3)
        (tmp_path / "b.dcm").write_bytes(broken.tobytes())
        survey([tmp_path / "b.dcm"])


def test_the_survey_changes_nothing_of_the_picture(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, **WINDOW)
    before = path.read_bytes(), np.asarray(read_grey(path)).tobytes()
    survey([path])
    assert (path.read_bytes(), np.asarray(read_grey(path)).tobytes()) == before
