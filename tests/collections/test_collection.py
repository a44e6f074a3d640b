"""What collections share: their tables, their images, how ages and counts are read and said."""

import os
from pathlib import Path

import pytest

from covid.collections.collection import (
    as_age,
    by_stem,
    counted,
    find_base,
    images_below,
    not_recognised,
    presence_notes,
    read_table,
)
from covid.errors import DataError
from tests.collections.layout import touch, write_table


def test_a_table_s_cells_are_stripped_and_missing_ones_empty(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", "\ufeffName , Age", " a ,1", "b")
    assert list(read_table(tmp_path / "a.csv", ["Age"])) == [
        {"Name": "a", "Age": "1"}, {"Name": "b", "Age": ""},
    ]  # fmt: skip


def test_a_table_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", "Name,Age")
    with pytest.raises(DataError, match="has no column Sex; its columns are Name, Age"):
        list(read_table(tmp_path / "a.csv", ["Sex"]))


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(read_table(tmp_path / "a.csv", []))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'Name\n"' + b"a" * 200_000])
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match="download it again"):
        list(read_table(tmp_path / "a.csv", []))


def test_a_folder_in_a_table_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        list(read_table(tmp_path / "a.csv", []))


def test_the_base_is_the_folder_or_the_one_in_it(tmp_path: Path) -> None:
    assert find_base(tmp_path, "labels.csv") is None
    touch(tmp_path, "archive/labels.csv", "__MACOSX/labels.csv", "other/a.png")
    assert find_base(tmp_path, "labels*.csv") == tmp_path / "archive"
    touch(tmp_path, "labels.csv")
    assert find_base(tmp_path, "labels.csv") == tmp_path


def test_a_collection_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "large/labels.csv", "small/labels.csv")
    with pytest.raises(DataError, match=r"several times \(large, small\)"):
        find_base(tmp_path, "labels.csv")


def test_images_are_those_by_their_ending_and_not_hidden(tmp_path: Path) -> None:
    touch(tmp_path, "b/a.PNG", "a.jpeg", "b/c.dcm", "notes.txt", ".a.png", ".b/a.png",
          "__MACOSX/a.png")  # fmt: skip
    assert images_below(tmp_path) == ["a.jpeg", "b/a.PNG", "b/c.dcm"]


def test_images_of_one_place_keep_the_folder_s_paths(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b/c/d.png")
    assert images_below(tmp_path, tmp_path / "b") == ["b/c/d.png"]
    assert images_below(tmp_path, tmp_path / "missing") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.png")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read"):
            images_below(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o700)


def test_stems_are_names_without_the_last_ending() -> None:
    assert by_stem(["a/fig.1.png", "b/c.jpeg"]) == {"fig.1": "a/fig.1.png", "c": "b/c.jpeg"}


def test_two_files_of_one_stem_are_refused() -> None:
    with pytest.raises(DataError, match=r"a/c\.png and b/c\.jpg: bear one name"):
        by_stem(["a/c.png", "b/c.jpg"])


@pytest.mark.parametrize(
    ("text", "years"),
    [("63", "63"), ("63.0", "63"), ("063Y", "63"), ("018M", "1"), ("003D", "0"), ("120", "120"),
     ("121", ""), ("413", ""), ("", ""), ("old", ""), ("-3", "")],
)  # fmt: skip
def test_age_is_years_or_empty(text: str, years: str) -> None:
    assert as_age(text) == years


def test_a_count_agrees_with_its_noun() -> None:
    assert [counted(number, "image") for number in (0, 1, 2_000)] == [
        "0 images", "1 image", "2,000 images",
    ]  # fmt: skip


def test_notes_name_three_files_and_count_the_rest() -> None:
    absent, unlisted = presence_notes(["a", "b", "c", "d"], ["e"])
    assert "4 images that the tables list (a, b, c and 1 more)" in absent
    assert "1 image in the folder (e)" in unlisted
    assert presence_notes([], []) == []


def test_an_unknown_layout_is_told_with_what_is_there(tmp_path: Path) -> None:
    assert str(not_recognised(tmp_path, "a table")).endswith("expected a table; it holds nothing.")
    touch(tmp_path, *(f"{letter}.png" for letter in "abcdefgh"), "z/a.png", ".hidden")
    assert str(not_recognised(tmp_path, "a table")).endswith("g.png, h.png and 1 more.")
