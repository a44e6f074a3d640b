"""What exported files are evaluated by: validation images, and what the network says of them."""

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from covid.config import Config, resolve
from covid.data.cache import Images, Scan, open_images
from covid.data.index import Index, some, targets_of
from covid.data.samples import (
    Row,
    another_list,
    digest,
    moved_images,
    own_images,
    present,
    read_rows,
    require_unchanged,
)
from covid.data.source import NAME_FOLDER, data_name, open_source
from covid.edge.card import RESIZE, Card
from covid.edge.labels import LabelSpace, Task
from covid.edge.operating_point import OperatingPoint, Recalibration
from covid.errors import DataError, RunError, TrainingError
from covid.evaluation.metrics import compute_metrics
from covid.model.networks import Network
from covid.model.weights import Trained

# From where on ranges hardly move; at most half of the training images, since the other half
# must show whether the 8-bit file agrees with the fp32 one on images that calibration never saw.
CALIBRATION_IMAGES = 300
BATCH_SIZE = 16  # images through a network: some 500 MB of activations for VGG-16 at 256 pixels


@dataclass(frozen=True)
class Reference:
    """A run's validation images with their targets, and the network's own answers, in fp32."""

    card: Card  # what an fp32 file of this network must say
    images: Images
    index: Index
    indices: list[int]  # of the validation images, in `index`
    calibration: list[int]  # indices of training images that 8-bit files are made from
    unseen: list[int]  # indices of the other training images
    targets: npt.NDArray[np.float32]  # [images, classes], 1 or 0, NaN where not known
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


def gather_reference(
    trained: Trained,
    weights: Path,
    versions: Mapping[str, str],
    *,
    moved: bool = False,
    point: OperatingPoint | None = None,
    recalibration: Recalibration | None = None,
) -> Reference:
    """Reads a run's images and evaluates its network on the validation split.

    `weights` is the run's best.safetensors; `moved` says that its images lie in other folders
    than they did, and may bear other names. Logits and probabilities are those after
    `recalibration`, decisions those of `point`; None leaves them as training made them. Raises
    DataError: no images, unreadable ones, some that are missing or have changed, an empty split.
    """
    config = trained.config
    rows = read_rows(weights.parent)
    if rows is not None and trained.trained_on_sha256 not in (None, digest(rows)):
        warnings.warn(another_list(weights.parent), stacklevel=2)
    index, images = _open_images(trained, rows, weights.parent, moved=moved)
    training, validation = (
        _readable(config, index, images, split, None if moved else rows)
        for split in ("train", "validation")
    )
    draw = np.random.default_rng(config.seed)
    drawn = draw.permutation(training).tolist()
    count = min(CALIBRATION_IMAGES, (len(drawn) + 1) // 2)
    calibration, unseen = sorted(drawn[:count]), sorted(drawn[count:])
    logits, probabilities = _answers(
        trained.network, config.task, images, validation, recalibration
    )
    space = config.label_space
    if point is not None:
        space = space.with_thresholds(point.thresholds)
    targets = targets_of(space, index)[validation]
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
        trained_on_sha256=trained.trained_on_sha256,
        greys=trained.greys,
        operating_point=point,
        calibration=recalibration,
    )
    return Reference(
        card, images, index, validation, calibration, unseen, targets, logits, probabilities,
        metrics,
    )  # fmt: skip


def _open_images(
    trained: Trained, rows: Sequence[Row] | None, run: Path, *, moved: bool
) -> tuple[Index, Images]:
    """The run's images in the splits that it was trained with, as its samples.csv has them."""
    config = trained.config
    cache_dir = resolve(config.data.cache_dir) if config.data.cache else None
    index = open_source(config, advice=NAME_FOLDER)
    images = open_images(index, config.data.image_size, cache_dir, trained.greys)
    if rows is None:
        if index.unsplit:
            raise RunError(
                f"{run}: has no samples.csv, and its images lie in no splits, so nobody knows "
                f"which of them it was trained on; train anew."
            )
        return index, images
    if not moved:
        return own_images(index, rows), images
    originals = _scan(images, list(range(len(index.samples))), "reading all images").originals
    placed = moved_images(index, originals, rows)
    if placed is None:
        there = {original.content for original in originals.values()}
        absent = [row.path for row in present(rows) if row.content not in there]
        raise DataError(
            f"{index.root}: lacks {len(absent):,} of the {len(rows):,} images of the run, by "
            f"content and whatever they are called ({some(absent)}); name the folder that holds "
            f"them all, as they were, with --data."
        )
    return placed, images


def _scan(images: Images, indices: list[int], what: str) -> Scan:
    with tqdm(total=len(indices), desc=what, unit=" images", leave=False, delay=1,
              disable=None) as bar:  # fmt: skip
        return images.scan(indices, bar.update)


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What of an evaluation travels with a file."""
    figures = {name: metrics[name]["value"] for name in ("accuracy", "macro_f1")}
    return {"split": "validation", "images": metrics["images"], **figures}


def _readable(
    config: Config, index: Index, images: Images, split: str, rows: Sequence[Row] | None
) -> list[int]:
    """Indices of a split, once its images are known to be those in `rows`, where that is given."""
    indices = index.split(split)
    if not indices:
        raise DataError(
            f"{index.root}: has no {split} images, and an export is made and proven with them; "
            f"put back what the run was trained on."
        )
    seen = _scan(images, indices, f"reading {split} images")
    if not config.data.skip_unreadable:
        seen.require_readable(len(indices))
    readable = [i for i in indices if i not in seen.unreadable]
    if not readable:
        seen.require_readable(len(indices))
    if rows is not None:
        require_unchanged(index, seen.originals, rows)
    return readable


@torch.inference_mode()
def _answers(
    network: Network,
    task: Task,
    images: Images,
    indices: list[int],
    recalibration: Recalibration | None,
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
    if recalibration is not None:
        every = torch.from_numpy(recalibration.apply(every.numpy()))
    likely = every.sigmoid() if task == "multilabel" else every.softmax(dim=1)
    return every.numpy(), likely.numpy()
