"""Weights to integers: within their limit, and with less loss than the nearest integers have."""

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from covid.export.rounding import (
    BLOCK,
    FULL,
    SAFE,
    Convolution,
    Moments,
    compensate,
    convolutions,
    least_error_scales,
    replace_layers,
    round_layer,
    round_layers,
)

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
LIMITS = pytest.mark.parametrize("limit", [SAFE, FULL])


def graph_of(
    groups: int, kernel: tuple[int, int], stride: int, dilation: int, pad: int, seed: int = 0
) -> tuple[onnx.ModelProto, Floats]:
    """One convolution of 4 channels to 8, and an input for it."""
    draw = np.random.default_rng(seed)
    weight = draw.normal(size=(8, 4 // groups, *kernel)).astype(np.float32)
    bias = draw.normal(size=8).astype(np.float32)
    node = helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], name="layer", group=groups, strides=[stride, stride],
        dilations=[dilation, dilation], pads=[pad, 0, pad, pad],
    )  # fmt: skip
    graph = helper.make_graph(
        [node], "one", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 12, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model, draw.normal(size=(1, 4, 12, 9)).astype(np.float32)


def run(model: onnx.ModelProto, values: Floats) -> Floats:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["y"], {"x": values})[0])


def patches_of(model: onnx.ModelProto, values: Floats, most: int = 10**6) -> Floats:
    (layer,) = convolutions(model)
    return layer.patches(values, np.random.default_rng(0), most)


# What weights are applied to ----------------------------------------------------------------


@given(
    groups=st.sampled_from([1, 2, 4]), height=st.integers(1, 3), width=st.integers(1, 3),
    stride=st.integers(1, 3), dilation=st.integers(1, 2), pad=st.integers(0, 2),
)  # fmt: skip
def test_patches_times_weights_are_the_convolution(
    groups: int, height: int, width: int, stride: int, dilation: int, pad: int
) -> None:
    model, values = graph_of(groups, (height, width), stride, dilation, pad)
    weight, bias = (numpy_helper.to_array(each) for each in model.graph.initializer)
    patches = patches_of(model, values)  # [groups, positions, inputs]
    rows = weight.reshape(groups, 8 // groups, -1)
    result = (patches @ rows.transpose(0, 2, 1)).transpose(0, 2, 1).reshape(8, -1) + bias[:, None]
    wanted = run(model, values)[0].reshape(8, -1)
    np.testing.assert_allclose(result, wanted, atol=1e-4)


def test_no_more_patches_are_cut_than_asked_for() -> None:
    model, values = graph_of(1, (3, 3), 1, 1, 1)
    assert patches_of(model, values, most=7).shape == (1, 7, 36)


def test_a_layer_is_described_as_the_graph_has_it() -> None:
    (layer,) = convolutions(graph_of(2, (3, 1), 2, 1, 1)[0])
    assert layer == Convolution(
        "layer", "x", "w", "b", kernel=(3, 1), strides=(2, 2), dilations=(1, 1),
        pads=(1, 0, 1, 1), groups=2,
    )  # fmt: skip


def moments_of(patches: Floats, parts: int = 3) -> Moments:
    moments = Moments()
    for part in np.array_split(patches, parts, axis=1):
        moments.add(part)
    return moments


def test_moments_are_those_of_all_patches_together() -> None:
    patches = np.random.default_rng(0).normal(2, 3, (2, 60, 5)).astype(np.float32)
    moments = moments_of(patches)
    np.testing.assert_allclose(moments.mean(), patches.mean(axis=1), atol=1e-5)
    for group in range(2):
        wanted = np.cov(patches[group].T, bias=True)
        np.testing.assert_allclose(moments.covariance()[group], wanted, atol=1e-3)


# Scales -------------------------------------------------------------------------------------


@st.composite
def weights(draw: st.DrawFn) -> tuple[Doubles, Doubles]:
    """Rows `[1, 3, 6]` with outliers, and positive definite covariances `[1, 6, 6]`."""
    chance = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = chance.standard_t(3, (1, 3, 6)) * draw(st.floats(1e-3, 1e3))
    mixing = chance.normal(size=(6, 6))
    return rows, (mixing @ mixing.T)[None] * draw(st.floats(1e-3, 1e3))


def loss(rows: Doubles, rounded: Doubles, covariance: Doubles) -> Doubles:
    """Expected squared change of each output, `[groups, outputs]`."""
    lost = rows - rounded
    return np.asarray(np.einsum("goi,gij,goj->go", lost, covariance, lost))


def nearest(rows: Doubles, scales: Doubles, limit: int) -> Doubles:
    return np.asarray(np.clip(np.rint(rows / scales[..., None]), -limit, limit))


@LIMITS
@given(given_weights=weights())
def test_scales_lose_no_more_than_those_of_the_largest_weight(
    limit: int, given_weights: tuple[Doubles, Doubles]
) -> None:
    rows, covariance = given_weights
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    apart = np.stack([np.diag(each) for each in variances])
    scales = least_error_scales(rows, variances, limit)
    whole = np.abs(rows).max(axis=-1) / limit
    result, wanted = (
        loss(rows, nearest(rows, each, limit) * each[..., None], apart) for each in (scales, whole)
    )
    assert (result <= wanted * (1 + 1e-9)).all()


def test_a_lone_outlier_is_clipped_where_it_meets_next_to_nothing() -> None:
    rows = np.array([[[100.0, 1.0, -0.9, 0.55]]])
    variances = np.array([[1e-9, 1.0, 1.0, 1.0]])
    assert least_error_scales(rows, variances, SAFE)[0, 0] < 0.5 * 100 / SAFE


def test_weights_that_are_all_zero_stay_zero() -> None:
    rows, variances = np.zeros((1, 2, 3)), np.ones((1, 3))
    scales = least_error_scales(rows, variances, SAFE)
    assert (scales > 0).all() and not nearest(rows, scales, SAFE).any()


# Integers -----------------------------------------------------------------------------------


@LIMITS
@given(given_weights=weights())
def test_integers_are_whole_and_within_their_limit(
    limit: int, given_weights: tuple[Doubles, Doubles]
) -> None:
    rows, covariance = given_weights
    scales = np.abs(rows).max(axis=-1) / (2 * limit)  # so that half would not fit
    integers = compensate(rows, covariance, scales, limit)
    assert (integers == np.rint(integers)).all() and np.abs(integers).max() <= limit


def test_inputs_that_go_each_their_own_way_are_rounded_to_the_nearest() -> None:
    rows = np.random.default_rng(0).normal(size=(1, 4, 9))
    scales = np.abs(rows).max(axis=-1) / SAFE
    integers = compensate(rows, np.eye(9)[None], scales, SAFE)
    np.testing.assert_array_equal(integers, nearest(rows, scales, SAFE))


@pytest.mark.parametrize("inputs", [9, BLOCK + 40])  # within a block, and across two
def test_inputs_that_go_together_lose_less_than_the_nearest_integers(inputs: int) -> None:
    draw = np.random.default_rng(0)
    together = draw.normal(size=(2000, 3)) @ draw.normal(size=(3, inputs))
    seen = together + 0.1 * draw.normal(size=(2000, inputs))
    covariance = np.cov(seen.T, bias=True)[None]
    rows = draw.normal(size=(1, 16, inputs))
    scales = np.abs(rows).max(axis=-1) / SAFE
    result, wanted = (
        loss(rows, integers * scales[..., None], covariance).sum()
        for integers in (compensate(rows, covariance, scales, SAFE), nearest(rows, scales, SAFE))
    )
    assert result < 0.3 * wanted


def test_groups_are_rounded_each_by_its_own_inputs() -> None:
    draw = np.random.default_rng(0)
    rows, mixing = draw.normal(size=(2, 3, 5)), draw.normal(size=(2, 5, 5))
    covariance = mixing @ mixing.transpose(0, 2, 1)
    scales = np.abs(rows).max(axis=-1) / SAFE
    together = compensate(rows, covariance, scales, SAFE)
    for group in range(2):
        one = slice(group, group + 1)
        alone = compensate(rows[one], covariance[one], scales[one], SAFE)
        np.testing.assert_array_equal(together[one], alone)


def test_inputs_that_never_vary_are_rounded_all_the_same() -> None:
    rows = np.random.default_rng(0).normal(size=(1, 4, 6))
    scales = np.abs(rows).max(axis=-1) / SAFE
    integers = compensate(rows, np.zeros((1, 6, 6)), scales, SAFE)
    np.testing.assert_array_equal(integers, nearest(rows, scales, SAFE))


# Layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_mean_output_is_kept_by_the_bias(groups: int) -> None:
    model, values = graph_of(groups, (3, 3), 1, 1, 1)
    rounded = round_layers(model, {"layer": moments_of(patches_of(model, values + 3))}, 7)
    result = run(replace_layers(model, rounded, []), values + 3)
    wanted = run(model, values + 3)
    assert np.abs(result - wanted).max() > 1e-3  # 7 steps lose something
    np.testing.assert_allclose(result.mean(axis=(2, 3)), wanted.mean(axis=(2, 3)), atol=1e-4)


def test_a_layer_s_integers_have_the_shape_of_its_weights() -> None:
    model, values = graph_of(2, (3, 1), 1, 1, 1)
    weight, bias = (numpy_helper.to_array(each) for each in model.graph.initializer)
    rounded = round_layer(weight, bias, moments_of(patches_of(model, values)), SAFE)
    assert rounded.integers.shape == weight.shape and rounded.integers.dtype == np.int8
    lost = weight - rounded.integers * rounded.scales.reshape(-1, 1, 1, 1)
    assert np.abs(lost).max() < np.abs(weight).max() / 2


def test_layers_that_are_kept_are_not_replaced() -> None:
    model, values = graph_of(1, (3, 3), 1, 1, 1)
    rounded = round_layers(model, {"layer": moments_of(patches_of(model, values))}, SAFE)
    assert replace_layers(model, rounded, ["layer"]) == model
