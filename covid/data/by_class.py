"""What is known of the images of each label: patients, view, sex, age, source."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.data.index import Index
from covid.edge.columns import age_in_years
from covid.edge.labels import read_cell
from covid.edge.table import fold_table

WORDS = ("view", "sex", "source")  # columns whose cells are words, not numbers
UNKNOWN = "unknown"  # what an empty cell is called
NOTHING = "–"  # in the table, what a label without images is called
OTHER = "other"  # all values but the most frequent ones
MAX_VALUES = 20  # of a column, the most frequent: a column of file names must not fill the file
TABLE_WIDTH = 90  # characters, as in the tables of an evaluation
MAX_VALUE_WIDTH = 16  # characters of a value in the table, which shows two of them beside a label

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Known:
    """What the manifest says of some images, as arrays with one entry or row per image."""

    labels: tuple[str, ...]
    bears: Bools  # [images, labels]: whether a label certainly stands in its cell
    lacks: Bools  # [images, labels]: whether it does not, not even with a doubt
    patients: Integers  # [images], a number a patient; -1 where none is known
    ages: Floats  # [images], in years; NaN where none is known
    words: dict[str, tuple[list[str], Integers]]  # of WORDS: values, and [images] places among them


@dataclass(frozen=True)
class Group:
    """The images that certainly bear one label."""

    images: int
    patients: int | None  # None where none is known
    words: dict[str, dict[str, int]]  # of WORDS: value -> images, the most frequent first
    ages: int  # images whose age is known
    quartiles: tuple[float, float, float] | None  # of age in years; None where none is known

    def to_json(self) -> dict[str, Any]:
        """For data_audit.json."""
        first, median, third = self.quartiles or (None, None, None)
        return {
            "images": self.images,
            "patients": self.patients,
            "view": self.words["view"],
            "sex": self.words["sex"],
            "age": {
                "known": self.ages,
                "median": median,
                "quartiles": [first, third] if self.quartiles else None,
            },
            "source": self.words["source"],
        }


def read_keys(cells: Sequence[str], labels: Sequence[str]) -> tuple[Bools, Bools]:
    """Which of `labels` each cell bears and which it lacks: bool `[cells, labels]` both.

    A doubtful one (`KEY?`) is neither.
    """
    rows, places = _numbered(cells)
    keys = [read_cell(cell) for cell in rows]
    shape = (len(rows), len(labels))
    bears = np.array([[key.get(label, False) for label in labels] for key in keys], dtype=bool)
    lacks = np.array([[label not in key for label in labels] for key in keys], dtype=bool)
    return bears.reshape(shape)[places], lacks.reshape(shape)[places]


def read_known(index: Index, indices: Iterable[int], labels: Sequence[str]) -> Known:
    """What is known of the samples at `indices`; `labels` are the keys of `data.labels`."""
    samples = [index.samples[i] for i in indices]
    bears, lacks = read_keys([sample.label for sample in samples], labels)
    named, patients = _numbered([sample.patient or "" for sample in samples])
    cells, places = _numbered([sample.columns.get("age", "") for sample in samples])
    ages = np.array([age_in_years(cell) for cell in cells], dtype=np.float64)  # None becomes NaN
    words = {
        name: _numbered([sample.columns.get(name, "").strip() for sample in samples])
        for name in WORDS
    }
    if "" in named:
        patients[patients == named.index("")] = -1
    return Known(tuple(labels), bears, lacks, patients, ages[places], words)


def group_by_class(known: Known) -> dict[str, Group]:
    """label -> what is known of its images, in the order of `known.labels`.

    An image counts for each label that its cell names, but not for one that it doubts.
    """
    groups = {}
    for label, bears in zip(known.labels, known.bears.T, strict=True):
        patients = np.unique(known.patients[bears & (known.patients >= 0)])
        ages = known.ages[bears & ~np.isnan(known.ages)]
        words = {
            name: _count(values, places[bears]) for name, (values, places) in known.words.items()
        }
        quartiles = np.quantile(ages, [0.25, 0.5, 0.75]).tolist() if len(ages) else None
        groups[label] = Group(
            int(bears.sum()), len(patients) or None, words, len(ages),
            (quartiles[0], quartiles[1], quartiles[2]) if quartiles else None,
        )  # fmt: skip
    return groups


def class_table(groups: Mapping[str, Group]) -> str:
    """One row per label, of the columns of which something is known; empty where nothing is.

    Shares of views and sources are of all images, those of sex of the images where it is known.
    """
    rows = groups.values()
    columns = {
        "patients": [f"{group.patients or 0:,}" for group in rows],
        "age (quartiles)": [_ages(group) for group in rows],
        "sex": _shares_of_one(rows),
        "view": [_shares_of_two(group.words["view"]) for group in rows],
        "source": [_shares_of_two(group.words["source"]) for group in rows],
    }
    informative = {
        name: cells
        for name, cells in columns.items()
        if any(cell not in ("0", UNKNOWN, NOTHING) for cell in cells)
    }
    if not informative:
        return ""
    images = [f"{group.images:,}" for group in rows]
    first = {"label": list(groups), "images": images}
    return "\n\n".join(fold_table({**first, **informative}, TABLE_WIDTH))


def _ages(group: Group) -> str:
    if group.quartiles is None:
        return UNKNOWN if group.images else NOTHING
    first, median, third = group.quartiles
    known = f", {group.ages:,} known" if group.ages < group.images else ""
    return f"{median:.3g} ({first:.3g} to {third:.3g}){known}"


def _shares_of_one(groups: Collection[Group]) -> list[str]:
    """`52 % M of 300 known` for each label, of the value that is the most frequent in all."""
    counts = [
        {value: n for value, n in group.words["sex"].items() if value != UNKNOWN}
        for group in groups
    ]
    totals: dict[str, int] = {}
    for count in counts:
        for value, images in count.items():
            totals[value] = totals.get(value, 0) + images
    if not totals:
        return [UNKNOWN for _ in counts]
    value = max(totals, key=lambda name: totals[name])
    cells = []
    for group, count in zip(groups, counts, strict=True):
        known = sum(count.values())
        cell = f"{_percent(count.get(value, 0), known)} {_short(value)}" if known else UNKNOWN
        if 0 < known < group.images:
            cell += f" of {known:,} known"
        cells.append(cell if group.images else NOTHING)
    return cells


def _shares_of_two(counts: Mapping[str, int]) -> str:
    """`PA 78 %, AP 11 %`: of the two most frequent values."""
    if list(counts) == [UNKNOWN]:
        return UNKNOWN
    images = sum(counts.values())
    top = sorted(counts, key=lambda value: -counts[value])[:2]
    return ", ".join(f"{_short(v)} {_percent(counts[v], images)}" for v in top) or NOTHING


def _percent(part: int, whole: int) -> str:
    """Whole percents; 0 % and 100 % only where it is none and all."""
    rounded = round(100 * part / whole)
    return f"{min(99, max(1, rounded)) if 0 < part < whole else rounded} %"


def _short(value: str) -> str:
    return value if len(value) <= MAX_VALUE_WIDTH else value[: MAX_VALUE_WIDTH - 1] + "…"


def _count(values: Sequence[str], places: Integers) -> dict[str, int]:
    """value -> how often its place occurs: the MAX_VALUES most frequent, others, unknown ones."""
    times = np.bincount(places, minlength=len(values))
    order = [i for i in np.argsort(-times, kind="stable").tolist() if times[i] and values[i]]
    counts = {values[i]: int(times[i]) for i in order[:MAX_VALUES]}
    others = sum(int(times[i]) for i in order[MAX_VALUES:])
    unknown = int(times[values.index("")]) if "" in values else 0
    for name, images in ((OTHER, others), (UNKNOWN, unknown)):
        if images:
            counts[name] = counts.get(name, 0) + images
    return counts


def _numbered(cells: Sequence[str]) -> tuple[list[str], Integers]:
    """The distinct cells in order of appearance, and the place of each cell among them."""
    places: dict[str, int] = {}
    numbered = [places.setdefault(cell, len(places)) for cell in cells]
    return list(places), np.array(numbered, dtype=np.intp)
