"""The Shenzhen set, with and without the masks that are published apart."""

from pathlib import Path

import pytest

from covid.collections.collection import Contents, Row
from covid.collections.shenzhen import SHENZHEN
from covid.errors import DataError


@pytest.fixture
def published(tmp_path: Path) -> Path:
    files = {
        "CXR_png/CHNCXR_0001_0.png": "x",
        "CXR_png/CHNCXR_0327_1.png": "x",
        "ClinicalReadings/CHNCXR_0001_0.txt": "male 45yrs\nnormal",
        "ClinicalReadings/CHNCXR_0327_1.txt": "male 42\nSTB",
        "mask/mask/CHNCXR_0001_0_mask.png": "x",
        "Annotations/masks/CHNCXR_0327_1_Cavity_1.png": "x",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def read(folder: Path) -> Contents:
    return SHENZHEN.read(folder, lambda done: None)


def test_a_name_gives_label_and_patient_a_reading_sex_and_age(published: Path) -> None:
    assert read(published).rows == [
        Row(
            "CXR_png/CHNCXR_0001_0.png", "normal", patient="0001", sex="M", age="45",
            mask="mask/mask/CHNCXR_0001_0_mask.png",
        ),
        Row("CXR_png/CHNCXR_0327_1.png", "tuberculosis", patient="0327", sex="M"),
    ]  # fmt: skip


def test_what_a_reading_does_not_say_and_what_has_no_mask_is_told(published: Path) -> None:
    notes = read(published).notes
    assert any(note.startswith("1 clinical readings do not say") for note in notes)
    assert any(note.startswith("1 images have no mask") for note in notes)


def test_a_folder_of_something_else_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "MCUCXR_0001_0.png").write_text("x")
    with pytest.raises(DataError, match="expected CXR_png/CHNCXR_0001_0.png"):
        read(tmp_path)
