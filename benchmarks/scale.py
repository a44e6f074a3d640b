"""How time and memory grow with the number of images: all that comes before the first epoch.

    python benchmarks/scale.py --json figures.json    1,000, 10,000 and 100,000 images
    python benchmarks/scale.py --images 112120        as many as NIH ChestX-ray14 has
    python benchmarks/scale.py --quick                a check that it works

Small images, since only their number matters: 64 x 64 pixels, each another pattern, under a
manifest with fifteen labels, several of them in one cell, and patients, without a split. Each
measurement is a process of its own, and its peak memory that of the whole process, PyTorch
included. Let nothing else run meanwhile. 100,000 images take 0.5 GB of temporary disk.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402 (the project is no installed package)
from PIL import Image  # noqa: E402

from benchmarks.figures import Figure, figure, report_figures  # noqa: E402
from covid.config import Config, load_config  # noqa: E402
from covid.data.index import Index  # noqa: E402
from covid.errors import TrainingError, exit_code  # noqa: E402

COUNTS = (1_000, 10_000, 100_000)
SIZE = 64
CELLS = 9  # a pattern's random cells in each direction: all images differ, in their hashes too
# Those of NIH ChestX-ray14, and about how often each stands in its table (Wang et al. 2017).
LABELS = {
    "no_finding": 60_361, "infiltration": 19_894, "effusion": 13_317, "atelectasis": 11_559,
    "nodule": 6_331, "mass": 5_782, "pneumothorax": 5_302, "consolidation": 4_667,
    "pleural_thickening": 3_385, "cardiomegaly": 2_776, "emphysema": 2_516, "edema": 2_303,
    "fibrosis": 1_686, "pneumonia": 1_431, "hernia": 227,
}  # fmt: skip
SEVERAL = 0.2  # the share of images that bear a second label
IMAGES_PER_PATIENT = 112_120 / 30_805
MIN_IMAGES_PER_LABEL = 20  # so that every split has some of every label
MAX_MINUTES, MAX_GIGABYTES = 20, 1.5  # for 112,120 images on 2 cores, once they are decoded


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how cost grows with images.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--images", type=int, nargs="+", metavar="N", help="other numbers of them")
    parser.add_argument("--quick", action="store_true", help="a check that it works, no figures")
    # A measurement, in a process of its own: not for people.
    parser.add_argument("--side", choices=("parts", "whole"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_set(root: Path, images: int) -> None:
    """Renders `images` pictures below `root`, and their manifest."""
    generator = np.random.default_rng(0)
    names = list(LABELS)
    shares = np.array(list(LABELS.values())) / sum(LABELS.values())
    labels = generator.choice(len(names), images, p=shares)
    first = np.arange(len(names)).repeat(MIN_IMAGES_PER_LABEL)[:images]
    labels[: len(first)] = first
    patients = generator.integers(0, max(1, int(images / IMAGES_PER_PATIENT)), images)
    second = np.where(generator.random(images) < SEVERAL, labels % (len(names) - 1) + 1, labels)
    root.mkdir(parents=True)
    with (root / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "patient", "view", "sex", "age", "width", "height"])
        for i in range(images):
            bears = dict.fromkeys([names[labels[i]], names[second[i]]])
            if len(bears) > 1:
                bears.pop("no_finding", None)
            patient = int(patients[i])
            view, sex = ("AP", "PA")[i % 3 > 0], "MF"[patient % 2]
            table.writerow([draw_image(root, i), "|".join(bears), patient, view, sex,
                            20 + patient % 70, 2500, 2048])  # fmt: skip


def draw_image(root: Path, number: int) -> str:
    """One picture of the set; returns its path below `root`."""
    name = f"images/{number // 1000:03d}/{number:06d}.png"
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    cells = np.random.default_rng(number).integers(0, 256, (CELLS, CELLS), dtype=np.uint8)
    picture = Image.fromarray(cells).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    picture.save(root / name, compress_level=1)
    return name


def add_image(root: Path, number: int) -> None:
    """One more picture, of a patient of its own."""
    name = draw_image(root, number)
    with (root / "manifest.csv").open("a", newline="") as file:
        csv.writer(file).writerow([name, "effusion", "new", "PA", "F", 50, 2500, 2048])


def config_of(folder: Path) -> Config:
    labels = json.dumps({name: [] if name == "no_finding" else [name] for name in LABELS})
    return load_config(PROJECT / "configs/resnet18_multilabel.yaml", [
        f"data.root={(folder / 'images').absolute()}", f"data.labels={labels}",
        f"data.cache_dir={(folder / 'cache').absolute()}", f"data.image_size={SIZE}",
        "data.allow_duplicates=true", "select_by=macro_f1",
    ])  # fmt: skip


def side(which: str, folder: Path) -> dict[str, Any]:
    """One measurement in this process: seconds, images decoded, and megabytes at the peak."""
    from covid.data import samples
    from covid.data.audit import find_duplicates
    from covid.data.cache import Images
    from covid.data.index import require_whole_patients
    from covid.data.shortcuts import find_shortcuts
    from covid.data.source import open_source
    from covid.data.splits import draw_splits
    from covid.training.launch import start_accelerator
    from covid.training.scan import scan

    config = config_of(folder)
    decoded: list[Path] = []
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[what] = time.perf_counter() - start

    accelerator = start_accelerator(precision="no")
    with timed("all"):
        with timed("index"):
            index = open_source(config, advice="")
        with timed("split"):
            index = require_whole_patients(draw_splits(index, config.seed), allowed=False)
        index = counted(index, decoded)
        with timed("open"):
            images = Images(index, SIZE, Path(config.data.cache_dir))
        if which == "whole":
            originals = scan(accelerator, index, images, config).originals
        else:
            with timed("scan"):
                seen = images.scan(range(len(index.samples)), lambda count: None)
            originals = seen.originals
            with timed("duplicates"):
                find_duplicates(index, seen.fingerprints)
            with timed("audit"):
                find_shortcuts(index, sorted(seen.fingerprints), config.data.labels)
        with timed("samples.csv"):
            samples.to_csv(samples.rows_of(index, originals))
    status = Path("/proc/self/status").read_text()  # Linux's own count, in KiB
    megabytes = int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    return {"seconds": seconds, "decoded": len(decoded), "megabytes": megabytes}


def counted(index: Index, decoded: list[Path]) -> Index:
    """The same images, whose paths go into `decoded` as they are decoded."""

    def read(path: Path) -> Image.Image:
        decoded.append(path)
        return index.samples[0].read(path)

    return replace(index, samples=tuple(replace(sample, read=read) for sample in index.samples))


def run_side(which: str, folder: Path) -> dict[str, Any]:
    """Runs `side` in a new process. Raises TrainingError where it fails."""
    command = [sys.executable, __file__, "--side", which, "--folder", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise TrainingError(f"{which}: ended with exit code {done.returncode}; why stands above.")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(images: int, folder: Path) -> list[Figure]:
    """What `images` images cost, the first time, from the cache, and with one more of them."""
    make_set(folder / "images", images)
    first = run_side("parts", folder)
    whole = run_side("whole", folder)
    add_image(folder / "images", images)
    more = run_side("parts", folder)
    name = f"{images:,} images"
    figures = [
        figure(f"{name}: {what}", seconds, "s")
        for what, seconds in (
            ("index", more["seconds"]["index"]),
            ("split by patient", more["seconds"]["split"]),
            ("scan, decoding all", first["seconds"]["open"] + first["seconds"]["scan"]),
            ("scan, from the cache", more["seconds"]["open"] + more["seconds"]["scan"]),
            ("duplicates", more["seconds"]["duplicates"]),
            ("audit of metadata", more["seconds"]["audit"]),
            ("samples.csv", more["seconds"]["samples.csv"]),
        )
    ]
    return [
        *figures,
        figure(f"{name}: all before the first epoch, from the cache",
               whole["seconds"]["all"] / 60, "min", most=MAX_MINUTES,
               details={"first": first, "again": whole, "one_new_image": more}),
        figure(f"{name}: peak memory", whole["megabytes"] / 1000, "GB", most=MAX_GIGABYTES),
        figure(f"{name}: one new image, images decoded", more["decoded"], "", most=1),
    ]  # fmt: skip


def benchmark(arguments: Namespace) -> list[Figure]:
    figures: list[Figure] = []
    for images in arguments.images or ([400] if arguments.quick else COUNTS):
        print(f"{images:,} images …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as temporary:
            figures += measure(images, Path(temporary))
    return figures


def work(arguments: Namespace) -> int:
    """One side alone, in a process of its own, or all of them."""
    if arguments.side:
        print(json.dumps(side(arguments.side, arguments.folder)), flush=True)
        return 0
    return report_figures(benchmark(arguments), arguments.json)


def main() -> int:
    arguments = parse_arguments()
    return exit_code(lambda: work(arguments), "Interrupted.")


if __name__ == "__main__":
    sys.exit(main())
