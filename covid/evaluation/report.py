"""An evaluation as files: metrics.json, predictions.csv, and the pictures of both."""

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
from covid.edge.operating_point import OperatingPoint, Recalibration
from covid.errors import RunError
from covid.evaluation.answers import Answers, Targets
from covid.evaluation.examples import choose_examples, plot_examples
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.mistakes import mistakes
from covid.evaluation.operating.calibration import calibration_figures
from covid.evaluation.operating.plots import plot_calibration, plot_operating
from covid.evaluation.operating.predictive_values import PREVALENCES, predictive_values
from covid.evaluation.plots import plot_confusion
from covid.evaluation.prediction_file import PredictionFile, predictions_csv
from covid.evaluation.sites.report import site_traits
from covid.evaluation.subgroups import subgroups

METRICS, PREDICTIONS = "metrics.json", "predictions.csv"
PICTURES = ("confusion.png", "examples.png", "calibration.png", "operating.png")


@dataclass(frozen=True)
class Evaluation:
    """What a network answered about images, and what is known of these."""

    title: str  # names the network and the data
    about: Mapping[str, Any]  # the same in parts: goes into metrics.json before the figures
    space: LabelSpace  # decides, by the thresholds of `operating_point` where there is one
    probabilities: npt.NDArray[np.float32]  # [images, classes], like the next
    targets: Targets  # NaN where not known
    names: Sequence[str]  # [images], like all that follow but the last: paths below the root
    cells: Sequence[str]  # of keys of `data.labels`, as a manifest has them
    patients: Sequence[str | None]
    columns: Sequence[Mapping[str, str]]  # the manifest's other cells
    greys: npt.NDArray[np.float64] | None = None  # what `grey_statistics` gives
    folds: Sequence[str] | None = None  # whose network answered, where it was several
    operating_point: OperatingPoint | None = None
    recalibration: Recalibration | None = None  # that the probabilities have gone through
    evidence_in_mask: Mapping[str, Any] | None = None  # where maps lie; None: no masks or no maps

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
            tuple(columns.get("source", "") for columns in self.columns),
            None if self.folds is None else tuple(self.folds),
        )  # fmt: skip


def compute_all(
    evaluation: Evaluation, prevalences: Sequence[float] = PREVALENCES
) -> dict[str, Any]:
    """The content of metrics.json. Raises what `compute_metrics` raises."""
    space, answers, point = evaluation.space, evaluation.answers, evaluation.operating_point
    known = (space, evaluation.probabilities, evaluation.targets, evaluation.patients)
    figures = compute_metrics(*known, folds=evaluation.folds)
    calibration = calibration_figures(*known)
    for name, row in calibration.items():  # the same figure has one interval
        own = figures["per_class"][name]
        ends = own["intervals"]["brier"]
        row["brier"] = {"value": own["brier"], "low": ends["low"], "high": ends["high"]}
    notes = list(figures["notes"])
    notes += [note for row in calibration.values() for note in row.pop("notes", ())]
    if point is not None:
        notes += point.notes
        if point.chosen_on.samples_sha256 == evaluation.about.get("samples_sha256"):
            notes.append(
                "The thresholds were chosen on these very images: sensitivity and specificity "
                "here are what they were chosen for, and say nothing of others."
            )
    return {
        **evaluation.about,
        **figures,
        "notes": notes,
        "operating_point": None if point is None else point.fields(),
        "calibration": calibration,
        "recalibration": evaluation.recalibration and evaluation.recalibration.fields(),
        "predictive_values": predictive_values(*known, prevalences),
        "subgroups": subgroups(
            space, answers.decisions, evaluation.targets, evaluation.patients, evaluation.columns
        ),
        "mistakes": mistakes(
            space, evaluation.probabilities, answers.decisions, evaluation.targets,
            evaluation.names, evaluation.patients, evaluation.cells,
        ),
        **({} if evaluation.evidence_in_mask is None
           else {"evidence_in_mask": evaluation.evidence_in_mask}),
        "site": site_traits(
            evaluation.columns, evaluation.patients, evaluation.cells, evaluation.greys
        ),
        "intended_use": INTENDED_USE,
    }  # fmt: skip


def write_report(
    folder: Path,
    evaluation: Evaluation,
    read_images: Callable[[list[int]], npt.NDArray[np.uint8]],
    read_maps: Callable[[list[int]], npt.NDArray[np.float32]] | None = None,
    prevalences: Sequence[float] = PREVALENCES,
) -> dict[str, Any]:
    """Writes metrics.json, predictions.csv and PICTURES to `folder`; returns the metrics.

    `read_images` gives uint8 `[n, size, size]` for n places of the evaluation's images: only
    those that the picture shows are read. `read_maps` gives what each of their places adds to each
    logit, float32 `[n, classes, h, w]`; None where the network has no such maps.
    """
    space, title, answers = evaluation.space, evaluation.title, evaluation.answers
    metrics = compute_all(evaluation, prevalences)
    write_json(folder / METRICS, metrics)
    write_atomically(folder / PREDICTIONS, predictions_csv(evaluation.prediction_file))
    plot_confusion(folder / "confusion.png", metrics, title)
    chosen = choose_examples(answers, evaluation.cells)
    shown = [place for places in chosen.values() for place in places]
    plot_examples(
        folder / "examples.png", read_images(shown), chosen, answers, evaluation.cells, space,
        title, None if read_maps is None else read_maps(shown),
    )  # fmt: skip
    plot_calibration(
        folder / "calibration.png", space, metrics["calibration"], evaluation.probabilities,
        evaluation.targets, title,
    )  # fmt: skip
    plot_operating(
        folder / "operating.png", space, evaluation.probabilities, evaluation.targets,
        evaluation.patients, evaluation.operating_point, title,
    )  # fmt: skip
    return metrics


def write_json(path: Path, content: Any) -> None:
    """Indented for people; raises ValueError for a number that JSON does not have."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(path, f"{text}\n")


def read_json(path: Path) -> Any:
    """What a file of a run says; None where there is none. Raises RunError for a damaged one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise RunError(f"{path}: cannot be read as what was written there; remove it.") from None
