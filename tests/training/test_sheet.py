"""augmentation.png: which images it shows, and that it shows what training sees."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from covid.config import load_config
from covid.data.batches import Split
from covid.data.cache import Images
from covid.data.drawings import Augmentation
from covid.data.source import load_index
from covid.project import PROJECT
from covid.training.sheet import choose_spread, ways, write_augmentation_sheet
from tests.conftest import LABELS, MakeImages

GAMMA = "data.augment=[{name: gamma, range: 0.5}]"


def split_of(root: Path, *settings: str) -> Split:
    data = load_config(PROJECT / "configs/resnet18_multilabel.yaml", settings).data
    index = load_index(root, LABELS)
    indices = index.split("train")
    return Split(
        Images(index, 32, None), indices, np.zeros((len(indices), 3), dtype=bool), seed=0,
        horizontal_flip=data.horizontal_flip and data.variants is None,
        augmentation=Augmentation.from_config(data, 0),
    )  # fmt: skip


@pytest.mark.parametrize(("images", "expected"), [
    ({"a": 100, "b": 100}, {"a": 4, "b": 4}),
    ({"a": 100, "b": 1, "c": 100}, {"a": 4, "b": 1, "c": 3}),
    ({"a": 2, "b": 1}, {"a": 2, "b": 1}),
])  # fmt: skip
def test_classes_share_the_sheet_as_evenly_as_they_can(
    images: dict[str, int], expected: dict[str, int]
) -> None:
    labels = [label for label, count in images.items() for _ in range(count)]
    chosen = choose_spread(labels, 8)
    assert {label: sum(labels[p] == label for p in chosen) for label in images} == expected
    assert len(set(chosen)) == len(chosen)


@pytest.mark.parametrize(("settings", "columns"), [
    ((), ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]),
    ((GAMMA, "data.horizontal_flip=false"), ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]),
    ((GAMMA, "data.variants=2"), ["variant 1 of 2", "variant 2 of 2"]),
    (("data.horizontal_flip=false",), []),
])  # fmt: skip
def test_columns_are_epochs_or_variants_or_none(
    make_images: MakeImages, settings: tuple[str, ...], columns: list[str]
) -> None:
    assert list(ways(split_of(make_images(), *settings), [0, 1])) == columns


def test_a_column_is_what_its_epoch_trains_on(make_images: MakeImages) -> None:
    root = make_images()
    batch, split = ways(split_of(root, GAMMA), [3, 5])["epoch 3"], split_of(root, GAMMA)
    split.begin_epoch(2)
    trained = split.__getitems__([3, 5])
    assert batch.numbers is not None and trained.numbers is not None
    assert batch.flipped is not None and trained.flipped is not None
    assert torch.equal(batch.numbers, trained.numbers)
    assert torch.equal(batch.flipped, trained.flipped)


@pytest.mark.parametrize("settings", [
    (), ("data.horizontal_flip=false",), (GAMMA, "data.variants=1"),
    ("data.augment=[{name: mixup, alpha: 1}]",),
])  # fmt: skip
def test_a_sheet_is_drawn_whatever_is_done_to_images(
    make_images: MakeImages, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    split = split_of(make_images(), *settings)
    labels = [label for label in LABELS for _ in range(4)]
    write_augmentation_sheet(tmp_path / "a.png", split, labels, "run · data")
    with Image.open(tmp_path / "a.png") as image:
        image.load()


def test_an_image_of_several_labels_stands_for_the_first() -> None:
    assert choose_spread(["a|b", "a|c", "a?", "b", "c|a"], 3) == [0, 3, 4]
