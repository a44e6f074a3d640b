"""Thresholds and a recalibration, chosen on a run's own images and kept in its folder."""

from collections.abc import Mapping
from dataclasses import replace

from covid.data.index import Index, targets_of
from covid.data.predictor import Predictions, Predictor
from covid.data.samples import digest, rows_of
from covid.edge.operating_point import ChosenOn, Method
from covid.evaluation.operating.calibration import fit_recalibration, recalibrated
from covid.evaluation.operating.file import FILE, write_operating_point
from covid.evaluation.operating.point import (
    choose,
    default_point,
    keep_targets,
    map_along,
)
from covid.evaluation.operating.targets import Target


def choose_operating_point(
    predictor: Predictor,
    index: Index,
    split: str,
    predictions: Predictions,
    wanted: Mapping[str, Target],
    method: Method | None,
) -> tuple[Predictor, list[str]]:
    """The predictor with thresholds that reach `wanted` and a recalibration by `method`; warnings.

    Both are chosen by `predictions` of one split, which is not test, and written to
    operating_point.json. What is not named stays: a recalibration where only thresholds are chosen
    anew, thresholds of other classes, and mapped along where a recalibration is, so that it changes
    no decision. Raises what `choose` and `fit_recalibration` raise.
    """
    space, recalibration, earlier = (
        predictor.space, predictor.recalibration, predictor.operating_point
    )  # fmt: skip
    indices = list(predictions.originals)
    targets = targets_of(space, index)[indices]
    patients = [index.samples[i].patient for i in indices]
    chosen_on = ChosenOn(
        split,
        len(indices),
        len(set(patients) - {None}) or None,
        digest(rows_of(index, predictions.originals)),
    )
    if method is not None:
        recalibration = fit_recalibration(method, space, predictions.logits, targets, chosen_on)
    probabilities = predictions.probabilities
    if recalibration is not None:
        probabilities = recalibrated(space, predictions.logits, recalibration)
    if earlier is None:
        point = default_point(space, probabilities, targets, patients, chosen_on, recalibration)
    elif method is not None and recalibration is not None:
        point = map_along(earlier, predictor.recalibration, recalibration, space)
    else:
        point = earlier
    if wanted:  # classes that it does not name keep what they had
        before = space.with_thresholds(point.thresholds) if point.thresholds else space
        chosen = choose(before, probabilities, targets, patients, wanted, chosen_on)
        point = keep_targets(chosen, point, wanted)
    kept = point if point.thresholds else None  # of three classes and more the largest decides
    warnings = list(point.notes)
    if predictor.is_main_process:
        write_operating_point(predictor.folder, kept, recalibration, predictor.recipe_sha256)
        exported = predictor.folder / "export"
        if exported.is_dir():
            warnings.append(
                f"{exported} holds files that were exported before this {FILE}; run export.py "
                f"again."
            )
    return replace(predictor, operating_point=kept, recalibration=recalibration), warnings
