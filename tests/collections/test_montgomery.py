"""The Montgomery set, as published and as it lies beside this project."""

import csv
import shutil
from pathlib import Path

import pytest

from covid.collections.collection import Contents, Row
from covid.collections.montgomery import MONTGOMERY
from covid.errors import DataError
from covid.project import PROJECT

REAL = PROJECT.parent / "shared" / "data" / "montgomery"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """As its archive unpacks: three images, two of one patient, readings, masks of each lung."""
    files = {
        "CXR_png/MCUCXR_0001_0.png": "x",
        "CXR_png/MCUCXR_0113_1.png": "x",
        "CXR_png/MCUCXR_0117_1.png": "x",
        "ClinicalReadings/MCUCXR_0001_0.txt":
            "Patient's Sex: F \nPatient's Age: 027Y\nnormal\n\n\n",
        "ClinicalReadings/MCUCXR_0113_1.txt":
            "Patient's Sex: M \nPatient's Age: 084Y\ninfiltrate\n",
        "ClinicalReadings/MCUCXR_0117_1.txt":
            "Patient's Sex: M \nPatient's Age: 085Y\nstable CXR (same pt as MCUCXR_0113_1)\n",
        "ManualMask/leftMask/MCUCXR_0001_0.png": "x",
        "ManualMask/rightMask/MCUCXR_0001_0.png": "x",
        "NLM-MontgomeryCXRSet-ReadMe.pdf": "x",
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / "MontgomerySet" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "MontgomerySet"


def read(folder: Path) -> Contents:
    return MONTGOMERY.read(folder, lambda done: None)


def test_a_name_gives_the_label_and_a_reading_sex_and_age(published: Path) -> None:
    rows = read(published).rows
    assert rows[0] == Row("CXR_png/MCUCXR_0001_0.png", "normal", patient="0001", sex="F", age="27")
    assert [row.label for row in rows] == ["normal", "tuberculosis", "tuberculosis"]


def test_the_folder_around_it_does_as_well(published: Path) -> None:
    assert read(published.parent).rows[0].path == "MontgomerySet/CXR_png/MCUCXR_0001_0.png"


def test_images_of_one_patient_are_of_one_patient(published: Path) -> None:
    assert [row.patient for row in read(published).rows] == ["0001", "0113", "0113"]


def test_a_mask_of_each_lung_is_no_mask(published: Path) -> None:
    contents = read(published)
    assert not any(row.mask for row in contents.rows)
    assert any("two masks an image" in note for note in contents.notes)


def test_where_there_are_no_masks_nothing_is_said_of_two(published: Path) -> None:
    shutil.rmtree(published / "ManualMask")
    assert not any("two masks an image" in note for note in read(published).notes)


def test_a_mask_of_both_lungs_is_taken(published: Path) -> None:
    (published / "masks").mkdir()
    (published / "masks/MCUCXR_0001_0.png").write_text("x")
    assert read(published).rows[0].mask == "masks/MCUCXR_0001_0.png"


def test_a_reading_without_its_image_is_told(published: Path) -> None:
    (published / "CXR_png/MCUCXR_0001_0.png").unlink()
    contents = read(published)
    assert len(contents.rows) == 2
    assert any("1 clinical readings are of images that are not" in n for n in contents.notes)


def test_an_image_without_a_reading_has_no_sex_and_age(published: Path) -> None:
    (published / "ClinicalReadings/MCUCXR_0001_0.txt").unlink()
    contents = read(published)
    assert (contents.rows[0].sex, contents.rows[0].age) == ("", "")
    assert any("1 images have no clinical reading" in note for note in contents.notes)


def test_other_images_are_told(published: Path) -> None:
    (published / "CXR_png/CHNCXR_0001_0.png").write_text("x")
    contents = read(published)
    assert len(contents.rows) == 3
    assert any("1 images are left out" in note for note in contents.notes)


def test_a_name_that_two_images_bear_is_refused(published: Path) -> None:
    (published / "images").mkdir()
    (published / "images/MCUCXR_0001_0.jpg").write_text("x")
    with pytest.raises(DataError, match="bear one name"):
        read(published)


def test_a_folder_without_its_images_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/MCUCXR_0001_0.png").write_text("x")
    with pytest.raises(DataError, match="expected CXR_png/MCUCXR_0001_0.png .*; it holds masks/"):
        read(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real set montgomery is not here")
def test_the_real_names_give_the_real_manifest(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for path in (REAL / name).iterdir():
            (tmp_path / name / path.name).symlink_to(path)
    with (REAL / "manifest.csv").open(newline="") as file:
        expected = [(row["path"], row["label"], row["mask"]) for row in csv.DictReader(file)]
    assert sorted((row.path, row.label, row.mask) for row in read(tmp_path).rows) == expected
