"""Networks as ONNX graphs: the same function, in few plain operations, and nothing beside it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import adaptive_avg_pool1d, avg_pool1d

from covid.edge.constants import find_constants
from covid.export.graph import OPSET, Deployed, equal_pooling, export_graph
from covid.model.networks import Network
from tests.conftest import PROJECT
from tests.export.conftest import Exported, Small
from tests.export.networks import (
    CLASSES,
    PLATT,
    SIZE,
    joined_network,
    network_of,
    random_images,
    small_network,
)

ROUNDING = 1e-5  # of the largest logit: float32 has 6e-8, and sums are thousands of terms long


def run(model: onnx.ModelProto, images: torch.Tensor) -> list[npt.NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    actual: list[npt.NDArray[np.float32]] = session.run(
        ["logit", "probability"], {"image": images.numpy()}
    )
    return actual


def close(actual: npt.NDArray[np.float32], expected: torch.Tensor) -> bool:
    wanted = expected.numpy()
    assert np.ptp(wanted, axis=0).max() > 1e-2 * np.abs(wanted).max(), "all answers are alike"
    return bool(np.abs(actual - wanted).max() <= ROUNDING * np.abs(wanted).max())


# Pooling ------------------------------------------------------------------------------------


def windows(pool: torch.Tensor) -> npt.NDArray[np.bool_]:
    """Pooled unit vectors to bool `[outputs, inputs]`: what each output looks at."""
    return (pool[0].T > 0).numpy()


@given(st.integers(1, 64), st.integers(1, 16))
def test_equal_pooling_has_exactly_the_windows_of_adaptive_pooling(
    inputs: int, outputs: int
) -> None:
    plain = equal_pooling(inputs, outputs)
    if plain is not None:
        units = torch.eye(inputs).unsqueeze(0)
        actual, wanted = avg_pool1d(units, *plain), adaptive_avg_pool1d(units, outputs)
        assert np.array_equal(windows(actual), windows(wanted))


@given(st.integers(1, 24), st.integers(1, 8))
def test_no_equality_is_missed(inputs: int, outputs: int) -> None:
    units = torch.eye(inputs).unsqueeze(0)
    wanted = windows(adaptive_avg_pool1d(units, outputs))
    tried = [(k, s) for k in range(1, inputs + 1) for s in range(1, inputs + 1)]
    equal = any(np.array_equal(windows(avg_pool1d(units, *one)), wanted) for one in tried)
    assert (equal_pooling(inputs, outputs) is not None) == equal


@pytest.fixture(scope="module")
def vgg() -> Network:
    return network_of("vgg16")


def test_vgg_s_eight_to_seven_is_a_kernel_of_two_at_every_step() -> None:
    assert equal_pooling(8, 7) == (2, 1)


@pytest.mark.parametrize(
    ("size", "adaptive"), [(256, False), (288, True), (32, True)], ids=["8→7", "9→7", "1→7"]
)
def test_vgg_keeps_adaptive_pooling_only_where_none_equals_it(
    vgg: Network, size: int, adaptive: bool
) -> None:
    deployed = Deployed(vgg, "multilabel", size).eval()
    left = any(isinstance(one, nn.AdaptiveAvgPool2d) for one in deployed.modules())
    assert left == adaptive


@pytest.mark.parametrize("size", [256, 288])
def test_vgg_as_deployed_computes_what_it_did(vgg: Network, size: int) -> None:
    images = random_images(2, size)
    with torch.inference_mode():
        actual = Deployed(vgg, "multilabel", size).eval()(images)[0]
        assert close(actual.numpy(), vgg(images))


def test_the_network_itself_is_left_as_it_was() -> None:
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    Deployed(network, "multilabel", SIZE)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


# Graphs of the three networks ---------------------------------------------------------------


def test_the_input_is_bytes_in_batches_of_any_number(exported: Exported) -> None:
    (image,) = exported.model.graph.input
    kind, size = image.type.tensor_type, exported.size
    assert (image.name, kind.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert [dim.dim_param or dim.dim_value for dim in kind.shape.dim] == ["batch", 1, size, size]


def test_the_outputs_are_logits_and_probabilities(exported: Exported) -> None:
    outputs = exported.model.graph.output
    assert [output.name for output in outputs] == ["logit", "probability"]
    for output in outputs:
        kind = output.type.tensor_type
        assert kind.elem_type == onnx.TensorProto.FLOAT
        assert [dim.dim_param or dim.dim_value for dim in kind.shape.dim] == ["batch", CLASSES]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_logits_are_pytorch_s_in_a_batch(exported: Exported, batch: int) -> None:
    parts = [run(exported.model, one)[0] for one in exported.images.split(batch)]
    assert close(np.concatenate(parts), exported.logits)


def test_probabilities_are_the_sigmoid_of_logits(exported: Exported) -> None:
    logits, probabilities = run(exported.model, exported.images[:2])
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_the_checker_finds_nothing_at_the_promised_opset(exported: Exported) -> None:
    onnx.checker.check_model(exported.model, full_check=True)
    assert [(one.domain, one.version) for one in exported.model.opset_import] == [("", OPSET)]


def test_no_batch_normalisation_is_left(exported: Exported) -> None:
    assert "BatchNormalization" not in {node.op_type for node in exported.model.graph.node}


def test_all_weights_are_in_the_one_file(exported: Exported) -> None:
    weights = exported.model.graph.initializer
    assert not any(onnx.external_data_helper.uses_external_data(one) for one in weights)


@pytest.mark.parametrize("trace", ['File "', "site-packages", str(PROJECT)])
def test_no_trace_of_this_machine_is_in_the_bytes(exported: Exported, trace: str) -> None:
    assert trace.encode() not in exported.model.SerializeToString()


def test_no_notes_of_the_exporter_are_left(exported: Exported) -> None:
    model = onnx.ModelProto.FromString(exported.model.SerializeToString())
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")  # millions of characters as text
    assert not {"doc_string", "metadata_props"} & set(str(model).replace("{", " ").split())


def test_layers_are_called_as_pytorch_calls_them(exported: Exported) -> None:
    names = {node.name for node in exported.model.graph.node if node.op_type in ("Conv", "Gemm")}
    modules = exported.network.named_modules()
    layers = {name for name, one in modules if isinstance(one, nn.Conv2d | nn.Linear)}
    assert names == layers


# What a task, a mean and a runtime ask for --------------------------------------------------


def test_single_labels_get_a_softmax() -> None:
    network = small_network()
    logits, probabilities = run(
        export_graph(network, "single_label", SIZE), random_images(3, SIZE)
    )
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, wanted, atol=1e-6)


@pytest.mark.parametrize("mean", [0.0, 1.0], ids=["black", "white"])
def test_a_network_of_black_or_white_images_is_exported(mean: float) -> None:
    network = small_network(mean=mean, std=1.0)
    images = random_images(3, SIZE)
    with torch.inference_mode():
        wanted = network(images)
    actual = run(export_graph(network, "multilabel", SIZE), images)[0]
    np.testing.assert_allclose(actual, wanted.numpy(), atol=1e-5)


def test_pooling_over_the_plane_has_its_own_name(small: Small) -> None:
    kinds = [node.op_type for node in small.model.graph.node]
    assert "GlobalAveragePool" in kinds and "AveragePool" not in kinds


def test_a_norm_without_a_convolution_before_it_becomes_one() -> None:
    network, images = joined_network(), random_images(5, SIZE)
    model = export_graph(network, "multilabel", SIZE)
    with torch.inference_mode():
        assert close(run(model, images)[0], network(images))
    alone = {"backbone.norm.conv", "backbone.joined_norm.conv"}
    assert alone <= {node.name for node in model.graph.node if node.op_type == "Conv"}


def test_a_recalibrated_graph_gives_recalibrated_logits(small: Small, chosen: Small) -> None:
    images = random_images(5, SIZE)
    plain, probabilities = run(small.model, images)[0], run(chosen.model, images)[1]
    wanted = torch.from_numpy(PLATT.apply(plain)).sigmoid()
    np.testing.assert_allclose(probabilities, wanted.numpy(), atol=1e-6)


def test_a_recalibration_changes_two_constants_and_nothing_else(
    small: Small, chosen: Small
) -> None:
    plain, other = small.model.SerializeToString(), chosen.model.SerializeToString()
    constants = find_constants(Path("model.onnx"), plain, CLASSES)
    assert other != plain == constants.replaced([1] * CLASSES, [0] * CLASSES)
    assert other == constants.replaced(PLATT.scale, PLATT.shift)
