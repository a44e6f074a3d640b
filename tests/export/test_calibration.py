"""What calibration images tell: ranges that lose least, and which tensors have one."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covid.export.calibration import (
    BINS,
    PIXELS,
    POSITIONS_PER_IMAGE,
    SHARES,
    Range,
    Statistics,
    activations,
    after_feature_map,
    bounded,
    channel_reach,
    least_error_range,
    without_8_bit_form,
)
from covid.export.graph import export_graph
from covid.export.int8 import fold_mean
from tests.export.conftest import Exported, Small
from tests.export.networks import SIZE, joined_network, network_of, small_network

Counts = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]


@st.composite
def histograms(draw: st.DrawFn) -> tuple[Counts, float, float]:
    """Counts over bins from a lowest to a highest value, both of them there."""
    low = draw(st.floats(-1e4, 1e4))
    high = low + draw(st.floats(0, 1e4))
    counts = np.zeros(BINS, dtype=np.int64)
    for place, count in draw(
        st.lists(st.tuples(st.integers(0, BINS - 1), st.integers(1, 10**6)), max_size=8)
    ):
        counts[place] += count
    counts[[0, -1]] += 1
    return counts, low, high


def squared_error(counts: Counts, low: float, high: float, chosen: Range) -> float:
    """What 256 levels within `chosen` lose of a histogram from `low` to `high`."""
    values = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    step = max((chosen[1] - chosen[0]) / 255, float(np.finfo(np.float32).tiny))
    levels = np.clip(np.rint((values - chosen[0]) / step), 0, 255)
    return float(((levels * step + chosen[0] - values) ** 2) @ counts)


# Ranges -------------------------------------------------------------------------------------


@given(histograms())
def test_the_least_error_is_never_larger_than_that_of_the_whole_range(
    histogram: tuple[Counts, float, float],
) -> None:
    counts, low, high = histogram
    whole = min(low, 0.0), max(high, 0.0)
    result = least_error_range(counts, low, high)
    least = squared_error(counts, low, high, result)
    assert least <= squared_error(counts, low, high, whole) * (1 + 1e-9)


@given(histograms())
def test_the_least_error_s_range_lies_within_the_data_s_and_zero(
    histogram: tuple[Counts, float, float],
) -> None:
    counts, low, high = histogram
    first, last = least_error_range(counts, low, high)
    assert min(low, 0.0) <= first <= last <= max(high, 0.0)


def test_the_least_error_gives_up_a_lone_outlier_for_finer_steps() -> None:
    counts = np.zeros(BINS, dtype=np.int64)
    counts[: BINS // 4], counts[-1] = 100_000, 1
    assert least_error_range(counts, 0.0, 100.0)[1] == pytest.approx(100 * SHARES[2], abs=10)


@pytest.mark.parametrize("value", [-3.0, 0.0, 5.0, 1e-6])
def test_a_constant_tensor_has_a_range_that_holds_it(value: float) -> None:
    counts = np.zeros(BINS, dtype=np.int64)
    counts[0] = 10
    low, high = least_error_range(counts, value, value)
    assert min(low, 0) <= value <= max(high, 0)


# Tensors ------------------------------------------------------------------------------------


def test_what_follows_the_last_feature_map_is_pooling_and_head(exported: Exported) -> None:
    names = set(after_feature_map(exported.model))
    kinds = [node.op_type for node in exported.model.graph.node if node.name in names]
    assert "Conv" not in kinds and kinds.count("Gemm") == 2 and "Pool" in kinds[0]


def test_every_convolution_reads_a_tensor_that_has_a_range(exported: Exported) -> None:
    model = fold_mean(exported.model).model
    ranged = set(activations(model))
    read = {node.input[0] for node in model.graph.node if node.op_type == "Conv"}
    assert read <= ranged


def test_a_sum_that_only_a_relu_reads_has_no_range_of_its_own(small: Small) -> None:
    model = small.prepared.centred.model
    assert not set(bounded(model).values()) & set(activations(model))


# Statistics ---------------------------------------------------------------------------------


def pixels_of(small: Small) -> npt.NDArray[np.int64]:
    pixels = small.reference.images.read(small.reference.calibration).astype(int)
    return pixels - small.prepared.centred.zero_point


def test_the_whole_range_is_that_of_the_values_themselves(small: Small) -> None:
    statistics, pixels = small.prepared.statistics, pixels_of(small)
    assert (statistics.low[PIXELS], statistics.high[PIXELS]) == (pixels.min(), pixels.max())


def test_every_value_of_every_image_is_counted(small: Small) -> None:
    counts = small.prepared.statistics.counts
    assert counts[PIXELS].sum() == pixels_of(small).size


def test_a_layer_s_mean_input_is_that_of_calibration_images(small: Small) -> None:
    moments = small.prepared.statistics.moments["backbone.conv1"]
    centre = moments.mean()[0].reshape(3, 3)[1, 1]  # never padding
    seen = pixels_of(small)[:, ::2, ::2]
    assert moments.positions == len(seen) * min(POSITIONS_PER_IMAGE, seen[0].size)
    assert centre == pytest.approx(seen.mean(), abs=0.5)  # of 128 of 256 places


def test_reach_is_the_largest_magnitude_of_each_channel(small: Small) -> None:
    reference = small.reference
    reach = channel_reach(
        small.prepared.centred, lambda: reference.batches_of(reference.calibration), lambda _: None
    )
    assert reach[PIXELS] == [np.abs(pixels_of(small)).max()]
    assert all(channels.ndim == 1 and (channels >= 0).all() for channels in reach.values())


def test_values_that_are_alike_to_rounding_are_counted(recwarn: pytest.WarningsRecorder) -> None:
    network = small_network()
    with torch.no_grad():
        for name in ("backbone.bn1.weight", "head.0.weight"):
            network.get_parameter(name).mul_(1e-38)
    centred = fold_mean(export_graph(network, "multilabel", SIZE))

    def images() -> Iterator[Pixels]:
        yield np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE), dtype=np.uint8)

    statistics = Statistics(centred, images, lambda _: None)
    assert not [each for each in recwarn if issubclass(each.category, RuntimeWarning)]
    assert all(counts.sum() > 0 for counts in statistics.counts.values())


def test_the_three_networks_and_small_ones_have_an_8_bit_form(exported: Exported) -> None:
    assert without_8_bit_form(exported.model) == []


@pytest.mark.parametrize("size", [32, 288])
def test_pooling_by_hand_before_a_head_takes_no_8_bit_form_away(size: int) -> None:
    assert without_8_bit_form(export_graph(network_of("vgg16"), "multilabel", size)) == []


def test_joins_and_gates_have_an_8_bit_form() -> None:
    assert without_8_bit_form(export_graph(joined_network(), "multilabel", SIZE)) == []


@pytest.mark.parametrize(("kind", "place"), [("LayerNormalization", "Relu"), ("MatMul", "Gemm")])
def test_an_operation_without_an_8_bit_form_is_named_wherever_it_is(
    small: Small, kind: str, place: str
) -> None:
    model = onnx.ModelProto.FromString(small.model.SerializeToString())
    next(node for node in model.graph.node if node.op_type == place).op_type = kind
    assert without_8_bit_form(model) == [kind]


def test_a_sum_with_a_constant_has_no_8_bit_form(small: Small) -> None:
    model = onnx.ModelProto.FromString(small.model.SerializeToString())
    place = next(node for node in model.graph.node if node.op_type == "Add")
    place.input[1] = model.graph.initializer[0].name
    assert without_8_bit_form(model) == ["Add of a constant"]
