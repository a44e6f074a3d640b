"""48 bytes per image: equal where pixels are, near where they nearly are."""

import io

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from covid.data.audit import MAX_DIFFERENT_BITS
from covid.data.fingerprint import EXACT, LENGTH, fingerprint
from covid.data.phantom import render_image

Pixels = npt.NDArray[np.uint8]
CHEST = render_image("normal", patient_seed=1, image_seed=1, size=128)
images = st.integers(2, 40).flatmap(lambda size: arrays.arrays(np.uint8, (size, size)))


def bits_apart(one: Pixels, other: Pixels) -> int:
    first, second = (np.frombuffer(fingerprint(i)[EXACT:], np.uint8) for i in (one, other))
    return int(np.bitwise_count(first ^ second).sum())


def compressed(image: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(file))


@given(images)
def test_every_image_has_as_many_bytes(image: Pixels) -> None:
    assert len(fingerprint(image)) == LENGTH


@given(images, st.data())
def test_one_pixel_more_is_another_picture(image: Pixels, data: st.DataObject) -> None:
    row, column = (data.draw(st.integers(0, len(image) - 1)) for _ in range(2))
    changed = image.copy()
    changed[row, column] ^= 1
    assert fingerprint(changed)[:EXACT] != fingerprint(image)[:EXACT]


@given(images, st.integers(0, 55))
def test_more_light_leaves_what_is_seen(image: Pixels, light: int) -> None:
    dark = (image // 2).astype(np.uint8)  # so that no pixel is cut off at white
    assert bits_apart(dark, (dark + light).astype(np.uint8)) == 0


def test_another_memory_order_is_the_same_picture() -> None:
    assert fingerprint(np.asfortranarray(CHEST)) == fingerprint(CHEST)


def test_a_compressed_copy_is_near() -> None:
    assert bits_apart(CHEST, compressed(CHEST)) <= MAX_DIFFERENT_BITS


def test_a_copy_with_a_marker_is_near() -> None:
    marked = CHEST.copy()
    marked[4:14, 4:20] = 255
    assert bits_apart(CHEST, marked) <= MAX_DIFFERENT_BITS


def test_another_patient_is_not_near() -> None:
    assert bits_apart(CHEST, render_image("normal", 2, 1, size=128)) > MAX_DIFFERENT_BITS


def test_nothing_to_see_has_no_bit() -> None:
    assert not any(fingerprint(np.full((32, 32), 200, np.uint8))[EXACT:])
