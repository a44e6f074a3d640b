"""Evaluates a trained network on images that it was not trained on.

    python evaluate.py                      the newest finished run, on its test split
    python evaluate.py runs/NAME --split folds --target sensitivity=0.95
    python evaluate.py runs/NAME --data my/images --label tuberculosis=pneumonia
    python evaluate.py model.onnx --data my/images      an exported network, without PyTorch
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from covid.errors import ConfigError, exit_code

if TYPE_CHECKING:
    from covid.data.predictor import Predictor


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
        "--shortcuts", action="store_true",
        help="test on changed images whether it cheats; adds shortcuts.json and shortcuts.png",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR",
        help="default: RUN/evaluation/SPLIT; for an ONNX file, evaluation/ROOT-SPLIT beside it",
    )  # fmt: skip
    return parser.parse_args()


def evaluate(arguments: argparse.Namespace) -> int:
    """Opens what is trained, evaluates each site; files to folders, figures to the terminal.

    Of several processes all predict and one writes. Returns the exit code.
    """
    # Imported here, and below, because they take time that --help should not, and torch only for
    # a run.
    from covid.assessment.assess import assess
    from covid.assessment.choose import choose_operating_point
    from covid.assessment.sites import lay_beside
    from covid.data.predictor import (
        check_images,
        indices_of,
        open_other_images,
        open_own_images,
        renamed_by_site,
    )
    from covid.evaluation.operating.predictive_values import prevalences
    from covid.evaluation.operating.targets import parse_targets

    shares, split = prevalences(arguments.prevalence), arguments.split
    predictor = open_trained(arguments)
    wanted = parse_targets(arguments.target, predictor.space)
    chosen_on = "folds" if split == "folds" else "validation"
    sites: list[list[Path] | None] = arguments.data or [None]
    labels = renamed_by_site(arguments.data, arguments.label) if arguments.data else [[]]
    folder = arguments.output or predictor.folder / "evaluation" / split
    assessed = []
    for roots, renamed in zip(sites, labels, strict=True):
        if roots is None:
            index, own = open_own_images(predictor), True
        else:
            index, own = open_other_images(predictor, roots, renamed)
        predictions = None
        if wanted or arguments.recalibrate:
            if not own:
                raise ConfigError(
                    "--target, --recalibrate: are chosen on the run's own images; leave --data "
                    "out, and evaluate others by what was chosen after that."
                )
            predictions = predictor.predict(index, indices_of(index, chosen_on), chosen_on)
            check_images(predictor, index, predictions.originals, own=True, allow_seen=False)
            predictor, notes = choose_operating_point(
                predictor, index, chosen_on, predictions, wanted, arguments.recalibrate
            )
            warn(notes if predictor.is_main_process else [])
        place = folder if roots is None else folder.with_name(f"{index.name}-{split}")
        if arguments.output:
            place = folder / f"{index.name}-{split}" if len(sites) > 1 else folder
        result = assess(
            predictor, index, split, place, own=own, allow_seen=arguments.allow_seen,
            prevalences=shares, print_predictive_values=arguments.prevalence is not None,
            predictions=predictions if split == chosen_on else None,
            shortcuts=arguments.shortcuts,
        )  # fmt: skip
        if result is not None:
            warn(result.warnings)
            assessed.append(result)
    if not assessed:
        return 0
    if len(assessed) > 1:
        print(lay_beside(predictor, assessed, folder))
        print(f"\n{folder} holds external.json, external.png; each site has a folder of its own.")
    else:
        print(assessed[0].text)
        print(f"\n{assessed[0].folder} holds report.html, metrics.json, predictions.csv, pictures.")
    for result in assessed:
        if result.shortcuts is not None:
            print(f"\n{result.shortcuts}")
    print("For learning and research, not for diagnosis.")
    return 0


def warn(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        print(f"Warning: {sentence}", file=sys.stderr)


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
            if arguments.shortcuts:
                raise ConfigError(
                    "--shortcuts: is about one network, and --split folds is about several; name "
                    "the run of one fold."
                )
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
