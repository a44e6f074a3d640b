"""Rows and their checksums: what was written comes back, and nothing else does."""

import errno
import hashlib
import multiprocessing
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from covid.data.record_file import KEY_BYTES, RecordFile

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


def test_a_slot_of_minus_one_is_absent(records: RecordFile) -> None:
    assert read(records, 2, -1)[1] == [1]


def test_the_records_that_are_written_are_counted(records: RecordFile) -> None:
    assert (records.written(range(9)), records.written([5, 7])) == (3, 1)


@pytest.mark.parametrize("how", ["read", "count"])
def test_using_records_says_that_they_were_used(records: RecordFile, how: str) -> None:
    os.utime(records.checksums, (0, 0))
    if how == "read":
        read(records, 2)
    else:
        records.written([2])
    assert records.checksums.stat().st_mtime > 0


def test_records_that_were_removed_are_absent_to_whoever_still_reads(records: RecordFile) -> None:
    records.add([bytes(KEY_BYTES)])
    records.remove()
    assert read(records, 2, 5)[1] == [0, 1] and records.written([2]) == 0
    assert list(records.folder.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk always full")
def test_a_full_disk_leaves_the_record_absent(records: RecordFile) -> None:
    records.content.unlink()
    records.content.symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        records.write([1], content(1))
    assert (caught.value.errno, records.written([1])) == (errno.ENOSPC, 0)


def key(number: int) -> bytes:
    return hashlib.blake2b(bytes([number % 256, number // 256]), digest_size=KEY_BYTES).digest()


def keys(*numbers: int) -> list[bytes]:
    return [key(number) for number in numbers]


def slots(records: RecordFile, *numbers: int) -> list[int]:
    return records.slots(keys(*numbers)).tolist()  # type: ignore[no-any-return]


def test_keys_have_slots_in_the_order_in_which_they_came(records: RecordFile) -> None:
    records.add(keys(7, 8))
    records.add(keys(9, 8))
    assert slots(records, 7, 8, 9) == [0, 1, 2]


def test_a_key_that_was_never_added_has_no_slot(records: RecordFile) -> None:
    assert slots(records, 7) == [-1]


def test_keys_that_are_there_are_not_added_again(records: RecordFile) -> None:
    records.add(keys(7, 8, 7))
    records.add(keys(8, 7))
    assert records.keys.stat().st_size == 2 * KEY_BYTES


def test_a_key_that_two_processes_added_has_its_first_slot(records: RecordFile) -> None:
    records.keys.write_bytes(key(7) + key(8) + key(7))
    assert slots(records, 7, 8) == [0, 1]


def add_one_by_one(folder: Path, first: int) -> dict[int, int]:
    """The slots that 300 keys had when they were added."""
    records = RecordFile(folder, "things", length=LENGTH)
    had = {}
    for number in range(first, first + 300):
        records.add(keys(number))
        (had[number],) = slots(records, number)
    return had


def test_processes_that_add_keys_at_once_agree_on_their_slots(records: RecordFile) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        each = pool.starmap(add_one_by_one, [(records.folder, first) for first in (0, 20, 900)])
    for had in each:
        assert slots(records, *had) == list(had.values())


@pytest.mark.parametrize("cut", range(1, KEY_BYTES))
def test_a_list_of_keys_that_was_cut_short_keeps_the_whole_ones(
    records: RecordFile, cut: int
) -> None:
    records.add(keys(7, 8, 9))
    os.truncate(records.keys, 3 * KEY_BYTES - cut)
    records.add(keys(9, 10))
    assert slots(records, 7, 8, 9, 10) == [0, 1, 3, 4]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes: a write is cut short there, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_keys_that_do_not_fit_on_the_disk_are_an_error(records: RecordFile) -> None:
    with full_disk(3 * KEY_BYTES // 2), pytest.raises(OSError):
        records.add(keys(7, 8, 9))
    assert slots(records, 7, 8, 9) == [0, -1, -1]


def test_keys_are_added_once_the_disk_has_room_again(records: RecordFile) -> None:
    with full_disk(3 * KEY_BYTES // 2), pytest.raises(OSError):
        records.add(keys(7, 8, 9))
    records.add(keys(7, 8, 9))
    assert slots(records, 7, 8, 9) == [0, 2, 3]


def test_keys_that_are_all_there_need_no_writing(records: RecordFile) -> None:
    records.add(keys(7, 8))
    with full_disk(0):
        again = RecordFile(records.folder, "things", length=LENGTH)
        again.make()
        again.add(keys(8))
    assert slots(again, 8) == [1]


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
