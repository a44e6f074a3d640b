"""The cache: the same pixels with and without, nothing stale or half, a full disk survived."""

import errno
import hashlib
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid.data.cache import Images, Original, Scan, make_room, open_images
from covid.data.fingerprint import fingerprint
from covid.data.index import Index, Sample
from covid.data.source import load_index
from covid.edge.images import read_grey, read_image
from covid.errors import DataError, ImageError
from tests.conftest import LABELS, MakeImages, write_image

SIZE = 32


@pytest.fixture
def index(make_images: MakeImages) -> Index:
    return load_index(make_images(), LABELS)


def all_indices(index: Index) -> list[int]:
    return list(range(len(index.samples)))


def direct(index: Index) -> np.ndarray:
    return np.stack([read_image(sample.path, SIZE) for sample in index.samples])


def ignore(count: int) -> None:
    pass


def test_cached_pixels_are_the_decoded_ones(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_indices(index), ignore)
    again = Images(index, SIZE, tmp_path / "cache").read(all_indices(index))
    assert (again == direct(index)).all()


def test_what_is_cached_is_not_decoded_again(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_indices(index), ignore)
    again = Images(index, SIZE, tmp_path / "cache")
    for sample in index.samples:
        sample.path.unlink()
    assert (again.read([0, 5]) >= 0).all()


def test_without_a_cache_every_read_decodes(index: Index) -> None:
    images = Images(index, SIZE, None)
    assert (images.read([3, 1]) == direct(index)[[3, 1]]).all()


def test_a_changed_image_is_not_served_stale(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_indices(index), ignore)
    changed = index.samples[0].path
    before = changed.stat()
    write_image(changed, seed=777)
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (Images(index, SIZE, tmp_path / "cache").read([0])[0] == read_image(changed, SIZE)).all()


def test_another_size_is_another_cache(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_indices(index), ignore)
    assert Images(index, 40, tmp_path / "cache").read([0]).shape == (1, 40, 40)


def recorded(index: Index, opened: list[str]) -> Index:
    """The same images, whose names go into `opened` as they are decoded."""

    def read(path: Path) -> Image.Image:
        opened.append(path.name)
        return read_grey(path)

    return replace(index, samples=tuple(replace(sample, read=read) for sample in index.samples))


def test_of_a_set_with_one_new_image_that_alone_is_decoded(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_indices(index), ignore)
    write_image(index.roots[0] / "train" / "covid" / "a-new-one.png", seed=99)
    opened: list[str] = []
    larger = recorded(load_index(index.roots, LABELS), opened)
    assert (
        Images(larger, SIZE, tmp_path / "cache").read(all_indices(larger)) == direct(larger)
    ).all()
    assert opened == ["a-new-one.png"]


def test_what_an_image_was_before_it_was_resized_comes_with_the_scan(index: Index) -> None:
    scan = Images(index, SIZE, None).scan([3], ignore)
    grey = read_grey(index.samples[3].path)
    content = hashlib.sha256(grey.tobytes()).hexdigest()
    assert scan.originals == {3: Original(grey.width, grey.height, content)}


def test_what_an_image_was_is_known_without_decoding_it_again(index: Index, tmp_path: Path) -> None:
    first = Images(index, SIZE, tmp_path / "cache").scan(all_indices(index), ignore)
    opened: list[str] = []
    again = Images(recorded(index, opened), SIZE, tmp_path / "cache")
    assert again.scan(all_indices(index), ignore).originals == first.originals and opened == []


def test_of_an_unreadable_image_nothing_is_known(index: Index) -> None:
    index.samples[4].path.write_bytes(b"no image")
    scan = Images(index, SIZE, None).scan(all_indices(index), ignore)
    assert 4 not in scan.originals and len(scan.originals) == len(index.samples) - 1


def test_a_file_that_is_gone_is_an_unreadable_image(index: Index, tmp_path: Path) -> None:
    index.samples[4].path.unlink()
    scan = Images(index, SIZE, tmp_path / "cache").scan(all_indices(index), ignore)
    assert "there is no such file" in scan.unreadable[4]


def test_a_half_written_row_is_decoded_again(index: Index, tmp_path: Path) -> None:
    Images(index, SIZE, tmp_path / "cache").scan(all_indices(index), ignore)
    (rows,) = (tmp_path / "cache").glob("*.rows")
    with rows.open("r+b") as file:
        file.write(bytes(SIZE))  # the first row of the first image goes black
    again = Images(index, SIZE, tmp_path / "cache").read(all_indices(index))
    assert (again == direct(index)).all()


def test_a_cache_that_was_deleted_in_use_is_missed_by_nobody(index: Index, tmp_path: Path) -> None:
    images = Images(index, SIZE, tmp_path / "cache")
    images.scan(all_indices(index), ignore)
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    assert (images.read(all_indices(index)) == direct(index)).all()


def fill(root: Path, cache: Path) -> None:
    index = load_index(root, LABELS)
    Images(index, SIZE, cache).scan(all_indices(index), ignore)


def test_several_processes_may_fill_it_at_once(index: Index, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    cache = tmp_path / "cache"
    fillers = [context.Process(target=fill, args=(index.roots[0], cache)) for _ in range(3)]
    for process in fillers:
        process.start()
    for process in fillers:
        process.join()
    assert (Images(index, SIZE, cache).read(all_indices(index)) == direct(index)).all()


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
    assert (images.read(all_indices(index)) == direct(index)).all()
    assert os.strerror(errno.ENOSPC) in str(images.problem)


def test_an_unreadable_image_is_found_by_the_scan(index: Index) -> None:
    index.samples[4].path.write_bytes(b"no image")
    assert list(Images(index, SIZE, None).scan(all_indices(index), ignore).unreadable) == [4]


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
    scan = Images(index, SIZE, None).scan(all_indices(index), ignore)
    pixels = direct(index) / 255
    # Two sums over 24,000 pixels in float64 differ by far less than this.
    assert scan.mean_and_std() == pytest.approx((pixels.mean(), pixels.std()), abs=1e-9)


def test_scans_of_shares_add_up_to_the_scan_of_all(index: Index) -> None:
    images, indices = Images(index, SIZE, None), all_indices(index)
    parts = images.scan(indices[::2], ignore) + images.scan(indices[1::2], ignore)
    whole = images.scan(indices, ignore)
    assert (parts.histogram == whole.histogram).all() and parts.originals == whole.originals


def test_the_scan_has_the_fingerprint_of_every_readable_image(index: Index) -> None:
    index.samples[4].path.write_bytes(b"no image")
    images, indices = Images(index, SIZE, None), all_indices(index)
    parts = images.scan(indices[::2], ignore) + images.scan(indices[1::2], ignore)
    readable = [i for i in indices if i != 4]
    pixels = images.read(readable)
    assert parts.fingerprints == {
        i: fingerprint(one) for i, one in zip(readable, pixels, strict=True)
    }


def test_equal_pixels_have_no_deviation_to_divide_by() -> None:
    histogram = np.zeros(256, dtype=np.int64)
    histogram[128] = 10
    assert Scan(histogram, {}).mean_and_std() == (128 / 255, 1.0)


# A cache that is full: names of sets, each of a megabyte, and the second in which it was used.
AGES = {"images-0000000000000001": 100, "features-000000000000000a": 200,
        "images-0000000000000002": 300}  # fmt: skip
MEGABYTE = 1e-3  # GB


def keep(folder: Path, name: str, used: int, length: int = 1_000_000) -> None:
    folder.mkdir(exist_ok=True)
    for ending, content in (("rows", bytes(length)), ("checksums", b"1234"), ("keys", b"1234")):
        path = folder / f"{name}.{ending}"
        path.write_bytes(content)
        os.utime(path, (used, used))


@pytest.fixture
def full(tmp_path: Path) -> Path:
    for name, used in AGES.items():
        keep(tmp_path / "cache", name, used)
    return tmp_path / "cache"


def sets(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*-*.*")}


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_what_was_not_used_for_longest_goes_first_and_no_more_than_must(
    full: Path, kept: int
) -> None:
    # Beside a megabyte, each set has a checksum, a key and what is left of a disk's last blocks.
    make_room(full, max(1e-9, 1.05 * MEGABYTE * kept), unused_since=1000)
    assert sets(full) == set(list(AGES)[3 - kept :])


def test_what_was_removed_is_said_in_one_line(full: Path) -> None:
    line = make_room(full, 1.5 * MEGABYTE, unused_since=1000)
    assert line == (
        f"removed 2 set(s) of decoded images or features, least recently used, 0.00 GB, "
        f"from {full}: data.cache_limit_gb is 0.0015"
    )


def test_a_cache_within_its_limit_keeps_all_and_says_nothing(full: Path) -> None:
    assert make_room(full, 4 * MEGABYTE, unused_since=1000) is None
    assert sets(full) == set(AGES)


def test_what_a_run_uses_stays_whatever_it_takes(full: Path) -> None:
    make_room(full, 1e-9, unused_since=150)
    assert sets(full) == set(list(AGES)[1:])


def test_holes_take_no_room(full: Path) -> None:
    with (full / "features-000000000000000b.rows").open("wb") as file:
        file.truncate(10**10)
    assert make_room(full, 4 * MEGABYTE, unused_since=1000) is None


def test_nothing_but_decoded_images_and_features_is_removed(full: Path, tmp_path: Path) -> None:
    others = ["features-of-mine.rows", "images-0000000000000003.txt", "weights.safetensors",
              "old-images-0000000000000003.rows"]  # fmt: skip
    for name in others:
        (full / name).write_bytes(bytes(10))
        os.utime(full / name, (0, 0))
    (full / "phantom-1" / "train").mkdir(parents=True)
    (full / "phantom-1" / "images-0000000000000004.rows").write_bytes(bytes(10))
    (tmp_path / "elsewhere").write_bytes(bytes(10))
    (full / "images-0000000000000005.rows").symlink_to(tmp_path / "elsewhere")
    os.utime(full / "images-0000000000000005.rows", (0, 0), follow_symlinks=False)
    make_room(full, 1e-9, unused_since=1000)
    left = {path.name for path in full.rglob("*") if not path.is_dir()}
    assert left == {*others, "images-0000000000000004.rows", "images-0000000000000005.rows"}


def test_a_run_keeps_what_it_has_opened_and_what_another_reads_beside_it(
    index: Index, full: Path
) -> None:
    images, beside = Images(index, SIZE, full), Images(index, 40, full)
    beside.scan(all_indices(index), ignore)
    for path in full.iterdir():
        os.utime(path, (0, 0))
    images.scan(all_indices(index), ignore)
    beside.read([0])
    images.make_room(1e-9)
    assert len(sets(full)) == 2 and images.kept and beside.kept


def test_without_a_cache_there_is_no_room_to_make(index: Index) -> None:
    assert Images(index, SIZE, None).make_room(1e-9) is None


def test_rows_that_another_run_removed_are_decoded_again(index: Index, tmp_path: Path) -> None:
    images = Images(index, SIZE, tmp_path / "cache")
    images.scan(all_indices(index), ignore)
    make_room(tmp_path / "cache", 1e-9, unused_since=float("inf"))
    assert sets(tmp_path / "cache") == set()
    assert (images.read(all_indices(index)) == direct(index)).all()


def test_an_earlier_network_s_images_are_made_grey_as_it_learnt_them(tmp_path: Path) -> None:
    values = np.full((40, 40), 900, dtype=np.uint16)
    values[0, 0] = 65535  # one hot pixel, which decided how dark all others became
    Image.fromarray(values).save(tmp_path / "a.png")
    sample = Sample(tmp_path / "a.png", "a.png", "normal", "train")
    index = Index((tmp_path,), (sample,), ())
    now, then = (open_images(index, 40, tmp_path / "cache", greys).read([0]) for greys in (2, 1))
    assert (now[0, 9, 9], then[0, 9, 9]) == (900 >> 2, 900 >> 8)
