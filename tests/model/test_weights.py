"""Weights: from ImageNet or a file, strictly, and never random ones in silence."""

import pickle
from pathlib import Path

import pytest
import torch
import torchvision.models
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from covid.config import ModelConfig, load_config
from covid.edge.images import PREPROCESSING_VERSION
from covid.errors import WeightsError
from covid.model.networks import Network, build_network
from covid.model.weights import (
    fill,
    imagenet_state,
    load_trained,
    load_weights,
    read_state,
    save_trained,
    without_classifier,
)
from covid.project import PROJECT

CONFIG = load_config(PROJECT / "configs/resnet18_multilabel.yaml", ["model.hidden_units=8"])


def make(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return build_network(CONFIG.model, 3, mean=0.5, std=0.25, image_size=64)


def model_config(weights: Path | str) -> ModelConfig:
    return CONFIG.model.model_copy(update={"weights": str(weights)})


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return dict(torchvision.models.resnet18().state_dict())


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def test_torchvision_s_weights_come_from_its_cache(
    torch_home: Path, published: dict[str, torch.Tensor]
) -> None:
    torch.save(published, torch_home / "resnet18-f37072fd.pth")
    network = make()
    load_weights(network, CONFIG.model, 64)
    assert torch.equal(network.state_dict()["backbone.layer1.0.conv1.weight"],
                       published["layer1.0.conv1.weight"])  # fmt: skip


def test_the_stem_s_weights_are_summed_over_colours(
    torch_home: Path, published: dict[str, torch.Tensor]
) -> None:
    torch.save(published, torch_home / "resnet18-f37072fd.pth")
    network = make()
    load_weights(network, CONFIG.model, 64)
    expected = published["conv1.weight"].sum(dim=1, keepdim=True)
    assert torch.equal(network.state_dict()["backbone.conv1.weight"], expected)


def test_weights_that_cannot_be_had_are_a_sentence_and_not_random(
    torch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(WeightsError, match=r"neither at .* --set model\.weights=none"):
        imagenet_state("resnet18", 64)


def refuse(*arguments: object, **keywords: object) -> None:
    raise OSError("no route to host")


def test_efficientnet_lite0_s_weights_come_with_its_package() -> None:
    arch = "efficientnet_lite0"
    model = CONFIG.model.model_copy(update={"arch": arch})
    network = build_network(model, 3, mean=0.5, std=0.25, image_size=64)
    stem = without_classifier(imagenet_state(arch, 64), network, arch)["conv_stem.weight"]
    assert stem.shape == (32, 1, 3, 3)


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_a_file_of_imagenet_s_layout_fills_the_backbone(
    tmp_path: Path, published: dict[str, torch.Tensor], ending: str
) -> None:
    path = tmp_path / f"weights{ending}"
    torch.save(published, path) if ending == ".pth" else save_file(published, path)
    network = make()
    load_weights(network, model_config(path), 64)
    assert torch.equal(network.state_dict()["backbone.layer4.1.conv2.weight"],
                       published["layer4.1.conv2.weight"])  # fmt: skip


def test_a_trained_network_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    network = make().eval()
    save_trained(tmp_path / "best.safetensors", network, CONFIG, 3, {"accuracy": 0.5}, "f" * 64)
    trained = load_trained(tmp_path / "best.safetensors")
    images = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(trained.network(images), network(images))
    assert (trained.config, trained.epoch, trained.metrics) == (CONFIG, 3, {"accuracy": 0.5})
    assert trained.trained_on_sha256 == "f" * 64


def said_greys(path: Path, greys: str | None) -> Path:
    """A trained network's file whose metadata say other greys, or none."""
    save_trained(path, make(), CONFIG, 3, {}, "f" * 64)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    del metadata["greys"]
    save_file(load_file(path), path, metadata | ({} if greys is None else {"greys": greys}))
    return path


def test_a_network_knows_the_greys_that_it_learnt_from(tmp_path: Path) -> None:
    save_trained(tmp_path / "new.safetensors", make(), CONFIG, 3, {}, "f" * 64)
    assert load_trained(tmp_path / "new.safetensors").greys == PREPROCESSING_VERSION
    assert load_trained(said_greys(tmp_path / "old.safetensors", None)).greys == 1


def test_greys_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="made grey in a newer way .3.; update this program"):
        load_trained(said_greys(tmp_path / "newer.safetensors", "3"))


def test_a_trained_network_can_be_trained_on(tmp_path: Path) -> None:
    before = make(seed=1)
    save_trained(tmp_path / "best.safetensors", before, CONFIG, 3, {}, "f" * 64)
    network = make(seed=2)
    load_weights(network, model_config(tmp_path / "best.safetensors"), 64)
    head = "head.0.weight"
    assert torch.equal(network.state_dict()[head], before.state_dict()[head])


def broken_state(kind: str) -> dict[str, torch.Tensor]:
    state = {name: tensor.clone() for name, tensor in make().state_dict().items()}
    name = "backbone.layer1.0.conv1.weight"
    match kind:
        case "missing":
            del state[name]
        case "belong to no layer":
            state["backbone.layer9.weight"] = torch.zeros(1)
        case "another shape":
            state[name] = torch.zeros(64, 64, 1, 1)
        case "not finite":
            state[name][0, 0, 0, 0] = torch.nan
    return state


@pytest.mark.parametrize("kind", ["missing", "belong to no layer", "another shape", "not finite"])
def test_weights_that_do_not_fit_are_refused(kind: str) -> None:
    with pytest.raises(WeightsError, match=f"file.pth: 1 tensors .*{kind}"):
        fill(make(), broken_state(kind), "file.pth")


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path(__file__).parent / "the-payload-ran",))


def test_code_in_a_pth_file_is_not_run(tmp_path: Path) -> None:
    with (tmp_path / "evil.pth").open("wb") as file:
        pickle.dump({"weight": Payload()}, file, protocol=2)
    with pytest.raises(WeightsError, match="evil.pth: holds more than tensors"):
        read_state(tmp_path / "evil.pth")
    assert not (Path(__file__).parent / "the-payload-ran").exists()


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    state = {"weight": torch.zeros(1000)}
    torch.save(state, path) if name.endswith(".pth") else save_file(state, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(WeightsError, match="is not a whole"):
        read_state(path)


PROGRAMS = [b".", b"0.", b"K\x01b.", b"a.", b"\x85R.", b"X\xff\xff\xff\x7fa."]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_pickle_that_makes_no_sense_is_refused(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "broken.pth").write_bytes(b"\x80\x02" + program)
    with pytest.raises(WeightsError, match="broken.pth: "):
        read_state(tmp_path / "broken.pth")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(WeightsError, match="must be a .safetensors or .pth file"):
        read_state(tmp_path / "weights.h5")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no such file"):
        read_state(tmp_path / "absent.pth")


def test_a_safetensors_file_of_somebody_else_is_no_trained_network(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="was not written by train.py"):
        load_trained(tmp_path / "other.safetensors")
