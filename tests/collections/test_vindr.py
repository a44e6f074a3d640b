"""VinDr-CXR as PhysioNet has it and as Kaggle has it."""

import shutil
from pathlib import Path

import pytest

from covid.collections.collection import Contents, Row
from covid.collections.vindr import VINDR
from covid.errors import DataError

TRAIN = """\
image_id,rad_id,Cardiomegaly,Nodule/Mass,Other diseases,No finding
000434271f63a053c4128a0ba6352c7f,R6,1,0,0,0
000434271f63a053c4128a0ba6352c7f,R2,1,1,0,0
000434271f63a053c4128a0ba6352c7f,R3,0,0,0,1
00053190460d56c53cc3e57321387478,R11,0,0,0,1
00053190460d56c53cc3e57321387478,R2,0,0,0,1
00053190460d56c53cc3e57321387478,R8,0,0,0,1
"""
TEST = """\
image_id,Cardiomegaly,Nodule/Mass,Other disease,No finding
002a34c58c5b758217ed1f584ccbcfe9,0.0,0.0,1.0,0.0
"""
KAGGLE = """\
image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max
9a5094b2563a1ef3ff50dc5c7ff71345,Cardiomegaly,3,R10,691.0,1375.0,1653.0,1831.0
9a5094b2563a1ef3ff50dc5c7ff71345,Cardiomegaly,3,R9,692.0,1375.0,1653.0,1831.0
9a5094b2563a1ef3ff50dc5c7ff71345,Pleural effusion,10,R9,1789.0,1729.0,1875.0,1992.0
9a5094b2563a1ef3ff50dc5c7ff71345,Pleural effusion,10,R9,1791.0,1730.0,1876.0,1993.0
9a5094b2563a1ef3ff50dc5c7ff71345,No finding,14,R8,,,,
50a418190bc3fb1ef1633bf9678929b3,No finding,14,R11,,,,
"""


@pytest.fixture
def physionet(tmp_path: Path) -> Path:
    for split, table in (("train", TRAIN), ("test", TEST)):
        write_images(tmp_path / split, table)
        annotations = tmp_path / "annotations"
        annotations.mkdir(exist_ok=True)
        (annotations / f"image_labels_{split}.csv").write_text(table)
    return tmp_path


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    write_images(tmp_path / "train", KAGGLE)
    (tmp_path / "train.csv").write_text(KAGGLE)
    (tmp_path / "test").mkdir()
    (tmp_path / "test/64745dd6d13744f622c269f3a8e07721.dicom").write_bytes(b"x")
    return tmp_path


def write_images(folder: Path, table: str, ending: str = ".dicom") -> None:
    folder.mkdir(exist_ok=True)
    for line in table.splitlines()[1:]:
        (folder / (line.split(",")[0] + ending)).write_bytes(b"x")


def read(folder: Path) -> Contents:
    return VINDR.read(folder, lambda done: None)


def test_most_readers_give_a_label_and_others_a_doubt(physionet: Path) -> None:
    rows = read(physionet).rows
    assert rows[0] == Row(
        "train/000434271f63a053c4128a0ba6352c7f.dicom", "Cardiomegaly|Nodule/Mass?|No finding?",
        split="train", view="PA",
    )  # fmt: skip
    assert rows[1].label == "No finding"


def test_the_consensus_of_test_is_taken_under_the_name_that_train_has(physionet: Path) -> None:
    row = read(physionet).rows[2]
    assert (row.label, row.split) == ("Other diseases", "test")


def test_a_reader_counts_once_however_many_boxes_he_drew(kaggle: Path) -> None:
    rows = read(kaggle).rows
    assert rows[0].label == "Cardiomegaly|Pleural effusion?|No finding?"
    assert rows[1].label == "No finding"


def test_half_of_the_readers_are_a_doubt(kaggle: Path) -> None:
    with (kaggle / "train.csv").open("a") as file:
        file.write("50a418190bc3fb1ef1633bf9678929b3,Cardiomegaly,3,R1,1,1,2,2\n")
    assert read(kaggle).rows[1].label == "No finding?|Cardiomegaly?"


def test_what_kaggle_labels_has_no_split_and_the_rest_is_told(kaggle: Path) -> None:
    contents = read(kaggle)
    assert {row.split for row in contents.rows} == {""}
    assert any("1 images in test/ are left out" in note for note in contents.notes)


def test_converted_images_do_as_well(physionet: Path) -> None:
    for path in (physionet / "train").iterdir():
        path.rename(path.with_suffix(".png"))
    assert read(physionet).rows[0].path.endswith(".png")


def test_labelled_images_that_are_missing_are_told(physionet: Path) -> None:
    (physionet / "train/00053190460d56c53cc3e57321387478.dicom").unlink()
    contents = read(physionet)
    assert len(contents.rows) == 2
    assert any("1 of 2 labelled images are not in train/" in note for note in contents.notes)


def test_images_without_labels_are_told(physionet: Path) -> None:
    (physionet / "test/other.dicom").write_bytes(b"x")
    assert any("1 images in test/ have no labels" in note for note in read(physionet).notes)


def test_an_image_of_which_nothing_is_said_is_left_out(physionet: Path) -> None:
    table = physionet / "annotations/image_labels_test.csv"
    table.write_text(TEST.replace("0.0,0.0,1.0,0.0", "0.0,,0,0"))
    contents = read(physionet)
    assert len(contents.rows) == 2
    assert any("1 images in test/ have neither a label" in note for note in contents.notes)


def test_a_cell_that_is_neither_0_nor_1_is_refused(physionet: Path) -> None:
    table = physionet / "annotations/image_labels_train.csv"
    table.write_text(TRAIN.replace("R6,1", "R6,yes"))
    with pytest.raises(DataError, match="Cardiomegaly of 0004.* is yes, neither 0 nor 1"):
        read(physionet)


def test_a_folder_without_images_is_not_recognised(physionet: Path) -> None:
    for path in [*physionet.glob("t*/*")]:
        path.unlink()
    with pytest.raises(DataError, match="expected annotations/image_labels_train.csv"):
        read(physionet)


def test_a_folder_that_is_not_there_yet_is_one_without_images(physionet: Path) -> None:
    shutil.rmtree(physionet / "test")
    contents = read(physionet)
    assert len(contents.rows) == 2
    assert any("1 of 1 labelled images are not in test/" in note for note in contents.notes)
