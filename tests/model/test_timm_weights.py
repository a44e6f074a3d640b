"""Published weights of timm's networks: from the hub's cache, strictly; and no waiting without."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from covid.config import ModelConfig
from covid.errors import WeightsError
from covid.model.networks import Network, build_network
from covid.model.timm_weights import timm_state
from covid.model.weights import load_weights

CONVNEXT, VIT = "test_convnext.r160_in1k", "test_vit.r160_in1k"  # timm's smallest, of 0.3 million
NOBODY = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"  # listens there
Publish = Callable[..., dict[str, torch.Tensor]]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Puts a network with random weights into a hub's cache of its own, and cuts the hub off."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def put(name: str, *left_out: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(7)
        state = {
            key: torch.randn_like(tensor) if tensor.is_floating_point() else tensor
            for key, tensor in timm.create_model(name).state_dict().items()
            if key not in left_out
        }
        folder = tmp_path / "hub" / f"models--timm--{name}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("abc")
        (folder / "snapshots" / "abc").mkdir(parents=True)
        save_file(state, folder / "snapshots" / "abc" / "model.safetensors")
        return state

    return put


def model(name: str, weights: Path | str = "imagenet") -> ModelConfig:
    return ModelConfig(arch=name, weights=str(weights), hidden_units=8)


def make(config: ModelConfig, size: int = 64) -> Network:
    torch.manual_seed(0)
    return build_network(config, 3, mean=0.5, std=0.25, image_size=size)


def test_weights_come_from_the_hub_s_cache(publish: Publish) -> None:
    published, network = publish(CONVNEXT), make(model(CONVNEXT))
    load_weights(network, model(CONVNEXT), 64)
    for name, tensor in network.backbone.state_dict().items():
        expected = published[name]
        if name == "stem.0.weight":
            expected = expected.sum(dim=1, keepdim=True)
        assert torch.equal(tensor, expected), name


def test_position_embeddings_are_resampled_for_the_size_of_the_images(publish: Publish) -> None:
    published, network = publish(VIT), make(model(VIT))
    load_weights(network, model(VIT), 64)
    embeddings = network.backbone.state_dict()["pos_embed"]
    assert embeddings.shape[1] < published["pos_embed"].shape[1]
    assert embeddings.std() > 0.1  # published: 1; those that a network begins with: 0.02


def test_a_cached_file_that_lacks_a_tensor_is_refused(publish: Publish) -> None:
    publish(CONVNEXT, "head.norm.weight")
    with pytest.raises(WeightsError, match=f"weights of {CONVNEXT} could be had neither .*loading"):
        timm_state(CONVNEXT, 64)


def test_without_cache_and_hub_the_error_says_what_to_do(publish: Publish, tmp_path: Path) -> None:
    message = rf"neither from .*{tmp_path}/hub nor from https://huggingface.co/timm/{CONVNEXT}.*none"
    with pytest.raises(WeightsError, match=message):
        timm_state(CONVNEXT, 64)


def test_a_hub_that_cannot_be_reached_is_asked_once(
    publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", NOBODY)
    monkeypatch.setattr("time.sleep", waited.append)  # between the client's attempts
    with pytest.raises(WeightsError, match="none"):
        timm_state(CONVNEXT, 64)
    assert not waited


def test_a_network_that_was_never_published_with_weights_is_refused() -> None:
    with pytest.raises(WeightsError, match="^timm has no ImageNet weights of botnet50ts_256;"):
        timm_state("botnet50ts_256", 64)


def test_a_file_of_timm_s_layout_fills_the_backbone(publish: Publish, tmp_path: Path) -> None:
    published = publish(CONVNEXT)
    save_file(published, tmp_path / "mine.safetensors")
    config = model(CONVNEXT, tmp_path / "mine.safetensors")
    network = make(config)
    load_weights(network, config, 64)
    name = "stages.0.blocks.0.conv_dw.weight"
    assert torch.equal(network.backbone.state_dict()[name], published[name])


def test_a_file_of_another_network_is_refused(publish: Publish, tmp_path: Path) -> None:
    save_file(publish(VIT), tmp_path / "other.safetensors")
    config = model(CONVNEXT, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="other.safetensors: .* are missing"):
        load_weights(make(config), config, 64)
