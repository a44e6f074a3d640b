"""How often a nominal 95 % interval holds the truth, for each figure of an evaluation.

    python benchmarks/coverage.py --json figures.json    10, 15, 30 and 100 patients: minutes
    python benchmarks/coverage.py --quick                a check that it works

Each simulated study draws patients, evaluates them with the project's own `compute_metrics`, and
asks whether each interval holds the true value, which the model gives. A patient has one to four
images, each number as often. An image's score is normal with variance 1 around 0 without the class
and around `distance` with it; half of the variance is the patient's own, so that scores of images
of one patient are correlated by 0.5. Half way between lies the threshold, from which the logit of
the probability grows by 2 per unit. Sensitivity (recall), specificity and accuracy so have the same
true value, 0.5, 0.8 or 0.95 by the distance, and all others follow: AUROC 0.5, 0.883 or 0.990.

Sensitivity and specificity are of patients of one outcome: in their rows as many have the class,
and as many do not, as the row says. All other figures are of so many in all; each has the class
with probability 1/2. Where an interval holds the truth in less than 92 % of the studies, a note in
metrics.json is due: `noted` is the share of these studies whose figure has it.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process for each core instead

import numpy as np  # noqa: E402 (the project is no installed package)
import numpy.typing as npt  # noqa: E402
from scipy.special import expit, ndtr  # noqa: E402
from tqdm import tqdm  # noqa: E402

from benchmarks.figures import Figure, figure, write_figures  # noqa: E402
from covid.edge.labels import LabelSpace  # noqa: E402
from covid.edge.processors import usable_processors  # noqa: E402
from covid.edge.table import format_table  # noqa: E402
from covid.evaluation.figures import METRICS, Metric, headlines, per_class  # noqa: E402
from covid.evaluation.metrics import compute_metrics  # noqa: E402
from covid.evaluation.notes import TOO_NARROW  # noqa: E402

Floats = npt.NDArray[np.float64]

PATIENTS = (10, 15, 30, 100)
SHARES = (0.5, 0.8, 0.95)  # true sensitivity, specificity and accuracy
MAX_IMAGES = 4  # of a patient
LIKENESS = 0.5  # of a score's variance, what images of a patient have in common
STEEPNESS = 2.0  # by which a logit grows per unit of score
TARGET = 0.92  # of 95 %: what a note is due below
# Studies of each row and true value: a coverage of 0.92 is known to a standard error of 0.006; that
# of shares, which take no resamples and come nearer to it, to 0.003.
STUDIES, STUDIES_OF_SHARES = 2000, 8000
AT_ONCE = 50  # studies that a process simulates before it answers
NOTED = 0.95  # of the studies of a row that falls short, how many must say so
SPACE = LabelSpace.from_labels("single_label", {"ill": ["ill"], "well": ["well"]})
OF_ONE_OUTCOME = ("recall", "specificity")  # figures of patients of one outcome alone


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how often intervals hold the truth.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="a check that it works, no figures")
    return parser.parse_args()


@dataclass(frozen=True)
class Study:
    """What is drawn: how many patients, and how well the ill ones are told from the others."""

    patients: int
    share: float  # true sensitivity, specificity and accuracy
    each: bool  # whether there are so many patients of each outcome, or in all

    @property
    def distance(self) -> float:
        """Between the mean scores of both outcomes."""
        return 2 * NormalDist().inv_cdf(self.share)

    def draw(
        self, generator: np.random.Generator
    ) -> tuple[Floats, npt.NDArray[np.bool_], list[str | None]]:
        """Probabilities and targets `[images, 2]`, and each image's patient."""
        if self.each:
            ill = np.arange(2 * self.patients) < self.patients
        else:
            ill = generator.random(self.patients) < 0.5
        patient = np.arange(len(ill)).repeat(generator.integers(1, MAX_IMAGES + 1, len(ill)))
        own = np.sqrt(LIKENESS) * generator.normal(size=len(ill))[patient]
        scores = own + np.sqrt(1 - LIKENESS) * generator.normal(size=len(patient))
        probability = self.probability(scores + self.distance * ill[patient])
        return (
            np.column_stack([probability, 1 - probability]),
            np.column_stack([ill[patient], ~ill[patient]]),
            [str(number) for number in patient],
        )

    def probability(self, scores: Floats) -> Floats:
        return np.asarray(expit(STEEPNESS * (scores - self.distance / 2)))

    def truths(self) -> dict[str, float]:
        """The true value of every figure, by name: of endlessly many patients, half of them ill."""
        # Integrals over all scores, in steps of a thousandth of a standard deviation.
        step = 1e-3
        scores = np.arange(-8, 8 + self.distance, step)
        ill, well = (np.exp(-((scores - mean) ** 2) / 2) / np.sqrt(2 * np.pi)
                     for mean in (self.distance, 0))  # fmt: skip
        ill_above, well_above = ndtr(self.distance - scores), ndtr(-scores)
        probability = self.probability(scores)
        squares = (ill * (1 - probability) ** 2 + well * probability**2) / 2
        # With as many ill as well, as often right of each, these are all one number.
        equal = ("accuracy", "macro_f1", "precision", "recall", "specificity", "npv", "f1")
        return dict.fromkeys(equal, self.share) | {
            "auroc": float(ndtr(self.distance / np.sqrt(2))),
            "average_precision": float((ill * ill_above / (ill_above + well_above)).sum() * step),
            "brier": float(squares.sum() * step),
        }


@dataclass
class Coverage:
    """Of some studies that define a figure, those whose interval holds the truth."""

    studies: int = 0
    held: int = 0
    noted: int = 0  # in which a note says that it may not

    def add(self, other: "Coverage") -> None:
        self.studies += other.studies
        self.held += other.held
        self.noted += other.noted

    @property
    def share(self) -> float:
        return self.held / self.studies


@dataclass(frozen=True)
class Job:
    """Some of the studies of a row, those from number `start` on, for the figures of `names`."""

    study: Study
    names: tuple[str, ...]
    start: int
    count: int


def jobs_of(studies: int, studies_of_shares: int) -> list[Job]:
    """All studies, the longest first, so that no process waits long for another at the end."""
    kinds = [
        (studies, False, tuple(m.name for m in METRICS if m.share is None)),
        (studies_of_shares, False,
         tuple(m.name for m in METRICS if m.share and m.name not in OF_ONE_OUTCOME)),
        (studies_of_shares, True, OF_ONE_OUTCOME),
    ]  # fmt: skip
    return [
        Job(Study(patients, share, each), names, start, min(AT_ONCE, count - start))
        for count, each, names in kinds
        for patients in reversed(PATIENTS)
        for share in SHARES
        for start in range(0, count, AT_ONCE)
    ]


def simulate(job: Job) -> dict[str, Coverage]:
    """Coverage by the figure's name."""
    table = [metric for metric in METRICS if metric.name in job.names]
    truths = job.study.truths()
    covered: dict[str, Coverage] = {}
    for number in range(job.start, job.start + job.count):
        seeds = [number, job.study.patients, round(100 * job.study.share), job.study.each]
        drawn = job.study.draw(np.random.default_rng(seeds))
        metrics = compute_metrics(SPACE, *drawn, seed=number, table=table)
        row = metrics["per_class"]["ill"]["intervals"]
        intervals = {m: metrics[m.name] for m in headlines(table)}
        intervals |= {m: row[m.name] for m in per_class(table)}
        for metric, interval in intervals.items():
            if interval["low"] is not None:
                held = interval["low"] <= truths[metric.name] <= interval["high"]
                one = Coverage(1, int(held), int(is_noted(metric, metrics["notes"])))
                covered.setdefault(metric.name, Coverage()).add(one)
    return covered


def is_noted(metric: Metric, notes: Sequence[str]) -> bool:
    """Whether a note says that the figure's interval is likely too narrow."""
    titles = [part for note in notes if note.startswith(TOO_NARROW)
              for part in note.removeprefix(TOO_NARROW).split(":")[0].split("; ")]  # fmt: skip
    own = f"{metric.title} of " if metric.per_class else metric.title
    return any(title.startswith(own) and (not metric.per_class or "ill" in title.split())
               for title in titles)  # fmt: skip


Row = tuple[str, int]  # a figure's name, and how many patients
Measured = dict[Row, dict[float, Coverage]]  # by the share that the study is told apart by


def measure(jobs: Sequence[Job]) -> Measured:
    """Simulates all studies, on all processors."""
    measured: Measured = {}
    studies = sum(job.count for job in jobs)
    with (
        ProcessPoolExecutor(usable_processors()) as processes,
        tqdm(total=studies, unit=" studies", leave=False, disable=None) as bar,
    ):
        for job, covered in zip(jobs, processes.map(simulate, jobs), strict=True):
            for name, coverage in covered.items():
                row = measured.setdefault((name, job.study.patients), {})
                row.setdefault(job.study.share, Coverage()).add(coverage)
            bar.update(job.count)
    return measured


def figures_of(measured: Measured) -> list[Figure]:
    """One figure a row: the lowest coverage of its true values, which are in its details."""
    figures = []
    for name, title in titles():
        for patients in PATIENTS:
            row = measured[name, patients]
            truths = {share: Study(patients, share, False).truths()[name] for share in SHARES}
            figures.append(figure(
                f"{title}, {patients} patients: coverage",
                min(row[share].share for share in SHARES), "", least=TARGET,
                details={
                    "figure": name,
                    "patients": patients,
                    "by_true_value": [
                        {"true": float(f"{truths[share]:.4g}"), "coverage": row[share].share,
                         "noted": row[share].noted / row[share].studies,
                         "studies": row[share].studies}
                        for share in SHARES
                    ],
                    "note": note_of(title, row),
                },
            ))  # fmt: skip
    return figures


def titles() -> list[tuple[str, str]]:
    """The name and title of every figure, those of all classes first."""
    return [(metric.name, metric.title) for metric in (*headlines(METRICS), *per_class(METRICS))]


def note_of(title: str, row: Mapping[float, Coverage]) -> str | None:
    """What metrics.json says in studies like those whose interval does not hold."""
    short = [coverage for coverage in row.values() if coverage.share < TARGET]
    noted = all(coverage.noted >= NOTED * coverage.studies for coverage in short)
    return f"{TOO_NARROW}{title}" if short and noted else None


def coverage_table(figures: Sequence[Figure]) -> str:
    """A line per figure and number of patients, with its coverage at each true value."""
    rows = []
    for entry in figures:
        details, title = entry["details"], dict(titles())[entry["details"]["figure"]]
        cells = [f"{at['coverage']:.3f} ({at['true']:.3g})" for at in details["by_true_value"]]
        verdict = "holds" if entry["holds"] else "noted" if details["note"] else "falls short"
        rows.append([title, str(details["patients"]), *cells, verdict])
    shares = [f"accuracy {share:g}" for share in SHARES]
    return format_table(["coverage (true value)", "patients", *shares, ""], rows)


def main() -> int:
    arguments = parse_arguments()
    jobs = jobs_of(2, 2) if arguments.quick else jobs_of(STUDIES, STUDIES_OF_SHARES)
    figures = figures_of(measure(jobs))
    print(coverage_table(figures))
    if arguments.json:
        write_figures(arguments.json, figures)
    unsaid = [entry for entry in figures if not entry["holds"] and not entry["details"]["note"]]
    return 1 if unsaid and not arguments.quick else 0


if __name__ == "__main__":
    sys.exit(main())
