"""Eight bits: where ranges lie, what is quantised and what is not, and what it takes in memory."""

import copy
import gc
import platform
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from covid.export import int8
from covid.export.graph import export_graph
from covid.export.int8 import (
    BINS,
    METHODS,
    PERCENTILE,
    PIXELS,
    SHARES,
    Centred,
    Method,
    Pixels,
    Range,
    Ranges,
    centre,
    lacks_vnni,
    layers,
    least_error_range,
    percentile_range,
    quantise,
)
from tests.export.conftest import Exported, Small
from tests.export.networks import ARCH, SIZE, ruin, small_network

LAYERS = ("backbone.conv1", "backbone.deep", "backbone.mixed", "head.0", "head.3")
FLOAT_LAYERS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul")
# What is left of a graph in 8 bits once onnxruntime has fused what it can: nothing in float but
# the answer. (Reshape and MaxPool work on bytes here.)
IN_BYTES = {
    "QLinearConv", "QGemm", "QLinearAdd", "QLinearGlobalAveragePool", "QLinearAveragePool",
    "MaxPool", "NhwcMaxPool", "Reshape", "Transpose", "Sigmoid",
}  # fmt: skip


def open_graph(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def answers(model: onnx.ModelProto, pixels: Pixels) -> npt.NDArray[np.float32]:
    """Logits of uint8 `[n, size, size]`."""
    found: npt.NDArray[np.float32] = open_graph(model).run(
        ["logit"], {"image": pixels[:, np.newaxis]}
    )[0]
    return found


def in_eight_bits(small: Small, *kept: str, reduce_range: bool = False) -> onnx.ModelProto:
    chosen = small.ranges.choose("minmax")
    return quantise(small.centred, chosen, small.ranges.means, kept, reduce_range=reduce_range)


def validation(small: Small) -> Pixels:
    return small.evidence.pixels(list(range(len(small.evidence.rows))))


def constants(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.generic]]:
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def optimised(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """The graph that onnxruntime runs, at the level that users have."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return onnx.load(options.optimized_model_filepath)


# The mean, taken off ------------------------------------------------------------------------


def centred_logits(centred: Centred, pixels: Pixels) -> npt.NDArray[np.float32]:
    fed = pixels[:, np.newaxis].astype(np.float32) - centred.zero_point
    found: npt.NDArray[np.float32] = open_graph(centred.model).run(["logit"], {PIXELS: fed})[0]
    return found


@pytest.mark.parametrize("level", [0, 120, 255])
def test_a_centred_graph_is_the_same_function_where_the_mean_is_a_grey_level(level: int) -> None:
    network = small_network(mean=level / 255)
    model = export_graph(network, ARCH, "multilabel", SIZE)
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE), dtype=np.uint8)
    found = centred_logits(centre(model), pixels)
    np.testing.assert_allclose(found, answers(model, pixels), atol=1e-4)


def test_the_zero_point_is_the_mean_grey_level(small: Small) -> None:
    assert small.centred.zero_point == round(255 * small.network.mean)


def test_a_centred_graph_is_the_same_function_inside_the_image(small: Small) -> None:
    stem = small.model.graph.node[2]
    exact = onnx.ModelProto.FromString(small.model.SerializeToString())
    shifted = onnx.ModelProto.FromString(small.centred.model.SerializeToString())
    for model in (exact, shifted):
        model.graph.output.append(helper.make_empty_tensor_value_info(stem.output[0]))
    pixels = validation(small)[:, np.newaxis]
    (wanted,) = open_graph(exact).run([stem.output[0]], {"image": pixels})
    fed = pixels.astype(np.float32) - small.centred.zero_point
    (found,) = open_graph(shifted).run([stem.output[0]], {PIXELS: fed})
    np.testing.assert_allclose(found[:, :, 1:-1, 1:-1], wanted[:, :, 1:-1, 1:-1], atol=1e-4)


def test_centring_leaves_the_float_graph_as_it_was(small: Small) -> None:
    before = small.model.SerializeToString()
    centre(small.model)
    assert small.model.SerializeToString() == before


# Ranges -------------------------------------------------------------------------------------

Values = npt.NDArray[np.float64]


@st.composite
def histograms(draw: st.DrawFn) -> tuple[npt.NDArray[np.int64], float, float]:
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


@given(histograms())
def test_a_percentile_s_range_lies_within_the_data_s(
    histogram: tuple[npt.NDArray[np.int64], float, float],
) -> None:
    counts, low, high = histogram
    first, last = percentile_range(counts, low, high)
    slack = 1e-9 * (1 + abs(low) + abs(high))
    assert low - slack <= first <= last <= high + slack


@given(histograms())
def test_a_percentile_s_range_holds_what_it_promises(
    histogram: tuple[npt.NDArray[np.int64], float, float],
) -> None:
    counts, low, high = histogram
    first, last = percentile_range(counts, low, high)
    edges = np.linspace(low, high, BINS + 1)
    slack = 1e-9 * (1 + abs(low) + abs(high))
    inside = (edges[:-1] >= first - slack) & (edges[1:] <= last + slack)
    assert counts[inside].sum() >= PERCENTILE * counts.sum()


def test_a_percentile_leaves_a_lone_outlier_out() -> None:
    counts = np.zeros(BINS, dtype=np.int64)
    counts[: BINS // 2], counts[-1] = 1000, 1
    assert percentile_range(counts, 0.0, 8.0) == pytest.approx((0, 4), abs=0.02)


def squared_error(counts: npt.NDArray[np.int64], low: float, high: float, chosen: Range) -> float:
    """What 256 levels within `chosen` lose of a histogram from `low` to `high`."""
    values = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    step = max((chosen[1] - chosen[0]) / 255, float(np.finfo(np.float32).tiny))
    levels = np.clip(np.rint((values - chosen[0]) / step), 0, 255)
    return float(((levels * step + chosen[0] - values) ** 2) @ counts)


@given(histograms())
def test_the_least_error_is_never_larger_than_that_of_the_whole_range(
    histogram: tuple[npt.NDArray[np.int64], float, float],
) -> None:
    counts, low, high = histogram
    whole = min(low, 0.0), max(high, 0.0)
    found = least_error_range(counts, low, high)
    least = squared_error(counts, low, high, found)
    assert least <= squared_error(counts, low, high, whole) * (1 + 1e-9)


@given(histograms())
def test_the_least_error_s_range_lies_within_the_data_s_and_zero(
    histogram: tuple[npt.NDArray[np.int64], float, float],
) -> None:
    counts, low, high = histogram
    first, last = least_error_range(counts, low, high)
    assert min(low, 0.0) <= first <= last <= max(high, 0.0)


def test_the_least_error_gives_up_a_lone_outlier_for_finer_steps() -> None:
    counts = np.zeros(BINS, dtype=np.int64)
    counts[: BINS // 4], counts[-1] = 100_000, 1
    assert least_error_range(counts, 0.0, 100.0)[1] == pytest.approx(100 * SHARES[2], abs=10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [-3.0, 0.0, 5.0, 1e-6])
def test_a_constant_tensor_has_a_range_that_holds_it(method: Method, value: float) -> None:
    counts = np.zeros(BINS, dtype=np.int64)
    counts[0] = 10
    chosen = {
        "minmax": (value, value),
        "percentile": percentile_range(counts, value, value),
        "mse": least_error_range(counts, value, value),
    }[method]
    assert min(chosen[0], 0) <= value <= max(chosen[1], 0)


@pytest.mark.parametrize("method", METHODS)
def test_every_range_holds_zero(small: Small, method: Method) -> None:
    assert all(low <= 0 <= high for low, high in small.ranges.choose(method).values())


def test_the_whole_range_is_that_of_the_values_themselves(small: Small) -> None:
    low, high = small.ranges.choose("minmax")[PIXELS]
    rows = small.evidence.calibration
    pixels = small.evidence.images.read(rows).astype(int) - small.centred.zero_point
    assert (low, high) == (pixels.min(), pixels.max())


def test_means_are_those_of_all_calibration_images(small: Small) -> None:
    pixels = small.evidence.images.read(small.evidence.calibration).astype(float)
    wanted = pixels.mean() - small.centred.zero_point
    assert small.ranges.means[PIXELS] == pytest.approx([wanted], abs=1e-4)


def test_values_that_are_alike_to_rounding_are_counted(recwarn: pytest.WarningsRecorder) -> None:
    network = small_network()
    with torch.no_grad():
        for name in ("backbone.bn1.weight", "head.0.weight"):
            network.get_parameter(name).mul_(1e-38)
    centred = centre(export_graph(network, ARCH, "multilabel", SIZE))
    ranges = Ranges(centred, random_batches(2), lambda _: None)
    assert not [one for one in recwarn if issubclass(one.category, RuntimeWarning)]
    assert all(counts.sum() > 0 for counts in ranges.counts.values())


def random_batches(batches: int) -> Callable[[], Iterator[Pixels]]:
    def images() -> Iterator[Pixels]:
        draw = np.random.default_rng(0)
        for _ in range(batches):
            yield draw.integers(0, 256, (4, SIZE, SIZE), dtype=np.uint8)

    return images


# Memory -------------------------------------------------------------------------------------


def test_no_batch_of_images_outlives_the_next(small: Small) -> None:
    seen: list[weakref.ref[Pixels]] = []
    most = 0
    gc.freeze()

    def images() -> Iterator[Pixels]:
        nonlocal most
        for batch in random_batches(6)():
            seen.append(weakref.ref(batch))
            yield batch
            del batch
            gc.collect()
            most = max(most, sum(one() is not None for one in seen))

    Ranges(small.centred, images, lambda _: None)
    gc.unfreeze()
    assert (len(seen), most) == (12, 1)  # gone through twice


def test_memory_does_not_grow_with_the_number_of_images(small: Small) -> None:
    peaks = []
    gc.collect()
    gc.freeze()  # all that is there already: collecting looks at what comes
    for batches in (2, 2, 32):  # the first warms up
        tracemalloc.start()
        Ranges(small.centred, random_batches(batches), lambda _: gc.collect())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    gc.unfreeze()
    assert peaks[2] < 1.1 * peaks[1]


def test_progress_counts_every_image_of_both_passes(small: Small) -> None:
    done: list[int] = []
    Ranges(small.centred, random_batches(3), done.append)
    assert sum(done) == 2 * 3 * 4


# The graph in 8 bits ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quantised(small: Small) -> onnx.ModelProto:
    return in_eight_bits(small)


@pytest.mark.parametrize(("place", "kind"), [(0, np.uint8), (1, np.int8), (2, np.int32)])
def test_activations_weights_and_biases_have_their_kind_of_integer(
    quantised: onnx.ModelProto, place: int, kind: type
) -> None:
    given_by, values = producers(quantised), constants(quantised)
    found = set()
    for node in quantised.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            dequantise = given_by[node.input[place]]
            assert dequantise.op_type == "DequantizeLinear"
            zero_point = values[dequantise.input[2]] if len(dequantise.input) > 2 else None
            found.add(values[dequantise.input[0]].dtype if place else zero_point.dtype)  # type: ignore[union-attr]
    assert found == {np.dtype(kind)}


def test_weights_have_a_scale_a_channel(quantised: onnx.ModelProto) -> None:
    values = constants(quantised)
    for name in LAYERS:
        scales = values[f"{name}.weight_scale"]
        assert scales.shape == values[f"{name}.weight_quantized"].shape[:1]


def test_the_image_is_quantised_as_it_is(quantised: onnx.ModelProto, small: Small) -> None:
    first, values = quantised.graph.node[0], constants(quantised)
    assert (first.op_type, first.input[0]) == ("DequantizeLinear", "image")
    parameters = [values[name].item() for name in first.input[1:]]
    assert parameters == [1.0, small.centred.zero_point]


def test_logits_are_not_quantised(quantised: onnx.ModelProto) -> None:
    assert producers(quantised)["logit"].op_type == "Gemm"
    readers = [node.op_type for node in quantised.graph.node if "logit" in node.input]
    assert readers == ["Sigmoid"]


def test_inputs_and_outputs_are_those_of_the_float_graph(
    quantised: onnx.ModelProto, small: Small
) -> None:
    assert list(quantised.graph.output) == list(small.model.graph.output)
    assert list(quantised.graph.input) == list(small.model.graph.input)


def test_nothing_runs_in_float_but_the_answer(quantised: onnx.ModelProto, tmp_path: Path) -> None:
    assert {node.op_type for node in optimised(quantised, tmp_path).graph.node} <= IN_BYTES


def test_nothing_of_a_real_network_runs_in_float_but_the_answer(
    exported: Exported, tmp_path: Path
) -> None:
    centred, size = centre(exported.model), exported.size

    def image() -> Iterator[Pixels]:
        yield np.random.default_rng(0).integers(0, 256, (1, size, size), dtype=np.uint8)

    ranges = Ranges(centred, image, lambda _: None)
    model = quantise(centred, ranges.choose("minmax"), ranges.means)
    assert {node.op_type for node in optimised(model, tmp_path).graph.node} <= IN_BYTES


@pytest.mark.parametrize("method", METHODS)
def test_eight_bits_stay_near_float(small: Small, method: Method) -> None:
    model = quantise(small.centred, small.ranges.choose(method), small.ranges.means)
    wanted = small.evidence.logits
    difference = np.abs(answers(model, validation(small)) - wanted).mean()
    assert difference < 0.05 * np.ptp(wanted)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_kept_in_float_has_its_float_weights(small: Small, layer: str) -> None:
    model = in_eight_bits(small, layer)
    node = next(node for node in model.graph.node if node.name == layer)
    found, wanted = constants(model), constants(small.centred.model)
    np.testing.assert_array_equal(found[node.input[1]], wanted[node.input[1]])


def test_a_layer_kept_in_float_is_what_it_was(small: Small) -> None:
    network = copy.deepcopy(small.network)
    ruin(network.backbone.get_submodule("mixed"))
    centred = centre(export_graph(network, ARCH, "multilabel", SIZE))
    ranges = Ranges(centred, small.evidence.calibration_batches, lambda _: None)
    wanted, lost = centred_logits(centred, validation(small)), []
    for kept in ([], ["backbone.mixed"]):
        model = quantise(centred, ranges.choose("minmax"), ranges.means, kept)
        lost.append(np.abs(answers(model, validation(small)) - wanted).mean())
    assert lost[1] < 0.1 * lost[0]


@pytest.mark.parametrize("layer", LAYERS)
def test_only_the_layer_kept_runs_in_float(small: Small, layer: str, tmp_path: Path) -> None:
    graph = optimised(in_eight_bits(small, layer), tmp_path).graph
    in_float = [node.op_type for node in graph.node if node.op_type in FLOAT_LAYERS]
    assert len(in_float) == 1


def test_layers_are_in_the_order_in_which_they_run(small: Small) -> None:
    assert layers(small.model) == list(LAYERS)


def test_correcting_biases_brings_the_mean_answer_nearer(small: Small) -> None:
    chosen = small.ranges.choose("minmax")
    none = {name: np.zeros_like(mean) for name, mean in small.ranges.means.items()}
    pixels = small.evidence.images.read(small.evidence.calibration)
    wanted = centred_logits(small.centred, pixels)
    off = [
        np.abs((answers(quantise(small.centred, chosen, means, reduce_range=True), pixels)
                - wanted).mean(axis=0)).sum()
        for means in (small.ranges.means, none)
    ]  # fmt: skip
    assert off[0] < off[1]


@pytest.mark.parametrize(("reduce_range", "most"), [(True, 64), (False, 127)])
def test_weights_have_as_many_bits_as_was_asked(
    small: Small, reduce_range: bool, most: int
) -> None:
    values = constants(in_eight_bits(small, reduce_range=reduce_range))
    weights = [values[f"{name}.weight_quantized"].astype(int) for name in LAYERS]
    assert max(int(np.abs(one).max()) for one in weights) == most


def test_quantising_leaves_the_centred_graph_as_it_was(small: Small) -> None:
    before = small.centred.model.SerializeToString()
    in_eight_bits(small, "head.0")
    assert small.centred.model.SerializeToString() == before


def test_a_network_without_weights_still_answers_numbers() -> None:
    network = small_network()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name != "head.3.bias":
                parameter.zero_()
    centred = centre(export_graph(network, ARCH, "multilabel", SIZE))
    ranges = Ranges(centred, random_batches(1), lambda _: None)
    pixels = next(random_batches(1)())
    for method in METHODS:
        found = answers(quantise(centred, ranges.choose(method), ranges.means), pixels)
        assert np.isfinite(found).all()


# Processors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "flags", "lacks"),
    [
        ("x86_64", "flags : fpu avx2 avx512_vnni", False),
        ("AMD64", "flags : fpu avx_vnni", False),
        ("x86_64", "flags : fpu avx2 avx512f", True),
        ("x86_64", None, True),
        ("aarch64", "Features : asimd asimddp", False),
    ],
)
def test_vnni_is_read_off_the_processor(
    machine: str, flags: str | None, lacks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(flags)
    monkeypatch.setattr(int8, "CPUINFO", cpuinfo)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert lacks_vnni() == lacks
