"""Golden answers: exact, few, and such that saturation shows."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from covid.edge.card import Card
from covid.edge.golden import FLOAT_TOLERANCE, MAX_IMAGES
from covid.edge.model import open_proven
from covid.errors import ModelError
from covid.export.golden import (
    CANDIDATES,
    INT8_TOLERANCE,
    Proof,
    exact_answers,
    prove_float,
    prove_int8,
)
from covid.export.int8 import Prepared, quantise
from covid.export.rounding import FULL, SAFE
from covid.export.saturation import emulate
from tests.export.conftest import Exported, Small
from tests.export.networks import SIZE, random_images


@pytest.fixture(scope="module")
def full(saturating: Prepared) -> tuple[onnx.ModelProto, Proof]:
    """A graph whose weights of full 8 bits saturate, with its golden answers."""
    model = quantise(saturating, saturating.round(FULL))
    return model, prove_int8(model, SIZE)


def test_exact_answers_are_the_network_s(exported: Exported) -> None:
    result = exact_answers(exported.model, exported.images[:2, 0].numpy())
    np.testing.assert_allclose(result, exported.logits[:2].numpy(), atol=1e-4)


def test_an_output_can_be_named(small: Small) -> None:
    pixels = random_images(2, SIZE)[:, 0].numpy()
    logits = exact_answers(small.model, pixels)
    probabilities = exact_answers(small.model, pixels, "probability")
    np.testing.assert_allclose(probabilities, torch.from_numpy(logits).sigmoid(), atol=1e-6)


def test_golden_answers_of_float_are_what_the_graph_says(small: Small) -> None:
    golden = prove_float(small.model, SIZE).golden
    pixels = np.stack([pattern.render(SIZE) for pattern in golden.patterns])
    np.testing.assert_allclose(golden.logits, exact_answers(small.model, pixels), atol=1e-6)


def test_the_tolerance_of_float_grows_with_the_logits(small: Small) -> None:
    golden = prove_float(small.model, SIZE).golden
    largest = np.abs(golden.logits).max()
    assert golden.tolerance == pytest.approx(FLOAT_TOLERANCE * max(1, largest), rel=1e-3)


def test_bf16_is_noticed(small: Small) -> None:
    golden = prove_float(small.model, SIZE).golden
    rounded = copy.deepcopy(small.network).bfloat16()

    @torch.inference_mode()
    def answer(images: Any) -> Any:
        pixels = (torch.from_numpy(images).unsqueeze(1) / 255 - rounded.mean) / rounded.std
        return rounded.head(rounded.backbone(pixels.bfloat16())).float().numpy()

    assert golden.difference(SIZE, answer) > golden.tolerance


def test_no_more_than_two_images_are_asked(full: tuple[onnx.ModelProto, Proof]) -> None:
    assert len(full[1].golden.patterns) == MAX_IMAGES == 2


def test_the_images_in_which_saturation_shows_most_are_taken(
    full: tuple[onnx.ModelProto, Proof],
) -> None:
    model, proof = full
    images = np.stack([pattern.render(SIZE) for pattern in CANDIDATES])
    apart = np.abs(emulate(model, images) - exact_answers(model, images)).max(axis=1)
    best = {CANDIDATES[place] for place in np.argsort(-apart)[:MAX_IMAGES]}
    assert set(proof.golden.patterns) == best
    assert proof.saturated == pytest.approx(apart.max(), abs=1e-5)


def test_a_processor_that_saturates_is_outside_the_tolerance(
    full: tuple[onnx.ModelProto, Proof],
) -> None:
    proof = full[1]
    assert proof.saturable_pairs > 0 and proof.shows_saturation
    assert proof.saturated > 2 * INT8_TOLERANCE  # far, not by a hair


def test_a_file_whose_saturation_would_stay_within_the_tolerance_is_not_proven(
    full: tuple[onnx.ModelProto, Proof],
) -> None:
    assert not replace(full[1], saturated=0.9 * INT8_TOLERANCE).shows_saturation


def test_safe_weights_need_no_proof(saturating: Prepared) -> None:
    proof = prove_int8(quantise(saturating, saturating.round(SAFE)), SIZE)
    assert (proof.saturable_pairs, proof.saturated, proof.shows_saturation) == (0, 0.0, True)


def test_answers_that_are_no_numbers_are_zeros(small: Small) -> None:
    network = copy.deepcopy(small.model)
    bias = next(each for each in network.graph.initializer if each.name == "head.3.bias")
    values = onnx.numpy_helper.to_array(bias) * np.nan
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    assert set(np.ravel(prove_float(network, SIZE).golden.logits)) == {0.0}


# A processor that saturates, whatever this one does -----------------------------------------


class Session:
    """A session of a graph whose logits a function computes."""

    def __init__(self, logits: Callable[[Any], Any]):
        self.logits = logits

    def run(self, names: Sequence[str], feed: Mapping[str, Any], /) -> Sequence[Any]:
        logits = self.logits(feed["image"][:, 0])
        return logits, 1 / (1 + np.exp(-logits))


def card_of(small: Small, proof: Proof) -> Card:
    return replace(small.reference.card, precision="int8", golden=proof.golden)


def test_on_a_processor_that_saturates_precise_products_are_taken_and_right(
    full: tuple[onnx.ModelProto, Proof], small: Small
) -> None:
    model, proof = full

    def open_(precise: bool) -> Session:
        return Session(lambda images: (exact_answers if precise else emulate)(model, images))

    session, arithmetic = open_proven(Path("model"), card_of(small, proof), open_)
    images = random_images(4, SIZE)
    result = session.run(["logit"], {"image": images.numpy()})[1]
    wanted = exact_answers(model, images[:, 0].numpy(), "probability")
    assert arithmetic == "precise" and np.abs(result - wanted).max() < 0.03


def test_where_precise_products_saturate_too_the_file_is_refused(
    full: tuple[onnx.ModelProto, Proof], small: Small
) -> None:
    model, proof = full
    with pytest.raises(ModelError, match="computes other answers than the file was made with"):
        open_proven(
            Path("model"), card_of(small, proof),
            lambda precise: Session(lambda images: emulate(model, images)),
        )  # fmt: skip
