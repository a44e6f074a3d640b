"""Maps that add up: what each place adds to a logit, in the graph, equal to what autograd says."""

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from covid.export.evidence import add_evidence, feature_map
from covid.export.graph import export_graph, recalibrate
from covid.export.int8 import prepare, quantise
from covid.export.rounding import FULL
from covid.model.networks import Network
from covid.model.trace import trace
from tests.export.conftest import exported_of
from tests.export.networks import (
    MEAN,
    PLATT,
    SIZE,
    STD,
    joined_network,
    network_of,
    random_images,
    small_network,
)

Floats = npt.NDArray[np.float32]
Exported = tuple[str, Network, onnx.ModelProto, torch.Tensor]
# Of the sum of float32 products, some 1e-6 of the largest; logits reach a few tens.
TOLERANCE = 1e-4


def outputs(model: onnx.ModelProto, images: torch.Tensor) -> tuple[Floats, Floats, Floats]:
    """Logits, evidence and rest that the graph gives, as onnxruntime computes them."""
    session = onnxruntime.InferenceSession(
        add_evidence(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = ("logit", "evidence", "evidence_rest")
    logits, evidence, rest = session.run(names, {"image": images.numpy()})
    return logits, evidence, rest


def sums_to_logits(model: onnx.ModelProto, images: torch.Tensor) -> None:
    logits, evidence, rest = outputs(model, images)
    np.testing.assert_allclose(evidence.sum(axis=(2, 3)) + rest, logits, atol=TOLERANCE, rtol=0)


def map_of(network: Network, arch: str) -> nn.Module:
    """The module whose output the head reads, averaged or flattened."""
    names = {"efficientnet_lite0": "bn2.act", "resnet18": "layer4", "vgg16": "avgpool"}
    return network.backbone.get_submodule(names[arch])


def by_autograd(
    network: Network, images: torch.Tensor, module: nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient times map of each logit `[images, classes, h, w]`, and the rest by definition."""
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = module.register_forward_hook(keep)
    hidden, last = network.get_submodule("head.0"), network.get_submodule("head.3")
    assert isinstance(hidden, nn.Linear) and isinstance(last, nn.Linear)
    logits = network(images)
    handle.remove()
    feature = kept[-1]
    evidence = [
        (torch.autograd.grad(logits[:, c].sum(), feature, retain_graph=True)[0] * feature).sum(1)
        for c in range(logits.shape[1])
    ]
    averaged = hidden.in_features == feature.shape[1]
    features = feature.mean((2, 3)) if averaged else feature.flatten(1)
    mask = (hidden(features) > 0).float()
    rest = (mask * hidden.bias) @ last.weight.T + last.bias
    return torch.stack(evidence, dim=1).detach(), rest.detach()


@pytest.fixture(
    scope="module", params=["resnet18", "efficientnet_lite0", "vgg16"], ids=lambda name: name
)
def exported(request: pytest.FixtureRequest) -> Exported:
    """Each network of the study at 64 pixels, where its map has several places."""
    made = exported_of(request.param, 64)
    return request.param, made.network, made.model, made.images


def test_evidence_and_rest_add_up_to_the_logit(exported: Exported) -> None:
    _, _, model, images = exported
    sums_to_logits(model, images)


def test_evidence_is_gradient_times_map(exported: Exported) -> None:
    arch, network, model, images = exported
    evidence, rest = by_autograd(network, images, map_of(network, arch))
    _, given, given_rest = outputs(model, images)
    np.testing.assert_allclose(given, evidence, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(given_rest, rest, atol=TOLERANCE, rtol=0)


def test_the_8_bit_file_adds_up_too() -> None:
    images = random_images(8, SIZE)
    for network in (small_network(), joined_network()):
        prepared = prepare(
            export_graph(network, "multilabel", SIZE), lambda: iter([images[:, 0].numpy()]), _quiet
        )
        sums_to_logits(quantise(prepared, prepared.round(FULL)), images)


@pytest.mark.parametrize(
    ("arch", "until"), [("efficientnet_lite0", "blocks.5.0.bn1"), ("resnet18", "layer2")]
)
def test_a_backbone_that_ends_early_has_maps_in_float_and_8_bits(arch: str, until: str) -> None:
    images = random_images(8, 64)
    model = export_graph(network_of(arch, until), "multilabel", 64)
    sums_to_logits(model, images)
    prepared = prepare(model, lambda: iter([images[:, 0].numpy()]), _quiet)
    sums_to_logits(quantise(prepared, prepared.round(FULL)), images)


def test_recalibration_scales_logit_evidence_and_rest_alike() -> None:
    model, images = export_graph(small_network(), "multilabel", SIZE), random_images(4, SIZE)
    before = outputs(model, images)
    recalibrate(model, PLATT)
    after = outputs(model, images)
    scale, shift = (np.array(values, np.float32) for values in (PLATT.scale, PLATT.shift))
    np.testing.assert_allclose(after[0], before[0] * scale + shift, atol=TOLERANCE)
    np.testing.assert_allclose(after[1], before[1] * scale[:, None, None], atol=TOLERANCE)
    np.testing.assert_allclose(after[2], before[2] * scale + shift, atol=TOLERANCE)


def test_of_a_softmax_it_is_the_logits_that_add_up() -> None:
    sums_to_logits(export_graph(small_network(), "single_label", SIZE), random_images(4, SIZE))


class FilteredAgain(nn.Module):
    """Something behind the mean, as MobileNetV3 and ConvNeXt have it."""

    def __init__(self, after: nn.Module):
        super().__init__()
        self.conv1, self.relu = nn.Conv2d(1, 8, 3, stride=4), nn.ReLU()
        self.pool, self.after = nn.AdaptiveAvgPool2d(1), after

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.after(self.pool(self.relu(self.conv1(images))).flatten(1))
        return features


@pytest.mark.parametrize("after", [nn.Hardswish(), nn.LayerNorm(8), nn.Linear(8, 8)])
def test_a_head_that_reads_no_mean_of_a_map_has_no_evidence(after: nn.Module) -> None:
    backbone = FilteredAgain(after)
    head = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3))
    network = Network(backbone, head, MEAN, STD, trace(backbone, SIZE)).eval()
    model = export_graph(network, "multilabel", SIZE)
    assert add_evidence(model) is model


def test_a_map_of_one_place_is_none() -> None:
    assert feature_map(exported_of("resnet18", 32).model) is None


def _quiet(done: int) -> None:
    pass
