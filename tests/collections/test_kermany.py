"""Kermany's children, as Kaggle and Mendeley Data give them."""

import csv
from pathlib import Path

import pytest

from covid.collections import COLLECTIONS
from covid.errors import DataError
from tests.collections.layout import column, note, read, touch
from tests.conftest import PROJECT

KERMANY = COLLECTIONS["kermany"]
REAL = PROJECT.parent / "shared" / "data" / "xray2"
KAGGLE = (
    "train/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/NORMAL2-IM-0383-0001.jpeg",
    "train/PNEUMONIA/person1000_bacteria_2931.jpeg", "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "test/NORMAL/IM-0383-0001.jpeg", "test/PNEUMONIA/person1_virus_6.jpeg",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    touch(tmp_path / "chest_xray", *KAGGLE)
    return tmp_path / "chest_xray"


def test_labels_tell_bacteria_from_virus(folder: Path) -> None:
    labels = column(read(KERMANY, folder), lambda row: row.label)
    assert [labels[path] for path in KAGGLE] == [
        "normal", "normal", "bacteria", "normal", "normal", "virus",
    ]  # fmt: skip


def test_folders_are_the_split(folder: Path) -> None:
    splits = column(read(KERMANY, folder), lambda row: row.split)
    assert [splits[path] for path in KAGGLE] == [
        "train", "train", "train", "validation", "test", "test",
    ]  # fmt: skip


def test_a_number_is_a_patient_in_both_series_and_all_splits(folder: Path) -> None:
    patients = column(read(KERMANY, folder), lambda row: row.patient)
    assert patients[KAGGLE[0]] == "IM-0115"
    assert patients[KAGGLE[1]] == patients[KAGGLE[4]] == "IM-0383"
    assert patients[KAGGLE[2]] == "person1000"


def test_the_folder_above_reads_alike(folder: Path) -> None:
    paths = {row.path for row in read(KERMANY, folder.parent).rows}
    assert paths == {f"chest_xray/{path}" for path in KAGGLE}


def test_kaggle_s_copies_are_listed_once(folder: Path) -> None:
    touch(folder / "chest_xray", *KAGGLE)
    touch(folder / "__MACOSX" / "chest_xray", *KAGGLE, "train/NORMAL/._IM-0115-0001.jpeg")
    contents = read(KERMANY, folder)
    assert {row.path for row in contents.rows} == set(KAGGLE)
    assert "6 images" in note(contents, "there twice")


def test_mendeley_s_names_hold_the_patient(tmp_path: Path) -> None:
    names = ("PNEUMONIA/BACTERIA-1008087-0001.jpeg", "PNEUMONIA/VIRUS-1008087-0002.jpeg",
             "NORMAL/NORMAL-1003233-0001.jpeg")  # fmt: skip
    touch(tmp_path / "chest_xray" / "train", *names)
    contents = read(KERMANY, tmp_path)
    assert sorted((row.patient, row.label) for row in contents.rows) == [
        ("1003233", "normal"), ("1008087", "bacteria"), ("1008087", "virus"),
    ]  # fmt: skip


def test_a_name_that_says_no_cause_is_pneumonia(folder: Path) -> None:
    touch(folder, "train/PNEUMONIA/renamed.jpeg")
    contents = read(KERMANY, folder)
    row = next(row for row in contents.rows if "renamed" in row.path)
    assert (row.label, row.patient) == ("pneumonia", "")
    assert note(contents, "neither bacteria nor virus")


def test_images_elsewhere_are_counted(folder: Path) -> None:
    touch(folder, "extra/IM-0001-0001.jpeg")
    assert "extra/IM-0001-0001.jpeg" in note(read(KERMANY, folder), "none of the collection's")


def test_a_folder_of_something_else_names_what_was_expected(tmp_path: Path) -> None:
    touch(tmp_path, "cats/a.jpeg")
    with pytest.raises(DataError, match="expected chest_xray/.*it holds cats/"):
        read(KERMANY, tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there")
def test_real_names_give_the_patients_that_are_known(tmp_path: Path) -> None:
    with (REAL / "manifest.csv").open(newline="") as file:
        known = {Path(row["path"]).stem: row["patient"] for row in csv.DictReader(file)}
    kinds = {name: "PNEUMONIA" if name.startswith("person") else "NORMAL" for name in known}
    touch(tmp_path, *(f"train/{kinds[name]}/{name}.jpeg" for name in known))
    patients = {Path(row.path).stem: row.patient for row in read(KERMANY, tmp_path).rows}
    assert patients == {name: patient.removeprefix("NORMAL2-") for name, patient in known.items()}
