"""Batches: order and flips follow from seed and epoch, whoever reads them."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from covid.config_augment import Gamma, Mixup
from covid.data.batches import Split, load_batches
from covid.data.cache import Images
from covid.data.drawings import Augmentation
from covid.data.source import load_index
from tests.conftest import LABELS, MakeImages


@pytest.fixture
def images(make_images: MakeImages) -> Images:
    return Images(load_index(make_images(), LABELS), 32, None)


def make_split(images: Images, seed: int | None = 0, flip: bool = True) -> Split:
    indices = list(range(len(images.paths)))
    targets = np.zeros((len(indices), 3), dtype=bool)
    return Split(images, indices, targets, seed=seed, horizontal_flip=flip)


def epoch_of(split: Split, epoch: int, workers: int = 0) -> tuple[list[int], list[bool]]:
    split.begin_epoch(epoch)
    batches = list(load_batches(split, batch_size=5, workers=workers))
    positions = torch.cat([batch.positions for batch in batches]).tolist()
    flipped = [batch.flipped for batch in batches if batch.flipped is not None]
    return positions, torch.cat(flipped).tolist()


def test_every_image_comes_once_an_epoch(images: Images) -> None:
    positions, _ = epoch_of(make_split(images), 0)
    assert sorted(positions) == list(range(24))


def test_the_same_seed_and_epoch_give_the_same_order_and_flips(images: Images) -> None:
    assert epoch_of(make_split(images), 3) == epoch_of(make_split(images), 3)


def test_another_epoch_has_another_order(images: Images) -> None:
    split = make_split(images)
    assert epoch_of(split, 0)[0] != epoch_of(split, 1)[0]


def test_another_epoch_flips_other_images(images: Images) -> None:
    split = make_split(images)
    split.begin_epoch(0)
    first = split.flips
    split.begin_epoch(1)
    assert (first != split.flips).any()


def test_another_seed_has_another_order(images: Images) -> None:
    assert epoch_of(make_split(images, seed=0), 0)[0] != epoch_of(make_split(images, seed=1), 0)[0]


def test_a_split_to_evaluate_is_in_order_and_never_flipped(images: Images) -> None:
    split = make_split(images, seed=None)
    assert epoch_of(split, 4) == (list(range(24)), [False] * 24)


def test_nothing_is_flipped_unless_asked_for(images: Images) -> None:
    assert not any(epoch_of(make_split(images, flip=False), 0)[1])


def test_about_half_of_the_images_are_flipped(images: Images) -> None:
    split = make_split(images)
    shares = []
    for epoch in range(50):
        split.begin_epoch(epoch)
        shares.append(split.flips.float().mean().item())
    # 1,200 draws of one half: five standard deviations are 0.07.
    assert abs(np.mean(shares) - 0.5) < 0.07


def test_a_batch_holds_the_images_at_its_positions(images: Images) -> None:
    split = make_split(images)
    batch = next(iter(load_batches(split, batch_size=4, workers=0)))
    expected = images.read(batch.positions.tolist())
    assert (batch.inputs.numpy() == expected[:, None]).all()


@pytest.mark.parametrize("images_left", [0, 1, 2])
def test_an_image_left_alone_joins_the_batch_before_it_and_all_else_stays(
    images: Images, images_left: int
) -> None:
    split = make_split(images)
    split.indices = split.indices[: 20 + images_left]
    split.begin_epoch(0)
    usual = [batch.positions.tolist() for batch in load_batches(split, batch_size=5, workers=0)]
    if images_left == 1:
        usual[-2:] = [usual[-2] + usual[-1]]
    loaded = load_batches(split, batch_size=5, workers=0, none_alone=True)
    assert [batch.positions.tolist() for batch in loaded] == usual
    assert len(loaded) == len(usual)


def test_what_is_not_known_is_an_outcome_of_its_own_to_a_balanced_order(images: Images) -> None:
    kinds = np.array([[1, 0], [1, np.nan], [np.nan, np.nan]], dtype=np.float32)
    targets = kinds[[0] * 20 + [1] * 3 + [2]]
    split = Split(images, list(range(24)), targets, seed=0, balanced=True)
    assert split.chances is not None
    shares = [split.chances[:20].sum(), split.chances[20:23].sum(), split.chances[23]]
    assert shares == pytest.approx([1 / 3] * 3)


class RowsAndFlips:
    """Features that say which image they are of, and which drawing."""

    def read(self, indices: Sequence[int], drawings: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.tensor(indices), drawings], dim=1)


def test_features_come_of_the_same_images_and_flips(images: Images) -> None:
    split = make_split(images)
    split.features = RowsAndFlips()
    split.begin_epoch(3)
    features = torch.cat([batch.inputs for batch in load_batches(split, batch_size=5, workers=0)])
    positions, flips = epoch_of(make_split(images), 3)
    assert features.tolist() == [[p, int(f)] for p, f in zip(positions, flips, strict=True)]


def test_features_are_not_flipped_again(images: Images) -> None:
    split = make_split(images)
    split.features = RowsAndFlips()
    assert next(iter(load_batches(split, batch_size=4, workers=0))).flipped is None


def test_reading_draws_nothing_from_the_generator_that_dropout_uses(images: Images) -> None:
    before = torch.get_rng_state()
    epoch_of(make_split(images), 0)
    assert (torch.get_rng_state() == before).all()


GAMMA, MIXUP = Gamma(name="gamma", range=(0.5, 2)), Mixup(name="mixup", alpha=0.4)


def augmented(images: Images, *, mixed: bool = False, variants: int | None = None) -> Split:
    split = make_split(images)
    sections = [GAMMA, MIXUP] if mixed else [GAMMA]
    split.augmentation = Augmentation(sections, seed=0, variants=variants)
    split.begin_epoch(2)
    return split


def test_an_image_s_numbers_do_not_depend_on_its_batch(images: Images) -> None:
    split = augmented(images)
    together, alone = split.cut([5, 8, 1]).numbers, split.cut([8]).numbers
    assert together is not None and alone is not None
    assert torch.equal(together[1], alone[0])


def test_numbers_go_with_the_image_not_with_its_place_in_the_split(images: Images) -> None:
    some = Split(images, [8, 5], np.zeros((2, 3), dtype=bool), seed=0)
    some.augmentation = Augmentation([GAMMA], seed=0)
    some.begin_epoch(2)
    here, there = augmented(images).cut([5]).numbers, some.cut([1]).numbers
    assert here is not None and there is not None and torch.equal(here, there)


def test_an_image_is_never_mixed_with_itself(images: Images) -> None:
    batch = augmented(images, mixed=True).cut(range(24))
    assert batch.partners is not None
    assert (batch.partners.positions != batch.positions).all()


def test_a_partner_is_drawn_as_it_is_itself_in_this_epoch(images: Images) -> None:
    split = augmented(images, mixed=True)
    partners = split.cut(range(24)).partners
    assert partners is not None and partners.numbers is not None and partners.flipped is not None
    themselves = split.cut(partners.positions.tolist())
    assert torch.equal(partners.inputs, themselves.inputs)
    assert themselves.numbers is not None and themselves.flipped is not None
    assert torch.equal(partners.numbers, themselves.numbers)
    assert torch.equal(partners.flipped, themselves.flipped)


def test_the_only_image_of_a_split_meets_itself(images: Images) -> None:
    split = Split(images, [3], np.zeros((1, 3), dtype=bool), seed=0)
    split.augmentation = Augmentation([MIXUP], seed=0)
    partners = split.cut([0]).partners
    assert partners is not None and partners.positions.tolist() == [0]


def test_kept_features_are_of_the_variants_that_images_would_show(images: Images) -> None:
    split = augmented(images, variants=5)
    numbers = split.cut(range(24)).numbers
    split.features = RowsAndFlips()
    kept = split.__getitems__(list(range(24))).inputs.tolist()
    assert [i for i, _ in kept] == list(range(24))
    assert len({drawing for _, drawing in kept}) == 5  # 24 images: each is there
    assert split.augmentation is not None
    expected = split.augmentation.numbers([drawing - 1 for _, drawing in kept], range(24))
    assert numbers is not None and torch.equal(numbers, expected)


RARE = np.array([[True, False]] * 3 + [[False, True]] * 21)


def balanced(images: Images) -> Split:
    return Split(images, list(range(24)), RARE, seed=0, balanced=True)


def test_a_balanced_epoch_shows_each_set_of_labels_as_often(images: Images) -> None:
    split, rare = balanced(images), 0
    for epoch in range(50):
        positions, _ = epoch_of(split, epoch)
        assert len(positions) == 24
        rare += sum(position < 3 for position in positions)
    # 1,200 draws of one half: five standard deviations are 87.
    assert abs(rare - 600) < 87


def test_a_balanced_epoch_follows_from_seed_and_epoch(images: Images) -> None:
    assert epoch_of(balanced(images), 3) == epoch_of(balanced(images), 3)
    assert epoch_of(balanced(images), 3) != epoch_of(balanced(images), 4)
