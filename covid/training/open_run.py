"""A run as a predictor: its best network, in full precision, on the device that there is."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from covid.config import resolve
from covid.data.batches import Split, load_batches
from covid.data.cache import CHUNK_IMAGES, Images, Original, open_images
from covid.data.index import Index, targets_of
from covid.data.predictor import Predictions, Predictor
from covid.data.samples import another_list, digest, read_rows
from covid.data.source import NAME_FOLDER, open_source
from covid.evaluation.operating.file import read_operating_point
from covid.evaluation.sites.report import grey_statistics
from covid.model.evidence import evidence, feature_map, shuffled
from covid.model.networks import Layer, Network, Prefix
from covid.model.weights import load_trained
from covid.training.epochs import predict
from covid.training.launch import loader_workers, start_accelerator, use_full_precision
from covid.training.report import rendering_bar
from covid.training.run import (
    best_weights,
    lateral_images,
    newest_run,
    recipe_sha256,
    runs_folder,
)
from covid.training.scan import scan_images


def open_run(folder: Path | None) -> Predictor:
    """The best network of a run, None being the newest finished one, in full precision."""
    folder = folder or newest_run(runs_folder())
    trained = load_trained(best_weights(folder))
    config, space = trained.config, trained.config.label_space.naming_classes()
    accelerator = start_accelerator(precision="no")
    use_full_precision()
    point, recalibration = read_operating_point(folder, space, recipe_sha256(config))
    trained_on = read_rows(folder)
    notes = []
    if trained_on is not None and digest(trained_on) != trained.trained_on_sha256:
        notes.append(another_list(folder))

    def images_of(index: Index) -> Images:
        cache_dir = resolve(config.data.cache_dir) if config.data.cache else None
        return open_images(index, config.data.image_size, cache_dir, trained.greys)

    def read(index: Index, indices: list[int], split: str) -> dict[int, Original]:
        images = images_of(index)
        return scan_images(accelerator, images, indices, f"reading {split} images").originals

    def predict_images(index: Index, indices: list[int], split: str) -> Predictions:
        images = images_of(index)
        seen = scan_images(accelerator, images, indices, f"reading {split} images")
        if not config.data.skip_unreadable:
            seen.require_readable(len(indices))
        indices = [i for i in indices if i not in seen.unreadable]
        batches = load_batches(
            Split(images, indices, targets_of(space, index)[indices]),
            batch_size=config.batch_size,
            workers=loader_workers(accelerator),
        )
        bar = tqdm(total=len(indices), desc=f"evaluating {split}", unit=" images", leave=False,
                   delay=1, disable=None if accelerator.is_main_process else True)  # fmt: skip
        with bar:
            predictions = predict(
                accelerator, trained.network.to(accelerator.device), accelerator.prepare(batches),
                bar.update,
            )  # fmt: skip
        return Predictions(
            {i: seen.originals[i] for i in indices},
            predictions.probabilities(space.task),
            predictions.logits,
            images.read,
            {"unreadable": len(seen.unreadable)},
            [*notes, *([images.problem] if images.problem else [])],
            grey_levels(images, indices),
            **maps_of(trained.network, images),
        )

    return Predictor(
        name=config.name,
        folder=folder,
        space=space,
        about={
            "run": config.name,
            "epoch": trained.epoch,
            "trained_on_sha256": trained.trained_on_sha256,
        },
        trained_on=trained_on,
        open_own=lambda: open_source(config, advice=NAME_FOLDER, progress=rendering_bar()),
        lateral_known=lateral_images(folder) > 0,
        read=read,
        predict=predict_images,
        main_process_first=accelerator.main_process_first,
        is_main_process=accelerator.is_main_process,
        operating_point=point,
        recalibration=recalibration,
        is_recalibrated=False,
        recipe_sha256=recipe_sha256(config),
        answer=partial(run_on, accelerator, trained.network, trained.network, config.batch_size),
        features=partial(
            run_on, accelerator, trained.network, features_of(trained.network), config.batch_size
        ),
        run=folder,
    )


def maps_of(network: Network, images: Images) -> dict[str, Any]:
    """`Predictions.maps` and `Predictions.shuffled_maps` of a network; empty where it has none."""
    read = feature_map(network, images.size)
    if read is None:
        return {}

    def pixels(indices: list[int]) -> torch.Tensor:
        device = next(network.parameters()).device
        return torch.from_numpy(images.read(indices)).unsqueeze(1).to(device)

    def maps(asked: Network, indices: list[int]) -> npt.NDArray[np.float32]:
        parts = [
            evidence(asked, read, pixels(indices[start : start + CHUNK_IMAGES])).cpu().numpy()
            for start in range(0, len(indices), CHUNK_IMAGES)
        ]
        return np.concatenate(parts)

    return {
        "maps": partial(maps, network),
        "shuffled_maps": lambda seed, some: partial(maps, shuffled(network, seed, pixels(some))),
    }


def run_on(
    accelerator: Accelerator,
    network: Network,
    part: nn.Module,
    batch_size: int,
    images: npt.NDArray[np.uint8],
) -> npt.NDArray[np.float32]:
    """What `part` of a network in eval mode makes of uint8 `[n, size, size]`: `[n, …]`, flat."""
    network.to(accelerator.device)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size, np.newaxis])
            parts.append(part(batch.to(accelerator.device)).float().flatten(1).cpu().numpy())
    return np.concatenate(parts)


def features_of(network: Network) -> nn.Module:
    """The network without its head."""
    return Prefix(network, [Layer("backbone", network.backbone)])


def grey_levels(images: Images, indices: list[int]) -> npt.NDArray[np.float64]:
    """`grey_statistics` of these images, some at a time."""
    parts = [
        grey_statistics(images.read(indices[start : start + CHUNK_IMAGES]))
        for start in range(0, len(indices), CHUNK_IMAGES)
    ]
    return np.concatenate(parts) if parts else np.empty((0, 2))
