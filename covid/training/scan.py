"""The scan before training: which images are readable, grey levels, duplicates, shortcuts."""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from tqdm import tqdm

from covid.config import Config
from covid.data.audit import find_duplicates
from covid.data.cache import Images, Original, Scan
from covid.data.folds import HELD_OUT
from covid.data.index import MAX_LISTED, Index, Sample, require_training_splits, targets_of
from covid.data.shortcuts import Shortcuts, find_shortcuts
from covid.data.source import data_name, is_synthetic
from covid.edge.dicom_header import LATERAL_VIEWS, Traits, read_traits, sentences
from covid.errors import DataError
from covid.evaluation.selection import reason_against


@dataclass(frozen=True)
class TrainingData:
    """Indices of the samples to train and to validate on; mean and deviation of pixels."""

    train: list[int]
    validation: list[int]
    mean: float  # of grey levels on a scale of 0..1, like the next
    std: float
    originals: dict[int, Original]  # of every image that was read, by index of its sample
    audit: dict[str, Any]  # data_audit.json
    warnings: list[str]
    seen: int  # images that were read
    shortcuts: list[str]  # what is known by class and what that predicts, for the terminal


def scan(
    accelerator: Accelerator,
    index: Index,
    images: Images,
    config: Config,
) -> TrainingData:
    """Reads every training and validation image once, each process its share.

    That fills the cache, so the first epoch decodes nothing again. Images of the test split, and of
    a fold that is held out, are read too, since what is trained on must not be among them; one of
    them that cannot be read is a warning. Images of which no target is known are left out, with
    another. Mean and deviation are of the training images, or of all folds together, so that what
    frozen layers make of an image serves every fold. Raises DataError: see `targets_of`,
    `require_training_splits`, `Scan.require_readable` and `Duplicates.warnings`.
    """
    targets = targets_of(config.label_space, index)
    labels, uncertain = list(config.data.labels), config.data.uncertain
    warnings = [*index.warnings, *require_training_splits(index, labels, uncertain)]
    train, validation = index.split("train"), index.split("validation")
    seen = scan_images(accelerator, images, train, "reading training images")
    evaluated = scan_images(accelerator, images, validation, "reading validation images")
    every = seen + evaluated
    if not config.data.skip_unreadable:
        every.require_readable(len(train) + len(validation))
    elif every.unreadable:
        warnings.append(
            f"{len(every.unreadable)} images cannot be read and are left out: "
            + " ".join(list(every.unreadable.values())[:MAX_LISTED])
        )
    levels = seen
    for split, what in (("test", "test"), (HELD_OUT, "held-out")):
        indices = index.split(split)
        if not indices:
            continue
        others = scan_images(accelerator, images, indices, f"reading {what} images")
        if others.unreadable:
            warnings.append(
                f"{len(others.unreadable)} {what} images cannot be read and were not compared with "
                f"the others: " + " ".join(list(others.unreadable.values())[:MAX_LISTED])
            )
        every += others
        if split == HELD_OUT:
            levels = seen + evaluated + others
            warnings.append(
                "Mean and deviation of grey levels are of all folds together, the held-out one "
                "among them, so that frozen layers are computed once for all."
            )
    duplicates = find_duplicates(index, every.fingerprints)
    warnings += duplicates.warnings(index, allowed=config.data.allow_duplicates)
    shortcuts = scan_shortcuts(accelerator, index, sorted(every.fingerprints), config)
    warnings += shortcuts.warnings()
    # Headers are the main process's business, as are warnings and the audit.
    samples = index.samples if accelerator.is_main_process else ()
    traits = [read_traits(sample.path) for sample in samples]
    warnings += sentences([each for each in traits if each], lateral_known=True)
    if images.problem:
        warnings.append(images.problem)
    train = [i for i in train if i not in every.unreadable]
    validation = [i for i in validation if i not in every.unreadable]
    unknown = set(np.flatnonzero(np.isnan(targets).all(axis=1)).tolist())
    if unknown.intersection(train + validation):
        warnings.append(
            f"{len(unknown.intersection(train + validation)):,} images of which no label is known "
            f"for certain are left out of training and validation."
        )
    train = [i for i in train if i not in unknown]
    validation = [i for i in validation if i not in unknown]
    if not train or not validation:
        raise DataError(f"{index.root}: no image is left to train or to validate on.")
    reason = reason_against(config.select_by, config.label_space, targets[validation])
    if reason:
        raise DataError(
            f"{index.root}: in validation {reason}, so {config.select_by} is not defined there; "
            f"set select_by to accuracy or loss, or add the images that are missing."
        )
    mean, std = levels.mean_and_std()
    patients = {sample.patient for sample in index.samples if sample.patient is not None}
    audit = {
        "root": index.root,
        "name": data_name(index),
        "synthetic": is_synthetic(index),
        "images": index.counts(),
        "patients": len(patients) or None,
        "mean": mean,
        "std": std,
        "unreadable": list(every.unreadable.values()),
        "lateral_views": sum(is_lateral_view(samples[i], traits[i]) for i in train if samples),
        "duplicates": duplicates.to_json(),
        **shortcuts.to_json(),
        "warnings": warnings,
    }
    read = len(every.fingerprints)
    return TrainingData(
        train, validation, mean, std, every.originals, audit, warnings, read, shortcuts.lines()
    )


def is_lateral_view(sample: Sample, traits: Traits | None) -> bool:
    """By the manifest's `view`, or else by what its DICOM header says."""
    view = sample.columns.get("view", "").strip().upper()
    return view in LATERAL_VIEWS if view else traits is not None and traits.lateral


def scan_shortcuts(
    accelerator: Accelerator, index: Index, indices: list[int], config: Config
) -> Shortcuts:
    """`find_shortcuts`, by the main process for all: it needs no pixels, and files only once."""
    main = accelerator.is_main_process
    evaluated = [find_shortcuts(index, indices, config.data.labels) if main else None]
    shortcuts = broadcast_object_list(evaluated)[0]
    assert isinstance(shortcuts, Shortcuts)
    return shortcuts


def scan_images(accelerator: Accelerator, images: Images, indices: list[int], what: str) -> Scan:
    """Reads `indices` once, each process its share; all of them get the whole result."""
    bar = tqdm(total=len(indices), desc=what, unit="image", leave=False, delay=1,
               disable=None if accelerator.is_main_process else True)  # fmt: skip
    with accelerator.split_between_processes(indices) as share, bar:
        own = images.scan(share, lambda n: bar.update(n * accelerator.num_processes))
    if accelerator.num_processes == 1:
        return own
    shares: list[Scan] = gather_object([own])
    return reduce(add, shares)
