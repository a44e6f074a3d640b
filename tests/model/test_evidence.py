"""What places add to logits, by a network itself: as autograd says, and as the file says."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from covid.export.evidence import add_evidence
from covid.export.graph import export_graph
from covid.model.evidence import evidence, feature_map, shuffled
from covid.model.networks import Network
from covid.model.trace import trace
from tests.export.networks import MEAN, STD, network_of, random_images

SIZE = 64
NETWORKS = [("resnet18", None), ("vgg16", None), ("efficientnet_lite0", "blocks.5.0.bn1")]


@pytest.mark.parametrize(("arch", "until"), NETWORKS)
def test_a_network_says_what_its_file_says(arch: str, until: str | None) -> None:
    network, images = network_of(arch, until), random_images(3, SIZE)
    read = feature_map(network, SIZE)
    assert read is not None
    graph = add_evidence(export_graph(network, "multilabel", SIZE)).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (given,) = session.run(["evidence"], {"image": images.numpy()})
    np.testing.assert_allclose(evidence(network, read, images), given, atol=1e-4)


class Behind(nn.Module):
    """A mean over a map, and something that changes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.after = nn.Conv2d(1, 8, 3, stride=4), nn.LayerNorm(8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.after(self.conv1(images).mean((2, 3)))
        return features


def test_a_head_that_reads_no_map_has_none() -> None:
    backbone = Behind()
    head = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 3))
    assert feature_map(Network(backbone, head, MEAN, STD, trace(backbone, SIZE)), SIZE) is None


def test_a_map_of_one_place_is_none() -> None:
    assert feature_map(network_of("resnet18"), 32) is None


def test_looking_for_the_map_changes_nothing() -> None:
    network = network_of("resnet18").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    feature_map(network, SIZE)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_shuffled_weights_are_the_same_numbers_in_another_order() -> None:
    network, images = network_of("resnet18"), random_images(4, SIZE)
    other = shuffled(network, 0, images)
    one, two = (each.get_parameter("backbone.layer2.0.conv1.weight").flatten()
                for each in (network, other))  # fmt: skip
    assert not torch.equal(one, two) and torch.equal(one.sort()[0], two.sort()[0])
    assert not other.training


def test_a_seed_shuffles_the_same_way_again_and_leaves_the_network_alone() -> None:
    network, images = network_of("resnet18"), random_images(4, SIZE)
    with torch.inference_mode():
        before = network(images)
        first, again, third = (shuffled(network, seed, images)(images) for seed in (0, 0, 1))
        assert torch.equal(before, network(images))
    assert torch.equal(first, again) and not torch.equal(first, third)
