"""NIH ChestX-ray14 as its page and Kaggle give it."""

from pathlib import Path

import pytest

from covid.collections import COLLECTIONS
from covid.errors import DataError
from tests.collections.layout import column, note, read, touch, write_table

NIH14 = COLLECTIONS["nih14"]
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
ROWS = (
    "00000001_000.png,Cardiomegaly,0,1,57,M,PA,2682,2749,0.143,0.143,",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,PA,2894,2729,0.143,0.143,",
    "00000002_000.png,No Finding,0,2,80,F,AP,2500,2048,0.171,0.171,",
    "00000003_000.png,Pleural_Thickening,0,3,413,F,AP,2500,2048,0.171,0.171,",
)
FIRST, SECOND, THIRD, FOURTH = (
    "images_001/images/00000001_000.png", "images_001/images/00000001_001.png",
    "images_002/images/00000002_000.png", "images_002/images/00000003_000.png",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_table(tmp_path / "Data_Entry_2017_v2020.csv", HEADER, *ROWS)
    write_table(tmp_path / "train_val_list.txt", "00000001_000.png", "00000001_001.png",
                "00000003_000.png")  # fmt: skip
    write_table(tmp_path / "test_list.txt", "00000002_000.png")
    touch(tmp_path, FIRST, SECOND, THIRD, FOURTH)
    return tmp_path


def test_labels_keep_their_names_and_separator(folder: Path) -> None:
    assert column(read(NIH14, folder), lambda row: row.label) == {
        FIRST: "Cardiomegaly", SECOND: "Cardiomegaly|Emphysema", THIRD: "No Finding",
        FOURTH: "Pleural_Thickening",
    }  # fmt: skip


def test_the_lists_are_the_split(folder: Path) -> None:
    assert column(read(NIH14, folder), lambda row: row.split) == {
        FIRST: "train", SECOND: "train", THIRD: "test", FOURTH: "train",
    }  # fmt: skip


def test_patient_view_sex_and_age_are_the_table_s(folder: Path) -> None:
    known = column(read(NIH14, folder), lambda row: (row.patient, row.view, row.sex, row.age))
    assert known[SECOND] == ("1", "PA", "M", "58")
    assert known[THIRD] == ("2", "AP", "F", "80")


def test_an_absurd_age_is_left_empty_and_counted(folder: Path) -> None:
    contents = read(NIH14, folder)
    assert column(contents, lambda row: row.age)[FOURTH] == ""
    assert note(contents, "Ages above 120").endswith(": 1.")


def test_the_older_table_reads_alike(folder: Path) -> None:
    (folder / "Data_Entry_2017_v2020.csv").unlink()
    write_table(
        folder / "Data_Entry_2017.csv",
        HEADER.replace("Patient Sex", "Patient Gender").rstrip(","),
        "00000001_000.png,Cardiomegaly,000,00000001,058Y,M,PA,2682,2749,0.143,0.143",
    )
    (row,) = read(NIH14, folder).rows
    assert (row.sex, row.age) == ("M", "58")


def test_the_corrected_table_is_preferred(folder: Path) -> None:
    lines = (HEADER, ROWS[0].replace("Cardiomegaly", "Mass"))
    write_table(folder / "Data_Entry_2017.csv", *lines)
    assert column(read(NIH14, folder), lambda row: row.label)[FIRST] == "Cardiomegaly"


def test_without_one_of_the_lists_no_split_is_claimed(folder: Path) -> None:
    (folder / "test_list.txt").unlink()
    contents = read(NIH14, folder)
    assert {row.split for row in contents.rows} == {""}
    assert "no test_list.txt" in note(contents, "official split")


def test_images_may_lie_in_one_folder_and_end_otherwise(folder: Path) -> None:
    for path in (FIRST, SECOND, THIRD, FOURTH):
        (folder / path).unlink()
    touch(folder, "images/00000001_000.jpg")
    assert [row.path for row in read(NIH14, folder).rows] == ["images/00000001_000.jpg"]


def test_half_a_download_is_read_and_what_is_missing_counted(folder: Path) -> None:
    (folder / THIRD).unlink()
    (folder / FOURTH).unlink()
    contents = read(NIH14, folder)
    assert {row.path for row in contents.rows} == {FIRST, SECOND}
    assert "2 images that the tables list" in note(contents, "not in the folder")


def test_an_image_that_the_table_lacks_is_counted(folder: Path) -> None:
    touch(folder, "images_002/images/mine.png")
    contents = read(NIH14, folder)
    assert len(contents.rows) == 4
    assert "mine.png" in note(contents, "do not list")


def test_one_name_in_two_folders_is_refused(folder: Path) -> None:
    touch(folder, "resized/00000001_000.png")
    with pytest.raises(DataError, match="bear one name"):
        read(NIH14, folder)


def test_a_folder_without_images_names_what_was_expected(tmp_path: Path) -> None:
    write_table(tmp_path / "Data_Entry_2017.csv", HEADER, *ROWS)
    with pytest.raises(DataError, match=r"expected Data_Entry.*it holds Data_Entry_2017\.csv"):
        read(NIH14, tmp_path)
