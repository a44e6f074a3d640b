"""Changed images: what is hidden is gone, what is kept is there to the bit."""

import numpy as np
import pytest

from covid.data import occlusion

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(1, 255, (3, 50, 50), dtype=np.uint8)


def test_what_is_filled_is_one_grey_and_the_rest_stays() -> None:
    region = occlusion.ellipse(50)
    changed = occlusion.filled(IMAGES, region, 99)
    assert (changed[:, region] == 99).all()
    assert (changed[:, ~region] == IMAGES[:, ~region]).all()


def test_the_ellipse_touches_all_sides_and_no_corner() -> None:
    region = occlusion.ellipse(50)
    assert region[0].any() and region[-1].any() and region[:, 0].any() and region[:, -1].any()
    assert not region[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert region.mean() == pytest.approx(np.pi / 4, abs=0.01)


def test_the_border_is_a_frame_of_a_sixteenth() -> None:
    frame = occlusion.border(48)
    assert frame.sum() == 48**2 - 42**2


def test_a_swap_has_the_centre_of_one_and_the_border_of_the_other() -> None:
    others = IMAGES[::-1]
    region = occlusion.ellipse(50)
    changed = occlusion.swapped(IMAGES, others)
    assert (changed[:, region] == IMAGES[:, region]).all()
    assert (changed[:, ~region] == others[:, ~region]).all()


def test_shuffling_moves_every_patch_and_loses_none() -> None:
    whole = IMAGES[:, :48, :48]
    changed = occlusion.shuffled(whole, np.random.default_rng(0))

    def patches(image: np.ndarray) -> list[bytes]:
        tiles = image.reshape(8, 6, 8, 6).swapaxes(1, 2).reshape(64, 36)
        return sorted(tile.tobytes() for tile in tiles)

    assert all(patches(a) == patches(b) for a, b in zip(whole, changed, strict=True))
    assert not (changed == whole).all(axis=(1, 2)).any()


def test_images_are_shuffled_otherwise_from_each_other() -> None:
    twice = np.stack([IMAGES[0], IMAGES[0]])
    one, two = occlusion.shuffled(twice, np.random.default_rng(0))
    assert (one != two).any()


def test_rows_that_patches_leave_over_are_black() -> None:
    changed = occlusion.shuffled(IMAGES, np.random.default_rng(0))
    assert not changed[:, 48:].any() and not changed[:, :, 48:].any()


def test_a_thumbnail_keeps_the_mean_and_loses_what_is_fine() -> None:
    changed = occlusion.thumbnail(IMAGES)
    assert changed.shape == IMAGES.shape
    assert changed.mean() == pytest.approx(IMAGES.mean(), abs=2)
    assert changed.std() < IMAGES.std() / 2


def test_the_marker_is_the_same_on_every_image_and_in_one_corner() -> None:
    changed = occlusion.marked(IMAGES)
    differs = (changed != IMAGES).any(axis=0)
    assert differs.any() and not differs[10:].any() and not differs[:, 10:].any()
    assert (changed[:, :6, :6][:, 1:, 1:] == changed[:1, :6, :6][:, 1:, 1:]).all()


def test_equalising_undoes_an_exposure() -> None:
    dark = occlusion.gamma(IMAGES, 1.5)
    before = np.abs(dark.astype(int) - IMAGES).mean()
    after = np.abs(occlusion.equalised(dark).astype(int) - occlusion.equalised(IMAGES)).mean()
    assert after < before / 5


def test_inverting_twice_changes_nothing() -> None:
    assert (occlusion.inverted(occlusion.inverted(IMAGES)) == IMAGES).all()


@pytest.mark.parametrize(("power", "lighter"), [(0.5, True), (2.0, False)])
def test_gamma_makes_greys_lighter_or_darker_in_their_order(power: float, lighter: bool) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    changed = occlusion.gamma(levels, power).ravel().astype(int)
    assert (np.diff(changed) >= 0).all() and changed[0] == 0 and changed[-1] == 255
    assert (changed[100] > 100) == lighter


@pytest.mark.parametrize("change", [
    occlusion.thumbnail, occlusion.marked, occlusion.equalised, occlusion.inverted,
])  # fmt: skip
def test_what_is_given_stays_as_it_is(change: object) -> None:
    given = IMAGES.copy()
    assert callable(change)
    change(given)
    assert (given == IMAGES).all()
