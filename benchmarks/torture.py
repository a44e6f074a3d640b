"""Breaks things on purpose and counts what was lost: the last column must be 0 everywhere.

    python benchmarks/torture.py              thirty runs killed, thousands of files damaged
    python benchmarks/torture.py --short      a few of everything

Runs are killed at random moments and inside their writes, disks are full (`killing.py`), files are
damaged (`damage.py`). What counts as lost is named in each row's function. The seed is printed;
`--seed` repeats it.
"""

import argparse
import random
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402 (the project is no installed package)
from PIL import Image  # noqa: E402

from benchmarks import damage, killing  # noqa: E402
from benchmarks.figures import Figure, figure, write_figures  # noqa: E402
from benchmarks.forks import Broken, Stage, finish, start, tail, training  # noqa: E402
from covid.edge.table import format_table  # noqa: E402

LABELS = ("covid", "normal", "pneumonia")


def parse_arguments() -> Namespace:
    parser = argparse.ArgumentParser(description="Break things and count what was lost.")
    parser.add_argument("--short", action="store_true", help="a few of everything")
    parser.add_argument("--seed", type=int, default=None, help="repeat an earlier run's damage")
    parser.add_argument("--rows", nargs="*", choices=sorted(ROWS), help="default: all of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


# name: the row, how often in full, how often in short: 0 where tests do the same with processes
ROWS: dict[str, tuple[Callable[[Stage, int], Broken], int, int]] = {
    "killed": (killing.killed_at_random, 20, 1),
    "writes": (killing.killed_in_writes, 15, 1),
    "disk": (killing.full_disk, 10, 1),
    "cache": (killing.shared_cache, 6, 0),
    "process": (killing.dead_process, 3, 0),
    "export": (killing.killed_export, 10, 1),
    "export-disk": (killing.export_on_full_disk, 6, 1),
    "images": (damage.damaged_images, 20_000, 600),
    "models": (damage.damaged_models, 500, 30),
    "configs": (damage.damaged_configs, 2_000, 200),
    "weights": (damage.damaged_weights, 4_000, 60),
}


def torture(rows: list[str], short: bool, seed: int) -> list[Broken]:
    """Every row in turn; a row with 0 times is left out."""
    every = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images, whole = folder / "images", folder / "whole"
        write_images(images)
        code = finish(start(training(images, whole, folder / "cache"), folder / "whole.txt"))
        if code:
            raise SystemExit(f"The uninterrupted run failed: {tail(folder / 'whole.txt')}")
        for name in rows:
            row, full, few = ROWS[name]
            times = few if short else full
            if times:
                place = folder / f"row-{name}"
                place.mkdir()
                chance = random.Random(f"{seed} {name}")
                every.append(row(Stage(place, images, whole, chance), times))
    return every


def write_images(root: Path) -> None:
    """ROOT/SPLIT/LABEL/*.png: noise whose brightness tells the label, no two alike."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 3), ("test", 2)):
        for place, label in enumerate(LABELS):
            for number in range(count):
                path = root / split / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = draw.normal(60 + 60 * place, 25, (40, 40)).clip(0, 255)
                Image.fromarray(noise.astype(np.uint8)).save(path)


def figures_of(every: list[Broken]) -> list[Figure]:
    return [figure(f"{broken.what}: lost", broken.lost, "", most=0, details={"times": broken.times})
            for broken in every]  # fmt: skip


def main() -> int:
    arguments = parse_arguments()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    every = torture(arguments.rows or list(ROWS), arguments.short, seed)
    rows = [[broken.what, f"{broken.times:,}", f"{broken.lost}"] for broken in every]
    print(format_table(["what was broken", "how often", "lost"], rows))
    for note in [note for broken in every for note in broken.notes]:
        print(note, file=sys.stderr)
    if arguments.json:
        write_figures(arguments.json, figures_of(every))
    return 1 if any(broken.lost for broken in every) else 0


if __name__ == "__main__":
    sys.exit(main())
