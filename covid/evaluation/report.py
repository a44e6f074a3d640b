"""An evaluation as files: metrics.json, predictions.csv, confusion.png, examples.png."""

import json
from collections.abc import Callable, Mapping, Sequence
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


def write_report(
    folder: Path,
    space: LabelSpace,
    probabilities: npt.NDArray[np.float32],
    targets: npt.NDArray[np.bool_],
    *,
    names: Sequence[str],
    keys: Sequence[str],
    patients: Sequence[str | None],
    read_images: Callable[[list[int]], npt.NDArray[np.uint8]],
    title: str,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes the four files to `folder` and returns the metrics.

    Arrays are `[images, classes]`; `names`, `keys` and `patients` have one entry an image.
    `read_images` gives uint8 `[n, size, size]` for n places of these: only those that the
    picture shows are read. `about` goes into metrics.json before the figures.
    """
    decisions = space.decide(probabilities)
    metrics = {
        **about,
        **compute_metrics(space, probabilities, targets, patients),
        "intended_use": INTENDED_USE,
    }
    text = json.dumps(metrics, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / "metrics.json", f"{text}\n")
    table = predictions_csv(space, probabilities, targets, decisions, names, keys)
    write_atomically(folder / "predictions.csv", table)
    plot_confusion(folder / "confusion.png", metrics, title)
    chosen = choose_examples(probabilities, targets, decisions, keys)
    plot_examples(
        folder / "examples.png", read_images(chosen), chosen, probabilities, targets, decisions,
        keys, space, title,
    )  # fmt: skip
    return metrics


def predictions_csv(
    space: LabelSpace,
    probabilities: npt.NDArray[np.float32],
    targets: npt.NDArray[np.bool_],
    decisions: npt.NDArray[np.bool_],
    names: Sequence[str],
    keys: Sequence[str],
) -> str:
    """One row an image; `correct` is true where the whole decision is, as accuracy counts."""
    columns = [f"probability_{name}" for name in space.classes]
    lines = [csv_line(["path", "label", *columns, "predicted", "correct"])]
    for name, key, row, target, decided in zip(
        names, keys, probabilities, targets, decisions, strict=True
    ):
        # Six decimals: float32 has no more to say of a number below 1.
        numbers = [f"{value:.6f}" for value in row]
        right = "true" if (target == decided).all() else "false"
        lines.append(csv_line([name, key, *numbers, space.join(decided), right]))
    return "".join(lines)
