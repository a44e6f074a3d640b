"""What files are evaluated by: the right images, the network's own answers, and each mistake."""

import copy
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covid.edge.card import RESIZE
from covid.errors import DataError, TrainingError
from covid.export.reference import CALIBRATION_IMAGES, headline
from tests.conftest import LABELS, write_image, write_split_images
from tests.export.conftest import Small
from tests.export.networks import PLATT, POINT, reference_of, small_config, small_network


def test_the_images_are_those_of_validation(small: Small) -> None:
    names = small.reference.names(list(range(len(small.reference.indices))))
    assert sorted(names) == sorted(
        f"validation/{label}/{label}-{number}.png" for label in LABELS for number in range(15)
    )


def test_calibration_sees_training_images_only(small: Small) -> None:
    index = small.reference.index
    assert {index.samples[i].split for i in small.reference.calibration} == {"train"}


def test_calibration_takes_half_of_the_training_images_at_most(small: Small) -> None:
    assert len(small.reference.calibration) == len(small.reference.unseen) == 60


def test_calibration_and_what_it_never_saw_are_all_training_images(small: Small) -> None:
    reference = small.reference
    both = [*reference.calibration, *reference.unseen]
    assert sorted(both) == sorted(reference.index.split("train"))


def test_calibration_takes_no_more_images_than_it_needs(tmp_path: Path) -> None:
    counts = {"train": 210, "validation": 1}
    root = write_split_images(tmp_path / "many", LABELS, counts)
    reference = reference_of(small_network(), small_config(root, tmp_path / "cache"), tmp_path)
    assert len(set(reference.calibration)) == CALIBRATION_IMAGES
    labels = [reference.index.samples[i].label for i in reference.calibration]
    assert min(labels.count(label) for label in LABELS) > 80


def test_logits_are_the_network_s_in_fp32(small: Small) -> None:
    pixels = small.reference.pixels(list(range(len(small.reference.indices))))
    with torch.inference_mode():
        wanted = small.network(torch.from_numpy(pixels).unsqueeze(1))
    assert small.reference.logits.dtype == np.float32
    np.testing.assert_allclose(small.reference.logits, wanted.numpy(), atol=1e-5)


def test_targets_are_those_of_the_indices(small: Small) -> None:
    names = small.reference.names(list(range(len(small.reference.indices))))
    labels = [name.split("/")[1] for name in names]
    np.testing.assert_array_equal(small.reference.targets, small.reference.space.encode(labels))


def test_single_labels_have_probabilities_that_sum_to_one(images: Path, tmp_path: Path) -> None:
    config = small_config(images, tmp_path, task="single_label")
    reference = reference_of(small_network(), config, tmp_path)
    np.testing.assert_allclose(reference.probabilities.sum(axis=1), 1, atol=1e-6)
    assert (reference.space.thresholds, reference.space.implies) == (None, {})


def test_the_card_says_what_the_network_is(small: Small) -> None:
    card = small.reference.card
    assert (card.arch, card.image_size, card.precision) == ("resnet18", 32, "fp32")
    assert (card.mean, card.std, card.resize) == (small.network.mean, small.network.std, RESIZE)
    assert card.trained_on == "images, 120 training images"
    assert card.source_sha256 == hashlib.sha256(b"any bytes").hexdigest()


def test_the_card_s_metrics_are_those_on_validation(small: Small) -> None:
    metrics = small.reference.card.metrics
    assert (metrics["split"], metrics["images"]) == ("validation", 45)
    assert metrics == headline(small.reference.metrics)


def test_answers_are_the_recalibrated_ones(small: Small, chosen: Small) -> None:
    np.testing.assert_array_equal(chosen.reference.logits, PLATT.apply(small.reference.logits))
    wanted = 1 / (1 + np.exp(-chosen.reference.logits))
    np.testing.assert_allclose(chosen.reference.probabilities, wanted, atol=1e-6)


def test_decisions_and_metrics_are_those_at_the_chosen_thresholds(chosen: Small) -> None:
    reference = chosen.reference
    assert reference.space.thresholds == (0.3, 0.62, 0.45)
    rows = reference.metrics["per_class"]
    assert [row["threshold"] for row in rows.values()] == [0.3, 0.62, 0.45]
    assert reference.card.metrics == headline(reference.metrics)


def test_the_card_says_what_was_chosen(chosen: Small) -> None:
    card = chosen.reference.card
    assert (card.operating_point, card.calibration) == (POINT, PLATT)


@given(st.integers(1, 3000), st.integers(1, 600))
def test_a_sample_is_evenly_spaced_from_first_to_last(small: Small, images: int, most: int) -> None:
    places = replace(small.reference, indices=list(range(images))).sample(most)
    assert len(set(places)) == len(places) == min(images, most)
    assert places[0] == 0 and (most == 1 or places[-1] == images - 1)
    gaps = np.diff(places)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_batches_are_all_images_in_order(small: Small) -> None:
    together = np.concatenate(list(small.reference.batches()))
    every = small.reference.pixels(list(range(len(small.reference.indices))))
    np.testing.assert_array_equal(together, every)


# Images that are not as they were -----------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_split_images(tmp_path / "data", LABELS, {"train": 2, "validation": 2})


def spoil(*paths: Path) -> None:
    for path in paths:
        path.write_bytes(b"nothing")


def test_an_unreadable_image_is_an_error(root: Path, tmp_path: Path) -> None:
    spoil(root / "validation/covid/covid-0.png")
    with pytest.raises(DataError, match="1 of 6 images cannot be read: .*covid-0.png"):
        reference_of(small_network(), small_config(root, tmp_path / "cache"), tmp_path)


def test_unreadable_images_are_left_out_where_the_run_skipped_them(
    root: Path, tmp_path: Path
) -> None:
    spoil(root / "validation/covid/covid-0.png", root / "train/normal/normal-1.png")
    config = small_config(root, tmp_path / "cache", "data.skip_unreadable=true")
    reference = reference_of(small_network(), config, tmp_path)
    counts = (len(reference.indices), len(reference.calibration), len(reference.unseen))
    assert counts == (5, 3, 2)
    assert "validation/covid/covid-0.png" not in reference.names(list(range(5)))
    assert len(reference.logits) == len(reference.targets) == len(reference.patients) == 5


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_of_which_nothing_can_be_read_is_an_error(
    root: Path, tmp_path: Path, split: str
) -> None:
    spoil(*(root / split).rglob("*.png"))
    config = small_config(root, tmp_path / "cache", "data.skip_unreadable=true")
    with pytest.raises(DataError, match="6 of 6 images cannot be read"):
        reference_of(small_network(), config, tmp_path)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_images_is_an_error(tmp_path: Path, split: str) -> None:
    counts = {"train": 2, "validation": 2, "test": 2}
    del counts[split]
    root = write_split_images(tmp_path / "data", LABELS, counts)
    with pytest.raises(DataError, match=f"has no {split} images"):
        reference_of(small_network(), small_config(root, tmp_path / "cache"), tmp_path)


def test_a_folder_that_is_gone_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    config = small_config(tmp_path / "gone", tmp_path / "cache")
    with pytest.raises(DataError, match="there is no folder .*gone.*--data FOLDER"):
        reference_of(small_network(), config, tmp_path)


def test_a_class_that_validation_lacks_is_left_out_of_macro_f1(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "validation/covid")
    reference = reference_of(small_network(), small_config(root, tmp_path / "cache"), tmp_path)
    rows = reference.metrics["per_class"]
    expected = (rows["normal"]["f1"] + rows["pneumonia"]["f1"]) / 2
    assert reference.card.metrics["macro_f1"] == pytest.approx(expected)


def test_one_validation_image_is_enough(tmp_path: Path) -> None:
    root = write_split_images(tmp_path / "data", LABELS, {"train": 1})
    write_image(root / "validation/covid/covid-0.png", 99)
    reference = reference_of(small_network(), small_config(root, tmp_path / "cache"), tmp_path)
    assert reference.sample(500) == [0]


def test_a_network_that_gives_no_numbers_is_an_error(small: Small, tmp_path: Path) -> None:
    network = copy.deepcopy(small.network)
    with torch.no_grad():
        network.get_parameter("head.3.weight").fill_(3e38)
    with pytest.raises(TrainingError, match="not finite numbers"):
        reference_of(network, small.config, tmp_path)
