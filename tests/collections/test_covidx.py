"""COVIDx: its lists, of every version, to rows."""

from pathlib import Path

import pytest

from covid.collections.collection import Contents, Row
from covid.collections.covidx import COVIDX
from covid.errors import DataError

# Lines as CXR-2 and later have them, one with a source misspelt, and one with spaces.
TRAIN = """\
5 ARDSSevere.png negative cohen
313b 10.1016-slash-j.hrcr.2020.04.015-fig3-a.png negative cohen
46480de3-b915 46480de3-b915.png negative rnsa
COVID-19 (5) COVID-19 (5).png positive sirm
"""
TEST = "419639-003251 MIDRC-RICORD-1C-419639-003251-46647-0.png positive ricord\n"
VALIDATION = "5 sub-S03044_run-1_bp-chest_vp-ap_cr.png positive bimcv\n"


def write(folder: Path, **texts: str) -> None:
    """NAME.txt for each text, and an image for each of its lines."""
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
        (folder / name).mkdir()
        for line in text.splitlines():
            words = line.split(" ")
            start = 2 if words[0] == "COVID-19" else 1
            (folder / name / " ".join(words[start:-2])).write_bytes(b"x")


def read(folder: Path) -> Contents:
    return COVIDX.read(folder, lambda done: None)


def told(folder: Path, sentence: str) -> bool:
    return any(sentence in note for note in read(folder).notes)


def test_lists_give_class_split_and_source(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN, val=VALIDATION, test=TEST)
    rows = {row.path: row for row in read(tmp_path).rows}
    assert len(rows) == 6
    assert rows["train/ARDSSevere.png"] == Row(
        "train/ARDSSevere.png", "negative", split="train", patient="cohen 5", source="cohen"
    )
    assert [row.split for row in rows.values()].count("validation") == 1
    assert rows["test/MIDRC-RICORD-1C-419639-003251-46647-0.png"].label == "positive"


def test_a_number_is_another_patient_in_another_source(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN, val=VALIDATION)
    patients = {row.path: row.patient for row in read(tmp_path).rows}
    first = patients["train/ARDSSevere.png"]
    assert first != patients["val/sub-S03044_run-1_bp-chest_vp-ap_cr.png"]


def test_names_with_spaces_are_told_apart_by_what_is_on_disk(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN)
    rows = {row.path: row for row in read(tmp_path).rows}
    assert rows["train/COVID-19 (5).png"].patient == "sirm COVID-19 (5)"


def test_a_misspelt_source_is_the_source(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN)
    rows = {row.path: row for row in read(tmp_path).rows}
    assert rows["train/46480de3-b915.png"].source == "rsna"


def test_old_lists_without_sources_are_read(tmp_path: Path) -> None:
    (tmp_path / "train_split.txt").write_text("3 SARS-day0.jpeg viral\n29 pneumonia-1.jpg normal\n")
    (tmp_path / "train").mkdir()
    for name in ("SARS-day0.jpeg", "pneumonia-1.jpg"):
        (tmp_path / "train" / name).write_bytes(b"x")
    contents = read(tmp_path)
    assert contents.rows[0] == Row("train/SARS-day0.jpeg", "viral", split="train", patient="3")
    assert any("name no sources" in note for note in contents.notes)


def test_two_lists_of_one_split_are_refused(tmp_path: Path) -> None:
    write(tmp_path, train_COVIDx9A=TRAIN, train_COVIDx9B=TRAIN)
    with pytest.raises(DataError, match=r"train_COVIDx9A\.txt, train_COVIDx9B\.txt all list"):
        read(tmp_path)


def test_an_image_that_is_missing_is_left_out_and_told(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN)
    (tmp_path / "train/ARDSSevere.png").unlink()
    assert len(read(tmp_path).rows) == 3
    assert told(tmp_path, "1 of 4 images that train.txt lists are not in train/")


def test_an_image_of_another_ending_serves_if_no_line_names_it(tmp_path: Path) -> None:
    write(tmp_path, train="395 000001-1.png negative cohen\n416 000001-2.png negative cohen\n")
    for name in ("000001-1", "000001-2"):
        (tmp_path / f"train/{name}.png").rename(tmp_path / f"train/{name}.jpg")
    with (tmp_path / "train.txt").open("a") as file:
        file.write("417 000001-2.jpg negative cohen\n")
    patients = {row.path: row.patient for row in read(tmp_path).rows}
    assert patients == {"train/000001-1.jpg": "cohen 395", "train/000001-2.jpg": "cohen 417"}


def test_images_that_no_list_names_are_told(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN)
    (tmp_path / "train/extra.png").write_bytes(b"x")
    (tmp_path / "val").mkdir()
    (tmp_path / "val/other.png").write_bytes(b"x")
    assert told(tmp_path, "1 images in train/ are not listed in train.txt")
    assert told(tmp_path, "1 images in val/ are left out, because there is no val.txt")


def test_a_line_that_was_cut_off_is_told(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN)
    with (tmp_path / "train.txt").open("a") as file:
        file.write("ANON56 CR.1.2.840.1135")
    assert len(read(tmp_path).rows) == 4
    assert told(tmp_path, "1 lines of train.txt are not")


def test_an_image_listed_twice_has_one_row(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN + "5 ARDSSevere.png negative cohen\n")
    assert len(read(tmp_path).rows) == 4
    assert told(tmp_path, "1 lines of train.txt name an image that an earlier line names")


def test_an_image_of_two_classes_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN + "5 ARDSSevere.png positive cohen\n")
    assert "train/ARDSSevere.png" not in {row.path for row in read(tmp_path).rows}
    assert told(tmp_path, "1 images have two classes")


def test_a_folder_of_something_else_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(TRAIN)
    with pytest.raises(DataError, match=r"expected train\.txt and test\.txt .*; it holds train\.t"):
        read(tmp_path)


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    write(tmp_path, train=TRAIN)
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read(tmp_path)
