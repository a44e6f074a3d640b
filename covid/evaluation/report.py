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
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.plots import choose_examples, plot_confusion, plot_examples


@dataclass(frozen=True)
class Evaluation:
    """What a network answered about images, and what is known of these."""

    title: str  # names the network and the data
    about: Mapping[str, Any]  # the same in parts: goes into metrics.json before the figures
    space: LabelSpace
    probabilities: npt.NDArray[np.float32]  # [images, classes], like the next
    targets: npt.NDArray[np.bool_]
    names: Sequence[str]  # [images], like the next two: paths below the root
    keys: Sequence[str]  # of `data.labels`
    patients: Sequence[str | None]

    @cached_property
    def decisions(self) -> npt.NDArray[np.bool_]:
        """Bool `[images, classes]`."""
        return self.space.decide(self.probabilities)


def write_report(
    folder: Path,
    evaluation: Evaluation,
    read_images: Callable[[list[int]], npt.NDArray[np.uint8]],
) -> dict[str, Any]:
    """Writes the four files to `folder` and returns the metrics.

    `read_images` gives uint8 `[n, size, size]` for n places of the evaluation's images: only
    those that the picture shows are read.
    """
    space, title, keys = evaluation.space, evaluation.title, evaluation.keys
    probabilities, targets = evaluation.probabilities, evaluation.targets
    metrics = {
        **evaluation.about,
        **compute_metrics(space, probabilities, targets, evaluation.patients),
        "intended_use": INTENDED_USE,
    }
    text = json.dumps(metrics, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / "metrics.json", f"{text}\n")
    write_atomically(folder / "predictions.csv", predictions_csv(evaluation))
    plot_confusion(folder / "confusion.png", metrics, title)
    chosen = choose_examples(probabilities, targets, evaluation.decisions, keys)
    plot_examples(
        folder / "examples.png", read_images(chosen), chosen, probabilities, targets,
        evaluation.decisions, keys, space, title,
    )  # fmt: skip
    return metrics


def predictions_csv(evaluation: Evaluation) -> str:
    """One row per image; `correct` is true where the whole decision is, as accuracy counts."""
    space = evaluation.space
    columns = [f"probability_{name}" for name in space.classes]
    lines = [csv_line(["path", "label", *columns, "predicted", "correct"])]
    for name, key, row, target, decided in zip(
        evaluation.names, evaluation.keys, evaluation.probabilities, evaluation.targets,
        evaluation.decisions, strict=True,
    ):  # fmt: skip
        # Six decimals: float32 has no more to say of a number below 1.
        numbers = [f"{value:.6f}" for value in row]
        correct = "true" if (target == decided).all() else "false"
        lines.append(csv_line([name, key, *numbers, space.join(decided), correct]))
    return "".join(lines)
