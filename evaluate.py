"""Evaluates a trained network on images that it was not trained on.

    python evaluate.py                      the newest finished run, on its test split
    python evaluate.py runs/NAME --data my/images --label tuberculosis=pneumonia
    python evaluate.py model.onnx --data my/images      an exported network, without PyTorch
"""

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from covid.errors import ConfigError, exit_code

if TYPE_CHECKING:
    from covid.data.predictor import Predictor


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Evaluate a trained network: figures with their intervals, predictions, "
        "pictures. For learning and research, not for diagnosis."
    )
    parser.add_argument(
        "trained", type=Path, nargs="?", metavar="RUN | MODEL.onnx",
        help="a run folder or an exported file (default: the newest finished run)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, nargs="+", action="extend", metavar="ROOT",
        help="other images than the run's own; an ONNX file carries none and needs this",
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
        "--output", type=Path, metavar="DIR",
        help="default: RUN/evaluation/SPLIT; for an ONNX file, evaluation/ROOT-SPLIT beside it",
    )  # fmt: skip
    return parser.parse_args()


def evaluate(arguments: argparse.Namespace) -> int:
    """Opens what is trained and the images, predicts; files to a folder, figures to the terminal.

    Of several processes all predict and one writes. Returns the exit code.
    """
    # Imported here, and below, because they take time that --help should not, and torch only for
    # a run.
    from covid.data.index import targets_of
    from covid.data.predictor import check_images, indices_of, open_other_images, open_own_images
    from covid.data.samples import digest, rows_of
    from covid.data.source import data_name, is_synthetic
    from covid.edge.dicom_header import survey
    from covid.evaluation.report import Evaluation, write_report
    from covid.evaluation.terminal import metrics_table

    predictor, split = open_trained(arguments), arguments.split
    if arguments.data is None:
        index, own = open_own_images(predictor), True
    else:
        index, own = open_other_images(predictor, arguments.data, arguments.label)
    targets = targets_of(predictor.space, index)
    predictions = predictor.predict(index, indices_of(index, split), split)
    seen, notes = check_images(
        predictor, index, predictions.originals, own=own, allow_seen=arguments.allow_seen
    )
    if not predictor.is_main_process:
        return 0

    indices = list(predictions.originals)
    samples = [index.samples[i] for i in indices]
    evaluation = Evaluation(
        title=f"{predictor.name} on {data_name(index)}, {split}",
        about={
            **predictor.about,
            "data": data_name(index),
            "synthetic": is_synthetic(index),
            "split": split,
            "samples_sha256": digest(rows_of(index, predictions.originals)),
            "seen_in_training": seen,
            **predictions.about,
        },
        space=predictor.space,
        probabilities=predictions.probabilities,
        targets=targets[indices],
        names=[sample.name for sample in samples],
        cells=[sample.label for sample in samples],
        patients=[sample.patient for sample in samples],
    )
    place = split if arguments.data is None else f"{index.name}-{split}"
    output = arguments.output or predictor.folder / "evaluation" / place
    metrics = write_report(
        output, evaluation, lambda places: predictions.read_images([indices[i] for i in places])
    )
    headers = survey([sample.path for sample in samples], lateral_known=predictor.lateral_known)
    for sentence in (*index.warnings, *notes, *headers, *predictions.warnings):
        print(f"Warning: {sentence}", file=sys.stderr)
    print(metrics_table(metrics, evaluation.title))
    print(
        f"\n{output} holds metrics.json, predictions.csv, confusion.png, examples.png.\n"
        f"For learning and research, not for diagnosis."
    )
    return 0


def open_trained(arguments: argparse.Namespace) -> "Predictor":
    """An exported file where it is named like one, else a run, by default the newest."""
    trained = arguments.trained
    if arguments.data is None:
        for option in ("label", "allow_seen"):
            if getattr(arguments, option):
                raise ConfigError(
                    f"--{option.replace('_', '-')}: is about other images than the run's own; "
                    f"name them with --data ROOT."
                )
    if trained is None or trained.suffix.lower() != ".onnx":
        if arguments.split == "folds":
            from covid.training.open_folds import open_folds

            return open_folds(trained)
        from covid.training.open_run import open_run

        return open_run(trained)
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
