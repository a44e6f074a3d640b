"""Rows and their checksums: what was written comes back, and nothing else does."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from covid.data.record_file import RecordFile

LENGTH = 12


def content(*slots: int) -> np.ndarray:
    return np.stack([np.full(LENGTH, slot + 1, dtype=np.uint8) for slot in slots])


@pytest.fixture
def records(tmp_path: Path) -> RecordFile:
    """Eight records, of which 2, 5 and 6 are written."""
    made = RecordFile(tmp_path / "cache", "things", length=LENGTH)
    made.make()
    made.write([2, 5, 6], content(2, 5, 6))
    return made


def read(records: RecordFile, *wanted: int) -> tuple[np.ndarray, list[int]]:
    into = np.zeros((len(wanted), LENGTH), dtype=np.uint8)
    absent = records.read(wanted, into)
    return into, absent


def test_what_was_written_comes_back_in_the_order_asked_for(records: RecordFile) -> None:
    content_read, absent = read(records, 6, 2, 2)
    assert (content_read == content(6, 2, 2)).all() and absent == []


def test_what_was_never_written_is_told_by_its_place(records: RecordFile) -> None:
    assert read(records, 7, 5, 0)[1] == [0, 2]


def test_a_record_whose_bytes_changed_is_absent(records: RecordFile) -> None:
    with records.content.open("r+b") as file:
        file.seek(5 * LENGTH + 3)
        file.write(b"x")
    assert read(records, 2, 5, 6)[1] == [1]


def test_a_record_that_is_cut_short_is_absent(records: RecordFile) -> None:
    with records.content.open("r+b") as file:
        file.truncate(6 * LENGTH + 5)
    assert read(records, 2, 5, 6)[1] == [2]


def test_a_record_whose_checksum_is_zero_is_not_an_absent_one(tmp_path: Path) -> None:
    records = RecordFile(tmp_path, "short", length=4)
    records.make()
    one = np.frombuffer(bytes.fromhex("9d0ad96d"), dtype=np.uint8)[None]  # its CRC-32 is 0
    records.write([0], one)
    assert records.read([0], np.empty((1, 4), dtype=np.uint8)) == []


def test_another_opening_finds_what_the_first_wrote(records: RecordFile) -> None:
    again = RecordFile(records.folder, "things", length=LENGTH)
    again.make()
    assert read(again, 2, 5, 6)[1] == []


def test_the_records_that_are_written_are_counted(records: RecordFile) -> None:
    assert (records.written(range(8)), records.written([5, 7])) == (3, 1)


@pytest.mark.parametrize("how", ["read", "count"])
def test_using_records_says_that_they_were_used(records: RecordFile, how: str) -> None:
    os.utime(records.checksums, (0, 0))
    if how == "read":
        read(records, 2)
    else:
        records.written([2])
    assert records.checksums.stat().st_mtime > 0


def test_records_that_were_removed_are_absent_to_whoever_still_reads(records: RecordFile) -> None:
    records.remove()
    assert read(records, 2, 5)[1] == [0, 1] and records.written([2]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk always full")
def test_a_full_disk_leaves_the_record_absent(records: RecordFile) -> None:
    records.content.unlink()
    records.content.symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        records.write([1], content(1))
    assert (caught.value.errno, records.written([1])) == (errno.ENOSPC, 0)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's figures")
def test_reading_many_records_takes_the_memory_of_a_few(tmp_path: Path) -> None:
    length = 2**18
    records = RecordFile(tmp_path, "many", length=length)  # 100 MB
    records.make()
    some = np.ones((20, length), dtype=np.uint8)
    for start in range(0, 400, 20):
        records.write(range(start, start + 20), some)
    before = resident_bytes()
    for start in range(0, 400, 20):
        assert records.read(range(start, start + 20), some) == []
    # A memory map's pages would count: 100 MB of them.
    assert resident_bytes() - before < 30e6


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
