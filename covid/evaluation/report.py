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
from covid.edge.table import csv_line
from covid.evaluation.answers import Answers, Targets
from covid.evaluation.examples import choose_examples, plot_examples
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.plots import plot_confusion


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

    @cached_property
    def answers(self) -> Answers:
        """Targets beside the network's decisions. Raises what `Answers.of` raises."""
        return Answers.of(self.space, self.probabilities, self.targets)


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
            space, evaluation.probabilities, evaluation.targets, evaluation.patients
        ),
        "intended_use": INTENDED_USE,
    }
    text = json.dumps(metrics, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / "metrics.json", f"{text}\n")
    write_atomically(folder / "predictions.csv", predictions_csv(evaluation))
    plot_confusion(folder / "confusion.png", metrics, title)
    chosen = choose_examples(answers, evaluation.cells)
    images = read_images([place for places in chosen.values() for place in places])
    plot_examples(
        folder / "examples.png", images, chosen, answers, evaluation.cells, space, title
    )
    return metrics


def predictions_csv(evaluation: Evaluation) -> str:
    """One row per image; `correct` is true where the whole decision is, as accuracy counts.

    A target that is not known is empty, and so is `correct` where none is known.
    """
    space, answers = evaluation.space, evaluation.answers
    columns = [f"probability_{name}" for name in space.classes]
    targets = [f"target_{name}" for name in space.classes]
    lines = [csv_line(["path", "label", *columns, "predicted", "correct", *targets])]
    for image, (name, cell) in enumerate(zip(evaluation.names, evaluation.cells, strict=True)):
        # Six decimals: float32 has no more to say of a number below 1.
        numbers = [f"{value:.6f}" for value in answers.probabilities[image]]
        predicted = space.join(answers.decisions[image])
        correct = "true" if answers.correct[image] else "false" if answers.evaluated[image] else ""
        own = zip(answers.targets[image], answers.known[image], strict=True)
        outcomes = [str(int(target)) if known else "" for target, known in own]
        lines.append(csv_line([name, cell, *numbers, predicted, correct, *outcomes]))
    return "".join(lines)
