"""PadChest: its table, with its lists of labels in cells, to rows."""

import csv
from pathlib import Path

import pytest

from covid.collections.collection import Contents, Row
from covid.collections.padchest import PADCHEST, read_labels
from covid.errors import DataError

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
COLUMNS = (
    "", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth",
    "PatientSex_DICOM", "ViewPosition_DICOM", "Projection", "MethodLabel", "Report", "Labels",
)  # fmt: skip
NAME = "20536686640136348236148679891455886468_k6ga29.png"


def write(folder: Path, *labels: str, **other: str) -> list[Path]:
    """The table with a row for each cell of labels, alike but for `other`; returns its images."""
    images = []
    with (folder / TABLE).open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for number, cell in enumerate(labels):
            name = f"{number}{NAME}"
            table.writerow(
                {
                    "": number, "ImageID": name, "ImageDir": "0", "StudyDate_DICOM": "20140915",
                    "PatientID": f"8364{number}", "PatientBirth": "1930.0",
                    "PatientSex_DICOM": "F", "Projection": "PA", "MethodLabel": "Physician",
                    "Report": "sin hallazg .\nnormal", "Labels": cell, **other,
                }
            )  # fmt: skip
            images.append(folder / "0" / name)
            images[-1].parent.mkdir(exist_ok=True)
            images[-1].write_bytes(b"x")
    return images


def read(folder: Path) -> Contents:
    return PADCHEST.read(folder, lambda done: None)


def told(folder: Path, sentence: str) -> bool:
    return any(sentence in note for note in read(folder).notes)


def test_a_row_gives_labels_patient_view_sex_and_age(tmp_path: Path) -> None:
    write(tmp_path, "['pleural effusion', ' cardiomegaly', '']")
    assert read(tmp_path).rows == [
        Row(
            f"0/0{NAME}", "pleural effusion|cardiomegaly", patient="83640", view="PA", sex="F",
            age="84",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['normal']", ["normal"]),
        ("['normal', ' normal', 'air  trapping ']", ["normal", "air trapping"]),
        ("""["hydro'pneumothorax", 'stent']""", ["hydro'pneumothorax", "stent"]),
        ("[]", []),
        ("['']", []),
        ("", []),
        ("nan", []),
        ("[nan]", []),
    ],
)
def test_a_cell_holds_a_list(cell: str, labels: list[str]) -> None:
    assert read_labels(cell) == labels


def test_remarks_are_no_labels(tmp_path: Path) -> None:
    write(tmp_path, "['pneumonia', 'exclude', 'unchanged']", "['suboptimal study', 'unchanged']")
    assert [row.label for row in read(tmp_path).rows] == ["pneumonia"]
    assert told(tmp_path, "1 images are left out: all they have is exclude or unchanged")


def test_an_image_without_labels_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "['normal']", "[]", "")
    assert len(read(tmp_path).rows) == 1
    assert told(tmp_path, "2 images are left out: they have no labels")


def test_an_image_that_its_publishers_exclude_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "['normal']", "['normal']")
    table = tmp_path / TABLE
    table.write_text(table.read_text().replace(",PA,", ",EXCLUDE,", 1))
    assert len(read(tmp_path).rows) == 1
    assert told(tmp_path, "1 images are left out: their projection is EXCLUDE")


def test_what_a_cell_of_labels_cannot_hold_is_replaced_and_told(tmp_path: Path) -> None:
    write(tmp_path, "['nodule|mass', 'pneumonia?']")
    assert read(tmp_path).rows[0].label == "nodule/mass|pneumonia"
    assert told(tmp_path, "1 images have labels with |")


def test_a_flat_folder_and_another_ending_do_as_well(tmp_path: Path) -> None:
    (image,) = write(tmp_path, "['normal']")
    image.rename(tmp_path / image.with_suffix(".jpg").name)
    assert read(tmp_path).rows[0].path == f"0{Path(NAME).stem}.jpg"


def test_missing_and_unlisted_images_are_told(tmp_path: Path) -> None:
    images = write(tmp_path, "['normal']", "['normal']")
    images[0].rename(images[0].with_name("other.png"))
    assert len(read(tmp_path).rows) == 1
    assert told(tmp_path, "1 of 2 images")
    assert told(tmp_path, "1 images are not listed")


def test_an_image_of_two_rows_has_one(tmp_path: Path) -> None:
    write(tmp_path, "['normal']", "['normal']", ImageID=f"0{NAME}")
    assert len(read(tmp_path).rows) == 1
    assert told(tmp_path, "1 rows of")


def test_reports_that_a_network_read_are_told(tmp_path: Path) -> None:
    write(tmp_path, "['normal']", MethodLabel="RNN_model")
    assert told(tmp_path, "1 of 1 reports were labelled by a network")


@pytest.mark.parametrize(
    ("birth", "study", "age"),
    [("1930", "20140131", "84"), ("", "20140131", ""), ("2014", "", ""), ("2020", "2014", "")],
)
def test_age_is_a_difference_of_years(tmp_path: Path, birth: str, study: str, age: str) -> None:
    write(tmp_path, "['normal']", PatientBirth=birth, StudyDate_DICOM=study)
    assert read(tmp_path).rows[0].age == age


def test_a_sex_that_is_neither_is_left_empty(tmp_path: Path) -> None:
    write(tmp_path, "['normal']", PatientSex_DICOM="O")
    assert read(tmp_path).rows[0].sex == ""


def test_a_packed_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{TABLE}.gz").write_bytes(b"x")
    with pytest.raises(DataError, match="unpack it with gunzip"):
        read(tmp_path)


def test_two_tables_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "['normal']")
    (tmp_path / TABLE.replace("01.02.19", "2020")).write_text("x")
    with pytest.raises(DataError, match="keep one of them"):
        read(tmp_path)


def test_a_folder_of_something_else_is_not_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected PADCHEST_.*; it holds nothing"):
        read(tmp_path)
