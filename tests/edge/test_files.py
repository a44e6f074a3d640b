"""Files are whole or not there."""

import os
from pathlib import Path

import pytest

from covid.edge.files import replacing, write_atomically
from covid.errors import StorageError


def test_what_is_written_stands_under_its_name_alone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "a.txt", "grüß")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "grüß".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_a_failure_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", "before")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.txt") as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "a.txt").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="a.txt: cannot be written"):
        write_atomically(tmp_path / "file" / "a.txt", "x")


def test_the_file_beside_keeps_the_ending(tmp_path: Path) -> None:
    with replacing(tmp_path / "plot.png") as beside:
        beside.write_bytes(b"x")
        assert beside.suffix == ".png"


def test_a_folder_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(StorageError, match="is a folder or a device, not a file"):
            write_atomically(path, "x")


def test_a_file_s_odd_name_can_be_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", "\udcff.png")  # Python's name for a byte beyond UTF-8
    assert (tmp_path / "a.txt").read_bytes() == b"\\udcff.png"
