"""Augmentations: laws of each operation, whatever its parameters."""

from typing import Annotated, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BeforeValidator

from covid.config_augment import (
    Affine,
    AugmentSection,
    Blur,
    Brightness,
    Contrast,
    Cutout,
    Equalize,
    Flip,
    Gamma,
    Noise,
)
from covid.config_sections import Within
from covid.data import augment
from covid.data.augment import OPERATIONS, Operation
from covid.data.drawings import Augmentation

SIZE = 24
# One of each, with ranges that are wide but leave something to see.
SECTIONS: list[AugmentSection] = [
    Flip(name="flip", probability=0.5),
    Affine(name="affine", degrees=(-40, 40), scale=(0.5, 2), shift=(-0.3, 0.3), shear=(-20, 20)),
    Gamma(name="gamma", range=(0.3, 3)),
    Contrast(name="contrast", range=(0.2, 4)),
    Brightness(name="brightness", range=(-0.5, 0.5)),
    Equalize(name="equalize", share=(0, 1), probability=0.5),
    Cutout(name="cutout", size=(0, 0.9)),
    Noise(name="noise", deviation=(0, 0.5)),
    Blur(name="blur", sigma=(0, 3)),
]
# The same, with ranges in which nothing changes.
IDLE: list[AugmentSection] = [
    Affine(name="affine", degrees=(0, 0), scale=(1, 1), shift=(0, 0), shear=(0, 0)),
    Gamma(name="gamma", range=(1, 1)),
    Contrast(name="contrast", range=(1, 1)),
    Brightness(name="brightness", range=(0, 0)),
    Equalize(name="equalize", share=(0, 0)),
    Cutout(name="cutout", size=(0, 0)),
    Noise(name="noise", deviation=(0, 0)),
    Blur(name="blur", sigma=(0, 0)),
]
# Of grey levels: sums and powers of float32 at 255, and places between pixels at 24 of them.
ROUNDING = 0.01
SEEDS = st.integers(0, 2**16)
few = settings(max_examples=15)  # laws of nine operations, in seconds


def pictures(seed: int, count: int = 5) -> torch.Tensor:
    """Smooth shapes and noise, uint8 `[count, 1, SIZE, SIZE]`."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 1, 4, 4), generator=generator)
    fine = torch.rand((count, 1, SIZE, SIZE), generator=generator) * 0.3
    smooth = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear") * 0.7
    return ((smooth + fine) * 255).to(torch.uint8)


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((one.float() - other.float()).abs().max() <= ROUNDING)


def drawn(section: AugmentSection, images: torch.Tensor, seed: int) -> torch.Tensor:
    one = Augmentation([section], seed=seed)
    return one.draw(images, one.numbers([0] * len(images), range(len(images))))


def name(section: AugmentSection) -> str:
    return section.name


def test_every_operation_has_its_laws_tested() -> None:
    assert [section.name for section in SECTIONS] == list(OPERATIONS)


@pytest.mark.parametrize("section", SECTIONS, ids=name)
@few
@given(SEEDS)
def test_grey_levels_stay_on_their_scale(section: AugmentSection, seed: int) -> None:
    made = drawn(section, pictures(seed), seed)
    assert made.dtype is torch.float32 and made.shape == (5, 1, SIZE, SIZE)
    assert made.isfinite().all() and made.min() >= 0 and made.max() <= 255


@pytest.mark.parametrize("section", SECTIONS, ids=name)
@few
@given(SEEDS)
def test_an_image_s_drawing_does_not_depend_on_its_neighbours(
    section: AugmentSection, seed: int
) -> None:
    images, one = pictures(seed), Augmentation([section], seed=seed)
    numbers = one.numbers([0] * 5, range(5))
    whole = one.draw(images, numbers)
    for place in range(5):
        alone = one.draw(images[place : place + 1], numbers[place : place + 1])
        assert close(alone[0], whole[place])


@pytest.mark.parametrize("section", SECTIONS, ids=name)
def test_the_same_numbers_give_the_same_drawing_to_the_bit(section: AugmentSection) -> None:
    assert torch.equal(drawn(section, pictures(1), 1), drawn(section, pictures(1), 1))


@pytest.mark.parametrize("section", SECTIONS, ids=name)
def test_other_numbers_give_another_drawing(section: AugmentSection) -> None:
    images = pictures(1)[:1].repeat(16, 1, 1, 1)
    assert len(drawn(section, images, 1).flatten(1).unique(dim=0)) > 1


@pytest.mark.parametrize("section", SECTIONS, ids=name)
def test_the_images_given_stay_as_they_were(section: AugmentSection) -> None:
    images = pictures(2).float()
    drawn(section, images, 3)
    assert torch.equal(images, pictures(2).float())


@pytest.mark.parametrize("section", IDLE, ids=name)
@few
@given(SEEDS)
def test_parameters_that_change_nothing_give_the_image_back(
    section: AugmentSection, seed: int
) -> None:
    images = pictures(seed)
    assert close(drawn(section, images, seed), images)


@few
@given(SEEDS)
def test_probability_is_the_share_of_images_that_are_changed(seed: int) -> None:
    section = Brightness(name="brightness", range=(-0.1, -0.1), probability=0.3)
    white = torch.full((1000, 1, 1, 1), 255, dtype=torch.uint8)
    changed = drawn(section, white, seed).flatten() < 255
    # Five standard deviations of a thousand draws: 0.072.
    assert abs(changed.float().mean() - 0.3) < 0.072


@few
@given(SEEDS)
def test_flipping_twice_is_not_flipping(seed: int) -> None:
    images = pictures(seed).float()
    assert torch.equal(augment.flip(augment.flip(images)), images)


def each(*values: float) -> list[torch.Tensor]:
    """Parameters of one image."""
    return [torch.tensor([[[[value]]]]) for value in values]


def moved(images: torch.Tensor, **parameters: float) -> torch.Tensor:
    neutral = {"degrees": 0.0, "scale": 1.0, "across": 0.0, "down": 0.0, "shear": 0.0}
    return augment.affine(images.float(), *each(*(neutral | parameters).values()))


@few
@given(SEEDS, st.integers(-SIZE, SIZE), st.integers(-SIZE, SIZE))
def test_a_shift_by_whole_pixels_moves_them_and_leaves_black(
    seed: int, across: int, down: int
) -> None:
    image = pictures(seed, 1)
    expected = torch.zeros((SIZE, SIZE))
    for y in range(max(0, down), min(SIZE, SIZE + down)):
        for x in range(max(0, across), min(SIZE, SIZE + across)):
            expected[y, x] = image[0, 0, y - down, x - across]
    assert close(moved(image, across=across / SIZE, down=down / SIZE)[0, 0], expected)


@few
@given(SEEDS)
def test_a_quarter_turn_is_clockwise(seed: int) -> None:
    image = pictures(seed, 1)
    assert close(moved(image, degrees=90), image.rot90(-1, (2, 3)))


def test_twice_the_scale_shows_the_middle_half() -> None:
    image = torch.zeros((1, 1, SIZE, SIZE))
    image[..., 6:18, 6:18] = 200
    assert (moved(image, scale=2)[..., 1:-1, 1:-1] > 199.9).all()


def test_a_shear_moves_rows_by_their_height_above_the_middle() -> None:
    image = torch.zeros((1, 1, SIZE, SIZE))
    image[..., 12] = 255
    sheared = moved(image, shear=45)[0, 0, 4:20]
    bright = sheared @ torch.arange(24.0) / 255  # the place of each row's bright pixel
    assert torch.allclose(bright.diff(), torch.ones(15), atol=1e-3)


@few
@given(SEEDS)
def test_images_are_sheared_before_they_are_turned(seed: int) -> None:
    image = pictures(seed, 1)
    # A quarter turn alone is exact, so both ways look between pixels only once.
    assert close(moved(image, shear=30, degrees=90), moved(moved(image, shear=30), degrees=90))


def test_what_is_turned_shows_black_corners() -> None:
    turned = moved(torch.full((1, 1, SIZE, SIZE), 255.0), degrees=45)[0, 0]
    assert (turned[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()


@few
@given(SEEDS, st.floats(0.3, 3))
def test_gamma_keeps_black_white_and_order(seed: int, exponent: float) -> None:
    levels = torch.arange(256).reshape(1, 1, 16, 16).float()
    made = augment.gamma(levels, *each(exponent)).flatten()
    assert (made.diff() > 0).all() and made[0] == 0 and abs(made[-1] - 255) < ROUNDING


@few
@given(SEEDS, st.floats(0, 4))
def test_contrast_keeps_the_mean_and_scales_the_deviation(seed: int, factor: float) -> None:
    image = pictures(seed, 1).float()
    made = augment.contrast(image, *each(factor))
    assert abs(made.mean() - image.mean()) < ROUNDING
    assert abs(made.std() - image.std() * factor) < ROUNDING


def test_brightness_adds_a_share_of_white() -> None:
    assert (augment.brightness(torch.zeros(1, 1, 4, 4), *each(0.2)) == 51).all()


def test_equalizing_spreads_grey_levels_over_the_scale() -> None:
    dull = torch.arange(100, 116).repeat(256).reshape(1, 1, 64, 64).float()
    made = augment.equalize(dull, *each(1.0))
    assert (made.min().item(), made.max().item()) == (0, 255)


def test_equalizing_by_a_share_goes_so_far_of_the_way() -> None:
    dull = torch.arange(100, 116).repeat(256).reshape(1, 1, 64, 64).float()
    whole, half = augment.equalize(dull, *each(1.0)), augment.equalize(dull, *each(0.5))
    assert torch.allclose(half, (dull + whole) / 2, atol=ROUNDING)


@few
@given(st.integers(0, SIZE), st.floats(0, 1), st.floats(0, 1))
def test_a_cutout_is_a_black_square_of_its_size(side: int, across: float, down: float) -> None:
    black = augment.cutout(torch.ones(1, 1, SIZE, SIZE), *each(side / SIZE, across, down)) == 0
    # Where an edge lies on a pixel's centre, rounding gives the pixel to one side or the other.
    for line in (black.any(dim=2), black.any(dim=3)):
        assert abs(int(line.sum()) - side) <= 1


@few
@given(SEEDS)
def test_noise_has_its_deviation_and_no_mean(seed: int) -> None:
    grey = torch.full((1, 1, 100, 100), 128.0)
    added = augment.noise(grey, *each(0.1, seed / 2**16)) - grey
    # Five standard errors of 10,000 normal numbers of deviation 25.5.
    assert abs(added.mean()) < 5 * 25.5 / 100
    assert abs(added.std() - 25.5) < 5 * 25.5 / 100 / 2**0.5


def test_another_seed_gives_other_noise() -> None:
    grey = torch.full((1, 1, 8, 8), 128.0)
    assert not close(augment.noise(grey, *each(0.1, 0.25)), augment.noise(grey, *each(0.1, 0.75)))


@few
@given(SEEDS, st.floats(0, 3))
def test_blur_keeps_what_is_even_and_makes_the_rest_smoother(seed: int, sigma: float) -> None:
    even, image = torch.full((1, 1, SIZE, SIZE), 77.0), pictures(seed, 1).float()
    assert close(augment.blur(even, *each(sigma)), even)
    assert augment.blur(image, *each(sigma)).std() <= image.std() + ROUNDING


def test_blur_is_a_gaussian_of_its_deviation() -> None:
    point = torch.zeros(1, 1, 25, 25)
    point[..., 12, 12] = 1000
    weights = augment.blur(point, *each(1.5))[0, 0].sum(dim=0) / 1000
    places = torch.arange(25) - 12.0
    # What lies beyond three deviations is cut off, which takes 1.3 % of the variance.
    assert (weights @ places**2).sqrt().item() == pytest.approx(1.5, rel=0.015)


class Invert(AugmentSection):
    name: Literal["invert"]
    share: Annotated[tuple[float, float], BeforeValidator(Within(0, 1, neutral=0))]


def invert(images: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Towards the negative, by a share."""
    return torch.lerp(images, 255 - images, share)


def test_an_operation_is_a_section_a_function_and_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, "invert", Operation(invert, ("share",)))
    section = Invert.model_validate({"name": "invert", "share": [1, 1]})
    one, images = Augmentation([section], seed=0), pictures(0)
    numbers = one.numbers([0] * 5, range(5))
    assert close(one.draw(images, numbers), 255 - images)
    assert one.describe(numbers) == [["invert 1.00"]] * 5
