"""Runs the study's experiments and writes its tables, ours beside the published figures.

    python benchmarks/reproduce.py --data data                          all of them
    python benchmarks/reproduce.py resnet18_multilabel --data data --scratch

`--data` is a folder that holds xray2 (infected, normal) and xray3 (covid, normal, pneumonia).
Each is trained on the training images, for validation and test; those that train in under ten
minutes on 2 CPU cores are cross-validated too, by five folds. What is finished is not run again,
so the command can be stopped and called again. The published images are not public any more: ours
are other images, and the figures do not measure the same.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

# The project is no installed package.
from benchmarks.commands import call  # noqa: E402
from benchmarks.figures import Figure, figure, write_figures  # noqa: E402
from covid.config import load_config  # noqa: E402
from covid.edge.files import write_atomically  # noqa: E402
from covid.edge.table import format_table  # noqa: E402
from covid.errors import exit_code  # noqa: E402
from covid.evaluation.comparison.compare import Difference, compare  # noqa: E402
from covid.evaluation.prediction_file import read_predictions  # noqa: E402
from covid.evaluation.report import read_json  # noqa: E402
from covid.export.markdown import figure as with_interval  # noqa: E402
from covid.export.markdown import table  # noqa: E402
from covid.training import run  # noqa: E402
from covid.training.crossval import require_same_config  # noqa: E402


class Published(NamedTuple):
    """A row of the study's tables, empty where it has no figure."""

    test_accuracy: float | None = None
    test_f1_of_normal: float | None = None
    validation_accuracy: float | None = None
    validation_macro_f1: float | None = None


# "Covid-19 classification using Chest X-Ray Dataset", Information Technology University, Lahore,
# 2020. Binary: validation accuracy is after six epochs. Multilabel: accuracy of whole subsets.
BINARY = {
    "vgg16_binary_head": Published(0.953, 0.961, 0.891),
    "vgg16_binary_conv1": Published(validation_accuracy=0.896),
    "vgg16_binary_conv3": Published(validation_accuracy=0.910),
    "vgg16_binary_all": Published(0.973, 0.978, 0.896),
    "resnet18_binary_head": Published(0.925, 0.938, 0.859),
    "resnet18_binary_block1": Published(validation_accuracy=0.895),
    "resnet18_binary_block2": Published(validation_accuracy=0.912),
    "resnet18_binary_all": Published(0.968, 0.973, 0.908),
    "efficientnet_lite0_binary_head": Published(),
    "efficientnet_lite0_binary_block1": Published(),
    "efficientnet_lite0_binary_block2": Published(),
    "efficientnet_lite0_binary_all": Published(),
    "efficientnet_lite0_binary": Published(),
    "resnet18_binary_scratch": Published(),
    "densenet121_binary_scratch": Published(),
}
MULTILABEL = {
    "vgg16_multilabel": Published(validation_accuracy=0.952, validation_macro_f1=0.899),
    "vgg16_multilabel_focal": Published(validation_accuracy=0.952, validation_macro_f1=0.920),
    "resnet18_multilabel": Published(validation_accuracy=0.957, validation_macro_f1=0.913),
    "resnet18_multilabel_focal": Published(validation_accuracy=0.935, validation_macro_f1=0.882),
    "densenet121_multilabel": Published(),
    "efficientnet_lite0_multilabel": Published(),
    "efficientnet_lite0_multilabel_bce": Published(),
    "efficientnet_lite0_multilabel_focal": Published(),
    "resnet18_multilabel_scratch": Published(),
    "densenet121_multilabel_scratch": Published(),
}
EXPERIMENTS = BINARY | MULTILABEL
# The study's question: the same network by binary cross-entropy and by focal loss with gamma 3.
LOSSES = (
    ("vgg16_multilabel", "vgg16_multilabel_focal"),
    ("resnet18_multilabel", "resnet18_multilabel_focal"),
    ("efficientnet_lite0_multilabel_bce", "efficientnet_lite0_multilabel_focal"),
)
PARTLY_FROZEN = ("_head", "_block1", "_block2", "_conv1", "_conv3")
FOLDS = 5
ONE_SPLIT = ("vgg16", "densenet121")  # these train for ten minutes and more on 2 cores
SPLITS = ("folds", "validation", "test")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Run the study's experiments; write ours beside the published figures."
    )
    parser.add_argument(
        "experiments", nargs="*", choices=[[], *EXPERIMENTS], metavar="EXPERIMENT",
        help=f"names of configs (default: all {len(EXPERIMENTS)})",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=PROJECT / "data", help="folder of xray2 and xray3"
    )
    parser.add_argument(
        "--scratch", action="store_true",
        help="train VGG-16, ResNet-18 and DenseNet-121 from random weights, where ImageNet's "
        "cannot be had: whole networks only",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=PROJECT / "runs" / "reproduce", help="where the runs go"
    )
    parser.add_argument(
        "--report-only", action="store_true", help="train nothing; report the finished runs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def from_random(name: str, scratch: bool) -> bool:
    return scratch and not name.startswith("efficientnet")


def reason_to_skip(name: str, scratch: bool) -> str | None:
    """Why an experiment would mean nothing, or None."""
    if from_random(name, scratch) and name.endswith(PARTLY_FROZEN):
        return "what is frozen must come from ImageNet, whose weights are not here"
    return None


def run_experiment(name: str, data: Path, output: Path, scratch: bool) -> None:
    """Trains and evaluates what of one experiment is not finished. Raises UserError."""
    folder = output / name
    settings = [f"data.root={(data / ('xray2' if name in BINARY else 'xray3')).absolute()}"]
    if from_random(name, scratch):
        settings.append("model.weights=none")
    config = PROJECT / "configs" / f"{name}.yaml"
    chosen = ["--config", str(config), *(f"--set={setting}" for setting in settings)]
    require_same_config(folder, load_config(config, settings), remove=folder)
    if run.status(folder) != "finished":
        unfinished = ["--resume"] if (folder / "config.yaml").is_file() else []
        call("train.py", *chosen, "--output", str(folder), *unfinished)
    for split in ("validation", "test"):
        if not (folder / "evaluation" / split / "metrics.json").is_file():
            call("evaluate.py", str(folder), "--split", split)
    folds = folder / "evaluation" / "folds" / "metrics.json"
    if not name.startswith(ONE_SPLIT) and not folds.is_file():
        call("-m", "covid.training.crossval", *chosen, "--folds", str(FOLDS),
             "--output", str(folder))  # fmt: skip


def read(folder: Path, split: str) -> dict[str, Any] | None:
    """The metrics of one split of a finished run, or None."""
    path = folder / "evaluation" / split / "metrics.json"
    return read_json(path) if path.is_file() else None


def f1_of_normal(metrics: dict[str, Any]) -> str:
    normal = metrics["per_class"]["normal"]
    return with_interval({"value": normal["f1"], **normal["intervals"]["f1"]})


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def trained_from(folder: Path) -> str:
    return "random" if load_config(folder / "config.yaml").model.weights == "none" else "ImageNet"


BINARY_HEADER = (
    "experiment", "published: test accuracy", "test F1 of normal", "validation accuracy",
    "ours from", "five folds: accuracy", "test accuracy", "test F1 of normal",
    "validation accuracy",
)  # fmt: skip
MULTILABEL_HEADER = (
    "experiment", "published: validation accuracy", "validation macro F1",
    "ours from", "five folds: accuracy", "five folds: macro F1", "validation accuracy",
    "validation macro F1", "test accuracy", "test macro F1",
)  # fmt: skip


def row(name: str, output: Path, scratch: bool) -> list[str]:
    """The published figures of an experiment, then ours, or why there are none."""
    published, binary = EXPERIMENTS[name], name in BINARY
    cells = [name, *(number(value) for value in (published[:3] if binary else published[2:]))]
    folds, validation, test = (read(output / name, split) for split in SPLITS)
    if validation is None or test is None:
        header = BINARY_HEADER if binary else MULTILABEL_HEADER
        reason = reason_to_skip(name, scratch) or "not run"
        return [*cells, reason, *[""] * (len(header) - len(cells) - 1)]
    keys = ("accuracy",) if binary else ("accuracy", "macro_f1")
    ours = [trained_from(output / name),
            *(with_interval(folds[key]) if folds else "" for key in keys)]  # fmt: skip
    if binary:
        ours += [with_interval(test["accuracy"]), f1_of_normal(test),
                 with_interval(validation["accuracy"])]  # fmt: skip
    else:
        ours += [with_interval(metrics[key]) for metrics in (validation, test) for key in keys]
    return cells + ours


# The figures that the two losses are compared by, and their class.
COMPARED = (("accuracy", None), ("macro_f1", None), ("auroc", "covid"), ("auroc", "normal"),
            ("brier", "normal"))  # fmt: skip
LOSSES_HEADER = ("focal less binary cross-entropy", "images", "accuracy", "macro F1",
                 "AUROC of covid", "AUROC of normal", "Brier of normal")  # fmt: skip


def loss_rows(names: Sequence[str], output: Path) -> list[list[str]]:
    """Of each network that was trained by both losses: what focal loss changes, over patients."""
    rows = []
    for pair in LOSSES:
        evaluated = [output / name / "evaluation" for name in pair]
        for split in ("folds", "test"):
            files = [place / split / "predictions.csv" for place in evaluated]
            if set(pair) <= set(names) and all(file.is_file() for file in files):
                first, second = (read_predictions(file) for file in files)
                found = {(each.metric.name, each.of): each
                         for each in compare(first, second, pair).differences}  # fmt: skip
                rows.append([pair[0], f"{len(first.names)}, {split}",
                             *(difference(found[key]) for key in COMPARED)])  # fmt: skip
                break
    return rows


def difference(found: Difference) -> str:
    """With its 95 % interval; empty where it is not defined."""
    if found.value is None or found.low is None or found.high is None:
        return ""
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def figures(names: Sequence[str], output: Path) -> list[Figure]:
    """One object per figure; these have no targets."""
    results = []
    for name in names:
        for split in SPLITS:
            metrics = read(output / name, split)
            for key in ("accuracy", "macro_f1") if metrics else ():
                assert metrics is not None
                details = {**metrics[key], "images": metrics["images"],
                           "from": trained_from(output / name)}  # fmt: skip
                results.append(figure(
                    f"{name} {split} {key}", metrics[key]["value"], "", details=details
                ))  # fmt: skip
    return results


def reproduce(arguments: argparse.Namespace) -> int:
    names = arguments.experiments or list(EXPERIMENTS)
    output = arguments.output
    for name in names if not arguments.report_only else ():
        reason = reason_to_skip(name, arguments.scratch)
        if reason:
            print(f"{name}: left out: {reason}")
        else:
            run_experiment(name, arguments.data, output, arguments.scratch)
    sections = []
    for header, rows in (
        (BINARY_HEADER, [row(name, output, arguments.scratch) for name in names if name in BINARY]),
        (MULTILABEL_HEADER,
         [row(name, output, arguments.scratch) for name in names if name in MULTILABEL]),
        (LOSSES_HEADER, loss_rows(names, output)),
    ):  # fmt: skip
        if rows:
            print(f"\n{format_table(header, rows)}")
            sections += table(header, rows)
    write_atomically(output / "tables.md", "\n\n".join(sections) + "\n")
    print(f"\nThe tables are in {output / 'tables.md'}. Ours are other images than the study's.")
    if arguments.json:
        write_figures(arguments.json, figures(names, output))
    return 0


def main() -> int:
    arguments = parse_arguments()
    return exit_code(
        lambda: reproduce(arguments), "Interrupted; the same command goes on from here."
    )


if __name__ == "__main__":
    sys.exit(main())
