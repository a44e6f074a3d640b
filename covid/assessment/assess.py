"""One set of images, evaluated: every file of it, and what the terminal shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.assessment.evidence import evidence_in_mask
from covid.assessment.shortcuts import PICTURE, SHORTCUTS, examine
from covid.data.index import Index, targets_of
from covid.data.predictor import Predictions, Predictor, check_images, indices_of
from covid.data.samples import digest, rows_of
from covid.data.source import data_name, is_synthetic
from covid.edge.dicom_header import survey
from covid.edge.operating_point import decides_by, recalibrated_by
from covid.evaluation.html.report import write_html
from covid.evaluation.operating.calibration import recalibrated
from covid.evaluation.report import Evaluation, read_json, write_report
from covid.evaluation.shortcuts.text import shortcuts_text
from covid.evaluation.sites.report import EXTERNAL
from covid.evaluation.terminal_report import evaluation_text


@dataclass(frozen=True)
class Assessment:
    """What came of it."""

    name: str  # of the images
    folder: Path
    metrics: Mapping[str, Any]
    text: str  # for the terminal
    warnings: Sequence[str]
    shortcuts: str | None  # for the terminal too; None: not asked for


def assess(
    predictor: Predictor,
    index: Index,
    split: str,
    folder: Path,
    *,
    own: bool,
    allow_seen: bool,
    prevalences: Sequence[float],
    print_predictive_values: bool,
    predictions: Predictions | None = None,
    shortcuts: bool = False,
) -> Assessment | None:
    """Evaluates one split of `index` at the predictor's operating point; files go to `folder`.

    `own` says that these are the run's own images; `predictions` of them save predicting again.
    `shortcuts` asks on changed images whether the network cheats; without it what an earlier
    evaluation wrote of that is removed, since it may be of another network.
    None in all but the main process. Raises DataError: no images in the split, unreadable ones,
    some that were trained on or have changed.
    """
    targets = targets_of(predictor.space, index)
    if predictions is None:
        predictions = predictor.predict(index, indices_of(index, split), split)
    seen, notes = check_images(
        predictor, index, predictions.originals, own=own, allow_seen=allow_seen
    )
    if not predictor.is_main_process:
        return None
    indices = list(predictions.originals)
    samples = [index.samples[i] for i in indices]
    space, point, probabilities = (
        predictor.space, predictor.operating_point, predictions.probabilities
    )  # fmt: skip
    scale = np.ones(len(space.classes), dtype=np.float32)  # what a recalibration makes of maps
    if predictor.recalibration_to_come is not None:
        probabilities = recalibrated(space, predictions.logits, predictor.recalibration_to_come)
        scale = np.array(predictor.recalibration_to_come.scale, dtype=np.float32)
    if point is not None:
        space = space.with_thresholds(point.thresholds)
    name = f"{data_name(index)}, {split}"
    evaluation = Evaluation(
        title=f"{predictor.name} on {name}",
        about={
            **predictor.about,
            "data": data_name(index),
            "synthetic": is_synthetic(index),
            "split": split,
            "samples_sha256": digest(rows_of(index, predictions.originals)),
            "seen_in_training": seen,
            **predictions.about,
        },
        space=space,
        probabilities=probabilities,
        targets=targets[indices],
        names=[sample.name for sample in samples],
        cells=[sample.label for sample in samples],
        patients=[sample.patient for sample in samples],
        columns=[sample.columns for sample in samples],
        greys=predictions.greys,
        folds=predictions.folds,
        operating_point=point,
        recalibration=predictor.recalibration,
    )

    def scaled(evidence: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(evidence * scale[:, np.newaxis, np.newaxis])

    in_mask, useless_masks = evidence_in_mask(
        index, indices, predictions, evaluation.answers.decisions, space.classes
    )
    read_images, maps = predictions.read_images, predictions.maps
    examined = None
    if shortcuts:
        examined = examine(predictor, index, predictions, folder, own=own)
    else:
        for file in (SHORTCUTS, PICTURE):
            (folder / file).unlink(missing_ok=True)
    metrics = write_report(
        folder, replace(evaluation, evidence_in_mask=in_mask),
        lambda places: read_images([indices[i] for i in places]),
        None if maps is None else lambda places: scaled(maps([indices[i] for i in places])),
        prevalences,
    )  # fmt: skip
    write_html(
        folder, evaluation.title, metrics, **about_run(predictor, index if own else None),
        evaluated=rows_of_samples(index, indices), other_images=not own,
        # Sites that were laid beside these images earlier.
        external=read_json(folder / EXTERNAL) if own else None,
        shortcuts=examined,
    )  # fmt: skip
    text = evaluation_text(
        metrics, evaluation.title,
        decides_by(space, point) + recalibrated_by(predictor.recalibration),
        predictive=print_predictive_values,
    )  # fmt: skip
    headers = survey([sample.path for sample in samples], lateral_known=predictor.lateral_known)
    warnings = [*index.warnings, *notes, *headers, *predictions.warnings, *useless_masks]
    cheats = None if examined is None else shortcuts_text(examined)
    return Assessment(name, folder, metrics, text, warnings, cheats)


def about_run(predictor: Predictor, index: Index | None) -> dict[str, Any]:
    """What a report says of the run: its images, `index` where they are at hand, its files."""
    rows = [] if index is None else rows_of_samples(index, range(len(index.samples)))
    if index is None and predictor.trained_on is not None:
        names = ("split", "label", "patient", "source")
        rows = [{name: getattr(row, name) for name in names} for row in predictor.trained_on]
    known: dict[str, Any] = {"samples": rows, "date": date.today().isoformat()}
    if predictor.recalibration is not None:
        known["recalibration"] = predictor.recalibration.fields()
    if predictor.run is not None:
        config = predictor.run / "config.yaml"
        known["config"] = config.read_text(encoding="utf-8") if config.is_file() else None
        known["summary"] = read_json(predictor.run / "summary.json")
        known["audit"] = read_json(predictor.run / "data_audit.json")
    return known


def rows_of_samples(index: Index, indices: Sequence[int]) -> list[dict[str, str]]:
    """Split, label, patient, and what the manifest knows of the images at `indices`."""
    return [
        {
            **{name: sample.columns.get(name, "") for name in ("source", "view", "sex", "age")},
            "split": sample.split, "label": sample.label, "patient": sample.patient or "",
        }
        for sample in (index.samples[i] for i in indices)
    ]  # fmt: skip
