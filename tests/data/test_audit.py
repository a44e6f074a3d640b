"""Duplicates: found between splits, counted within, and no false alarm."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.data.audit import (
    MAX_COMPARED_PAIRS,
    MAX_DIFFERENT_BITS,
    MAX_REPORTED_PAIRS,
    Duplicates,
    find_duplicates,
    near_pairs,
)
from covid.data.cache import Images
from covid.data.fingerprint import EXACT, fingerprint
from covid.data.index import Index, Sample
from covid.data.phantom import render_set
from covid.data.source import load_index
from covid.errors import DataError
from tests.conftest import LABELS, PROJECT, MakeImages

DATA = PROJECT.parent / "shared" / "data"
HASH = bytes(range(1, 33))


def index_of(splits: Sequence[str]) -> Index:
    samples = [
        Sample(Path(f"{n}.png"), f"{split}/{n}.png", "covid", split)
        for n, split in enumerate(splits)
    ]
    return Index((Path("root"),), tuple(samples), ())


def print_of(pixels: int, seen: bytes = HASH, turned: int = 0) -> bytes:
    """A fingerprint: `pixels` stand for the picture, `turned` bits of `seen` are turned."""
    number = int.from_bytes(seen, "big") ^ ((1 << turned) - 1)
    return pixels.to_bytes(EXACT, "big") + number.to_bytes(len(seen), "big")


def stranger(number: int) -> bytes:
    """A fingerprint that is like no other."""
    return np.random.default_rng(number).bytes(EXACT + len(HASH))


def duplicates_of(*images: tuple[str, bytes]) -> Duplicates:
    splits, prints = zip(*images, strict=True)
    return find_duplicates(index_of(splits), dict(enumerate(prints)))


def test_a_picture_in_two_splits_is_found_with_its_names() -> None:
    twice = duplicates_of(("train", stranger(1)), ("train", stranger(2)), ("test", stranger(1)))
    assert twice.shared == [("train/0.png", "test/2.png")]


def test_a_picture_in_three_splits_is_one_picture() -> None:
    everywhere = [(split, stranger(1)) for split in ("train", "validation", "test", "test")]
    assert len(duplicates_of(*everywhere).shared) == 1


def test_a_picture_twice_in_a_split_is_only_counted() -> None:
    twice = duplicates_of(("train", stranger(1)), ("train", stranger(1)), ("test", stranger(2)))
    assert (twice.shared, twice.within) == ([], {"train": 1, "test": 0})


@pytest.mark.parametrize("turned, near", [(MAX_DIFFERENT_BITS, 1), (MAX_DIFFERENT_BITS + 1, 0)])
def test_images_are_near_up_to_a_bound(turned: int, near: int) -> None:
    assert duplicates_of(("train", print_of(1)), ("test", print_of(2, turned=turned))).near == near


def test_near_images_of_one_split_are_no_concern() -> None:
    images = ("train", print_of(1)), ("train", print_of(2)), ("test", stranger(3))
    assert duplicates_of(*images).near == 0


def test_the_same_pixels_are_not_counted_as_near_too() -> None:
    assert duplicates_of(("train", print_of(1)), ("test", print_of(1))).near == 0


def test_blank_images_are_near_to_none() -> None:
    blank = bytes(len(HASH))
    assert duplicates_of(("train", print_of(1, blank)), ("test", print_of(2, blank))).near == 0


def test_all_near_pairs_are_counted_and_the_closest_listed() -> None:
    images = [("train", print_of(n, turned=n % 3)) for n in range(20)]
    images += [("test", print_of(100 + n)) for n in range(20)]
    pairs = duplicates_of(*images)
    bits = [pair[2] for pair in pairs.near_pairs]
    assert (pairs.near, bits) == (400, [0] * MAX_REPORTED_PAIRS)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 30))
def test_blocks_find_what_one_look_at_all_finds(seed: int, ones: int, others: int) -> None:
    generator = np.random.default_rng(seed)
    # Hashes around one another: some pairs are near and some are not.
    near = generator.random((ones + others, 256)) < 0.03
    words = np.packbits(near ^ (np.arange(256) % 2 == 0), axis=1).view(np.uint64)
    a, b = words[:ones], words[ones:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("covid.data.audit.MAX_COMPARED_PAIRS", 3 * others)
        blocks = [
            (int(i), int(j), int(bits))
            for part in near_pairs(a, b)
            for i, j, bits in zip(*part, strict=True)
        ]
    distance = (near[:ones, None] ^ near[None, ones:]).sum(axis=2)
    expected = [
        (i, j, int(distance[i, j])) for i, j in np.argwhere(distance <= MAX_DIFFERENT_BITS).tolist()
    ]  # fmt: skip
    assert blocks == expected


def test_memory_is_bounded_by_blocks() -> None:
    hashes = np.ones((2000, 4), dtype=np.uint64)
    parts = list(near_pairs(hashes, hashes))
    assert max(len(rows) for rows, _, _ in parts) <= MAX_COMPARED_PAIRS


def test_the_error_counts_and_names_a_few_and_offers_the_key() -> None:
    shared = [(f"train/{n}.png", f"test/{n}.png") for n in range(5)]
    with pytest.raises(DataError, match="5 pictures .*train/2.png = test/2.png, and 2 more.*"
                       "data.allow_duplicates=true") as caught:  # fmt: skip
        Duplicates(shared, {}, 0, []).warnings(index_of([]), allowed=False)
    assert "train/3.png" not in str(caught.value)


def test_permitted_duplicates_are_a_warning() -> None:
    shared = [("train/0.png", "test/0.png")]
    (sentence,) = Duplicates(shared, {}, 0, []).warnings(index_of([]), allowed=True)
    assert "there is 1 picture" in sentence and "data.allow_duplicates permits" in sentence


def test_near_duplicates_are_a_warning_that_says_where_they_are_listed() -> None:
    near = Duplicates([], {}, 1, [("train/0.png", "test/1.png", 3)])
    (sentence,) = near.warnings(index_of([]), allowed=False)
    assert "train/0.png ~ test/1.png" in sentence and "data_audit.json" in sentence


def test_what_is_written_is_bounded_and_counts_all() -> None:
    shared = [(f"train/{n}.png", f"test/{n}.png") for n in range(MAX_REPORTED_PAIRS + 50)]
    written = json.loads(json.dumps(Duplicates(shared, {"train": 0}, 0, []).to_json()))
    assert (written["between_splits"], len(written["pairs"])) == (
        MAX_REPORTED_PAIRS + 50,
        MAX_REPORTED_PAIRS,
    )


def look_at(root: Path, labels: Sequence[str], size: int) -> tuple[Index, Duplicates]:
    index = load_index(root, labels)
    images = Images(index, size, None)
    indices = range(len(index.samples))
    prints = {i: fingerprint(images.read([i])[0]) for i in indices}
    return index, find_duplicates(index, prints)


def test_noise_raises_no_alarm(make_images: MakeImages) -> None:
    index, duplicates = look_at(make_images(), LABELS, 32)
    assert duplicates.warnings(index, allowed=False) == []


def test_rendered_radiographs_raise_no_alarm(tmp_path: Path) -> None:
    root = render_set(tmp_path / "phantom", LABELS, images=60, size=64)
    index, duplicates = look_at(root, LABELS, 64)
    assert duplicates.warnings(index, allowed=False) == []


@pytest.mark.skipif(not (DATA / "xray3").is_dir(), reason="needs real images, xray3")
def test_real_radiographs_of_different_patients_raise_no_alarm() -> None:
    index, duplicates = look_at(DATA / "xray3", LABELS, 128)
    assert duplicates.warnings(index, allowed=False) == []
