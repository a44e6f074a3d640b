"""What each part of a recipe is worth, in its own collection and in other hospitals.

    python benchmarks/ablation.py --data data                           every row, hours
    python benchmarks/ablation.py --data data --rows recipe before      some of them
    python benchmarks/ablation.py --data data --rows resnet18_binary_all resnet18_binary_scratch

`--data` is a folder that holds xray3, xray2, montgomery and jsrt. Each row changes one thing of
configs/efficientnet_lite0_multilabel.yaml, or is another config as it stands, by its name, and is
cross-validated by patient; the network of each fold is evaluated on what it was not trained on and
on both hospitals. Figures are means over
the networks of a row; differences are from the first row over the same patients. What is finished
is not run again, so the command can be stopped and called again.
"""

import argparse
import csv
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

# The project is no installed package.
from benchmarks.commands import call  # noqa: E402
from benchmarks.figures import Figure, figure, write_figures  # noqa: E402
from covid.config import load_config  # noqa: E402
from covid.data.folds import Fold  # noqa: E402
from covid.edge.files import write_atomically  # noqa: E402
from covid.edge.images import read_grey  # noqa: E402
from covid.edge.table import format_table  # noqa: E402
from covid.errors import exit_code  # noqa: E402
from covid.evaluation.comparison.compare import Difference, compare  # noqa: E402
from covid.evaluation.prediction_file import (  # noqa: E402
    Cell,
    PredictionFile,
    read_predictions,
)
from covid.export.markdown import table  # noqa: E402

CONFIGS = PROJECT / "configs"
CONFIG = CONFIGS / "efficientnet_lite0_multilabel.yaml"
# The parts of its data.augment, and others that were tried.
EQUALIZE = "name: equalize, share: [0, 1]"
LEVELS = ("name: gamma, range: [0.7, 1.4]", "name: contrast, range: 0.3",
          "name: brightness, range: 0.15")  # fmt: skip
NOISE_AND_BLUR = ("name: noise, deviation: 0.04", "name: blur, sigma: 1.5")
CUTOUT = "{name: cutout, size: [0.1, 0.4]}"
MIXUP = "{name: mixup, alpha: 0.4}"


def augment(*parts: str) -> str:
    return f"data.augment=[{', '.join(parts)}]"


def drawn(probability: float, *parts: str) -> str:
    """These augmentations, each for so many of the images."""
    return ", ".join(f"{{{part}, probability: {probability}}}" for part in parts)


GREYS = drawn(0.5, EQUALIZE, *LEVELS)
SHARPNESS = drawn(0.35, *NOISE_AND_BLUR)
GEOMETRY = "name: affine, degrees: 20, scale: 0.4, shift: 0.25, shear: 8"
AFFINE = drawn(0.2, GEOMETRY)
OFTENER = augment(drawn(1, EQUALIZE, *LEVELS), drawn(0.7, *NOISE_AND_BLUR), drawn(0.3, GEOMETRY))


def trainable(first: int, last: int, *others: str) -> str:
    """The blocks from `first` to `last`, and `others`."""
    blocks = [f"blocks.{number}" for number in range(first, last + 1)]
    return f"model.trainable=[{', '.join([*blocks, *others])}]"


# What each row has otherwise than the config.
ROWS: dict[str, list[str]] = {
    "recipe": [],
    # The config before: the whole network, chosen on one validation split.
    "before": [
        "model.until=null", "data.image_size=256", augment(), trainable(2, 6, "conv_head", "bn2"),
        "optimizer.lr=0.0005", "scheduler.max_lr=0.0005", "epochs=8", "select_by=accuracy",
        "ema=0.97", "loss.positive_weight=null",
    ],
    "whole-network": ["model.until=null", trainable(4, 6, "conv_head", "bn2")],
    "until-blocks.4": ["model.until=blocks.4", "model.trainable=[blocks.4]"],
    "until-blocks.5": ["model.until=blocks.5"],
    "from-block-3": [trainable(3, 5)],
    "every-layer": ["model.trainable=all"],
    "layer-decay": ["model.trainable=all", "optimizer.layer_decay=0.7"],
    "head-first": ["stages=[{epochs: 5, model.trainable: head}, {epochs: 15}]"],
    "flip-alone": [augment()],
    "without-greys": [augment(SHARPNESS, AFFINE)],
    "without-noise-and-blur": [augment(GREYS, AFFINE)],
    "without-affine": [augment(GREYS, SHARPNESS)],
    "affine-first": [augment(AFFINE, GREYS, SHARPNESS)],
    "affine-for-most": [augment(GREYS, SHARPNESS, drawn(0.7, GEOMETRY))],
    "oftener": [OFTENER],
    "oftener-unweighted": [OFTENER, "loss.positive_weight=null", "epochs=30"],
    "with-cutout": [augment(GREYS, SHARPNESS, AFFINE, CUTOUT)],
    "with-mixup": [augment(GREYS, SHARPNESS, AFFINE, MIXUP)],
    "10-epochs": ["epochs=10"],
    "40-epochs": ["epochs=40"],
    "128-pixels": ["data.image_size=128"],
    "224-pixels": ["data.image_size=224"],
    "unweighted": ["loss.positive_weight=null"],
    "binary-cross-entropy": ["loss={name: bce, positive_weight: balanced}"],
    "ema-0.97": ["ema=0.97"],
    "equalized-images": [augment(drawn(0.5, *LEVELS), SHARPNESS, AFFINE)],
    "stretched-images": [],
    "with-children": [
        "data.root=[DATA/xray3, DATA/xray2]", "data.labels.infected=[pneumonia]",
    ],
}  # fmt: skip
# Rows whose images are changed before all else, in training and in evaluation.
CHANGED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "equalized-images": ImageOps.equalize,
    "stretched-images": partial(ImageOps.autocontrast, cutoff=1),  # percent at either end
}
# What differs there from xray3 is the hospital, and the disease: tuberculosis is no pneumonia, and
# hardly a nodule of JSRT shows at 160 pixels, so how many of its healthy are called so says more.
SITES = {"montgomery": "tuberculosis", "jsrt": "nodule"}
INSIDE = "five folds"
# The figures of a row: of which images, which one, of which class.
COLUMNS = {
    "accuracy": (INSIDE, "accuracy", None),
    "AUROC of normal": (INSIDE, "auroc", "normal"),
    "Montgomery: AUROC of normal": ("montgomery", "auroc", "normal"),
    "JSRT: AUROC of normal": ("jsrt", "auroc", "normal"),
    "JSRT: recall of normal": ("jsrt", "recall", "normal"),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure what each part of a recipe is worth, inside and in other hospitals."
    )
    parser.add_argument(
        "--data", type=Path, default=PROJECT / "data",
        help="folder of xray3, xray2, montgomery and jsrt",
    )  # fmt: skip
    parser.add_argument(
        "--rows", nargs="+", metavar="ROW", default=[*ROWS],
        choices=[*ROWS, *sorted(path.stem for path in CONFIGS.glob("*.yaml"))],
        help="rows, or names of configs that have a label normal; the first is what the others are "
        f"compared with (default: {', '.join(ROWS)})",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="as for train.py, in every row; repeatable",
    )  # fmt: skip
    parser.add_argument("--folds", type=int, default=5, help="how many networks a row (default: 5)")
    parser.add_argument(
        "--output", type=Path, default=PROJECT / "runs" / "ablation", help="where the runs go"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def config_and_settings(row: str) -> tuple[Path, list[str]]:
    """The config of a row and what it has otherwise; a config's name is a row of its own."""
    return (CONFIG, ROWS[row]) if row in ROWS else (CONFIGS / f"{row}.yaml", [])


def run_row(name: str, arguments: argparse.Namespace) -> None:
    """Trains and evaluates what of a row is not finished. Raises UserError."""
    folder, data = arguments.output / name, arguments.data.absolute()
    path, own = config_and_settings(name)
    config = load_config(path)
    collection = Path(config.data.roots[0]).name
    ill = "pneumonia" if "pneumonia" in config.data.labels else "infected"
    if name in CHANGED:
        for changed in (collection, *SITES):
            write_changed(data / changed, folder / "data" / changed, CHANGED[name])
        data = folder.absolute() / "data"
    own = [setting.replace("DATA", str(data)) for setting in own]
    settings = [f"data.root={data / collection}", *own, *arguments.set]
    call("-m", "covid.training.crossval", "--config", str(path), "--folds", str(arguments.folds),
         "--output", str(folder), *(f"--set={setting}" for setting in settings))  # fmt: skip
    for network in networks(folder, arguments.folds):
        if not all(outside(network, site).is_file() for site in SITES):
            sites = [f"--data={data / site}" for site in SITES]
            labels = [f"--label={theirs}={ill}" for theirs in SITES.values()]
            call("evaluate.py", str(network), *sites, *labels)


def write_changed(source: Path, place: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    """A copy of a collection with changed images, under the same names so that they are paired."""
    manifest = source / "manifest.csv"
    if (place / manifest.name).is_file():
        return
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path = place / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            change(read_grey(source / row["path"])).save(path, format="PNG")  # loses nothing
    shutil.copyfile(manifest, place / manifest.name)


def networks(folder: Path, folds: int) -> list[Path]:
    """The run of each fold."""
    return [folder / Fold(number, folds).folder for number in range(1, folds + 1)]


def outside(network: Path, site: str) -> Path:
    """What one network says of another hospital's images."""
    return network / "evaluation" / f"{site}-test" / "predictions.csv"


def predictions(folder: Path, images: str, folds: int) -> PredictionFile:
    """What a row's networks say of `images`.

    In another hospital each of them evaluates every image. There they stand below each other, as
    folds do: a figure that compares probabilities is the mean over the networks, and a patient
    that is drawn brings along what all of them say.
    """
    if images == INSIDE:
        return read_predictions(folder / "evaluation" / "folds" / "predictions.csv")
    files = []
    for network in networks(folder, folds):
        file = read_predictions(outside(network, images))
        names = tuple(f"{network.name}/{name}" for name in file.names)
        files.append(replace(file, names=names, folds=(network.name,) * len(names)))
    return below_each_other(files)


def below_each_other(files: Sequence[PredictionFile]) -> PredictionFile:
    """One file with the rows of all."""

    def chain(columns: Sequence[Sequence[Cell]]) -> tuple[Cell, ...]:
        return tuple(cell for column in columns for cell in column)

    return PredictionFile(
        files[0].classes,
        chain([file.names for file in files]),
        chain([file.cells for file in files]),
        np.concatenate([file.probabilities for file in files]),
        np.concatenate([file.targets for file in files]),
        np.concatenate([file.decisions for file in files]),
        chain([file.patients for file in files]),
        chain([file.sources for file in files]),
        chain([file.folds or () for file in files]),
    )


def differences(name: str, arguments: argparse.Namespace) -> dict[str, Difference]:
    """By column: a row's figure (`second`), the first row's (`first`) and their difference."""
    first, own = (arguments.output / row for row in (arguments.rows[0], name))
    found = {}
    for images in dict.fromkeys(images for images, *_ in COLUMNS.values()):
        before = predictions(first, images, arguments.folds)
        now = predictions(own, images, arguments.folds)
        for each in compare(before, now, (arguments.rows[0], name)).differences:
            found[images, each.metric.name, each.of] = each
    return {title: found[column] for title, column in COLUMNS.items()}


def own_figure(each: Difference) -> str:
    """The row's own; empty where it is not defined."""
    return "" if each.second is None else f"{each.second:.3f}"


def with_interval(each: Difference) -> str:
    """`0.840 (+0.012: -0.010 to +0.034)`: the row's own figure, and its difference."""
    if each.value is None or each.low is None or each.high is None:
        return own_figure(each)
    return f"{own_figure(each)} ({each.value:+.3f}: {each.low:+.3f} to {each.high:+.3f})"


def ablation(arguments: argparse.Namespace) -> int:
    for name in arguments.rows:
        run_row(name, arguments)
    rows, figures = [], list[Figure]()
    for name in arguments.rows:
        found = differences(name, arguments)
        shown = own_figure if name == arguments.rows[0] else with_interval
        rows.append([name, *map(shown, found.values())])
        figures += [
            figure(f"{name}, {title}", each.second, "", details={
                "settings": config_and_settings(name)[1], "less_than": arguments.rows[0],
                "difference": each.value, "low": each.low, "high": each.high,
            })
            for title, each in found.items() if each.second is not None
        ]  # fmt: skip
    header = ["row", *COLUMNS]
    print(f"\n{format_table(header, rows)}")
    write_atomically(arguments.output / "tables.md", "".join(table(header, rows)) + "\n")
    print(f"\nThe table is in {arguments.output / 'tables.md'}.")
    if arguments.json:
        write_figures(arguments.json, figures)
    return 0


def main() -> int:
    arguments = parse_arguments()
    return exit_code(
        lambda: ablation(arguments), "Interrupted; the same command goes on from here."
    )


if __name__ == "__main__":
    sys.exit(main())
