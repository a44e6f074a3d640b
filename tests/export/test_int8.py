"""Eight bits: what is quantised and what is not, and that integers say what float said."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from covid.edge.constants import find_constants
from covid.export.calibration import PIXELS, Centred, Statistics
from covid.export.golden import exact_answers
from covid.export.graph import constants_of, export_graph
from covid.export.int8 import PASSES, Prepared, fold_mean, layers, prepare, quantise
from covid.export.rounding import FULL, SAFE
from covid.export.saturation import saturable_pairs
from tests.export.conftest import Small, exported_of
from tests.export.networks import (
    CLASSES,
    PLATT,
    SIZE,
    joined_network,
    random_images,
    small_network,
)

LAYERS = ["backbone.conv1", "backbone.deep", "backbone.mixed"]
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
LIMITS = pytest.mark.parametrize("limit", [SAFE, FULL])


def in_8_bits(small: Small, *kept: str, limit: int = SAFE) -> onnx.ModelProto:
    return quantise(small.prepared, small.prepared.round(limit), kept)


def validation(small: Small) -> Pixels:
    return small.reference.pixels(list(range(len(small.reference.indices))))


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def random_batches(batches: int) -> Callable[[], Iterator[Pixels]]:
    def images() -> Iterator[Pixels]:
        draw = np.random.default_rng(0)
        for _ in range(batches):
            yield draw.integers(0, 256, (4, SIZE, SIZE), dtype=np.uint8)

    return images


def float_logits(centred: Centred, pixels: Pixels) -> Floats:
    session = onnxruntime.InferenceSession(
        centred.model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    fed = pixels[:, np.newaxis].astype(np.float32) - centred.zero_point
    return np.asarray(session.run(["logit"], {PIXELS: fed})[0])


# The float graph, made ready ----------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 120, 255])
def test_a_folded_mean_changes_nothing_where_it_is_a_grey_level(level: int) -> None:
    model = export_graph(small_network(mean=level / 255), "multilabel", SIZE)
    pixels = next(random_batches(1)())
    result = float_logits(fold_mean(model), pixels)
    np.testing.assert_allclose(result, exact_answers(model, pixels), atol=1e-4)


def test_the_zero_point_is_the_mean_grey_level(small: Small) -> None:
    assert small.prepared.centred.zero_point == round(255 * small.network.mean)


def test_folding_leaves_the_float_graph_as_it_was(small: Small) -> None:
    before = small.model.SerializeToString()
    fold_mean(small.model)
    assert small.model.SerializeToString() == before


def test_equalised_channels_are_the_same_function_within_reach(small: Small) -> None:
    pixels = small.reference.images.read(small.reference.calibration)
    result = float_logits(small.prepared.centred, pixels)
    np.testing.assert_allclose(result, float_logits(fold_mean(small.model), pixels), atol=1e-3)


def test_every_range_holds_zero(small: Small) -> None:
    assert all(low <= 0 <= high for low, high in small.prepared.ranges.values())


def test_layers_are_the_convolutions_in_order(small: Small) -> None:
    assert layers(small.prepared.centred.model) == LAYERS


def test_progress_counts_every_image_of_every_pass(small: Small) -> None:
    done: list[int] = []
    prepare(small.model, random_batches(3), done.append)
    assert sum(done) == PASSES * 3 * 4


def test_memory_does_not_grow_with_the_number_of_images(small: Small) -> None:
    peaks = []
    gc.collect()
    gc.freeze()  # all that is there already: collecting looks at what comes
    # The first warms up; from 16 batches on as many positions wait together as ever do.
    for batches in (16, 16, 64):
        tracemalloc.start()
        Statistics(small.prepared.centred, random_batches(batches), lambda _: gc.collect())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    gc.unfreeze()
    assert peaks[2] < 1.1 * peaks[1]


# The graph in 8 bits ------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "kind"), [(0, np.uint8), (1, np.int8), (2, np.int32)])
def test_activations_weights_and_biases_have_their_kind_of_integer(
    small: Small, place: int, kind: type
) -> None:
    model = in_8_bits(small)
    given_by, values = producers(model), constants_of(model)
    kinds = set()
    for node in model.graph.node:
        if node.op_type == "Conv":
            dequantise = given_by[node.input[place]]
            assert dequantise.op_type == "DequantizeLinear"
            # Of an activation, whose values are not in the file, the zero point tells the kind.
            kinds.add(values[dequantise.input[0 if place else 2]].dtype)
    assert kinds == {np.dtype(kind)}


@LIMITS
def test_no_weight_is_larger_than_its_limit(small: Small, limit: int) -> None:
    model = in_8_bits(small, limit=limit)
    given_by, values = producers(model), constants_of(model)
    largest = max(
        int(np.abs(values[given_by[node.input[1]].input[0]].astype(int)).max())
        for node in model.graph.node
        if node.op_type == "Conv"
    )
    assert limit / 2 < largest <= limit


@LIMITS
def test_integers_say_what_float_said(small: Small, limit: int) -> None:
    pixels = validation(small)
    apart = np.abs(exact_answers(in_8_bits(small, limit=limit), pixels) - small.reference.logits)
    # Ranges hold 256 levels: a few of them, of logits between -10 and 10.
    assert apart.mean() < 0.1


def test_the_input_is_the_image_as_it_is(small: Small) -> None:
    (given,) = in_8_bits(small).graph.input
    assert (given.name, given.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)


def test_pooling_and_head_compute_in_float(small: Small) -> None:
    model = in_8_bits(small)
    given_by = producers(model)
    dense = [node for node in model.graph.node if node.op_type in ("Gemm", "MatMul")]
    assert len(dense) == 2
    for node in dense:
        assert given_by[node.input[1]].op_type == "Cast"


def test_the_head_s_weights_are_stored_in_8_bits(small: Small) -> None:
    values = constants_of(in_8_bits(small))
    stored = [one.dtype for name, one in values.items() if name.endswith("weight_quantized")]
    assert stored.count(np.dtype(np.int8)) >= 2


def test_constants_of_calibration_travel_as_they_were(small: Small) -> None:
    values = constants_of(in_8_bits(small))
    assert values["calibration_scale"].tolist() == [1, 1, 1]
    assert values["calibration_shift"].tolist() == [0, 0, 0]


def test_a_recalibration_changes_nothing_of_what_is_quantised(
    small: Small, chosen: Small
) -> None:
    plain, other = (in_8_bits(each).SerializeToString() for each in (small, chosen))
    constants = find_constants(Path("model.int8.onnx"), plain, CLASSES)
    assert other == constants.replaced(PLATT.scale, PLATT.shift)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_kept_in_float_has_float_weights_in_the_graph(small: Small, name: str) -> None:
    model = in_8_bits(small, name)
    values = constants_of(model)
    (node,) = (node for node in model.graph.node if node.name == name)
    assert values[node.input[1]].dtype == np.float32


def test_with_no_layer_in_8_bits_only_activations_and_the_head_are_rounded(small: Small) -> None:
    pixels = validation(small)
    apart = np.abs(exact_answers(in_8_bits(small, *LAYERS), pixels) - small.reference.logits)
    assert apart.mean() < 0.1


@LIMITS
def test_the_same_calibration_gives_the_same_graph(small: Small, limit: int) -> None:
    first, second = (in_8_bits(small, limit=limit).SerializeToString() for _ in range(2))
    assert first == second


def test_efficientnet_lite0_can_be_quantised_safely() -> None:
    model = exported_of("efficientnet_lite0", SIZE).model
    prepared = prepare(model, random_batches(4), lambda _: None)
    result = quantise(prepared, prepared.round(SAFE))
    assert saturable_pairs(result) == 0
    assert len(layers(prepared.centred.model)) == 49


# Norms before layers, joins and gates ---------------------------------------------------------


@pytest.fixture(scope="module")
def joined() -> onnx.ModelProto:
    return export_graph(joined_network(), "multilabel", SIZE)


@pytest.fixture(scope="module")
def prepared_joined(joined: onnx.ModelProto) -> Prepared:
    return prepare(joined, lambda: iter([random_images(16, SIZE)[:, 0].numpy()]), lambda _: None)


@LIMITS
def test_integers_of_a_network_with_joins_and_gates_say_what_float_said(
    joined: onnx.ModelProto, prepared_joined: Prepared, limit: int
) -> None:
    pixels = random_images(16, SIZE)[:, 0].numpy()
    exact = exact_answers(joined, pixels)
    result = quantise(prepared_joined, prepared_joined.round(limit))
    apart = np.abs(exact_answers(result, pixels) - exact)
    # A few of 256 levels of the logits' own range.
    assert apart.mean() < 0.03 * np.ptp(exact)


def test_equalised_channels_of_joins_and_gates_are_the_same_function(
    joined: onnx.ModelProto, prepared_joined: Prepared
) -> None:
    pixels = random_images(16, SIZE)[:, 0].numpy()
    result = float_logits(prepared_joined.centred, pixels)
    np.testing.assert_allclose(result, float_logits(fold_mean(joined), pixels), atol=1e-4)


def test_every_convolution_of_joins_and_gates_is_in_integers(prepared_joined: Prepared) -> None:
    model = quantise(prepared_joined, prepared_joined.round(SAFE))
    given_by = producers(model)
    layers_given = [node.input[:2] for node in model.graph.node if node.op_type == "Conv"]
    assert len(layers_given) == 9  # seven convolutions, and the norms that stand alone
    for names in layers_given:
        assert all(given_by[name].op_type == "DequantizeLinear" for name in names)
