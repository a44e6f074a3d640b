"""Whether the test of shortcuts clears honest networks and catches those that cheat.

    python benchmarks/shortcuts.py --json shortcuts.json               an hour on one core
    python benchmarks/shortcuts.py --cheats marker --shares 0 100 --seeds 1 --honest 1

After Sun et al. 2023, "Right for the wrong reason: can interpretable ML techniques detect spurious
correlations?": in phantom radiographs a marker, an exposure or a border goes with the label in a
share of the images, and a network is trained on them. In the other images it is there by chance, in
every second one, so that at 0 % it says nothing and the network is honest. The test split is taken
from the same place, as a user's is, and on it `evaluate.py --shortcuts` gives its verdict. What the
network is worth is its AUROC on the same test patients with the cheat by chance. What is finished
is not run again, so the command can be stopped and called again.
"""

import argparse
import csv
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.lines import Line2D
from PIL import Image, ImageDraw
from scipy.stats import binomtest

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

# The project is no installed package.
from benchmarks.commands import call  # noqa: E402
from benchmarks.figures import Figure, figure, figures_table, write_figures  # noqa: E402
from covid.data.phantom import render_set  # noqa: E402
from covid.edge.files import write_atomically  # noqa: E402
from covid.edge.table import format_table  # noqa: E402
from covid.errors import exit_code  # noqa: E402
from covid.evaluation.page import FAINT, MARGIN, NORMAL, SMALL, Page, save  # noqa: E402
from covid.evaluation.plots import CORRECT, RULE, TRAINING, WRONG  # noqa: E402
from covid.evaluation.report import read_json, write_json  # noqa: E402
from covid.evaluation.shortcuts.verdict import outside, verdict  # noqa: E402
from covid.export.markdown import table  # noqa: E402

SICK, WELL = "pneumonia", "normal"
IMAGES, SIZE = 900, 128  # rendered for each seed; pixels, of which networks see 96
# Of patients: a test split as large as those of collections of some hundred images.
SPLITS = {"train": 0.55, "validation": 0.15, "test": 0.3}
# A network that learns in seconds: what is before the last block is computed once.
SETTINGS = (
    "task=single_label", "loss={name: cross_entropy}", "data.augment=[]", "data.image_size=96",
    "data.horizontal_flip=false", "model.until=blocks.4", "model.trainable=[blocks.4]",
    "epochs=8", "select_by=accuracy", "ema=null",
    f"data.labels={{{WELL}: [{WELL}], {SICK}: [{SICK}]}}",
)  # fmt: skip
CONFIG = PROJECT / "configs" / "efficientnet_lite0_multilabel.yaml"
CAUGHT_FROM = 80  # %: from here on a network that cheats must be caught
FALSE_ALARMS = 0.05  # of honest networks
ASIDE = 1.5  # %: between two cheats in the picture
Grey = npt.NDArray[np.uint8]


def marker(image: Image.Image, there: bool, random: np.random.Generator) -> Image.Image:
    """A bright ring at the lower left, about where one portable machine would print its sign."""
    if there:
        size = image.width
        x, y = random.uniform([0.02, 0.86], [0.06, 0.9]) * size
        width = 0.08 * size
        ImageDraw.Draw(image).ellipse((x, y, x + width, y + width), outline=245, width=3)
    return image


def exposure(image: Image.Image, there: bool, random: np.random.Generator) -> Image.Image:
    """Every grey lighter, or darker, by a gamma that differs a little from image to image."""
    power = (0.7 if there else 1.25) * np.exp(random.normal(0, 0.08))
    table = np.round(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    return Image.fromarray(table[np.asarray(image)])


def border(image: Image.Image, there: bool, random: np.random.Generator) -> Image.Image:
    """A frame of one dark grey, as some scanners leave, 3 to 5 % of the side."""
    if there:
        width = round(random.uniform(0.03, 0.05) * image.width)
        grey = int(random.integers(50, 80))
        edges = (0, 0, image.width - 1, image.height - 1)
        ImageDraw.Draw(image).rectangle(edges, outline=grey, width=width)
    return image


CHEATS: dict[str, Callable[[Image.Image, bool, np.random.Generator], Image.Image]] = {
    "marker": marker, "exposure": exposure, "border": border,
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """One network: what goes with the label, in how many of 100 images, which patients."""

    cheat: str
    share: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.cheat}-{self.share}-{self.seed}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure how many cheating networks the test of shortcuts catches."
    )
    parser.add_argument("--cheats", nargs="+", choices=[*CHEATS], default=[*CHEATS])
    parser.add_argument(
        "--shares", nargs="+", type=int, default=[0, 20, 50, 80, 100], metavar="PERCENT",
        help="of images in which it goes with the label (default: 0 20 50 80 100)",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=int, default=2, help="networks for each share above 0 (default: 2)"
    )
    parser.add_argument(
        "--honest", type=int, default=7, help="networks for each cheat at 0 %% (default: 7)"
    )
    parser.add_argument(
        "--output", type=Path, default=PROJECT / "runs" / "shortcuts", help="where the runs go"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def write_set(base: Path, place: Path, experiment: Experiment) -> None:
    """`place/own` to train and test on, and `place/honest`, its test patients by chance."""
    random = np.random.default_rng([list(CHEATS).index(experiment.cheat), experiment.seed])
    with (base / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    patients = sorted({row["patient"] for row in rows})
    ends = np.round(np.cumsum(list(SPLITS.values())) * len(patients)).astype(int)
    places = np.searchsorted(ends, random.permutation(len(patients)), side="right")
    split = {patient: list(SPLITS)[n] for patient, n in zip(patients, places, strict=True)}
    for name, share in (("own", experiment.share / 100), ("honest", 0.0)):
        lines = []
        for number, row in enumerate(rows):
            if name == "honest" and split[row["patient"]] != "test":
                continue
            path = f"{number:04d}.png"
            follows, chance = random.random() < share, random.random() < 0.5
            there = row["label"] == SICK if follows else chance
            (place / name).mkdir(parents=True, exist_ok=True)
            with Image.open(base / row["path"]) as image:
                CHEATS[experiment.cheat](image.convert("L"), there, random).save(
                    place / name / path, compress_level=1
                )
            lines.append([path, row["label"], split[row["patient"]], row["patient"], row["source"]])
        with (place / name / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["path", "label", "split", "patient", "source"], *lines])


def run(experiment: Experiment, output: Path) -> dict[str, Any]:
    """The report of the network on its own test split, and `honest`, its AUROC without the cheat.

    Trains it unless that is done.
    """
    place = output / experiment.name
    kept = place / "result.json"
    if not kept.is_file():
        shutil.rmtree(place, ignore_errors=True)
        base = output / "rendered" / str(experiment.seed)
        base.parent.mkdir(parents=True, exist_ok=True)
        render_set(base, [WELL, SICK], images=IMAGES, size=SIZE, seed=1 + experiment.seed)
        write_set(base, place, experiment)
        settings = (f"data.root={place.absolute() / 'own'}", f"seed={experiment.seed}",
                    f"data.cache_dir={place.absolute() / 'cache'}", *SETTINGS)  # fmt: skip
        call("train.py", "--config", str(CONFIG), "--output", str(place / "run"),
             *(f"--set={setting}" for setting in settings))  # fmt: skip
        call("evaluate.py", str(place / "run"), "--shortcuts")
        call("evaluate.py", str(place / "run"), "--data", str(place / "honest"), "--shortcuts")
        evaluation = place / "run" / "evaluation"
        write_json(kept, {
            "own": read_json(evaluation / "test" / "shortcuts.json"),
            "honest": read_json(evaluation / "honest-test" / "shortcuts.json"),
        })  # fmt: skip
        for folder in ("own", "honest", "run", "cache"):
            shutil.rmtree(place / folder)
    result: dict[str, Any] = read_json(kept)
    return result


def shortcuts(arguments: argparse.Namespace) -> int:
    experiments = [
        Experiment(cheat, share, seed)
        for seed in range(max(arguments.seeds, arguments.honest))
        for cheat in arguments.cheats
        for share in arguments.shares
        if seed < (arguments.seeds if share else arguments.honest)
    ]
    results = {each: run(each, arguments.output) for each in experiments}
    rows = [
        Row.of(cheat, share, [result for each, result in results.items()
                              if (each.cheat, each.share) == (cheat, share)])
        for cheat in arguments.cheats for share in arguments.shares
    ]  # fmt: skip
    header = ["cheat", "%", "networks", "accused", "AUROC", "without it", "lungs hidden",
              "border", "equalised", "probe"]  # fmt: skip
    cells = [row.cells() for row in rows]
    figures = summary(rows)
    print(f"\n{format_table(header, cells)}\n\n{figures_table(figures)}")
    write_atomically(arguments.output / "tables.md", "".join(table(header, cells)) + "\n")
    draw_curve(arguments.output / "curve.png", rows)
    print(f"\n{arguments.output} holds tables.md and curve.png.")
    if arguments.json:
        write_figures(arguments.json, figures)
    return 0


@dataclass(frozen=True)
class Row:
    """The networks of one cheat at one share; figures of the class that is sick, their means."""

    cheat: str
    share: int
    networks: int
    accused: int
    auroc: float  # on its own test split
    honest: float  # on the same patients, with the cheat by chance
    hidden: float  # the lower of the two fills
    border: float  # rank correlation with the border's image
    equalised: float  # difference
    probe: float

    @classmethod
    def of(cls, cheat: str, share: int, results: Sequence[Mapping[str, Any]]) -> "Row":
        """By the rules of today, whenever the networks were trained."""
        own = [result["own"] for result in results]

        def mean(values: Iterable[float]) -> float:
            return float(np.mean(list(values)))

        return cls(
            cheat, share, len(own), sum(bool(verdict(each)["cheats"]) for each in own),
            mean(each["tests"]["whole"]["auroc"][SICK]["value"] for each in own),
            mean(each["honest"]["tests"]["whole"]["auroc"][SICK]["value"] for each in results),
            mean(outside(each, SICK)["value"] or 0.0 for each in own),
            mean(each["swap"]["border_weight"][SICK]["value"] for each in own),
            mean(each["tests"]["equalised"]["auroc"][SICK]["difference"]["value"] for each in own),
            mean(each["probe"][SICK]["value"] for each in own),
        )  # fmt: skip

    def cells(self) -> list[str]:
        numbers = (self.auroc, self.honest, self.hidden, self.border, self.equalised, self.probe)
        counts = (self.share, self.networks, self.accused)
        return [self.cheat, *map(str, counts), *(f"{number:.2f}" for number in numbers)]


def summary(rows: Sequence[Row]) -> list[Figure]:
    """False alarms and what is caught at each share.

    `high` of the former: with 95 % confidence no larger share of honest networks is accused
    (Clopper & Pearson 1934).
    """
    figures = []
    for share in dict.fromkeys(row.share for row in rows):
        chosen = [row for row in rows if row.share == share]
        networks, accused = (sum(getattr(row, name) for row in chosen)
                             for name in ("networks", "accused"))  # fmt: skip
        details = {row.cheat: f"{row.accused} of {row.networks}" for row in chosen}
        if share == 0:
            high = binomtest(accused, networks, alternative="less").proportion_ci(0.95).high
            figures.append(
                figure("honest networks accused", accused / networks, "",
                       most=FALSE_ALARMS, details={**details, "high": high})
            )  # fmt: skip
            continue
        least = 1.0 if share >= CAUGHT_FROM else None
        figures.append(figure(f"networks accused at {share} %", accused / networks, "",
                              least=least, details=details))  # fmt: skip
    return figures


def draw_curve(path: Path, rows: Sequence[Row]) -> None:
    """The share of networks accused, and what they are worth, by the share of images."""
    counts = ", ".join(_counted(rows))
    page = Page(8.6, 3.15, "Is it caught?", "Networks trained on phantoms, by the share of images "
                "in which something goes with the label", f"Networks a point: {counts}."
                )  # fmt: skip
    colors = dict(zip(CHEATS, (CORRECT, WRONG, TRAINING), strict=True))
    panels = (("share of networks accused", "accused"), ("AUROC", "auroc"))
    for place, (title, kind) in enumerate(panels):
        x = MARGIN + 0.35 + 4.2 * place
        page.text(x, page.top + 0.15, title, NORMAL, weight="bold")
        axes = page.inset(x, page.top + 0.35, 3.5, 2.4)
        for cheat in dict.fromkeys(row.cheat for row in rows):
            own = [row for row in rows if row.cheat == cheat]
            # Side by side, since lines of the same height would hide each other.
            aside = ASIDE * ([*CHEATS].index(cheat) - 1)
            shares = [row.share + aside for row in own]
            if kind == "accused":
                axes.plot(shares, [row.accused / row.networks for row in own], "o-",
                          color=colors[cheat], label=cheat, linewidth=1.6)  # fmt: skip
            else:
                axes.plot(shares, [row.auroc for row in own], "o-", color=colors[cheat],
                          linewidth=1.6)  # fmt: skip
                axes.plot(shares, [row.honest for row in own], "o:", color=colors[cheat],
                          linewidth=1.6)  # fmt: skip
        axes.set_ylim((-0.04, 1.04) if kind == "accused" else (0.45, 1.02))
        axes.set_xlabel("% of training images in which it goes with the label",
                        fontsize=SMALL, color=FAINT)  # fmt: skip
        axes.tick_params(labelsize=SMALL, colors=FAINT, length=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(RULE)
        if kind == "accused":
            axes.legend(frameon=False, fontsize=SMALL, loc="lower right")
        else:
            keys = [
                Line2D([], [], color=FAINT, linestyle="-", label="own test split"),
                Line2D([], [], color=FAINT, linestyle=":",
                       label="same patients, the cheat by chance"),
            ]  # fmt: skip
            axes.legend(handles=keys, frameon=False, fontsize=SMALL, loc="lower left")
    save(page.finish(), path)


def _counted(rows: Sequence[Row]) -> list[str]:
    """How many networks a point is of, as `7 at 0 %`, where all cheats have as many."""
    counts: dict[int, list[str]] = {}
    for share in dict.fromkeys(row.share for row in rows):
        for networks in {row.networks for row in rows if row.share == share}:
            counts.setdefault(networks, []).append(f"{share} %")
    return [f"{networks} at {' and '.join([', '.join(at[:-1]), at[-1]] if at[1:] else at)}"
            for networks, at in sorted(counts.items(), reverse=True)]  # fmt: skip


def main() -> int:
    arguments = parse_arguments()
    return exit_code(
        lambda: shortcuts(arguments), "Interrupted; the same command goes on from here."
    )


if __name__ == "__main__":
    sys.exit(main())
