"""Images kept one by one: a new one leaves the others, and none is ever taken for another."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from covid.data.image_store import ImageStore, record_type
from covid.data.index import Index
from covid.data.source import load_index
from tests.conftest import LABELS, MakeImages, write_image

SIZE = 8


@pytest.fixture
def index(make_images: MakeImages) -> Index:
    return load_index(make_images(), LABELS)


@pytest.fixture
def cache(index: Index, tmp_path: Path) -> Path:
    """A folder in which every image is kept."""
    keep(ImageStore(index, SIZE, tmp_path / "cache"), index)
    return tmp_path / "cache"


def grey(index: Index, i: int) -> int:
    """What stands for the pixels of an image in these tests: it follows from its name."""
    return sum(index.samples[i].name.encode()) % 251


def keep(store: ImageStore, index: Index) -> None:
    records = np.zeros(len(index.samples), dtype=record_type(SIZE))
    for i, record in enumerate(records):
        record["pixels"] = grey(index, i)
    store.write(range(len(records)), records)


def absent(store: ImageStore, index: Index) -> list[str]:
    """The names of images that are not kept; those that are have the right pixels."""
    records = np.zeros(len(index.samples), dtype=record_type(SIZE))
    places = store.read(range(len(records)), records)
    for i in set(range(len(records))) - set(places):
        assert (records[i]["pixels"] == grey(index, i)).all()
    return [index.samples[i].name for i in places]


def open_again(index: Index, cache: Path) -> tuple[ImageStore, Index]:
    again = load_index(index.roots, LABELS)
    return ImageStore(again, SIZE, cache), again


def test_another_run_finds_every_image(index: Index, cache: Path) -> None:
    assert absent(*open_again(index, cache)) == []


def test_a_new_image_leaves_the_others_where_they_are(index: Index, cache: Path) -> None:
    write_image(index.roots[0] / "train" / "covid" / "a-new-one.png", seed=99)
    assert absent(*open_again(index, cache)) == ["train/covid/a-new-one.png"]


def test_a_changed_image_leaves_the_others_where_they_are(index: Index, cache: Path) -> None:
    write_image(index.samples[3].path, seed=99)
    assert absent(*open_again(index, cache)) == [index.samples[3].name]


def test_a_change_shows_where_size_and_time_of_change_stay(index: Index, cache: Path) -> None:
    path = index.samples[3].path
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert absent(*open_again(index, cache)) == [index.samples[3].name]


def test_an_image_that_went_away_leaves_the_others_where_they_are(
    index: Index, cache: Path
) -> None:
    index.samples[0].path.unlink()
    assert absent(*open_again(index, cache)) == []


def test_an_image_that_is_not_there_is_not_kept_and_no_error(index: Index, cache: Path) -> None:
    index.samples[2].path.unlink()
    assert absent(ImageStore(index, SIZE, cache), index) == [index.samples[2].name]


def test_another_root_beside_it_leaves_the_first_as_it_is(
    index: Index, tmp_path: Path, cache: Path
) -> None:
    write_image(tmp_path / "clinic" / "train" / "covid" / "a.png", seed=99)
    both = load_index([tmp_path / "clinic", *index.roots], LABELS)
    store = ImageStore(both, SIZE, cache)
    records = np.zeros(len(both.samples), dtype=record_type(SIZE))
    places = store.read(range(len(records)), records)
    assert [both.samples[i].name for i in places] == ["clinic/train/covid/a.png"]


def test_images_of_two_roots_are_kept_each_with_its_own(
    index: Index, tmp_path: Path, cache: Path
) -> None:
    write_image(tmp_path / "clinic" / "train" / "covid" / "a.png", seed=99)
    both = load_index([*index.roots, tmp_path / "clinic"], LABELS)
    keep(ImageStore(both, SIZE, cache), both)
    assert absent(ImageStore(both, SIZE, cache), both) == []


def test_a_root_is_the_same_however_its_path_is_written(index: Index, cache: Path) -> None:
    (root,) = index.roots
    again = load_index(root / ".." / root.name, LABELS)
    assert absent(ImageStore(again, SIZE, cache), again) == []


def backwards(index: Index) -> Index:
    return replace(index, samples=index.samples[::-1])


def test_records_whose_list_of_keys_is_lost_are_taken_for_no_others(
    index: Index, cache: Path
) -> None:
    (keys,) = cache.glob("*.keys")
    keys.unlink()
    turned = backwards(index)
    assert len(absent(ImageStore(turned, SIZE, cache), turned)) == len(index.samples)


def test_files_made_anew_while_in_use_give_nobody_the_pixels_of_another_image(
    index: Index, cache: Path
) -> None:
    mine, turned = ImageStore(index, SIZE, cache), backwards(index)
    for path in cache.iterdir():
        path.unlink()
    theirs = ImageStore(turned, SIZE, cache)
    keep(theirs, turned)
    keep(mine, index)
    absent(mine, index)
    assert len(absent(theirs, turned)) == len(index.samples)


@pytest.mark.parametrize("what", ["image", "size", "root"])
def test_the_key_of_all_changes_with(
    what: str, index: Index, cache: Path, make_images: MakeImages
) -> None:
    before = ImageStore(index, SIZE, cache).key
    if what == "image":
        write_image(index.samples[3].path, seed=99)
    elif what == "root":
        index.roots[0].rename(cache / "images")
        index = load_index(cache / "images", LABELS)
    assert ImageStore(index, SIZE + (what == "size"), cache).key != before


def test_the_key_of_all_stays_while_nothing_changes(index: Index, cache: Path) -> None:
    keys = {ImageStore(index, SIZE, cache).key, open_again(index, cache)[0].key}
    assert len(keys) == 1
