"""Drawings: their numbers follow from seed, drawing and image; mixing is what its paper says."""

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from covid.config import DataConfig, load_config
from covid.config_augment import Affine, AugmentSection, Flip, Gamma, Mixup, Noise
from covid.data.drawings import Augmentation
from covid.project import PROJECT

GAMMA, FLIP = Gamma(name="gamma", range=(0.5, 2)), Flip(name="flip")
MIXUP = Mixup(name="mixup", alpha=0.4)


def augmentation(
    *sections: AugmentSection, seed: int = 0, variants: int | None = None
) -> Augmentation:
    return Augmentation(sections or (GAMMA,), seed=seed, variants=variants)


def configured(*settings: str) -> DataConfig:
    return load_config(PROJECT / "configs/resnet18_multilabel.yaml", settings).data


def test_numbers_do_not_depend_on_who_else_is_in_the_batch() -> None:
    one = augmentation()
    assert torch.equal(one.numbers([3, 3, 3], [7, 1, 9])[1], one.numbers([3], [1])[0])


@pytest.mark.parametrize("other", [
    augmentation(seed=1).numbers([0], [0]),
    augmentation().numbers([1], [0]),
    augmentation().numbers([0], [1]),
], ids=["seed", "drawing", "image"])  # fmt: skip
def test_another_seed_drawing_or_image_has_other_numbers(other: torch.Tensor) -> None:
    assert not torch.equal(other, augmentation().numbers([0], [0]))


def test_numbers_are_spread_evenly_over_0_to_1() -> None:
    numbers = augmentation(GAMMA, FLIP).numbers([0] * 1000, range(1000))
    # A correct generator fails at 0.001 once in a thousand seeds; this is one seed.
    assert kstest(numbers.flatten().numpy(), "uniform").pvalue > 0.001


def test_what_stands_later_in_the_list_does_not_change_what_comes_before() -> None:
    few, more = augmentation(GAMMA), augmentation(GAMMA, Noise(name="noise", deviation=(0, 0.1)))
    assert torch.equal(more.numbers([4], [2])[:, :2], few.numbers([4], [2]))


def test_operations_run_in_the_order_of_the_list() -> None:
    dark, light = Gamma(name="gamma", range=(2, 2)), Gamma(name="gamma", range=(0.5, 0.5))
    moved = Affine(name="affine", shift=(0.5, 0.5))
    images = torch.full((1, 1, 8, 8), 100, dtype=torch.uint8)
    first, second = augmentation(dark, moved, light), augmentation(moved)
    a = first.draw(images, first.numbers([0], [0]))
    b = second.draw(images, second.numbers([0], [0]))
    assert torch.allclose(a, b, atol=1e-3)


def test_without_variants_an_epoch_is_its_own_drawing() -> None:
    assert augmentation().shown(5, [1, 2, 3]).tolist() == [5, 5, 5]


def test_with_variants_an_epoch_shows_each_about_as_often() -> None:
    one = augmentation(variants=4)
    shown = np.concatenate([one.shown(epoch, range(100)) for epoch in range(10)])
    # A thousand draws of a quarter: five standard deviations are 68.
    assert (abs(np.bincount(shown, minlength=4) - 250) < 68).all()
    assert (one.shown(3, range(100)) == one.shown(3, range(100))).all()


def test_an_empty_list_is_no_augmentation() -> None:
    assert Augmentation.from_config(configured(), 0) is None


@pytest.mark.parametrize(("settings", "names"), [
    ((), ["gamma"]),
    (("data.variants=2",), ["flip", "gamma"]),
    (("data.variants=2", "data.horizontal_flip=false"), ["gamma"]),
])  # fmt: skip
def test_being_mirrored_is_part_of_fixed_drawings(
    settings: tuple[str, ...], names: list[str]
) -> None:
    config = configured("data.augment=[{name: gamma, range: 0.3}]", *settings)
    one = Augmentation.from_config(config, 0)
    assert one is not None and [section.name for section in one.sections] == names


def test_a_share_is_the_larger_part_of_a_beta_draw() -> None:
    one = augmentation(MIXUP)
    _, shares = one.partners(one.numbers([0] * 2000, range(2000)), 2000)
    assert shares.min() >= 0.5
    # max(l, 1 - l) of a symmetric Beta: twice its distribution above a half.
    folded = 2 * beta(0.4, 0.4).cdf(shares.numpy()) - 1
    assert kstest(folded, "uniform").pvalue > 0.001


def test_partners_are_spread_evenly_over_the_others() -> None:
    one = augmentation(MIXUP)
    others, _ = one.partners(one.numbers([0] * 3000, range(3000)), 4)
    assert (abs(np.bincount(others.numpy(), minlength=3) - 1000) < 130).all()  # five deviations


def test_mixup_s_probability_leaves_the_rest_unmixed() -> None:
    one = augmentation(Mixup(name="mixup", alpha=1, probability=0.2))
    _, shares = one.partners(one.numbers([0] * 1000, range(1000)), 10)
    assert abs((shares < 1).float().mean() - 0.2) < 0.064  # five deviations


def test_a_drawing_is_described_by_what_was_drawn() -> None:
    affine = Affine(name="affine", degrees=(7, 7), shift=(0.1, 0.1))
    one = augmentation(affine, Gamma(name="gamma", range=(0.9, 0.9)), FLIP)
    numbers = torch.zeros(2, one.numbers_of_an_image)
    numbers[1, -1] = 0.5  # not below the probability
    assert one.describe(numbers) == [
        ["affine degrees 7.00, shift 0.10 0.10", "gamma 0.90", "flip"],
        ["affine degrees 7.00, shift 0.10 0.10", "gamma 0.90"],
    ]
