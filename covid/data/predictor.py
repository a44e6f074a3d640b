"""A trained network and the images that it is evaluated on: its own, or those of others."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.data.cache import Original
from covid.data.index import UNSPLIT, Index, some
from covid.data.samples import (
    Row,
    may_hold,
    moved_images,
    own_images,
    require_unchanged,
    seen_in_training,
)
from covid.data.source import load_index, names_in
from covid.edge.labels import LabelSpace
from covid.edge.operating_point import OperatingPoint, Recalibration
from covid.errors import ConfigError, DataError, RunError

# Indices of samples to what each place adds to each logit: float32 `[images, classes, h, w]`.
Maps = Callable[[list[int]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Predictions:
    """What a network answers about the images of an index that can be read."""

    originals: dict[int, Original]  # of those images, by index of the sample
    probabilities: npt.NDArray[np.float32]  # [images, classes], in that order, like the next
    logits: npt.NDArray[np.float32]
    read_images: Callable[[list[int]], npt.NDArray[np.uint8]]  # indices of samples to pixels
    about: Mapping[str, Any]  # for metrics.json, after what it is about the network and the data
    warnings: Sequence[str]
    greys: npt.NDArray[np.float64]  # [images, 2]: mean and deviation of each image's grey levels
    folds: Sequence[str] | None = None  # [images]: the fold that held each out, as 2of5
    maps: Maps | None = None  # before recalibration where logits are; None: the network has none
    # The same of a network that has learnt nothing: its weights shuffled by a seed, its batch
    # statistics made anew of some samples. None: it has no maps, or its weights cannot be changed.
    shuffled_maps: Callable[[int, list[int]], Maps] | None = None


@dataclass(frozen=True)
class Predictor:
    """A trained network, however it is kept, and how images are put to it."""

    name: str  # in titles
    folder: Path  # whose `evaluation/` takes the report unless --output names another place
    space: LabelSpace
    about: Mapping[str, Any]  # which network it is, for metrics.json
    trained_on: list[Row] | None  # its run's samples.csv; None where that is not at hand
    open_own: Callable[[], Index] | None  # its own images; None: it has none
    lateral_known: bool  # whether it was trained on lateral views too
    read: Callable[[Index, list[int], str], dict[int, Original]]  # what some images are
    predict: Callable[[Index, list[int], str], Predictions]  # of some images of a split
    main_process_first: Callable[[], AbstractContextManager[None]]  # while images are searched
    is_main_process: bool  # the one that writes
    operating_point: OperatingPoint | None  # that was chosen for it; None: thresholds of 0.5
    recalibration: Recalibration | None
    is_recalibrated: bool  # whether its logits have gone through that already
    recipe_sha256: str | None  # of the config that was trained; None: not known
    # Images that no file holds, uint8 [n, size, size], to logits [n, classes], and to what the head
    # is given of them [n, features]. None: there is no one network, or it does not give features.
    answer: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]] | None
    features: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]] | None
    run: Path | None  # where config.yaml, summary.json and data_audit.json lie; None: nowhere

    @property
    def recalibration_to_come(self) -> Recalibration | None:
        """What its logits and maps have still to go through; None: nothing."""
        return None if self.is_recalibrated else self.recalibration


def open_own_images(predictor: Predictor) -> Index:
    """The run's own images, in the splits that it was trained with."""
    assert predictor.open_own is not None  # see `open_trained`
    with predictor.main_process_first():
        index = predictor.open_own()
    if predictor.trained_on is not None:
        return own_images(index, predictor.trained_on)
    if index.unsplit:
        raise RunError(
            f"{predictor.folder}: has no samples.csv, and its images lie in no splits, so nobody "
            f"knows which of them it was trained on; train anew."
        )
    return index


def open_other_images(
    predictor: Predictor, roots: Sequence[Path], renamed: Sequence[str]
) -> tuple[Index, bool]:
    """The images in `roots`, and whether they are the run's own, which have moved.

    A set without splits is one split, `test`.
    """
    names = list(predictor.space.labels)
    with predictor.main_process_first():
        index = load_index(
            [root.absolute() for root in roots], names, renamed=parse_labels(renamed, names)
        )
    trained_on = predictor.trained_on
    if trained_on is not None and may_hold(index, trained_on):
        # Whether all of the run's images are among them, their content shows.
        originals = predictor.read(index, list(range(len(index.samples))), "all")
        moved = moved_images(index, originals, trained_on)
        if moved is not None:
            return moved, True
    splits = ("test" if sample.split == UNSPLIT else sample.split for sample in index.samples)
    return index.with_splits(splits), False


def renamed_by_site(sites: Sequence[Sequence[Path]], renamed: Sequence[str]) -> list[list[str]]:
    """Of `--label THEIRS=OURS`, for each site those that are about labels which it bears.

    Those that no site bears stay with the first, where they are found to be a mistake. Raises
    DataError where a root is not there.
    """
    if len(sites) == 1:
        return [list(renamed)]
    borne = [names_in([root.absolute() for root in roots]) for roots in sites]
    anywhere = set().union(*borne)

    def theirs(text: str) -> str:
        return text.partition("=")[0].strip()

    return [
        [text for text in renamed
         if theirs(text) in own or (not place and theirs(text) not in anywhere)]
        for place, own in enumerate(borne)
    ]  # fmt: skip


def parse_labels(renamed: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """`THEIRS=OURS` to a mapping; OURS is one of `names`, or empty. Raises ConfigError."""
    mapping: dict[str, str] = {}
    for text in renamed:
        theirs, equals, ours = (part.strip() for part in text.partition("="))
        if not equals or not theirs:
            raise ConfigError(
                f"--label {text}: must look like THEIRS=OURS, or THEIRS= to leave images out."
            )
        if ours and ours not in names:
            raise ConfigError(f"--label {text}: {ours} is none of {', '.join(names)}.")
        if mapping.setdefault(theirs, ours) != ours:
            raise ConfigError(f"--label {text}: {theirs} is {mapping[theirs] or 'left out'} too.")
    return mapping


def check_images(
    predictor: Predictor,
    index: Index,
    originals: dict[int, Original],
    *,
    own: bool,
    allow_seen: bool,
) -> tuple[int | None, list[str]]:
    """How many of others' images were trained on (None: not known), and warnings.

    Raises DataError where figures would mean nothing: the run's own images must be as they were,
    and none of others may be among those that it was trained on, unless `allow_seen`.
    """
    trained_on = predictor.trained_on
    if trained_on is None:
        return None, [
            f"{predictor.name}: its run's samples.csv is not at hand, so it is not known whether "
            f"it was trained on some of these images."
        ]
    if own:
        require_unchanged(index, originals, trained_on)
        return 0, []
    seen = seen_in_training(index, originals, trained_on)
    if not seen:
        return 0, []
    sentence = (
        f"{index.root}: {len(seen):,} of {len(originals):,} images are among those that "
        f"{predictor.name} was trained on ({some(seen)})"
    )
    if not allow_seen:
        raise DataError(
            f"{sentence}, so figures would be too good; take them out, choose another --split, or "
            f"evaluate all the same with --allow-seen."
        )
    return len(seen), [f"{sentence}, which --allow-seen permits."]


def indices_of(index: Index, split: str) -> list[int]:
    """Raises DataError where the split has no images."""
    indices = index.split(split)
    if not indices:
        raise DataError(
            f"{index.root}: has no {split} images; choose with --split among "
            f"{', '.join(sorted(index.counts().keys() - {UNSPLIT}))}."
        )
    return indices
