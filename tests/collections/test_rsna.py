"""RSNA's challenge as Kaggle gives it, with and without the files that say more."""

import json
from pathlib import Path

import pytest

from covid.collections import COLLECTIONS
from covid.collections.rsna import CLASSES, LABELS, MAPPING
from covid.errors import DataError
from tests.collections.layout import column, note, read, touch, write_table

RSNA = COLLECTIONS["rsna"]
HEALTHY, ILL, OTHER = "0004cfab-14fd", "00436515-870c", "00313ee0-9eaa"
PATHS = {name: f"stage_2_train_images/{name}.dcm" for name in (HEALTHY, ILL, OTHER)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    touch(tmp_path, *PATHS.values())
    write_table(
        tmp_path / LABELS,
        "patientId,x,y,width,height,Target",
        f"{HEALTHY},,,,,0",
        f"{ILL},264.0,152.0,213.0,379.0,1",
        f"{ILL},562.0,152.0,256.0,453.0,1",
        f"{OTHER},,,,,0",
    )
    write_table(
        tmp_path / CLASSES,
        "patientId,class",
        f"{HEALTHY},Normal",
        f"{ILL},Lung Opacity",
        f"{ILL},Lung Opacity",
        f"{OTHER},No Lung Opacity / Not Normal",
    )
    return tmp_path


def test_boxes_of_one_image_are_one_row_with_its_class(folder: Path) -> None:
    contents = read(RSNA, folder)
    assert len(contents.rows) == 3
    assert column(contents, lambda row: row.label) == {
        PATHS[HEALTHY]: "Normal", PATHS[ILL]: "Lung Opacity",
        PATHS[OTHER]: "No Lung Opacity / Not Normal",
    }  # fmt: skip


def test_without_the_classes_the_target_is_the_label(folder: Path) -> None:
    (folder / CLASSES).unlink()
    contents = read(RSNA, folder)
    assert column(contents, lambda row: row.label) == {
        PATHS[HEALTHY]: "No Lung Opacity", PATHS[ILL]: "Lung Opacity",
        PATHS[OTHER]: "No Lung Opacity",
    }  # fmt: skip
    assert CLASSES in note(contents, "not told apart")


def test_a_patient_is_claimed_only_where_rsna_s_mapping_is_there(folder: Path) -> None:
    assert {row.patient for row in read(RSNA, folder).rows} == {""}
    images = [{"subset_img_id": name, "img_id": "00000007_003.png"} for name in (HEALTHY, ILL)]
    (folder / MAPPING).write_text(json.dumps(images))
    assert column(read(RSNA, folder), lambda row: row.patient) == {
        PATHS[HEALTHY]: "7", PATHS[ILL]: "7", PATHS[OTHER]: "",
    }  # fmt: skip


def test_a_damaged_mapping_is_refused(folder: Path) -> None:
    (folder / MAPPING).write_text('{"subset_img_id": 1}')
    with pytest.raises(DataError, match="is not RSNA's list"):
        read(RSNA, folder)


def test_images_of_the_secret_test_set_are_counted(folder: Path) -> None:
    touch(folder, "stage_2_test_images/0000a175.dcm")
    contents = read(RSNA, folder)
    assert len(contents.rows) == 3
    assert "0000a175" in note(contents, "do not list")


def test_images_that_were_converted_are_read_too(folder: Path) -> None:
    (folder / PATHS[ILL]).rename(folder / f"{ILL}.png")
    assert f"{ILL}.png" in {row.path for row in read(RSNA, folder).rows}


def test_missing_images_are_left_out_and_counted(folder: Path) -> None:
    (folder / PATHS[ILL]).unlink()
    assert ILL in note(read(RSNA, folder), "not in the folder")


def test_a_target_that_is_neither_is_refused(folder: Path) -> None:
    write_table(folder / LABELS, "patientId,Target", f"{ILL},2")
    with pytest.raises(DataError, match="Target '2'"):
        read(RSNA, folder)


def test_a_folder_with_an_archive_names_what_was_expected(tmp_path: Path) -> None:
    touch(tmp_path, f"{LABELS}.zip")
    with pytest.raises(DataError, match=rf"expected {LABELS}.*it holds {LABELS}\.zip"):
        read(RSNA, tmp_path)


def test_view_sex_and_age_are_those_of_the_headers(tmp_path: Path) -> None:
    files = pytest.importorskip("tests.edge.dicom_files")
    (tmp_path / "stage_2_train_images").mkdir()
    path = tmp_path / "stage_2_train_images/a.dcm"
    files.dicom(path, files.RAMP, ViewPosition="AP", PatientSex="F", PatientAge="051Y")
    (tmp_path / LABELS).write_text("patientId,x,y,width,height,Target\na,,,,,0\n")
    (row,) = RSNA.read(tmp_path, lambda count: None).rows
    assert (row.view, row.sex, row.age) == ("AP", "F", "51")
