"""covid-chestxray-dataset: what of its table is a chest X-ray with a finding."""

from pathlib import Path

import pytest

from covid.collections import COLLECTIONS
from covid.errors import DataError
from tests.collections.layout import column, note, read, touch, write_table

COHEN = COLLECTIONS["cohen"]
HEADER = "patientid,offset,sex,age,finding,view,modality,date,location,folder,filename,license,"
ROWS = (
    '2,0,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,2020,"Hospital, City",images,a.jpeg,CC BY 4.0,',
    "2,3,M,65,Pneumonia/Viral/COVID-19,L,X-ray,2020,,images,b.jpg,,",
    "5,,,,Pneumonia,AP Supine,X-ray,2017,,images,c.png,CC BY 4.0,",
    "6,,F,28.0,No Finding,AP,X-ray,2020,,images,d.png,,",
    "7,,F,30,Pneumonia/Viral/COVID-19,Axial,CT,2020,,volumes,e.nii.gz,,",
    "8,,F,30,todo,PA,X-ray,2020,,images,f.png,,",
    "9,,F,30,Unknown,PA,X-ray,2020,,images,g.png,,",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_table(tmp_path / "metadata.csv", HEADER, *ROWS)
    touch(tmp_path, *(f"images/{name}" for name in ("a.jpeg", "b.jpg", "c.png", "d.png", "f.png",
                                                    "g.png")))  # fmt: skip
    touch(tmp_path, "docs/logo.png", "annotations/a_mask.png")
    return tmp_path


def test_a_label_is_the_last_part_of_the_finding(folder: Path) -> None:
    assert column(read(COHEN, folder), lambda row: row.label) == {
        "images/a.jpeg": "COVID-19", "images/b.jpg": "COVID-19", "images/c.png": "Pneumonia",
        "images/d.png": "No Finding",
    }  # fmt: skip


def test_several_findings_are_several_labels(folder: Path) -> None:
    write_table(folder / "metadata.csv", HEADER,
                '2,0,M,65,"COVID-19, ARDS",PA,X-ray,2020,,images,a.jpeg,,')  # fmt: skip
    assert [row.label for row in read(COHEN, folder).rows] == ["COVID-19|ARDS"]


def test_ct_and_undecided_findings_are_left_out_with_counts(folder: Path) -> None:
    contents = read(COHEN, folder)
    for why in ("of the modality CT", "of the finding todo", "of the finding Unknown"):
        assert note(contents, why).startswith("Left out: 1 row ")


def test_what_is_left_out_is_not_said_to_be_unlisted(folder: Path) -> None:
    assert not any("do not list" in text for text in read(COHEN, folder).notes)


def test_view_sex_age_patient_and_place_are_the_table_s(folder: Path) -> None:
    known = column(
        read(COHEN, folder), lambda row: (row.patient, row.view, row.sex, row.age, row.source)
    )
    assert known["images/a.jpeg"] == ("2", "PA", "M", "65", "Hospital, City")
    assert known["images/b.jpg"] == ("2", "lateral", "M", "65", "")
    assert known["images/c.png"] == ("5", "AP Supine", "", "", "")
    assert known["images/d.png"] == ("6", "AP", "F", "28", "")


def test_licences_are_counted(folder: Path) -> None:
    assert "CC BY 4.0: 2; not stated: 2" in note(read(COHEN, folder), "Licences")


def test_another_ending_than_listed_is_the_same_image(folder: Path) -> None:
    (folder / "images/a.jpeg").rename(folder / "images/a.jpg")
    assert "images/a.jpg" in {row.path for row in read(COHEN, folder).rows}


def test_two_files_of_one_stem_are_told_apart_by_their_ending(folder: Path) -> None:
    touch(folder, "images/a.png")
    contents = read(COHEN, folder)
    assert "images/a.jpeg" in {row.path for row in contents.rows}
    assert "images/a.png" in note(contents, "do not list")


def test_a_third_ending_of_two_files_is_neither_of_them(folder: Path) -> None:
    (folder / "images/a.jpeg").rename(folder / "images/a.png")
    touch(folder, "images/a.jpg")
    assert "a.jpeg" in note(read(COHEN, folder), "not in the folder")


def test_two_rows_of_one_image_are_one(folder: Path) -> None:
    write_table(folder / "metadata.csv", HEADER, *ROWS, ROWS[0])
    contents = read(COHEN, folder)
    assert len(contents.rows) == 4
    assert note(contents, "repeat another row's image")


def test_missing_images_are_counted(folder: Path) -> None:
    (folder / "images/c.png").unlink()
    assert "c.png" in note(read(COHEN, folder), "not in the folder")


def test_an_old_table_names_the_column_that_it_lacks(folder: Path) -> None:
    write_table(folder / "metadata.csv", HEADER.replace("modality", "kind"), *ROWS)
    with pytest.raises(DataError, match="has no column modality"):
        read(COHEN, folder)


def test_a_clone_without_images_names_what_was_expected(tmp_path: Path) -> None:
    write_table(tmp_path / "metadata.csv", HEADER, *ROWS)
    with pytest.raises(DataError, match=r"expected metadata\.csv and images/"):
        read(COHEN, tmp_path)
