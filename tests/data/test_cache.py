"""The cache: the same pixels with and without, nothing stale or half, a full disk survived."""

import errno
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from covid.data.cache import Images, Scan
from covid.data.fingerprint import fingerprint
from covid.data.index import Index
from covid.data.source import load_index
from covid.edge.images import read_image
from covid.errors import DataError, ImageError
from tests.conftest import LABELS, MakeImages, write_image

SIZE = 32


@pytest.fixture
def index(make_images: MakeImages) -> Index:
    return load_index(make_images(), LABELS)


def all_rows(index: Index) -> list[int]:
    return list(range(len(index.samples)))


def direct(index: Index) -> np.ndarray:
    return np.stack([read_image(sample.path, SIZE) for sample in index.samples])


def ignore(count: int) -> None:
    pass


def test_cached_pixels_are_the_decoded_ones(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_rows(index), ignore)
    again = Images(index, SIZE, tmp_path / "cache").read(all_rows(index))
    assert (again == direct(index)).all()


def test_what_is_cached_is_not_decoded_again(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_rows(index), ignore)
    again = Images(index, SIZE, tmp_path / "cache")
    for sample in index.samples:
        sample.path.unlink()
    assert (again.read([0, 5]) >= 0).all()


def test_without_a_cache_every_read_decodes(index: Index) -> None:
    images = Images(index, SIZE, None)
    assert (images.read([3, 1]) == direct(index)[[3, 1]]).all()


def test_a_changed_image_is_not_served_stale(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_rows(index), ignore)
    changed = index.samples[0].path
    before = changed.stat()
    write_image(changed, seed=777)
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (Images(index, SIZE, tmp_path / "cache").read([0])[0] == read_image(changed, SIZE)).all()


def test_another_size_is_another_cache(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_rows(index), ignore)
    assert Images(index, 40, tmp_path / "cache").read([0]).shape == (1, 40, 40)


def test_a_half_written_row_is_decoded_again(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_rows(index), ignore)
    (rows,) = (tmp_path / "cache").glob("*.rows")
    with rows.open("r+b") as file:
        file.write(bytes(SIZE))  # the first row of the first image goes black
    again = Images(index, SIZE, tmp_path / "cache").read(all_rows(index))
    assert (again == direct(index)).all()


def test_a_cache_that_was_deleted_in_use_is_missed_by_nobody(index: Index, tmp_path: Path) -> None:
    images = Images(index, SIZE, tmp_path / "cache")
    images.scan(all_rows(index), ignore)
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    assert (images.read(all_rows(index)) == direct(index)).all()


def fill(root: Path, cache: Path) -> None:
    index = load_index(root, LABELS)
    Images(index, SIZE, cache).scan(all_rows(index), ignore)


def test_several_processes_may_fill_it_at_once(index: Index, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    cache = tmp_path / "cache"
    fillers = [context.Process(target=fill, args=(index.roots[0], cache)) for _ in range(3)]
    for process in fillers:
        process.start()
    for process in fillers:
        process.join()
    assert (Images(index, SIZE, cache).read(all_rows(index)) == direct(index)).all()


def test_a_folder_that_cannot_be_written_is_a_sentence_and_no_cache(
    index: Index, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    images = Images(index, SIZE, tmp_path / "file" / "cache")
    assert "cannot be kept" in str(images.problem)
    assert (images.read([2]) == direct(index)[[2]]).all()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk always full")
def test_a_full_disk_is_a_sentence_and_reading_goes_on(index: Index, tmp_path: Path) -> None:
    images = Images(index, SIZE, tmp_path / "cache")
    (rows,) = (tmp_path / "cache").glob("*.rows")
    rows.unlink()
    rows.symlink_to("/dev/full")
    assert (images.read(all_rows(index)) == direct(index)).all()
    assert os.strerror(errno.ENOSPC) in str(images.problem)


def test_an_unreadable_image_is_found_by_the_scan(index: Index) -> None:
    index.samples[4].path.write_bytes(b"no image")
    assert list(Images(index, SIZE, None).scan(all_rows(index), ignore).unreadable) == [4]


def test_reading_an_unreadable_image_is_an_error(index: Index) -> None:
    index.samples[4].path.write_bytes(b"no image")
    with pytest.raises(ImageError, match=index.samples[4].path.name):
        Images(index, SIZE, None).read([3, 4])


def test_ten_unreadable_images_are_listed_and_all_are_counted() -> None:
    scan = Scan(np.zeros(256, dtype=np.int64), {n: f"image-{n}.png is bad." for n in range(13)})
    with pytest.raises(DataError, match="13 of 20 images .*image-9.png.*and 3 more") as caught:
        scan.require_readable(20)
    assert "image-10.png" not in str(caught.value)


def test_mean_and_deviation_are_those_of_the_pixels(index: Index) -> None:
    scan = Images(index, SIZE, None).scan(all_rows(index), ignore)
    pixels = direct(index) / 255
    # Two sums over 24,000 pixels in float64 differ by far less than this.
    assert scan.mean_and_std() == pytest.approx((pixels.mean(), pixels.std()), abs=1e-9)


def test_surveys_of_shares_add_up_to_the_survey_of_all(index: Index) -> None:
    images, rows = Images(index, SIZE, None), all_rows(index)
    parts = images.scan(rows[::2], ignore) + images.scan(rows[1::2], ignore)
    assert (parts.histogram == images.scan(rows, ignore).histogram).all()


def test_the_survey_has_the_fingerprint_of_every_readable_image(index: Index) -> None:
    index.samples[4].path.write_bytes(b"no image")
    images, rows = Images(index, SIZE, None), all_rows(index)
    parts = images.scan(rows[::2], ignore) + images.scan(rows[1::2], ignore)
    readable = [row for row in rows if row != 4]
    pixels = images.read(readable)
    assert parts.fingerprints == {
        row: fingerprint(one) for row, one in zip(readable, pixels, strict=True)
    }


def test_equal_pixels_have_no_deviation_to_divide_by() -> None:
    histogram = np.zeros(256, dtype=np.int64)
    histogram[128] = 10
    assert Scan(histogram, {}).mean_and_std() == (128 / 255, 1.0)
