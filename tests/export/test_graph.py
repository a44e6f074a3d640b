"""Graphs: the same function as the network, in the form that every runtime understands."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covid.config import ModelConfig
from covid.edge.labels import Task
from covid.export.graph import Deployed, equal_pooling, export_graph
from covid.model.networks import Network, build_network

ARCHES = ("resnet18", "efficientnet_lite0", "vgg16")


def network_of(arch: str) -> Network:
    """Random weights, with batch statistics and biases that are not what they start as."""
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"arch": arch, "hidden_units": 8})
    network = build_network(config, 3, mean=0.47, std=0.22).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.copy_(torch.randn_like(tensor) * 0.1)
            elif name.endswith("running_var"):
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network


def images_of(count: int, size: int) -> np.ndarray:
    draw = np.random.default_rng(count)
    return draw.integers(0, 256, (count, 1, size, size), dtype=np.uint8)


def answers(model: onnx.ModelProto, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    logit, probability = session.run(["logit", "probability"], {"image": images})
    return logit, probability


@given(st.integers(1, 40), st.integers(1, 40))
def test_plain_pooling_has_the_windows_of_adaptive_pooling(inputs: int, outputs: int) -> None:
    equal = equal_pooling(inputs, outputs)
    line = torch.arange(float(inputs**1)).square().reshape(1, 1, inputs)
    adaptive = torch.nn.functional.adaptive_avg_pool1d(line, outputs)
    if equal is not None:
        plain = torch.nn.functional.avg_pool1d(line, *equal)
        torch.testing.assert_close(plain, adaptive)


@pytest.mark.parametrize(
    ("inputs", "outputs", "equal"),
    [(8, 7, (2, 1)), (7, 7, (1, 1)), (14, 7, (2, 2)), (8, 1, (8, 1)), (9, 7, None), (1, 7, None)],
)
def test_windows_that_are_alike_are_found(
    inputs: int, outputs: int, equal: tuple[int, int] | None
) -> None:
    assert equal_pooling(inputs, outputs) == equal


@pytest.mark.parametrize("size", [256, 288])  # 8 x 8 to 7 x 7 has plain windows, 9 x 9 has not
def test_vgg_as_it_is_exported_is_vgg(size: int) -> None:
    network = network_of("vgg16")
    images = torch.from_numpy(images_of(1, size))
    with torch.inference_mode():
        exported, _ = Deployed(network, "vgg16", "multilabel", size).eval()(images)
        torch.testing.assert_close(exported, network(images), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module", params=ARCHES)
def pair(request: pytest.FixtureRequest) -> tuple[Network, onnx.ModelProto, str]:
    network = network_of(request.param)
    return network, export_graph(network, request.param, "multilabel", 64), request.param


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_graph_gives_the_network_s_logits(
    pair: tuple[Network, onnx.ModelProto, str], batch: int
) -> None:
    network, model, _ = pair
    images = images_of(batch, 64)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(answers(model, images)[0], expected, atol=1e-4)


def test_its_input_and_outputs_are_the_contract_s(
    pair: tuple[Network, onnx.ModelProto, str],
) -> None:
    _, model, _ = pair
    session = onnxruntime.InferenceSession(model.SerializeToString())
    told = [(one.name, one.type, one.shape) for one in session.get_inputs()]
    gives = [(one.name, one.type, one.shape) for one in session.get_outputs()]
    assert told == [("image", "tensor(uint8)", ["batch", 1, 64, 64])]
    assert gives == [(name, "tensor(float)", ["batch", 3]) for name in ("logit", "probability")]


def test_no_batch_normalisation_is_left(pair: tuple[Network, onnx.ModelProto, str]) -> None:
    assert "BatchNormalization" not in {node.op_type for node in pair[1].graph.node}


def test_nothing_of_this_machine_is_in_the_file(
    pair: tuple[Network, onnx.ModelProto, str],
) -> None:
    model = onnx.ModelProto.FromString(pair[1].SerializeToString())
    del model.graph.initializer[:]  # among millions of weights any three bytes stand somewhere
    content = model.SerializeToString()
    traces = (b'File "', b".py", b"stack_trace", str(Path(torch.__file__).parent).encode())
    assert not [trace for trace in traces if trace in content]


def test_the_opset_is_the_one_with_an_antialiased_resize(
    pair: tuple[Network, onnx.ModelProto, str],
) -> None:
    assert [one.version for one in pair[1].opset_import if one.domain == ""] == [18]


@pytest.mark.parametrize("task", ["multilabel", "single_label"])
def test_probabilities_are_what_the_task_makes_of_logits(task: Task) -> None:
    model = export_graph(network_of("resnet18"), "resnet18", task, 32)
    logit, probability = answers(model, images_of(3, 32))
    scores = torch.from_numpy(logit)
    expected = scores.sigmoid() if task == "multilabel" else scores.softmax(dim=1)
    np.testing.assert_allclose(probability, expected.numpy(), atol=1e-6)


def test_the_network_itself_is_left_as_it_was() -> None:
    network = network_of("resnet18")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    Deployed(network, "resnet18", "multilabel", 64)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
