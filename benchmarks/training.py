"""How long training takes, beside the usual loop: the same images, batches and epochs.

    python benchmarks/training.py --json figures.json          hours on 2 cores
    python benchmarks/training.py --quick                      a check that it works
    python benchmarks/training.py --rows resnet18-head --data data/xray3

The usual loop stands below, in `usual_loop`: torchvision's ImageFolder, one transform per image,
RGB, fp32, a DataLoader, Accelerate. Each side is a process of its own, timed from after its
imports to the trained network, validation included. Let nothing else run meanwhile.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import torch  # noqa: E402 (the project is no installed package)
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from benchmarks.figures import Figure, figure, report_figures  # noqa: E402
from covid.config import Config, load_config  # noqa: E402
from covid.data.phantom import render_set  # noqa: E402
from covid.errors import TrainingError, exit_code  # noqa: E402
from covid.model.networks import build_network  # noqa: E402

LABELS = ("covid", "normal", "pneumonia")
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # what the usual loop normalises by
MATRIX = 4096  # of the product that says how fast this machine multiplies bf16


@dataclass(frozen=True)
class Row:
    """One comparison: what trains, for how long, and how many times as fast it must be."""

    arch: str
    trainable: str
    epochs: int
    least: float


ROWS = {
    "resnet18-head": Row("resnet18", "head", 6, 6.5),
    "resnet18-last-block": Row("resnet18", "[layer4.1]", 6, 5.0),
    "resnet18-whole": Row("resnet18", "all", 6, 2.8),
    "vgg16-head": Row("vgg16", "head", 6, 8.0),
    "vgg16-whole": Row("vgg16", "all", 2, 2.5),
}
SCALE = (500, 2000, 8000)  # images; small ones, since only their number matters
SCALE_SIZE = 64
MAX_EPOCH_SHARE = 0.02  # of the first one: an epoch after the third, head only
MIN_RATE = 0.70  # of the machine's bf16 product, whole ResNet-18
MIN_SPEED_OF_TWO = 0.85  # images/s of two processes over those of one with two threads
SPREAD, GROWTH = 1.15, 100  # time per image, largest over smallest; megabytes


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure training beside the usual loop.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rows", nargs="*", choices=sorted(ROWS), help="default: all of them")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER",
        help="train/, validation/ with covid, normal, pneumonia (default: 600 rendered images of "
        "1024 x 1024 pixels)",
    )  # fmt: skip
    parser.add_argument("--epochs", type=int, help="other than the rows' own")
    parser.add_argument("--quick", action="store_true", help="a check that it works, no figures")
    parser.add_argument("--no-scale", action="store_true", help="leave out how cost grows")
    # A side of the comparison, in a process of its own: not for people.
    parser.add_argument("--side", choices=("usual", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def usual_loop(root: Path, config: Config, workers: int, most: int | None = None) -> float:
    """Fine-tuning as every notebook does it. Returns the last validation accuracy.

    `most` stops after so many batches: to find out how many workers are best.
    """
    import torchvision
    from accelerate import Accelerator
    from torch.utils.data import DataLoader
    from torchvision import transforms

    accelerator = Accelerator(cpu=True, mixed_precision="no")
    torch.manual_seed(config.seed)
    size, space = config.data.image_size, config.label_space
    common = [transforms.Resize((size, size)), transforms.ToTensor(),
              transforms.Normalize(*IMAGENET)]  # fmt: skip
    flips = [transforms.RandomHorizontalFlip()]
    loaders = [
        DataLoader(
            torchvision.datasets.ImageFolder(root / split, transforms.Compose([*extra, *common])),
            batch_size=config.batch_size,
            shuffle=split == "train",
            num_workers=workers,
        )
        for split, extra in (("train", flips), ("validation", []))
    ]
    folders = torchvision.datasets.ImageFolder(root / "train").classes
    targets = torch.from_numpy(space.encode(folders)).float()

    network = getattr(torchvision.models, config.model.arch)(weights=None)
    trainable = config.model.trainable
    for name, parameter in network.named_parameters():
        named = not isinstance(trainable, str) and name.startswith(tuple(trainable))
        parameter.requires_grad = trainable == "all" or named
    features = 25088 if config.model.arch == "vgg16" else 512
    head = torch.nn.Sequential(
        torch.nn.Linear(features, config.model.hidden_units),
        torch.nn.ReLU(),
        torch.nn.Dropout(config.model.dropout),
        torch.nn.Linear(config.model.hidden_units, len(space.classes)),
    )
    setattr(network, "classifier" if config.model.arch == "vgg16" else "fc", head)
    optimizer = torch.optim.SGD(
        [p for p in network.parameters() if p.requires_grad], lr=0.01, momentum=0.9
    )
    loss = torch.nn.BCEWithLogitsLoss()
    network, optimizer, train, validation = accelerator.prepare(network, optimizer, *loaders)
    accuracy = 0.0
    for _ in range(config.epochs):
        network.train()
        for done, (images, labels) in enumerate(train):
            if done == most:
                return accuracy
            accelerator.backward(loss(network(images), targets[labels]))
            optimizer.step()
            optimizer.zero_grad()
        network.eval()
        correct = images_seen = 0
        with torch.inference_mode():
            for images, labels in validation:
                decided = space.decide(network(images).sigmoid().numpy())
                correct += int((decided == targets[labels].bool().numpy()).all(axis=1).sum())
                images_seen += len(labels)
        accuracy = correct / images_seen
    return accuracy


def side(arguments: Namespace) -> dict[str, Any]:
    """One side in this process: seconds, accuracy, and megabytes at the peak."""
    import accelerate  # noqa: F401 (so that its import is not timed)
    import sklearn.metrics  # noqa: F401
    import torchvision  # noqa: F401

    import train
    from covid.training import checkpoint, launch, report, scan  # noqa: F401

    settings = arguments.settings
    config = load_config(Path(settings["config"]), settings["set"])
    root, workers = Path(config.data.roots[0]), settings.get("workers", 0)
    start = time.perf_counter()
    result: dict[str, Any] = {}
    if arguments.side == "usual":
        result["accuracy"] = usual_loop(root, config, workers, settings.get("most"))
    else:
        output = Path(settings["output"])
        code = train.train(
            Namespace(config=Path(settings["config"]), set=settings["set"], output=output,
                      fold=None, resume=False, overwrite=False, accept_changed_data=False)
        )  # fmt: skip
        if code:
            raise TrainingError(f"train.py ended with exit code {code}.")
        if os.environ.get("RANK", "0") != "0":
            return result  # the first of several processes writes the files, and tells
        with (output / "history.csv").open() as file:
            result["history"] = [
                {key: float(value or "nan") for key, value in row.items()}
                for row in csv.DictReader(file)
            ]
        result["accuracy"] = result["history"][-1]["validation_accuracy"]
        result["summary"] = json.loads((output / "summary.json").read_text())
    result["seconds"] = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()  # Linux's own count, in KiB
    result["megabytes"] = int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    return result


def run_side(which: str, settings: dict[str, Any], launcher: Sequence[str] = ()) -> dict[str, Any]:
    """Runs `side` in a new process. Raises TrainingError where it fails."""
    command = [sys.executable, *launcher, __file__, "--side", which,
               "--settings", json.dumps(settings)]  # fmt: skip
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise TrainingError(f"{which}: ended with exit code {done.returncode}; why stands above.")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def settings_of(row: Row, root: Path, folder: Path, *more: str) -> dict[str, Any]:
    return {
        "config": f"configs/{row.arch}_multilabel.yaml",
        "set": [
            f"data.root={root.absolute()}", f"data.cache_dir={(folder / 'cache').absolute()}",
            "model.weights=none", f"model.trainable={row.trainable}", f"epochs={row.epochs}", *more,
        ],
        "output": str((folder / "run").absolute()),
    }  # fmt: skip


def compare(name: str, row: Row, root: Path) -> list[Figure]:
    """The usual loop and ours, each whole; the usual one with the better number of workers."""
    with tempfile.TemporaryDirectory() as temporary:
        settings = settings_of(row, root, Path(temporary))
        probes = {
            workers: run_side("usual", settings | {"workers": workers, "most": 4})["seconds"]
            for workers in (0, 2)
        }
        workers = min(probes, key=lambda one: probes[one])
        usual = run_side("usual", settings | {"workers": workers})
        ours = run_side("ours", settings)
    later = [epoch["seconds"] for epoch in ours["history"]]
    details = {
        "epochs": row.epochs,
        "usual_seconds": round(usual["seconds"], 1),
        "ours_seconds": round(ours["seconds"], 1),
        "usual_accuracy": usual["accuracy"],
        "ours_accuracy": ours["accuracy"],
        "usual_megabytes": round(usual["megabytes"]),
        "ours_megabytes": round(ours["megabytes"]),
        "usual_workers": workers,
        "ours_epoch_seconds": later,
        "ours_images_per_second": [epoch["images_per_second"] for epoch in ours["history"]],
    }
    speed = usual["seconds"] / ours["seconds"]
    figures = [figure(f"{name}: times as fast", speed, "x", least=row.least, details=details)]
    for who in ("usual", "ours"):
        figures.append(figure(f"{name}: {who}, wall time", details[f"{who}_seconds"], "s"))
        figures.append(
            figure(f"{name}: {who}, validation accuracy", details[f"{who}_accuracy"], "")
        )
        figures.append(figure(f"{name}: {who}, peak memory", details[f"{who}_megabytes"], "MB"))
    if row.trainable == "head" and len(later) > 3:
        # What comes before the first epoch, decoding above all, is a part of it.
        first = ours["seconds"] - sum(later[1:])
        share = max(later[3:]) / first
        figures.append(figure(f"{name}: an epoch after the third over the first", share, "",
                            most=MAX_EPOCH_SHARE))  # fmt: skip
    if name == "resnet18-whole":
        figures.append(utilisation(ours["summary"]["images_per_second"], load_config(
            Path(settings["config"]), settings["set"])))  # fmt: skip
    return figures


def utilisation(images_per_second: float, config: Config) -> Figure:
    """How much of the machine's bf16 rate training reaches: a step is three forward passes."""
    network = build_network(
        config.model, len(config.label_space.classes), mean=0.5, std=0.25,
        image_size=config.data.image_size,
    )  # fmt: skip
    size = config.data.image_size
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.zeros(1, 1, size, size, dtype=torch.uint8))
    one, other = (torch.randn(MATRIX, MATRIX, dtype=torch.bfloat16) for _ in range(2))
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        one @ other
        taken.append(time.perf_counter() - start)
    rate = 2 * MATRIX**3 / min(taken)
    reached = 3 * counter.get_total_flops() * images_per_second
    details = {"matrix_product_gflops": rate / 1e9, "training_gflops": reached / 1e9}
    return figure("resnet18-whole: of the machine's bf16 product", reached / rate, "",
                  least=MIN_RATE, details=details)  # fmt: skip


def scale(counts: Sequence[int], folder: Path) -> list[Figure]:
    """Time an image and peak memory, as the number of images grows."""
    seconds, megabytes = [], []
    for count in counts:
        root = render_set(folder / f"{count}", LABELS, images=count, size=SCALE_SIZE)
        with tempfile.TemporaryDirectory() as temporary:
            row = Row("resnet18", "head", 3, 0)
            ours = run_side("ours", settings_of(
                row, root, Path(temporary), f"data.image_size={SCALE_SIZE}"))  # fmt: skip
        # The first epoch warms up, which costs the same for any number of images.
        seconds.append(sum(epoch["seconds"] for epoch in ours["history"][1:]) / count)
        megabytes.append(ours["megabytes"])
    details = {"images": list(counts), "seconds_an_image": seconds, "megabytes": megabytes}
    return [
        figure("scale: time per image, largest over smallest", max(seconds) / min(seconds), "x",
               most=SPREAD, details=details),
        figure("scale: peak memory, largest less smallest", max(megabytes) - min(megabytes), "MB",
               most=GROWTH, details=details),
    ]  # fmt: skip


def two_processes(root: Path, epochs: int) -> Figure:
    """images/s of two processes of one thread over one process of two, whole ResNet-18."""
    row, reached = Row("resnet18", "all", epochs, 0), []
    one: tuple[str, ...] = ()
    two = ("-m", "torch.distributed.run", "--nproc_per_node=2")
    for launcher, batch in ((one, 32), (two, 16)):  # as many images per step
        with tempfile.TemporaryDirectory() as temporary:
            settings = settings_of(row, root, Path(temporary), f"batch_size={batch}")
            ours = run_side("ours", settings, launcher)
            reached.append(ours["summary"]["images_per_second"])
    details = {"one": reached[0], "two": reached[1]}
    return figure("two processes over one, images/s", reached[1] / reached[0], "x",
                  least=MIN_SPEED_OF_TWO, details=details)  # fmt: skip


def benchmark(arguments: Namespace) -> list[Figure]:
    figures: list[Figure] = []
    names = arguments.rows if arguments.rows is not None else list(ROWS)
    images, size, counts = (60, 128, (60, 120)) if arguments.quick else (600, 1024, SCALE)
    if arguments.quick and arguments.rows is None:
        names = ["resnet18-head"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        root = arguments.data
        if root is None:
            root = render_set(folder / "phantoms", LABELS, images=images, size=size)
        for name in names:
            row = ROWS[name]
            epochs = arguments.epochs or (4 if arguments.quick else row.epochs)
            row = Row(row.arch, row.trainable, epochs, row.least)
            print(f"{name} …", file=sys.stderr, flush=True)
            figures += compare(name, row, root)
        if not arguments.no_scale:
            print("scale and two processes …", file=sys.stderr, flush=True)
            figures += scale(counts, folder)
            figures.append(two_processes(root, 1 if arguments.quick else 2))
    return figures


def work(arguments: Namespace) -> int:
    """One side alone, in a process of its own, or all of them."""
    if arguments.side:
        if result := side(arguments):
            print(json.dumps(result), flush=True)
        return 0
    return report_figures(benchmark(arguments), arguments.json)


def main() -> int:
    arguments = parse_arguments()
    return exit_code(lambda: work(arguments), "Interrupted.")


if __name__ == "__main__":
    sys.exit(main())
