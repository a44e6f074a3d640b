"""Novelty in the graph: fitted on training images, small for them, large for others."""

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from covid.edge.predict import Outputs
from covid.export.choose import answer
from covid.export.graph import export_graph
from covid.export.int8 import quantise
from covid.export.novelty import (
    FEATURES,
    Map,
    Novelty,
    add_novelty,
    distances_of,
    find_maps,
    fit,
    fit_novelty,
    quarters_of,
    with_features,
)
from covid.export.parity import NOVELTY_TOLERANCE, check_novelty, novelties
from covid.export.rounding import FULL
from tests.export.conftest import Exported, Small, exported_of
from tests.export.networks import SIZE, joined_network, random_images

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def ramps(count: int, size: int = SIZE) -> Pixels:
    """uint8 `[count, size, size]`: dark above, bright below, with a little noise."""
    draw = np.random.default_rng(1)
    rows = np.linspace(20, 200, size)[None, :, None] + draw.normal(0, 6, (count, size, size))
    return (rows + draw.uniform(-15, 15, (count, 1, 1))).clip(0, 255).astype(np.uint8)


def fitted(model: onnx.ModelProto, size: int = SIZE) -> Novelty:
    images = ramps(60, size)
    novelty = fit_novelty(model, [images[:40]], [images[40:]])
    assert novelty is not None
    return novelty


def given(model: onnx.ModelProto, novelty: Novelty, images: Pixels) -> Floats:
    return answer(add_novelty(model, novelty), [images], "novelty")


def graph_of(small: Small, precision: str) -> onnx.ModelProto:
    if precision == "fp32":
        return small.model
    return quantise(small.prepared, small.prepared.round(FULL), [])


# What is measured ---------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_graph_measures_what_the_formula_says(small: Small, precision: str) -> None:
    model = graph_of(small, precision)
    novelty = fitted(model)
    images = np.concatenate([ramps(3), random_images(5, SIZE)[:, 0].numpy()])
    expected = distances_of(model, novelty, [images])
    assert expected is not None
    np.testing.assert_allclose(given(model, novelty, images), expected, rtol=NOVELTY_TOLERANCE)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_turned_and_inverted_images_lie_beyond_the_threshold(small: Small, precision: str) -> None:
    model = graph_of(small, precision)
    novelty, images = fitted(model), ramps(12)
    assert (given(model, novelty, images) > novelty.threshold).mean() < 0.5
    for other in (np.rot90(images, axes=(1, 2)), np.rot90(images, 2, axes=(1, 2)), 255 - images):
        assert (given(model, novelty, np.ascontiguousarray(other)) > novelty.threshold).all()


def test_nothing_else_of_the_graph_changes(small: Small) -> None:
    images = ramps(3)
    whole = add_novelty(small.model, fitted(small.model))
    for name in ("logit", "probability"):
        same = answer(small.model, [images], name)
        np.testing.assert_array_equal(answer(whole, [images], name), same)


def test_the_same_images_give_the_same_graph(small: Small) -> None:
    one, other = (add_novelty(small.model, fitted(small.model)) for _ in range(2))
    assert one.SerializeToString() == other.SerializeToString()


def test_a_training_image_has_about_one() -> None:
    features = np.random.default_rng(0).normal(5, 2, (400, 30)).astype(np.float32)
    novelty = fit((Map("a", 6, 4), Map("b", 6, 2)), features)
    assert novelty is not None
    assert np.sqrt((novelty.distance(features) ** 2).mean()) == pytest.approx(1, abs=0.02)


def test_the_distance_is_mahalanobis_where_all_directions_are_kept() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(500, 4)) @ draw.normal(size=(4, 4))
    novelty = fit((Map("a", 1, 2), Map("b", 1, 2)), features.astype(np.float32))
    assert novelty is not None
    inverse = np.linalg.inv(np.cov(features.T, bias=True))
    centred = features - features.mean(axis=0)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", centred, inverse, centred) / 4)
    # Directions are rounded to 8 bits, a share of 1 / 254 of the largest number in each.
    np.testing.assert_allclose(novelty.distance(features.astype(np.float32)), expected, rtol=0.03)


def test_features_that_never_move_weigh_little(small: Small) -> None:
    """The network's channel 0 is dead: its features are one number for all images."""
    novelty = fitted(small.model)
    assert (novelty.deviation > 0).all()
    assert np.isfinite(given(small.model, novelty, random_images(4, SIZE)[:, 0].numpy())).all()


def test_the_threshold_leaves_one_in_a_hundred_validation_images(small: Small) -> None:
    images = ramps(260)
    novelty = fit_novelty(small.model, [images[:60]], [images[60:]])
    distances = distances_of(small.model, novelty, [images[60:]])
    assert novelty is not None and distances is not None
    assert (distances > novelty.threshold).sum() == 1  # of 200, the largest that is at most 1 %


def test_images_that_are_all_alike_say_nothing(small: Small) -> None:
    same = [np.full((8, SIZE, SIZE), 90, np.uint8)]
    assert fit_novelty(small.model, same, same) is None
    assert add_novelty(small.model, None) is small.model


@pytest.mark.parametrize("side", [2, 5, 7, 8])
def test_quarters_are_means_of_halves_of_rows_and_columns(side: int) -> None:
    plane = np.random.default_rng(0).normal(size=(side, side))
    half = -(-side // 2)
    expected = [
        rows[:, columns].mean()
        for rows in (plane[:half], plane[side - half :])
        for columns in (slice(None, half), slice(side - half, None))
    ]
    np.testing.assert_allclose(plane.ravel() @ quarters_of(side), expected, atol=1e-6)


# Where it is measured -----------------------------------------------------------------------


def test_vgg_s_last_map_is_the_one_after_its_pooling(exported: Exported) -> None:
    if exported.size == 256:
        assert find_maps(exported.model) == (Map("relu_11", 512, 16), Map("avg_pool2d", 512, 7))


@pytest.mark.parametrize(
    "arch, channels", [("resnet18", (256, 512)), ("efficientnet_lite0", (112, 1280))]
)
def test_the_maps_are_what_the_last_fine_convolution_reads_and_the_last_one(
    arch: str, channels: tuple[int, int]
) -> None:
    maps = find_maps(exported_of(arch, 64).model)
    assert maps is not None
    assert tuple(each.channels for each in maps) == channels
    assert [each.side for each in maps] == [4, 2]  # a 16th and a 32nd of the image


def test_gates_of_channels_are_no_maps() -> None:
    maps = find_maps(export_graph(joined_network(), "multilabel", SIZE))
    assert maps is not None
    assert [(each.channels, each.side) for each in maps] == [(8, 4), (8, 4)]


def test_the_features_are_quarters_and_a_mean(small: Small) -> None:
    maps = find_maps(small.model)
    assert maps is not None
    features = answer(with_features(small.model, maps), [ramps(2)], FEATURES)
    assert features.shape == (2, 4 * maps[0].channels + maps[1].channels)


# The gate -----------------------------------------------------------------------------------


def answered(values: list[float] | None) -> list[Outputs]:
    nothing = np.zeros((2, 1), np.float32)
    given = None if values is None else np.array(values, np.float32)
    return [Outputs(nothing, nothing, novelty=given)]


def test_a_file_that_measures_something_else_is_held_back() -> None:
    expected = np.array([1.0, 2.0])
    assert check_novelty(novelties(answered([1.0005, 2.0])), expected, 1.5).holds
    for values in ([1.01, 2.0], [float("nan"), 2.0], None):
        assert not check_novelty(novelties(answered(values)), expected, 1.5).holds


def test_a_file_that_cannot_measure_it_says_why() -> None:
    check = check_novelty(novelties(answered(None)), None, None)
    assert check.holds and "no convolution reads another's map" in check.found
    assert not check_novelty(novelties(answered([1.0, 2.0])), None, None).holds

