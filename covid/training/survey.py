"""One look at every image before training: is it readable, how bright are they, what is odd."""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm import tqdm

from covid.config import Config
from covid.data.cache import Images, Survey
from covid.data.index import Index, require_training_splits
from covid.data.source import data_name, is_synthetic
from covid.errors import DataError


@dataclass(frozen=True)
class TrainingData:
    """The rows to train on and to validate on, and the training pixels' mean and deviation."""

    train: list[int]
    validation: list[int]
    mean: float  # of grey levels on a scale of 0..1, like the next
    std: float
    audit: dict[str, Any]  # data_audit.json
    warnings: list[str]


def survey(
    accelerator: Accelerator,
    index: Index,
    images: Images,
    config: Config,
) -> TrainingData:
    """Reads every training and validation image once, each process its share.

    That fills the cache, so the first epoch decodes nothing again. Raises DataError: see
    `require_training_splits` and `Survey.require_readable`.
    """
    warnings = [*index.warnings, *require_training_splits(index, list(config.data.labels))]
    train, validation = index.split("train"), index.split("validation")
    seen = look(accelerator, images, train, "reading training images")
    judged = look(accelerator, images, validation, "reading validation images")
    every = seen + judged
    if not config.data.skip_unreadable:
        every.require_readable(len(train) + len(validation))
    elif every.unreadable:
        warnings.append(
            f"{len(every.unreadable)} images cannot be read and are left out: "
            + " ".join(list(every.unreadable.values())[:10])
        )
    if images.problem:
        warnings.append(images.problem)
    train = [row for row in train if row not in every.unreadable]
    validation = [row for row in validation if row not in every.unreadable]
    judged_by = config.label_space.encode(index.samples[row].label for row in validation)
    if config.select_by == "macro_f1" and not judged_by.any(axis=0).all():
        raise DataError(
            f"{index.root}: validation lacks a class, so its macro F1 is not defined; "
            f"set select_by to accuracy or loss, or add images of it."
        )
    if not train or not validation:
        raise DataError(f"{index.root}: no readable image is left to train or to validate on.")
    mean, std = seen.mean_and_std()
    patients = {sample.patient for sample in index.samples if sample.patient is not None}
    audit = {
        "root": str(index.root),
        "name": data_name(index),
        "synthetic": is_synthetic(index),
        "images": index.counts(),
        "patients": len(patients) or None,
        "mean": mean,
        "std": std,
        "unreadable": list(every.unreadable.values()),
        "warnings": warnings,
    }
    return TrainingData(train, validation, mean, std, audit, warnings)


def look(accelerator: Accelerator, images: Images, rows: list[int], what: str) -> Survey:
    """Reads `rows` once, each process its share; all of them get the whole result."""
    bar = tqdm(total=len(rows), desc=what, unit="image", leave=False, delay=1,
               disable=None if accelerator.is_main_process else True)  # fmt: skip
    with accelerator.split_between_processes(rows) as share, bar:
        found = images.survey(share, lambda n: bar.update(n * accelerator.num_processes))
    if accelerator.num_processes == 1:
        return found
    shares: list[Survey] = gather_object([found])
    return reduce(add, shares)
