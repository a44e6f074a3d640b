"""Runs the study's experiments and writes its two tables, ours beside the published figures.

    python benchmarks/reproduce.py --data data                          all of them
    python benchmarks/reproduce.py resnet18_multilabel --data data --scratch

`--data` is a folder that holds xray2 (infected, normal) and xray3 (covid, normal, pneumonia).
A finished run is not run again, so the command can be stopped and called again. The published
images are not public any more: ours are other images, and the figures do not measure the same.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from covid.edge.files import write_atomically  # noqa: E402 (the project is no installed package)
from covid.edge.table import format_table  # noqa: E402
from covid.errors import UserError  # noqa: E402

# "Covid-19 classification using Chest X-Ray Dataset", Information Technology University, Lahore,
# 2020: test accuracy, test F1 of normal, validation accuracy after six epochs.
BINARY: dict[str, tuple[float | None, float | None, float | None]] = {
    "vgg16_binary_head": (0.953, 0.961, 0.891),
    "vgg16_binary_conv1": (None, None, 0.896),
    "vgg16_binary_conv3": (None, None, 0.910),
    "vgg16_binary_all": (0.973, 0.978, 0.896),
    "resnet18_binary_head": (0.925, 0.938, 0.859),
    "resnet18_binary_block1": (None, None, 0.895),
    "resnet18_binary_block2": (None, None, 0.912),
    "resnet18_binary_all": (0.968, 0.973, 0.908),
    "efficientnet_lite0_binary_head": (None, None, None),
    "efficientnet_lite0_binary_block1": (None, None, None),
    "efficientnet_lite0_binary_block2": (None, None, None),
    "efficientnet_lite0_binary_all": (None, None, None),
}
# The same: validation subset accuracy and macro F1.
MULTILABEL: dict[str, tuple[float | None, float | None]] = {
    "vgg16_multilabel": (0.952, 0.899),
    "vgg16_multilabel_focal": (0.952, 0.920),
    "resnet18_multilabel": (0.957, 0.913),
    "resnet18_multilabel_focal": (0.935, 0.882),
    "densenet121_multilabel": (None, None),
    "efficientnet_lite0_multilabel": (None, None),
    "efficientnet_lite0_multilabel_focal": (None, None),
}
PARTLY_FROZEN = ("_head", "_block1", "_block2", "_conv1", "_conv3")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Run the study's experiments; write ours beside the published figures."
    )
    parser.add_argument(
        "experiments", nargs="*", choices=[[], *BINARY, *MULTILABEL], metavar="EXPERIMENT",
        help="names of configs (default: all 19)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=PROJECT / "data", help="folder of xray2 and xray3"
    )
    parser.add_argument(
        "--scratch", action="store_true",
        help="train VGG-16 and ResNet-18 from random weights, where ImageNet's cannot be had: "
        "whole networks only",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=PROJECT / "runs" / "reproduce", help="where the runs go"
    )
    parser.add_argument(
        "--report-only", action="store_true", help="train nothing; report the finished runs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def reason_to_skip(name: str, scratch: bool) -> str | None:
    """Why an experiment would mean nothing, or None."""
    if scratch and not name.startswith("efficientnet") and name.endswith(PARTLY_FROZEN):
        return "what is frozen must come from ImageNet, whose weights are not here"
    return None


def run_experiment(name: str, data: Path, output: Path, scratch: bool) -> None:
    """Trains and evaluates one experiment, unless it is finished. Raises UserError."""
    folder = output / name
    settings = [f"data.root={(data / ('xray2' if '_binary_' in name else 'xray3')).absolute()}"]
    if scratch and not name.startswith("efficientnet"):
        settings.append("model.weights=none")
    if not (folder / "summary.json").is_file():
        unfinished = ["--resume"] if (folder / "config.yaml").is_file() else []
        chosen = [part for setting in settings for part in ("--set", setting)]
        call("train.py", "--config", f"configs/{name}.yaml", "--output", folder, *chosen,
             *unfinished)  # fmt: skip
    for split in ("validation", "test"):
        if not (folder / "evaluation" / split / "metrics.json").is_file():
            call("evaluate.py", folder, "--split", split)


def call(script: str, *arguments: str | Path) -> None:
    print(f"\n$ python {script} {' '.join(map(str, arguments))}", flush=True)
    code = subprocess.run([sys.executable, PROJECT / script, *arguments], cwd=PROJECT).returncode
    if code:
        raise UserError(f"{script} ended with exit code {code}; what it said stands above.")


def read(folder: Path, split: str) -> dict[str, Any] | None:
    """The metrics of one split of a finished run, or None."""
    path = folder / "evaluation" / split / "metrics.json"
    return json.loads(path.read_text()) if path.is_file() else None


def with_interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def trained_from(folder: Path) -> str:
    config = (folder / "config.yaml").read_text()
    return "random" if "weights: none" in config else "ImageNet"


def binary_rows(names: Sequence[str], output: Path, scratch: bool) -> list[list[str]]:
    rows = []
    for name in names:
        published = [number(value) for value in BINARY[name]]
        validation, test = read(output / name, "validation"), read(output / name, "test")
        if validation is None or test is None:
            ours = ["", "", "", reason_to_skip(name, scratch) or "not run"]
        else:
            ours = [
                with_interval(test["accuracy"]),
                number(test["per_class"]["normal"]["f1"]),
                with_interval(validation["accuracy"]),
                trained_from(output / name),
            ]
        rows.append([name, *published, *ours])
    return rows


def multilabel_rows(names: Sequence[str], output: Path, scratch: bool) -> list[list[str]]:
    rows = []
    for name in names:
        published = [number(value) for value in MULTILABEL[name]]
        validation, test = read(output / name, "validation"), read(output / name, "test")
        if validation is None or test is None:
            ours = ["", "", "", "", reason_to_skip(name, scratch) or "not run"]
        else:
            ours = [
                *(with_interval(metrics[key]) for metrics in (validation, test)
                  for key in ("accuracy", "macro_f1")),
                trained_from(output / name),
            ]  # fmt: skip
        rows.append([name, *published, *ours])
    return rows


BINARY_HEADER = (
    "experiment", "published test accuracy", "test F1 of normal", "validation accuracy",
    "our test accuracy", "our test F1 of normal", "our validation accuracy", "from",
)  # fmt: skip
MULTILABEL_HEADER = (
    "experiment", "published validation accuracy", "validation macro F1",
    "our validation accuracy", "our validation macro F1", "our test accuracy",
    "our test macro F1", "from",
)  # fmt: skip


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(names: Sequence[str], output: Path) -> list[dict[str, Any]]:
    """One object per figure; these have no targets, so `target` and `holds` are null."""
    results = []
    for name in names:
        for split in ("validation", "test"):
            metrics = read(output / name, split)
            for key in ("accuracy", "macro_f1") if metrics else ():
                assert metrics is not None
                details = {**metrics[key], "images": metrics["images"],
                           "from": trained_from(output / name)}  # fmt: skip
                results.append({
                    "name": f"{name} {split} {key}", "value": metrics[key]["value"], "unit": "",
                    "target": None, "holds": None, "details": details,
                })  # fmt: skip
    return results


def reproduce(arguments: argparse.Namespace) -> None:
    names = arguments.experiments or [*BINARY, *MULTILABEL]
    output = arguments.output
    for name in names if not arguments.report_only else ():
        reason = reason_to_skip(name, arguments.scratch)
        if reason:
            print(f"{name}: left out: {reason}")
        else:
            run_experiment(name, arguments.data, output, arguments.scratch)
    binary = binary_rows([name for name in names if name in BINARY], output, arguments.scratch)
    multilabel = multilabel_rows(
        [name for name in names if name in MULTILABEL], output, arguments.scratch
    )
    sections = []
    for header, rows in ((BINARY_HEADER, binary), (MULTILABEL_HEADER, multilabel)):
        if rows:
            print(f"\n{format_table(header, rows)}")
            sections.append(markdown(header, rows))
    write_atomically(output / "tables.md", "\n\n".join(sections) + "\n")
    print(f"\nThe tables are in {output / 'tables.md'}. Ours are other images than the study's.")
    if arguments.json:
        write_atomically(arguments.json, json.dumps(figures(names, output), indent=2) + "\n")


def main() -> int:
    arguments = parse_arguments()
    try:
        reproduce(arguments)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
