"""Channels made alike: the same function, and no channel far below the others."""

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from covid.export.equalise import MAX_STRETCH, equalise

Floats = npt.NDArray[np.float32]


def chain(middle: list[onnx.NodeProto], channels: int = 4) -> onnx.ModelProto:
    """x -> convolution -> a -> `middle` -> b -> convolution -> y; channels of unlike reach."""
    draw = np.random.default_rng(0)
    scales = 10.0 ** -np.arange(channels)[:, None, None, None]
    first = draw.normal(size=(channels, 2, 3, 3)) * scales
    second = draw.normal(size=(3, channels, 1, 1)) / scales.reshape(1, -1, 1, 1)
    constants = {
        "first": first, "first_bias": 0.1 * 10.0 ** -np.arange(channels),
        "second": second, "second_bias": np.zeros(3), "low": np.array(0.0), "high": np.array(6.0),
        "branch": draw.normal(size=(channels, channels, 1, 1)), "branch_bias": np.zeros(channels),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "first", "first_bias"], ["a"], name="first"),
        *middle,
        helper.make_node("Conv", ["b", "second", "second_bias"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes, "chain", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value.astype(np.float32), name)
         for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


RELU = [helper.make_node("Relu", ["a"], ["b"])]
CLIP = [helper.make_node("Clip", ["a", "low", "high"], ["b"])]
POOL = [
    helper.make_node("Relu", ["a"], ["r"]),
    helper.make_node("MaxPool", ["r"], ["b"], kernel_shape=[2, 2]),
]
BLOCK = [
    helper.make_node("Relu", ["a"], ["r"]),
    helper.make_node("Conv", ["r", "branch", "branch_bias"], ["c"], name="branch"),
    helper.make_node("Add", ["r", "c"], ["s"]),
    helper.make_node("Relu", ["s"], ["b"]),
]
GATED = [
    helper.make_node("Conv", ["a", "branch", "branch_bias"], ["c"], name="branch"),
    helper.make_node("HardSigmoid", ["a"], ["g"]),
    helper.make_node("Add", ["c", "g"], ["b"]),
]
IMAGES = np.random.default_rng(1).normal(size=(1, 2, 8, 8)).astype(np.float32)


def ask(model: onnx.ModelProto, name: str, values: Floats = IMAGES) -> Floats:
    opened = onnx.ModelProto.FromString(model.SerializeToString())
    del opened.graph.output[:]
    opened.graph.output.append(helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(
        opened.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run([name], {"x": values})[0])


def reach_of(model: onnx.ModelProto, *names: str) -> dict[str, npt.NDArray[np.float64]]:
    return {
        name: np.abs(ask(model, name)).max(axis=(0, 2, 3)).astype(np.float64) for name in names
    }


def test_the_function_is_the_same_through_a_relu_a_clip_and_pooling() -> None:
    for middle in (RELU, CLIP, POOL):
        model = chain(middle)
        result = equalise(model, reach_of(model, "b"))
        np.testing.assert_allclose(ask(result, "y"), ask(model, "y"), rtol=1e-4, atol=1e-4)


def test_what_a_gate_gives_is_not_scaled_nor_what_is_added_to_it() -> None:
    model = chain(GATED)
    result = equalise(model, reach_of(model, "a", "b"))
    np.testing.assert_allclose(ask(result, "y"), ask(model, "y"), rtol=1e-4, atol=1e-4)


def test_channels_reach_as_far_as_the_farthest() -> None:
    model = chain(RELU, channels=2)
    before, after = reach_of(model, "b")["b"], reach_of(equalise(model, reach_of(model, "b")), "b")
    np.testing.assert_allclose(after["b"], np.full(2, before.max()), rtol=1e-5)


def test_what_next_to_never_reaches_anything_is_stretched_a_hundred_times_at_most() -> None:
    model = chain(RELU)
    before = reach_of(model, "b")["b"]
    after = reach_of(equalise(model, reach_of(model, "b")), "b")["b"]
    np.testing.assert_allclose((after / before).max(), MAX_STRETCH, rtol=1e-5)


def test_a_clipped_channel_is_stretched_until_it_reaches_the_clip() -> None:
    model = chain(CLIP, channels=2)
    result = reach_of(equalise(model, reach_of(model, "b")), "b")["b"]
    np.testing.assert_allclose(result, [6, 6], rtol=1e-5)


def test_channels_that_something_else_reads_stay_as_they_are() -> None:
    read = helper.make_node("GlobalAveragePool", ["b"], ["mean"])
    model = chain([*RELU, read])
    result = equalise(model, reach_of(model, "b"))
    np.testing.assert_array_equal(ask(result, "b"), ask(model, "b"))


def test_the_input_s_channels_stay_as_they_are() -> None:
    model = chain(RELU)
    reach = reach_of(model, "b") | {"x": np.array([1.0, 1e-3])}
    np.testing.assert_allclose(ask(equalise(model, reach), "y"), ask(model, "y"), rtol=1e-4)


def test_a_block_whose_input_is_added_to_its_output_has_one_scale_a_channel() -> None:
    model = chain(BLOCK)
    before = reach_of(model, "r", "b")
    equalised = equalise(model, before)
    after = reach_of(equalised, "r", "b")
    np.testing.assert_allclose(ask(equalised, "y"), ask(model, "y"), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after["r"] / before["r"], after["b"] / before["b"], rtol=1e-4)
    assert (after["b"] / before["b"]).max() > 1.1


def test_the_given_graph_is_left_alone() -> None:
    model = chain(RELU)
    before = model.SerializeToString()
    equalise(model, reach_of(model, "b"))
    assert model.SerializeToString() == before
