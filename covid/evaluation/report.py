"""An evaluation as files: metrics.json, predictions.csv, confusion.png, examples.png."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.card import INTENDED_USE
from covid.edge.files import write_atomically
from covid.edge.labels import LabelSpace
from covid.evaluation.answers import Answers, Targets
from covid.evaluation.examples import choose_examples, plot_examples
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.plots import plot_confusion
from covid.evaluation.prediction_file import PredictionFile, predictions_csv


@dataclass(frozen=True)
class Evaluation:
    """What a network answered about images, and what is known of these."""

    title: str  # names the network and the data
    about: Mapping[str, Any]  # the same in parts: goes into metrics.json before the figures
    space: LabelSpace
    probabilities: npt.NDArray[np.float32]  # [images, classes], like the next
    targets: Targets  # NaN where not known
    names: Sequence[str]  # [images], like the next two: paths below the root
    cells: Sequence[str]  # of keys of `data.labels`, as a manifest has them
    patients: Sequence[str | None]
    sources: Sequence[str] = ()  # [images], empty where not known; or none at all
    folds: Sequence[str] | None = None  # [images]: whose network answered, where it was several

    @cached_property
    def answers(self) -> Answers:
        """Targets beside the network's decisions. Raises what `Answers.of` raises."""
        return Answers.of(self.space, self.probabilities, self.targets)

    @property
    def prediction_file(self) -> PredictionFile:
        """What predictions.csv holds. Raises what `Answers.of` raises."""
        answers = self.answers
        return PredictionFile(
            self.space.classes, tuple(self.names), tuple(self.cells), self.probabilities,
            np.where(answers.known, answers.targets, np.nan).astype(np.float32),
            answers.decisions, tuple(self.patients),
            tuple(self.sources or [""] * len(self.names)),
            None if self.folds is None else tuple(self.folds),
        )  # fmt: skip


def write_report(
    folder: Path,
    evaluation: Evaluation,
    read_images: Callable[[list[int]], npt.NDArray[np.uint8]],
) -> dict[str, Any]:
    """Writes the four files to `folder` and returns the metrics.

    `read_images` gives uint8 `[n, size, size]` for n places of the evaluation's images: only
    those that the picture shows are read.
    """
    space, title, answers = evaluation.space, evaluation.title, evaluation.answers
    metrics = {
        **evaluation.about,
        **compute_metrics(
            space, evaluation.probabilities, evaluation.targets, evaluation.patients,
            folds=evaluation.folds,
        ),
        "intended_use": INTENDED_USE,
    }
    text = json.dumps(metrics, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / "metrics.json", f"{text}\n")
    write_atomically(folder / "predictions.csv", predictions_csv(evaluation.prediction_file))
    plot_confusion(folder / "confusion.png", metrics, title)
    chosen = choose_examples(answers, evaluation.cells)
    images = read_images([place for places in chosen.values() for place in places])
    plot_examples(
        folder / "examples.png", images, chosen, answers, evaluation.cells, space, title
    )
    return metrics
