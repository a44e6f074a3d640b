"""Evaluates a trained network on images that it was not trained on.

    python evaluate.py                      the newest finished run, on its test split
    python evaluate.py runs/NAME --split folds --target sensitivity=0.95
    python evaluate.py runs/NAME --data my/images --label tuberculosis=pneumonia
    python evaluate.py model.onnx --data my/images      an exported network, without PyTorch
"""

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid.errors import ConfigError, exit_code

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from covid.data.index import Index
    from covid.data.predictor import Predictions, Predictor


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Evaluate a trained network: figures with their intervals, predictions, "
        "pictures, a report. For learning and research, not for diagnosis."
    )
    parser.add_argument(
        "trained", type=Path, nargs="?", metavar="RUN | MODEL.onnx",
        help="a run folder or an exported file (default: the newest finished run)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, nargs="+", action="append", metavar="ROOT",
        help="other images than the run's own, one site's; repeat it for sites beside each other; "
        "an ONNX file carries no images and needs this",
    )  # fmt: skip
    parser.add_argument(
        "--label", action="append", default=[], metavar="THEIRS=OURS",
        help="what other images call otherwise; `THEIRS=` leaves a name out; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--allow-seen", action="store_true",
        help="evaluate other images though the network was trained on some of them",
    )
    parser.add_argument(
        "--split", default="test", choices=("train", "validation", "test", "folds"),
        help="default: test; folds: the held-out images of all folds of a cross-validation",
    )  # fmt: skip
    parser.add_argument(
        "--target", action="append", default=[], metavar="[CLASS:]FIGURE=VALUE",
        help="choose thresholds that reach it, such as sensitivity=0.95 or covid:specificity=0.9, "
        "on validation images (with --split folds on those), and keep them; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--recalibrate", choices=("temperature", "platt"),
        help="fit probabilities to what is observed on the same images, and keep it",
    )  # fmt: skip
    parser.add_argument(
        "--prevalence", type=float, metavar="P",
        help="predictive values where a share P (0..1) has it, beside 1, 10 and 30 %%",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, metavar="DIR",
        help="default: RUN/evaluation/SPLIT; for an ONNX file, evaluation/ROOT-SPLIT beside it",
    )  # fmt: skip
    return parser.parse_args()


@dataclass(frozen=True)
class Result:
    """One set of images that was evaluated."""

    name: str
    folder: Path
    metrics: Mapping[str, Any]
    text: str  # for the terminal


def evaluate(arguments: argparse.Namespace) -> int:
    """Opens what is trained, evaluates each site; files to folders, figures to the terminal.

    Of several processes all predict and one writes. Returns the exit code.
    """
    # Imported here, and below, because they take time that --help should not, and torch only for
    # a run.
    from covid.evaluation.predictive_values import prevalences

    shares = prevalences(arguments.prevalence)
    predictor = open_trained(arguments)
    results = [
        evaluate_site(arguments, predictor, roots, shares) for roots in arguments.data or [None]
    ]
    if not predictor.is_main_process:
        return 0
    if len(results) > 1:
        text, folder = compare_sites(arguments, predictor, results)
        print(text)
        print(f"\n{folder} holds external.json, external.png.", end=" ")
        print(f"Each site has its own folder beside {results[0].folder}.")
    else:
        print(results[0].text)
        print(f"\n{results[0].folder} holds report.html, metrics.json, predictions.csv, pictures.")
    print("For learning and research, not for diagnosis.")
    return 0


def evaluate_site(
    arguments: argparse.Namespace,
    predictor: "Predictor",
    roots: Sequence[Path] | None,
    prevalences: Sequence[float],
) -> Result:
    """The run's own images where `roots` is None, or those of one site: all files of both."""
    from covid.data.index import targets_of
    from covid.data.predictor import check_images, indices_of, open_other_images, open_own_images
    from covid.data.samples import digest, rows_of
    from covid.data.source import data_name, is_synthetic
    from covid.edge.dicom_header import survey
    from covid.edge.operating_point import decides_by, recalibrated_by
    from covid.evaluation.calibration import recalibrated
    from covid.evaluation.html_report import write_html
    from covid.evaluation.report import Evaluation, write_report
    from covid.evaluation.terminal_report import evaluation_text
    from covid.training.run import read_json

    split = arguments.split
    if roots is None:
        index, own = open_own_images(predictor), True
    else:
        index, own = open_other_images(predictor, roots, arguments.label)
    targets = targets_of(predictor.space, index)
    predictions = None
    if arguments.target or arguments.recalibrate:
        if not own:
            raise ConfigError(
                "--target, --recalibrate: are chosen on the run's own images; leave --data out, "
                "and evaluate others by what was chosen after that."
            )
        chosen_on = "folds" if split == "folds" else "validation"
        predictions = predictor.predict(index, indices_of(index, chosen_on), chosen_on)
        predictor = choose_operating_point(arguments, predictor, index, targets, predictions)
        if chosen_on != split:
            predictions = None
    if predictions is None:
        predictions = predictor.predict(index, indices_of(index, split), split)
    seen, notes = check_images(
        predictor, index, predictions.originals, own=own, allow_seen=arguments.allow_seen
    )
    indices = list(predictions.originals)
    samples = [index.samples[i] for i in indices]
    name = f"{data_name(index)}, {split}"
    place = split if roots is None else f"{index.name}-{split}"
    folder = predictor.folder / "evaluation" / place
    if arguments.output:
        several = arguments.data is not None and len(arguments.data) > 1
        folder = arguments.output / place if several else arguments.output
    space, probabilities = predictor.space, predictions.probabilities
    if predictor.recalibration is not None:
        probabilities = recalibrated(space, predictions.logits, predictor.recalibration)
    point = predictor.operating_point
    if point is not None:
        space = space.with_thresholds(point.thresholds)
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
    if not predictor.is_main_process:
        return Result(name, folder, {}, "")
    metrics = write_report(
        folder, evaluation, lambda places: predictions.read_images([indices[i] for i in places]),
        prevalences,
    )  # fmt: skip
    known = about_run(predictor, index if own else None)
    if roots is None:  # sites that were laid beside these images earlier
        known["external"] = read_json(folder / "external.json")
    write_html(
        folder, evaluation.title, metrics, **known,
        evaluated=rows_of_samples(index, indices), other_images=not own,
    )  # fmt: skip
    headers = survey([sample.path for sample in samples], lateral_known=predictor.lateral_known)
    for sentence in (*index.warnings, *notes, *headers, *predictions.warnings):
        print(f"Warning: {sentence}", file=sys.stderr)
    text = evaluation_text(
        metrics, evaluation.title,
        decides_by(space, point) + recalibrated_by(predictor.recalibration),
        predictive=arguments.prevalence is not None,
    )  # fmt: skip
    return Result(name, folder, metrics, text)


def choose_operating_point(
    arguments: argparse.Namespace,
    predictor: "Predictor",
    index: "Index",
    targets: "npt.NDArray[np.float32]",
    predictions: "Predictions",
) -> "Predictor":
    """The predictor with what --target and --recalibrate choose by `predictions`, which it keeps.

    A recalibration stays where only thresholds are chosen anew, and where only that is, thresholds
    are mapped along, so that no decision changes.
    """
    from covid.data.samples import digest, rows_of
    from covid.edge.operating_point import ChosenOn
    from covid.evaluation.calibration import fit_recalibration, recalibrated
    from covid.evaluation.operating_file import FILE, write_operating_point
    from covid.evaluation.operating_point import choose, default_point, map_along, parse_targets

    space, recalibration, earlier = (
        predictor.space, predictor.recalibration, predictor.operating_point
    )  # fmt: skip
    wanted = parse_targets(arguments.target, space)
    indices = list(predictions.originals)
    patients = [index.samples[i].patient for i in indices]
    chosen_on = ChosenOn(
        "folds" if arguments.split == "folds" else "validation",
        len(indices),
        len(set(patients) - {None}) or None,
        digest(rows_of(index, predictions.originals)),
    )
    probabilities = predictions.probabilities
    if arguments.recalibrate:
        recalibration = fit_recalibration(
            arguments.recalibrate, space, predictions.logits, targets[indices], chosen_on
        )
    if recalibration is not None:
        probabilities = recalibrated(space, predictions.logits, recalibration)
    if wanted:
        point = choose(space, probabilities, targets[indices], patients, wanted, chosen_on)
    elif earlier is not None and recalibration is not None:
        point = map_along(earlier, predictor.recalibration, recalibration, space)
    else:
        point = default_point(
            space, probabilities, targets[indices], patients, chosen_on, recalibration
        )
    kept = point if point.thresholds else None  # of three classes and more the largest decides
    if predictor.is_main_process:
        write_operating_point(predictor.folder, kept, recalibration)
        for note in point.notes:
            print(f"Warning: {note}", file=sys.stderr)
        if (predictor.folder / "export").is_dir():
            print(
                f"Warning: {predictor.folder / 'export'} holds files that were exported before "
                f"{FILE} was chosen; run export.py again.",
                file=sys.stderr,
            )
    return replace(predictor, operating_point=kept, recalibration=recalibration)


def compare_sites(
    arguments: argparse.Namespace, predictor: "Predictor", results: Sequence[Result]
) -> tuple[str, Path]:
    """Sites beside each other and beside the run's own images, where these were evaluated.

    external.json and external.png go where the own evaluation lies, whose report takes them in.
    Returns the table, and that folder.
    """
    from covid.data.predictor import open_own_images
    from covid.errors import DataError
    from covid.evaluation.external import Site, external_report
    from covid.evaluation.external_text import external_table
    from covid.evaluation.forest import plot_external
    from covid.evaluation.html_report import write_html
    from covid.evaluation.report import METRICS, write_json
    from covid.training.run import read_json

    folder = arguments.output or predictor.folder / "evaluation" / arguments.split
    own = None
    metrics = read_json(folder / METRICS)
    if predictor.open_own is not None and metrics is not None and metrics.get("site") is not None:
        own = Site(f"{metrics['data']}, {metrics['split']}", metrics, metrics["site"])
    sites = [Site(each.name, each.metrics, each.metrics["site"]) for each in results]
    report = external_report(own, sites)
    write_json(folder / "external.json", report)
    title = f"{predictor.name} at {len(sites)} sites"
    plot_external(folder / "external.png", report, title)
    if own is not None:
        try:
            index = open_own_images(predictor)
        except DataError:  # they lie elsewhere now, and only their ages and views are missed
            index = None
        known = about_run(predictor, index)
        write_html(folder, f"{predictor.name} on {own.name}", own.metrics, **known, external=report)
    return external_table(report), folder


def about_run(predictor: "Predictor", index: "Index | None") -> dict[str, Any]:
    """What the report says of the run: its images, `index` where they are at hand, its files."""
    from covid.training.run import read_json

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


def rows_of_samples(index: "Index", indices: Sequence[int]) -> list[dict[str, str]]:
    """Split, label, patient, and what the manifest knows of the images at `indices`."""
    return [
        {
            **{name: sample.columns.get(name, "") for name in ("source", "view", "sex", "age")},
            "split": sample.split, "label": sample.label, "patient": sample.patient or "",
        }
        for sample in (index.samples[i] for i in indices)
    ]  # fmt: skip


def open_trained(arguments: argparse.Namespace) -> "Predictor":
    """An exported file where it is named like one, else a run or its folds, by default the newest.

    Raises ConfigError for options that do not go together.
    """
    trained = arguments.trained
    if arguments.data is None:
        for option in ("label", "allow_seen"):
            if getattr(arguments, option):
                raise ConfigError(
                    f"--{option.replace('_', '-')}: is about other images than the run's own; "
                    f"name them with --data ROOT."
                )
    else:
        names = ["+".join(root.resolve().name for root in roots) for roots in arguments.data]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(
                f"--data: two sites are called {', '.join(twice)}, and the second's files would "
                f"replace the first's; rename a folder."
            )
    if trained is None or trained.suffix.lower() != ".onnx":
        if arguments.split == "folds":
            from covid.training.open_folds import open_folds

            return open_folds(trained)
        from covid.training.open_run import open_run

        return open_run(trained)
    if arguments.target or arguments.recalibrate:
        raise ConfigError(
            f"{trained}: the thresholds of an ONNX file are chosen by images of the place where it "
            f"will run; see python calibrate.py --help."
        )
    if arguments.data is None:
        raise ConfigError(f"{trained}: an ONNX file carries no images; name some with --data ROOT.")
    from covid.export.open_file import open_file

    return open_file(trained)


def main() -> int:
    arguments = parse_arguments()
    # As all else that goes wrong: one sentence, without the line of code that it comes from.
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    return exit_code(lambda: evaluate(arguments), "Interrupted.")


if __name__ == "__main__":
    sys.exit(main())
