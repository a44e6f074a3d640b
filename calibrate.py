"""Fits an exported file to the place where it will run, and judges whether it may be used there.

    python calibrate.py model.onnx --data my/hospital
    python calibrate.py model.onnx --data my/hospital --target sensitivity=0.95
"""

import argparse
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from covid.errors import ConfigError, ModelError, exit_code

if TYPE_CHECKING:
    from covid.data.index import Index
    from covid.data.predictor import Predictions, Predictor
    from covid.edge.card import Card
    from covid.edge.operating_point import Method
    from covid.evaluation.operating.site import Site

FITTED_HERE = (
    "What is after was fitted to these very images, and flatters: evaluate the new file on others."
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Recalibrate an exported file on labelled images of the place where it will "
        "run, choose its thresholds there, and judge whether it may be used there. "
        "For learning and research, not for diagnosis."
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="what export.py wrote")
    parser.add_argument(
        "--data", type=Path, nargs="+", action="extend", metavar="ROOT", required=True,
        help="labelled images of that place; all of them, or those of --split",
    )  # fmt: skip
    parser.add_argument(
        "--label", action="append", default=[], metavar="THEIRS=OURS",
        help="what these images call otherwise; `THEIRS=` leaves a name out; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=("train", "validation", "test"),
        help="these images alone, so that the new file can be evaluated on others (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--target", action="append", default=[], metavar="[CLASS:]FIGURE=VALUE",
        help="choose thresholds that reach it, such as sensitivity=0.95; repeatable "
        "(default: thresholds follow the recalibration, and no decision changes)",
    )  # fmt: skip
    parser.add_argument(
        "--recalibrate", choices=("temperature", "platt", "none"),
        help="default: platt, a line for each class; temperature, one scale, for single_label; "
        "none without a --target only judges",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, metavar="MODEL2.onnx",
        help="default: MODEL.calibrated.onnx beside it; a .json of that name says the judgement",
    )  # fmt: skip
    parser.add_argument(
        "--allow-seen", action="store_true",
        help="go on though the network was trained on some of these images",
    )  # fmt: skip
    return parser.parse_args()


def calibrate(arguments: argparse.Namespace) -> int:
    """Asks the file once, fits, writes another file and its judgement. Returns the exit code."""
    output = output_of(arguments.model, arguments.output)
    # Imported here because they take time that --help should not.
    from covid.data.predictor import check_images, open_other_images
    from covid.edge.card import INTENDED_USE, read_card, read_content
    from covid.edge.constants import find_constants
    from covid.edge.dicom_header import survey
    from covid.edge.files import write_atomically
    from covid.edge.operating_point import decides_by, recalibrated_by
    from covid.evaluation.metrics import compute_metrics
    from covid.evaluation.operating.judgement import judge, judgement_tables, rows_of_classes
    from covid.evaluation.operating.site import fit_to_site
    from covid.evaluation.operating.targets import parse_targets
    from covid.export.open_file import open_file
    from covid.export.recalibrated_file import write_recalibrated

    card = read_card(arguments.model)
    if card.golden is None:
        raise ModelError(f"{arguments.model}: has no golden answers (format 1); export it anew.")
    content = read_content(arguments.model)
    constants = find_constants(arguments.model, content, len(card.space.classes))
    wanted = parse_targets(arguments.target, card.space)
    method = method_of(arguments.recalibrate, card)
    # A class's name may hold a colon itself: what follows the last one is the figure.
    named = {text.rpartition(":")[0].strip() for text in arguments.target}

    predictor = open_file(arguments.model)
    index, _ = open_other_images(predictor, arguments.data, arguments.label)
    indices = chosen_images(index, arguments.split)
    predictions = predictor.predict(index, indices, arguments.split or "all")
    seen, notes = check_images(
        predictor, index, predictions.originals, own=False, allow_seen=arguments.allow_seen
    )
    site = site_of(card, predictor, index, predictions, arguments.split)
    fitted = fit_to_site(site, method, wanted, card.operating_point, named)
    metrics = compute_metrics(fitted.space, fitted.probabilities, site.targets, site.patients)
    rows = rows_of_classes(site, fitted, metrics)
    judgement = judge(rows)

    figures = {figure: metrics[figure]["value"] for figure in ("accuracy", "macro_f1")}
    place = site.chosen_on
    written = card
    changed = fitted.step is not None or fitted.point is not card.operating_point
    if changed:
        written = write_recalibrated(
            output,
            constants,
            replace(
                card, space=fitted.space, operating_point=fitted.point,
                metrics={"split": place.split, "images": place.images, **figures},
            ),
            fitted.step,
        )  # fmt: skip
    report = {
        "model": arguments.model.name,
        "output": output.name if changed else None,
        **vars(place),
        "seen_in_training": seen,
        "judgement": judgement.fields(),
        "notes": list(fitted.notes),
        "classes": rows,
        "operating_point": written.operating_point and written.operating_point.fields(),
        "calibration": written.calibration and written.calibration.fields(),
        "intended_use": INTENDED_USE,
    }
    # Beside the file that it is about: an earlier output keeps its own.
    about = output if changed or arguments.output else arguments.model
    beside = about.with_suffix(".calibration.json")
    text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(beside, f"{text}\n")

    headers = survey([index.samples[i].path for i in indices])
    for sentence in (*index.warnings, *notes, *headers):
        print(f"Warning: {sentence}", file=sys.stderr)
    print(f"{arguments.model.name} on {place}\n\n{judgement_tables(rows)}\n")
    if changed:
        print(FITTED_HERE)
    for note in (*fitted.notes, *(fitted.point.notes if fitted.point else ())):
        print(f"Note: {note}")
    print(f"{decides_by(written.space, written.operating_point)}"
          f"{recalibrated_by(written.calibration)}\n")  # fmt: skip
    print("\n".join([judgement.sentence, *(f"  {reason}" for reason in judgement.reasons)]))
    if changed:
        print(f"\n{output} and {beside.name} are written.\n{INTENDED_USE}")
    else:
        print(f"\nNothing was changed, so {beside} alone is written.\n{INTENDED_USE}")
    return 0


def output_of(model: Path, output: Path | None) -> Path:
    """Where the new file goes. Raises ConfigError where that is the old one, or no ONNX file."""
    chosen = output or model.with_suffix(".calibrated.onnx")
    if chosen.suffix.lower() != ".onnx":
        raise ConfigError(f"--output {chosen}: end it with .onnx.")
    if chosen.exists() and model.exists() and chosen.samefile(model):
        raise ConfigError(f"--output {chosen}: is the file itself, which stays; name another one.")
    return chosen


def method_of(asked: str | None, card: "Card") -> "Method | None":
    """By which way logits are recalibrated; None: not at all."""
    if asked == "none":
        return None
    if asked is None:
        return "platt" if card.space.task == "multilabel" else "temperature"
    return "platt" if asked == "platt" else "temperature"


def chosen_images(index: "Index", split: str | None) -> list[int]:
    """Indices of one split's images, or of all. Raises DataError where there is none."""
    from covid.data.predictor import indices_of

    return list(range(len(index.samples))) if split is None else indices_of(index, split)


def site_of(
    card: "Card",
    predictor: "Predictor",
    index: "Index",
    predictions: "Predictions",
    split: str | None,
) -> "Site":
    """What the file said of a place's images, under the name that its folder has."""
    from covid.data.index import targets_of
    from covid.data.samples import digest, rows_of
    from covid.edge.formatters import printable
    from covid.edge.operating_point import ChosenOn
    from covid.evaluation.operating.site import Site

    indices = list(predictions.originals)
    patients = [index.samples[i].patient for i in indices]
    name = printable(index.name if split is None else f"{index.name}-{split}") or "/"
    return Site(
        card.space,
        predictions.logits,
        predictions.probabilities,
        targets_of(predictor.space, index)[indices],
        patients,
        ChosenOn(
            name, len(indices), len(set(patients) - {None}) or None,
            digest(rows_of(index, predictions.originals)),
        ),
    )  # fmt: skip


def main() -> int:
    arguments = parse_arguments()
    # As all else that goes wrong: one sentence, without the line of code that it comes from.
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    return exit_code(lambda: calibrate(arguments), "Interrupted; no half-written file was left.")


if __name__ == "__main__":
    sys.exit(main())
