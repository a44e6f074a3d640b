"""Compares networks on the same images, from what evaluate.py said of each; needs no PyTorch.

    python compare.py runs/ONE runs/OTHER                   their answers on the test split
    python compare.py one.csv other.csv third.csv           each of the others with the first
    python compare.py runs/ONE runs/OTHER --split folds --output comparison
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid.errors import ConfigError, DataError, RunError, exit_code
from covid.project import command

if TYPE_CHECKING:
    from covid.evaluation.comparison.compare import Comparison

SPLITS = ("train", "validation", "test", "folds")
PREDICTIONS = "predictions.csv"
RUN_FILES = ("config.yaml", "best.safetensors", "summary.json", "evaluation")
NETWORKS = (".onnx", ".safetensors", ".pth")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Compare networks on the same images: how their figures differ, with "
        "intervals, and on which images they do. For learning and research, not for diagnosis."
    )
    what = "a run folder, an evaluation's folder, or its predictions.csv"
    parser.add_argument("first", type=Path, metavar="RUN_OR_PREDICTIONS", help=what)
    parser.add_argument(
        "others", type=Path, nargs="+", metavar="RUN_OR_PREDICTIONS",
        help="the same of another network; of several, each is compared with the first",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=SPLITS, help="which evaluation of a run is read (default: test)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR",
        help="writes comparison.json, comparison.csv and comparison.png there "
        "(default: the terminal alone)",
    )  # fmt: skip
    return parser.parse_args()


def compare_networks(arguments: argparse.Namespace) -> int:
    """Reads all files before the first comparison. Returns the exit code."""
    # Imported here because numpy takes its time, and --help should not.
    from covid.edge.card import INTENDED_USE
    from covid.evaluation.comparison.compare import compare
    from covid.evaluation.comparison.network import network_notes
    from covid.evaluation.comparison.report import comparison_text
    from covid.evaluation.prediction_file import read_predictions

    given = [arguments.first, *arguments.others]
    paths = find_predictions(given, arguments.split)
    first, *others = files = [read_predictions(path) for path in paths]
    for path, file in zip(paths, files, strict=True):
        check_whole(path, len(file.names))
    comparisons = []
    for name, path, other in zip(given[1:], paths[1:], others, strict=True):
        comparison = compare(first, other, (str(given[0]), str(name)))
        doubts = doubts_of_images(paths[0], path, all_in_both=comparison.left_out == (0, 0))
        abouts = (_about(each.with_name("metrics.json")) for each in (paths[0], path))
        networks = network_notes(*abouts, same_probabilities=comparison.same_probabilities)
        comparisons.append(replace(comparison, notes=(*doubts, *networks, *comparison.notes)))
        print(comparison_text(comparisons[-1]), end="\n\n")
    if arguments.output:
        write_comparisons(arguments.output, comparisons)
        print(f"{arguments.output} holds comparison.json, comparison.csv, comparison.png.")
    print(INTENDED_USE)
    return 0


def find_predictions(given: Sequence[Path], split: str | None) -> list[Path]:
    """The predictions.csv of each that is a folder, and what is none as it is.

    Raises ConfigError, RunError and DataError.
    """
    runs = [path.is_dir() and any((path / name).exists() for name in RUN_FILES) for path in given]
    if split and not any(runs):
        raise ConfigError(f"--split {split}: is about run folders, and none is among what is "
                          f"compared; leave it out.")  # fmt: skip
    return [
        _of_run(path, split or "test") if run else _of_evaluation(path)
        for path, run in zip(given, runs, strict=True)
    ]


def _of_run(run: Path, split: str) -> Path:
    path = run / "evaluation" / split / PREDICTIONS
    if not path.is_file():
        other = "" if split == "test" else f" --split {split}"
        raise RunError(f"{run}: has no evaluation/{split}/{PREDICTIONS}; make it with "
                       f"`{command('evaluate')} {run}{other}`.")  # fmt: skip
    return path


def _of_evaluation(path: Path) -> Path:
    if path.suffix.lower() in NETWORKS:
        raise DataError(
            f"{path}: is a network; compare {PREDICTIONS} of its evaluation, which "
            f"`{command('evaluate')}` writes."
        )
    if not path.is_dir():
        return path
    if not (path / PREDICTIONS).is_file():
        raise DataError(f"{path}: is neither a run nor an evaluation, for want of {PREDICTIONS}.")
    return path / PREDICTIONS


def check_whole(path: Path, images: int) -> None:
    """Raises DataError where the figures beside a file are of more images than its rows."""
    evaluated = _about(path.with_name("metrics.json")).get("images", images)
    if evaluated != images:
        raise DataError(f"{path}: has {images} rows, and metrics.json beside it is of {evaluated} "
                        f"images; get the whole file, or evaluate again.")  # fmt: skip


def doubts_of_images(first: Path, second: Path, *, all_in_both: bool) -> list[str]:
    """Whether images of the same name may be others, by what metrics.json says beside either file.

    Folders of two hospitals can both have a `test/normal/1.png`.
    """
    abouts = [_about(path.with_name("metrics.json")) for path in (first, second)]
    data, digests = ([about.get(key) for about in abouts] for key in ("data", "samples_sha256"))
    if None not in data and data[0] != data[1]:
        return [f"The first was evaluated on {data[0]}, the second on {data[1]}: images of the "
                f"same name may be others."]  # fmt: skip
    if all_in_both and None not in digests and digests[0] != digests[1]:
        return ["The two evaluations name the same images, but by samples_sha256 these or what is "
                "known of them are not the same."]  # fmt: skip
    return []


def _about(path: Path) -> dict[str, Any]:
    """Empty where there is no such file, or it is no object of ours: predictions are all we need.
    """
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def write_comparisons(folder: Path, comparisons: Sequence["Comparison"]) -> None:
    """Three files, each whole or not at all. Raises StorageError."""
    from covid.edge.card import INTENDED_USE
    from covid.edge.files import write_atomically
    from covid.evaluation.comparison.plot import plot_differences
    from covid.evaluation.comparison.report import comparison_csv, comparison_fields

    fields = {
        "first": comparisons[0].names[0],
        "comparisons": [comparison_fields(comparison) for comparison in comparisons],
        "intended_use": INTENDED_USE,
    }
    text = json.dumps(fields, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / "comparison.json", f"{text}\n")
    write_atomically(folder / "comparison.csv", comparison_csv(comparisons))
    plot_differences(folder / "comparison.png", comparisons)


def main() -> int:
    arguments = parse_arguments()
    return exit_code(lambda: compare_networks(arguments), "Interrupted.")


if __name__ == "__main__":
    sys.exit(main())
