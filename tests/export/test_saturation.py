"""What sums of 16 bits do to a graph: nothing where they hold, and what hand counting says."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from covid.export.golden import exact_answers
from covid.export.int8 import Prepared, quantise
from covid.export.rounding import FULL, SAFE
from covid.export.saturation import emulate, saturable_pairs
from tests.export.networks import SIZE, random_images


def one_layer(weights: list[int], *, zero_point: int = 0, bias: int = 0) -> onnx.ModelProto:
    """A row of pixels, one weight each, to one logit; all scales are 1."""
    integers = np.array(weights, dtype=np.int8).reshape(1, 1, 1, -1)
    one = np.array(1, dtype=np.float32)
    constants: dict[str, npt.NDArray[Any]] = {
        "one": one, "ones": one.reshape(1), "zero_point": np.array(zero_point, dtype=np.uint8),
        "weight": integers, "none": np.zeros(1, dtype=np.int8),
        "bias": np.array([bias], dtype=np.int32), "shape": np.array([-1, 1]),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "one", "zero_point"], ["x"]),
        helper.make_node("DequantizeLinear", ["weight", "ones", "none"], ["w"], axis=0),
        helper.make_node("DequantizeLinear", ["bias", "ones"], ["b"], axis=0),
        helper.make_node("Conv", ["x", "w", "b"], ["y"], name="layer"),
        helper.make_node("Reshape", ["y", "shape"], ["logit"]),
    ]
    size = [1, 1, 1, len(weights)]
    graph = helper.make_graph(
        nodes, "row", [helper.make_tensor_value_info("image", TensorProto.UINT8, size)],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def ask(model: onnx.ModelProto, pixels: list[int]) -> float:
    image = np.array([[pixels]], dtype=np.uint8)
    return emulate(model, image[0][None]).item()


@pytest.mark.parametrize(("weights", "pixels", "answer"), [
    ([127, 127], [255, 255], 32767),  # 64,770 does not fit
    ([-127, -127], [255, 255], -32768),
    ([127, -127], [255, 255], 0),
    ([64, 64], [255, 255], 32640),  # fits, by 127
    ([127, 127], [100, 100], 25400),
    ([127, 127, 127, 127], [255] * 4, 65534),  # two pairs, each in 16 bits of its own
    ([127, 1, 127, 1], [255] * 4, 65280),  # no pair of neighbours is too large
    ([127, 127, 127], [255] * 3, 32767 + 32385),  # the last one has no neighbour
], ids=str)  # fmt: skip
def test_neighbouring_products_are_added_in_16_bits(
    weights: list[int], pixels: list[int], answer: int
) -> None:
    assert ask(one_layer(weights), pixels) == answer


def test_zero_point_and_bias_are_added_in_32_bits() -> None:
    model = one_layer([127, 127], zero_point=10, bias=7)
    assert ask(model, [255, 255]) == 32767 - 10 * 254 + 7


@pytest.mark.parametrize(("weights", "pairs"), [
    ([64, 64], 0), ([65, 64], 1), ([127, 2], 1), ([127, 1], 0), ([-64, -64], 0), ([-65, -64], 1),
    ([127, -127], 0), ([127, 127, 5, 5, -100, -100], 2), ([127], 0),
], ids=str)  # fmt: skip
def test_pairs_that_could_saturate_are_counted(weights: list[int], pairs: int) -> None:
    assert saturable_pairs(one_layer(weights)) == pairs


def pixels() -> npt.NDArray[np.uint8]:
    return random_images(4, SIZE)[:, 0].numpy()


def test_where_no_pair_can_saturate_nothing_changes(saturating: Prepared) -> None:
    model = quantise(saturating, saturating.round(SAFE))
    assert saturable_pairs(model) == 0
    # Sums are exact on both sides; rounding to 8 bits may fall to the other side of a half.
    apart = np.abs(emulate(model, pixels()) - exact_answers(model, pixels()))
    assert apart.max() < 0.05


def test_where_pairs_saturate_answers_change(saturating: Prepared) -> None:
    model = quantise(saturating, saturating.round(FULL))
    assert saturable_pairs(model) > 0
    assert np.abs(emulate(model, pixels()) - exact_answers(model, pixels())).max() > 0.5
