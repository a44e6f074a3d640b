"""CheXpert: the small release, the large one in batches, and the test set's tables."""

from pathlib import Path

import pytest

from covid.collections import COLLECTIONS
from covid.collections.chexpert import OBSERVATIONS
from covid.errors import DataError
from tests.collections.layout import column, note, read, touch, write_table

CHEXPERT = COLLECTIONS["chexpert"]
HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(OBSERVATIONS)
FRONTAL = "train/patient00001/study1/view1_frontal.jpg"
LATERAL = "train/patient00002/study2/view2_lateral.jpg"
SILENT = "train/patient00003/study1/view1_frontal.jpg"
VALID = "valid/patient64541/study1/view1_frontal.jpg"


def line(path: str, about: str, **values: str) -> str:
    """A row whose observations are blank but for `values`, with `_` for blanks in names."""
    cells = [values.get(name.replace(" ", "_"), "") for name in OBSERVATIONS]
    return f"{path},{about},{','.join(cells)}"


def write_tables(folder: Path, lead: str) -> None:
    write_table(
        folder / "train.csv",
        HEADER,
        line(lead + FRONTAL, "Female,68,Frontal,AP", No_Finding="1.0", Support_Devices="1.0"),
        line(lead + LATERAL, "Male,87,Lateral,", Edema="1.0", Pneumonia="-1.0", Fracture="0.0"),
        line(lead + SILENT, "Unknown,0,Frontal,PA", Fracture="0.0"),
    )
    write_table(
        folder / "valid.csv",
        HEADER,
        line(lead + VALID, "Male,73,Frontal,AP", Cardiomegaly="1.0", Edema="0.0"),
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The small release; its tables' paths begin with its folder's name."""
    folder = tmp_path / "CheXpert-v1.0-small"
    touch(folder, FRONTAL, LATERAL, SILENT, VALID)
    write_tables(folder, "CheXpert-v1.0-small/")
    return folder


def test_positive_doubtful_and_blank_observations_are_told_apart(small: Path) -> None:
    assert column(read(CHEXPERT, small), lambda row: row.label) == {
        FRONTAL: "No Finding|Support Devices", LATERAL: "Edema|Pneumonia?",
        SILENT: "none mentioned", VALID: "Cardiomegaly",
    }  # fmt: skip


def test_what_none_mentioned_means_is_said(small: Path) -> None:
    assert "data.labels" in note(read(CHEXPERT, small), "none mentioned")


def test_valid_is_the_validation_split(small: Path) -> None:
    splits = column(read(CHEXPERT, small), lambda row: row.split)
    assert (splits[FRONTAL], splits[VALID]) == ("train", "validation")


def test_patient_view_sex_and_age_are_read(small: Path) -> None:
    known = column(read(CHEXPERT, small), lambda row: (row.patient, row.view, row.sex, row.age))
    assert known[FRONTAL] == ("patient00001", "AP", "F", "68")
    assert known[LATERAL] == ("patient00002", "lateral", "M", "87")
    assert known[SILENT] == ("patient00003", "PA", "", "0")


def test_the_folder_above_reads_alike(small: Path) -> None:
    paths = {row.path for row in read(CHEXPERT, small.parent).rows}
    assert paths == {f"CheXpert-v1.0-small/{path}" for path in (FRONTAL, LATERAL, SILENT, VALID)}


def test_the_large_release_comes_in_batches(tmp_path: Path) -> None:
    first, second = "CheXpert-v1.0 batch 1 (validate & csv)", "CheXpert-v1.0 batch 2 (train 1)"
    touch(tmp_path / first, VALID)
    touch(tmp_path / second, FRONTAL.removeprefix("train/"))
    write_tables(tmp_path / first, "CheXpert-v1.0/")
    assert column(read(CHEXPERT, tmp_path), lambda row: row.split) == {
        f"{first}/{VALID}": "validation",
        f"{second}/{FRONTAL.removeprefix('train/')}": "train",
    }


def test_the_test_set_s_table_may_name_images_or_studies(small: Path) -> None:
    views = [f"test/patient64741/study1/view{n}_{view}.jpg"
             for n, view in ((1, "frontal"), (2, "lateral"))]  # fmt: skip
    touch(small, *views)
    observations = ",".join(OBSERVATIONS)
    cells = ",".join("1" if name == "Edema" else "0" for name in OBSERVATIONS)
    study = "CheXpert-v1.0/test/patient64741/study1"
    for name, where, expected in (("Path", views[0], views[:1]), ("Study", study, views)):
        write_table(small / "test_labels.csv", f"{name},{observations}", f"{where},{cells}")
        test = [row for row in read(CHEXPERT, small).rows if row.split == "test"]
        assert [(row.path, row.label) for row in test] == [(path, "Edema") for path in expected]
    assert test[1].view == "lateral"


def test_missing_images_are_left_out_and_counted(small: Path) -> None:
    (small / LATERAL).unlink()
    contents = read(CHEXPERT, small)
    assert LATERAL not in {row.path for row in contents.rows}
    assert "1 image that the tables list" in note(contents, "not in the folder")


def test_a_value_that_is_none_of_three_is_refused(small: Path) -> None:
    write_table(small / "valid.csv", HEADER, line(VALID, "Male,73,Frontal,AP", Edema="maybe"))
    with pytest.raises(DataError, match="'maybe' in column Edema"):
        read(CHEXPERT, small)


def test_both_releases_in_one_folder_are_refused(small: Path) -> None:
    touch(small.parent / "CheXpert-v1.0", FRONTAL)
    with pytest.raises(DataError, match="same view"):
        read(CHEXPERT, small.parent)


def test_a_folder_without_tables_names_what_was_expected(tmp_path: Path) -> None:
    touch(tmp_path, FRONTAL)
    with pytest.raises(DataError, match=r"expected train\.csv or valid\.csv.*it holds train/"):
        read(CHEXPERT, tmp_path)
