"""COVID-19 Radiography Database: its releases, and where its images come from."""

from pathlib import Path

import pytest

from covid.collections import COLLECTIONS
from covid.errors import DataError
from tests.collections.layout import column, note, read, touch, write_table
from tests.collections.test_sheet import write_sheet

DATABASE = COLLECTIONS["covid_radiography"]
COVID, OPACITY, NORMAL, VIRAL = (
    "COVID/images/COVID-1.png", "Lung_Opacity/images/Lung_Opacity-1.png",
    "Normal/images/Normal-1.png", "Viral Pneumonia/images/Viral Pneumonia-1.png",
)  # fmt: skip
IMAGES = (COVID, OPACITY, NORMAL, VIRAL)
KAGGLE = "https://www.kaggle.com/"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "COVID-19_Radiography_Dataset"
    touch(base, *IMAGES, *(path.replace("/images/", "/masks/") for path in IMAGES))
    return base


def sheet(folder: Path, kind: str, name: str, address: str) -> None:
    rows = [["FILE NAME", "FORMAT", "SIZE", "URL"], [name, "PNG", "256*256", address]]
    write_sheet(folder / f"{kind}.metadata.xlsx", rows)


def test_folders_are_labels_and_masks_go_along(folder: Path) -> None:
    contents = read(DATABASE, folder)
    assert column(contents, lambda row: (row.label, row.mask)) == {
        COVID: ("COVID", "COVID/masks/COVID-1.png"),
        OPACITY: ("Lung_Opacity", "Lung_Opacity/masks/Lung_Opacity-1.png"),
        NORMAL: ("Normal", "Normal/masks/Normal-1.png"),
        VIRAL: ("Viral Pneumonia", "Viral Pneumonia/masks/Viral Pneumonia-1.png"),
    }
    assert not any("Left out" in text for text in contents.notes)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (f"{KAGGLE}c/rsna-pneumonia-detection-challenge/data", "rsna"),
        (f"{KAGGLE}paultimothymooney/chest-xray-pneumonia", "kermany"),
        ("https://www.example.org/case", "example.org"),
    ],
)
def test_the_sheet_s_address_is_the_source(folder: Path, address: str, source: str) -> None:
    sheet(folder, "Normal", "NORMAL-1", address)  # written in capitals there, not in the folder
    assert column(read(DATABASE, folder), lambda row: row.source)[NORMAL] == source


def test_a_sheet_saved_as_csv_serves_too(folder: Path) -> None:
    write_table(folder / "COVID.metadata.csv", "FILE NAME,URL", "COVID-1,https://eurorad.org")
    assert column(read(DATABASE, folder), lambda row: row.source)[COVID] == "eurorad"


def test_without_sheets_classes_of_one_place_keep_their_source(folder: Path) -> None:
    contents = read(DATABASE, folder)
    assert column(contents, lambda row: row.source) == {
        COVID: "", OPACITY: "rsna", NORMAL: "", VIRAL: "kermany",
    }  # fmt: skip
    assert note(contents, "the sources of Normal, which are several")


def test_the_folder_above_reads_alike(folder: Path) -> None:
    paths = {row.path for row in read(DATABASE, folder.parent).rows}
    assert paths == {f"{folder.name}/{path}" for path in IMAGES}


def test_the_first_release_has_images_directly_and_other_names(tmp_path: Path) -> None:
    touch(tmp_path, "COVID-19/COVID-19 (1).png", "NORMAL/NORMAL (1).png")
    assert column(read(DATABASE, tmp_path), lambda row: (row.label, row.mask)) == {
        "COVID-19/COVID-19 (1).png": ("COVID", ""), "NORMAL/NORMAL (1).png": ("Normal", ""),
    }  # fmt: skip


def test_an_image_without_a_mask_is_counted(folder: Path) -> None:
    touch(folder, "COVID/images/COVID-2.png")
    contents = read(DATABASE, folder)
    assert column(contents, lambda row: row.mask)["COVID/images/COVID-2.png"] == ""
    assert "1 image" in note(contents, "without a mask")


def test_images_outside_the_classes_are_counted(folder: Path) -> None:
    touch(folder, "Samples/a.png")
    assert "Samples/a.png" in note(read(DATABASE, folder), "no class's folder")


def test_a_folder_of_something_else_names_what_was_expected(tmp_path: Path) -> None:
    touch(tmp_path, "cats/a.png")
    with pytest.raises(DataError, match="expected the folders COVID.*it holds cats/"):
        read(DATABASE, tmp_path)
