"""DICOM files of one's own: what of a header goes into a manifest, and that no person does."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from covid.collections.collection import Contents, Row
from covid.collections.dicom import DICOM, KEY
from covid.errors import DataError
from tests.conftest import run_script
from tests.edge.dicom_files import RAMP, dicom, uid

Put = Callable[..., Path]
NUMBER = "MRN-0047-11"
# What leads to a person, or to the archive's record of one.
PERSONAL = {
    "PatientName": "Zyxwv^Quentin^Ulf",
    "PatientID": NUMBER,
    "OtherPatientIDs": "OTHER-778",
    "PatientBirthDate": "19310215",
    "PatientAddress": "Elmstreet 12",
    "PatientComments": "Knows Zyxwv",
    "AccessionNumber": "ACC-991",
    "StudyID": "STUDY-55",
    "InstitutionName": "Mercy Infirmary",
    "InstitutionAddress": "Harbour Road",
    "StationName": "STATION-7",
    "DeviceSerialNumber": "SERIAL-1",
    "ReferringPhysicianName": "Physician^Peter",
    "OperatorsName": "Operator^Olga",
    "StudyDate": "20200304",
    "StudyInstanceUID": "1.2.826.0.1.11",
    "SeriesInstanceUID": "1.2.826.0.1.22",
    "SOPInstanceUID": "1.2.826.0.1.33",
    "StudyDescription": "Thorax of Zyxwv",
}


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a radiograph below `tmp_path / "set"`, with a header of one's choice."""

    def write(name: str, **changes: Any) -> Path:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return dicom(path, RAMP, **{"WindowCenter": 2000, "WindowWidth": 4000, **changes})

    return write


def read(folder: Path) -> Contents:
    return DICOM.read(folder / "set", lambda number: None)


def only(folder: Path) -> Row:
    (row,) = read(folder).rows
    return row


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(folder)
    return str(caught.value)


# What goes into a row -----------------------------------------------------------------------


def test_a_header_becomes_a_row(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm", PatientID=NUMBER, ViewPosition="PA", PatientSex="F", PatientAge="045Y",
        Manufacturer="ACME", ManufacturerModelName="DX 9")  # fmt: skip
    row = only(tmp_path)
    assert (row.path, row.label, row.split) == ("normal/1.dcm", "normal", "")
    assert (row.view, row.sex, row.age, row.source) == ("PA", "F", "45", "ACME DX 9")
    assert re.fullmatch("[0-9a-f]{16}", row.patient)


def test_what_a_header_does_not_say_is_empty(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm")
    assert only(tmp_path) == Row("normal/1.dcm", "normal")


@pytest.mark.parametrize(
    ("name", "label", "split"),
    [
        ("normal/1.dcm", "normal", ""),
        ("normal/patient/study/IM0001", "normal", ""),
        ("train/normal/1.dcm", "normal", "train"),
        ("Val/covid/a/1.DCM", "covid", "validation"),
    ],
)
def test_the_first_folder_that_is_no_split_is_the_label(
    put: Put, tmp_path: Path, name: str, label: str, split: str
) -> None:
    put(name)
    row = only(tmp_path)
    assert (row.path, row.label, row.split) == (name, label, split)


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("045Y", "45"), ("006M", "0.5"), ("018M", "1.5"), ("026W", "0.5"), ("000D", "0"),
        ("089Y", "89"), ("090Y", "90"), ("101Y", "90"), ("999Y", ""), ("", ""), ("45", ""),
        ("old", ""),
    ],
)  # fmt: skip
def test_ages_become_years_and_none_is_above_90(
    put: Put, tmp_path: Path, age: str, years: str
) -> None:
    put("normal/1.dcm", PatientAge=age)
    assert only(tmp_path).age == years


def test_an_age_is_not_made_of_the_birth_date(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm", PatientBirthDate="19310215", StudyDate="20200304")
    assert only(tmp_path).age == ""


@pytest.mark.parametrize(
    ("header", "view"),
    [
        ({"ViewPosition": "AP"}, "AP"),
        ({"ViewPosition": "LL"}, "lateral"),
        ({"PatientOrientation": ["A", "F"]}, "lateral"),
        ({"PatientOrientation": ["L", "F"]}, ""),
        ({"ViewPosition": "ZYXWV"}, ""),  # anything may be typed there
    ],
)
def test_views_are_those_of_the_standard(
    put: Put, tmp_path: Path, header: dict[str, Any], view: str
) -> None:
    put("normal/1.dcm", **header)
    assert only(tmp_path).view == view


def test_sexes_other_than_two_are_empty(put: Put, tmp_path: Path) -> None:
    for sex, written in (("M", "M"), ("O", ""), ("", "")):
        put("normal/1.dcm", PatientSex=sex)
        assert only(tmp_path).sex == written


def test_a_device_names_its_manufacturer_once(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm", Manufacturer="ACME", ManufacturerModelName="Acme DX")
    assert only(tmp_path).source == "Acme DX"


# Patients -----------------------------------------------------------------------------------


def test_one_patient_has_one_hash_and_two_have_two(put: Put, tmp_path: Path) -> None:
    for name, number in (("a", "1"), ("b", "2"), ("c", " 1 ")):
        put(f"normal/{name}.dcm", PatientID=number)
    a, b, c = (row.patient for row in read(tmp_path).rows)
    assert a == c != b


def test_a_patient_s_hash_is_the_same_the_next_time(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm", PatientID=NUMBER)
    assert only(tmp_path) == only(tmp_path)


def test_a_patient_has_another_hash_under_another_key(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm", PatientID=NUMBER)
    before = only(tmp_path)
    (tmp_path / "set" / KEY).unlink()
    assert only(tmp_path).patient != before.patient


def test_only_its_owner_reads_the_key(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm", PatientID=NUMBER)
    read(tmp_path)
    mode = os.stat(tmp_path / "set" / KEY).st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("content", ["", "abc", "g" * 64])
def test_a_damaged_key_is_refused(put: Put, tmp_path: Path, content: str) -> None:
    put("normal/1.dcm", PatientID=NUMBER)
    (tmp_path / "set" / KEY).write_text(content)
    assert "is not the key that was written there; put it back, or delete it" in refusal(tmp_path)


def test_without_patients_there_is_no_key(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm")
    notes = read(tmp_path).notes
    assert not (tmp_path / "set" / KEY).exists()
    assert any("1 of 1 images have no PatientID" in note for note in notes)


def test_one_number_for_all_images_is_said(put: Put, tmp_path: Path) -> None:
    for name in "ab":
        put(f"normal/{name}.dcm", PatientID="ANONYMOUS")
    assert any("All images bear one PatientID" in note for note in read(tmp_path).notes)


# Persons ------------------------------------------------------------------------------------


def test_nothing_that_leads_to_a_person_is_in_any_output(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm", **PERSONAL, PatientAge="089Y", Manufacturer="ACME",
        BurnedInAnnotation="YES")  # fmt: skip
    put("covid/2.dcm", **PERSONAL, PatientSex="M", ViewPosition="Zyxwv")
    broken = put("covid/3.dcm", **PERSONAL)
    broken.write_bytes(broken.read_bytes()[:700])
    done = run_script("prepare.py", "dicom", tmp_path / "set")
    assert done.returncode == 0, done.stderr
    written = {path.name: path.read_text() for path in (tmp_path / "set").glob("*")
               if path.is_file()}  # fmt: skip
    assert set(written) == {KEY, "manifest.csv", "SOURCE.md"}
    text = "\n".join([done.stdout, done.stderr, *written.values()]).lower()
    for value in PERSONAL.values():
        for part in (value, *re.split(r"[\^ ]", value)):
            assert len(part) < 4 or part.lower() not in text, part


@pytest.mark.parametrize("folder", [NUMBER, "Zyxwv_Quentin", "ulf", "1.2.826.0.1.11"])
def test_a_folder_called_after_a_person_is_no_label(
    put: Put, tmp_path: Path, folder: str
) -> None:
    put(f"{folder}/1.dcm", **PERSONAL)
    with pytest.raises(DataError, match="would be a label is called after the patient") as error:
        read(tmp_path)
    assert folder not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        f"normal/{NUMBER}/1.dcm", "normal/zyxwv_q/1.dcm", "normal/19310215.dcm",
        "normal/ACC-991-a.dcm",
    ],
)  # fmt: skip
def test_paths_that_lead_to_a_person_are_counted(put: Put, tmp_path: Path, name: str) -> None:
    put(name, **PERSONAL)
    put("normal/0.dcm", **PERSONAL)
    (note,) = (note for note in read(tmp_path).notes if "patient's name" in note)
    assert note.startswith("1 of 2 images are called after") and "rename" in note


def test_paths_that_are_uids_are_counted(put: Put, tmp_path: Path) -> None:
    put("normal/1.2.826.0.1.33.dcm", **PERSONAL)
    assert any(note.startswith("1 of 1 images are called after UIDs") for note in
               read(tmp_path).notes)  # fmt: skip


# What is said of the set --------------------------------------------------------------------


def test_the_traits_of_a_set_are_among_the_notes(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm", ViewPosition="LL", SOPClassUID=uid.SecondaryCaptureImageStorage)
    notes = read(tmp_path).notes
    assert any("1 of 1 DICOM images are secondary captures" in note for note in notes)
    assert any("1 of 1 DICOM images are lateral views" in note for note in notes)


def test_old_patients_are_counted(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm", PatientAge="093Y")
    assert any("1 of 1 images are of patients above 89" in note for note in read(tmp_path).notes)


def test_what_is_left_out_is_counted(put: Put, tmp_path: Path) -> None:
    put("normal/1.dcm")
    put("normal/report.dcm", Rows=None, Columns=None, PixelData=None)
    put("normal/deflated.dcm", TransferSyntaxUID=uid.DeflatedExplicitVRLittleEndian)
    (tmp_path / "set/normal/letter.dcm").write_text("Dear Sir or Madam")
    (tmp_path / "set/normal/.hidden.dcm").write_text("")
    contents = read(tmp_path)
    assert [row.path for row in contents.rows] == ["normal/1.dcm"]
    left_out = [note for note in contents.notes if note.startswith("Left out")]
    assert left_out == [
        "Left out: 1 DICOM files without a picture.",
        "Left out: 1 DICOM files whose header cannot be read.",
        "Left out: 1 files that are not DICOM.",
    ]


def test_every_file_advances_the_bar(put: Put, tmp_path: Path) -> None:
    for name in "abc":
        put(f"normal/{name}.dcm")
    steps: list[int] = []
    DICOM.read(tmp_path / "set", steps.append)
    assert sum(steps) == 3


# Labels -------------------------------------------------------------------------------------


def test_a_table_of_labels_wins_over_folders(put: Put, tmp_path: Path) -> None:
    for name in ("a.dcm", "deep/er/b", "c.dcm"):
        put(name)
    (tmp_path / "set/labels.csv").write_text(
        "path,label,split\na.dcm,normal,train\n./deep/er/b,covid|pneumonia,val\n"
    )
    contents = read(tmp_path)
    rows = [(row.path, row.label, row.split) for row in contents.rows]
    assert rows == [
        ("a.dcm", "normal", "train"),
        ("deep/er/b", "covid|pneumonia", "validation"),
    ]
    assert "Left out: 1 DICOM images that labels.csv does not list." in contents.notes


@pytest.mark.parametrize("name", ["1.dcm", "train/1.dcm"])
def test_an_image_without_a_label_is_refused(put: Put, tmp_path: Path, name: str) -> None:
    put(name)
    message = refusal(tmp_path)
    assert "nothing says what is true of it; put it into a folder named after its" in message


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("path,label\nb.dcm,normal\n", "1 of its rows name no DICOM file with a picture"),
        ("path,label\na.dcm,\n", "line 2: path or label is empty"),
        ("path,label\n,normal\n", "line 2: path or label is empty"),
        ("path,label\na.dcm,normal\n./a.dcm,covid\n", "line 3: a.dcm has a row already"),
        ("path,label,split\na.dcm,normal,dev\n", "line 2: the split 'dev' is none of train"),
        ("name,label\na.dcm,normal\n", "has no column path"),
    ],
)
def test_mistakes_in_a_table_of_labels_are_refused(
    put: Put, tmp_path: Path, table: str, sentence: str
) -> None:
    put("a.dcm")
    (tmp_path / "set/labels.csv").write_text(table)
    assert sentence in refusal(tmp_path)


def test_without_pydicom_the_error_says_what_to_install(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("normal/1.dcm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install '.[dicom]'" in refusal(tmp_path)
