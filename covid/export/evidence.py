"""What exported files are evaluated by: validation images, and what the network says of them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from covid.config import Config, resolve
from covid.data.cache import Images
from covid.data.index import Index
from covid.data.source import NAME_FOLDER, data_name, open_source
from covid.edge.card import RESIZE, Card
from covid.edge.labels import LabelSpace, Task
from covid.errors import DataError, TrainingError
from covid.evaluation.metrics import compute_metrics
from covid.model.networks import Network
from covid.model.weights import Trained

# From where on ranges hardly move; at most half of the training images, since the other half
# must show whether the 8-bit file agrees with the fp32 one on images that calibration never saw.
CALIBRATION_IMAGES = 300
BATCH_SIZE = 16  # images through a network: some 500 MB of activations for VGG-16 at 256 pixels


@dataclass(frozen=True)
class Evidence:
    """A run's validation images with their targets, and the network's own answers, in fp32."""

    card: Card  # what an fp32 file of this network must say
    images: Images
    index: Index
    indices: list[int]  # of the validation images, in `index`
    calibration: list[int]  # indices of training images that 8-bit files are made from
    unseen: list[int]  # indices of the other training images
    targets: npt.NDArray[np.bool_]  # [images, classes]
    logits: npt.NDArray[np.float32]  # [images, classes]
    probabilities: npt.NDArray[np.float32]  # [images, classes]
    metrics: dict[str, Any]

    @property
    def space(self) -> LabelSpace:
        return self.card.space

    @property
    def patients(self) -> list[str | None]:
        return self.patients_of(self.indices)

    def sample(self, most: int) -> list[int]:
        """Places of all images, or of `most` of them evenly spaced: all classes, all folders."""
        count = len(self.indices)
        spaced = np.linspace(0, count - 1, min(count, most))
        return [int(place) for place in spaced]

    def names(self, places: list[int]) -> list[str]:
        return [self.index.samples[self.indices[place]].name for place in places]

    def files(self, places: list[int]) -> list[Path]:
        return [self.index.samples[self.indices[place]].path for place in places]

    def pixels(self, places: list[int]) -> npt.NDArray[np.uint8]:
        """uint8 `[len(places), size, size]`, as training reads them."""
        return self.images.read([self.indices[place] for place in places])

    def batches(self) -> Iterator[npt.NDArray[np.uint8]]:
        """All validation images in order, a few at a time."""
        return self.batches_of(self.indices)

    def batches_of(self, indices: list[int]) -> Iterator[npt.NDArray[np.uint8]]:
        """The images at these indices of the index, a few at a time."""
        for start in range(0, len(indices), BATCH_SIZE):
            yield self.images.read(indices[start : start + BATCH_SIZE])

    def patients_of(self, indices: list[int]) -> list[str | None]:
        return [self.index.samples[i].patient for i in indices]


def gather_evidence(trained: Trained, weights: Path, versions: Mapping[str, str]) -> Evidence:
    """Reads a run's images and evaluates its network on the validation split.

    `weights` is the run's best.safetensors. Raises DataError: no images, unreadable ones, an
    empty split.
    """
    config = trained.config
    index = open_source(config, advice=NAME_FOLDER)
    cache_dir = resolve(config.data.cache_dir) if config.data.cache else None
    images = Images(index, config.data.image_size, cache_dir)
    training, validation = (_readable(config, index, images, s) for s in ("train", "validation"))
    draw = np.random.default_rng(config.seed)
    drawn = draw.permutation(training).tolist()
    count = min(CALIBRATION_IMAGES, (len(drawn) + 1) // 2)
    calibration, unseen = sorted(drawn[:count]), sorted(drawn[count:])
    logits, probabilities = _answers(trained.network, config.task, images, validation)
    space = config.label_space
    targets = space.encode(index.samples[i].label for i in validation)
    patients = [index.samples[i].patient for i in validation]
    metrics = compute_metrics(space, probabilities, targets, patients)
    card = Card(
        arch=config.model.arch,
        space=space,
        image_size=config.data.image_size,
        resize=RESIZE,
        mean=trained.network.mean,
        std=trained.network.std,
        precision="fp32",
        trained_on=f"{data_name(index)}, {len(training)} training images",
        metrics=headline(metrics),
        source_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        versions=dict(versions),
        greys=trained.greys,
    )
    return Evidence(
        card, images, index, validation, calibration, unseen, targets, logits, probabilities,
        metrics,
    )  # fmt: skip


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What of an evaluation travels with a file."""
    figures = {name: metrics[name]["value"] for name in ("accuracy", "macro_f1")}
    return {"split": "validation", "images": metrics["images"], **figures}


def _readable(config: Config, index: Index, images: Images, split: str) -> list[int]:
    indices = index.split(split)
    if not indices:
        raise DataError(
            f"{index.root}: has no {split} images, and an export is made and proven with them; "
            f"put back what the run was trained on."
        )
    with tqdm(total=len(indices), desc=f"reading {split} images", unit=" images", leave=False,
              delay=1, disable=None) as bar:  # fmt: skip
        seen = images.scan(indices, bar.update)
    if not config.data.skip_unreadable:
        seen.require_readable(len(indices))
    readable = [i for i in indices if i not in seen.unreadable]
    if not readable:
        seen.require_readable(len(indices))
    return readable


@torch.inference_mode()
def _answers(
    network: Network, task: Task, images: Images, indices: list[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The network's logits and probabilities, `[images, classes]` each, on the CPU in fp32."""
    logits = []
    with tqdm(total=len(indices), desc="asking the network", unit=" images", leave=False,
              delay=1, disable=None) as bar:  # fmt: skip
        for start in range(0, len(indices), BATCH_SIZE):
            pixels = images.read(indices[start : start + BATCH_SIZE])
            logits.append(network(torch.from_numpy(pixels).unsqueeze(1)))
            bar.update(len(pixels))
    every = torch.cat(logits)
    if not every.isfinite().all():
        raise TrainingError(
            "The network gives logits that are not finite numbers for validation images; "
            "train it anew, with a smaller learning rate."
        )
    likely = every.sigmoid() if task == "multilabel" else every.softmax(dim=1)
    return every.numpy(), likely.numpy()
