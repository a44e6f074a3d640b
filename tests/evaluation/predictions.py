"""Prediction files to compare: a made-up evaluation, and others of the same images."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.evaluation.prediction_file import PredictionFile
from tests.evaluation.examples import MULTILABEL, Evaluated, evaluated


def prediction_file(space: LabelSpace, evaluation: Evaluated) -> PredictionFile:
    probabilities, targets, patients = evaluation
    names = tuple(f"test/{n:03}.png" for n in range(len(targets)))
    return PredictionFile(
        space.classes, names, ("any",) * len(names), probabilities, targets.astype(np.float32),
        space.decide(probabilities), tuple(patients), ("",) * len(names),
    )  # fmt: skip


def answering(
    file: PredictionFile, probabilities: npt.NDArray[np.float32], space: LabelSpace = MULTILABEL
) -> PredictionFile:
    """What another network says of the same images."""
    return replace(file, probabilities=probabilities, decisions=space.decide(probabilities))


def two_files(
    images: int = 60, noise: float = 0.2, space: LabelSpace = MULTILABEL
) -> tuple[PredictionFile, PredictionFile]:
    """Of two networks that are much alike; some patients have several images."""
    first = prediction_file(space, evaluated(space, images))
    moved = first.probabilities + np.random.default_rng(1).normal(0, noise, (images, 3))
    return first, answering(first, np.clip(moved, 0, 1).astype(np.float32), space)
