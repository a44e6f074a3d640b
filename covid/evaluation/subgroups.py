"""Sensitivity and specificity by view, sex, age and source, where there are patients enough."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.columns import as_sex, as_view, known_text, plausible_age
from covid.edge.labels import LabelSpace
from covid.evaluation.intervals import wilson

Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.intp]
Targets = npt.NDArray[np.bool_] | npt.NDArray[np.floating[Any]]  # NaN where not known

# Ten patients who are all found still leave an interval from 0.72 to 1: of fewer, a figure would
# be read as a difference between groups, and be none.
MIN_PATIENTS = 10
# Bands of age in years, from the first number up to the next. Below 18 is a child (Convention on
# the Rights of the Child, article 1); 65 and over is old in the statistics of OECD and Eurostat;
# 40 halves what lies between. Few and fixed, so that nobody chooses them by what comes out.
AGES = {0: "0–17", 18: "18–39", 40: "40–64", 65: "65+"}
UNKNOWN, OTHER = "unknown", "other"  # groups that come last
MAX_VALUES = 20  # groups of a column, the largest: a column of file names must not fill the file


def subgroups(
    space: LabelSpace,
    decisions: Booleans,
    targets: Targets,
    patients: Sequence[str | None],
    columns: Sequence[Mapping[str, str]],
) -> dict[str, list[dict[str, Any]]]:
    """What metrics.json holds under "subgroups": `view`, `sex`, `age` and `source` -> groups.

    `decisions` and `targets` (NaN where not known) are `[images, classes]`; `columns` are the
    images' other cells of the manifest. A grouping is there where at least two values of it are
    known; images without one are a group `unknown`. Each group has

        {"group", "images", "patients",
         "classes": {NAME: {"patients", "patients_without", "sensitivity", "specificity",
                            "hidden"}}}

    `patients` counts images that name none one by one, as intervals do; in a class, those with
    it, and `patients_without` those without. The two figures are `{"value", "low", "high"}` by
    Wilson, see `intervals.proportion`, or None with fewer than MIN_PATIENTS patients that they are
    a share of; `hidden` is then a sentence that says so, else None. The order of images makes no
    difference. Raises ValueError where the lengths disagree.
    """
    if not len(decisions) == len(targets) == len(patients) == len(columns):
        raise ValueError(
            f"{len(decisions)} decisions, {len(targets)} targets, {len(patients)} patients and "
            f"{len(columns)} rows of columns"
        )
    names = [place if patient is None else patient for place, patient in enumerate(patients)]
    numbers: dict[int | str, int] = {}
    cluster = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)
    grouped = {}
    for column, read in READERS.items():
        values = _values([read(row.get(column) or "") for row in columns])
        members = [(value, np.array(images)) for value, images in _ordered(column, values)]
        if len([value for value, _ in members if value != UNKNOWN]) > 1:
            grouped[column] = [
                {
                    "group": value,
                    "images": len(images),
                    "patients": len(np.unique(cluster[images])),
                    "classes": {
                        name: _class(name, decisions[images, place], targets[images, place],
                                     cluster[images])
                        for place, name in enumerate(space.classes)
                    },
                }
                for value, images in members
            ]  # fmt: skip
    return grouped


def _age_band(cell: str) -> str:
    age = plausible_age(cell)
    return "" if age is None else AGES[max(start for start in AGES if start <= age)]


READERS: dict[str, Callable[[str], str]] = {  # column -> the group of a cell, empty if unknown
    "view": as_view, "sex": lambda cell: as_sex(cell.strip()), "age": _age_band,
    "source": known_text,
}  # fmt: skip


def _values(groups: Sequence[str]) -> dict[str, list[int]]:
    """Value -> places of its images; unknown ones under UNKNOWN, those of small groups OTHER."""
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group or UNKNOWN, []).append(place)
    largest = sorted(places.keys() - {UNKNOWN}, key=lambda value: (-len(places[value]), value))
    kept = {value: places[value] for value in largest[:MAX_VALUES]}
    small = [place for value in largest[MAX_VALUES:] for place in places[value]]
    if small:
        kept[OTHER] = sorted(kept.get(OTHER, []) + small)
    return kept | ({UNKNOWN: places[UNKNOWN]} if UNKNOWN in places else {})


def _ordered(column: str, values: Mapping[str, list[int]]) -> Iterator[tuple[str, list[int]]]:
    """Bands of age from young to old, others from large to small; OTHER and UNKNOWN last."""
    bands = list(AGES.values())
    yield from sorted(
        values.items(),
        key=lambda pair: (
            (OTHER, UNKNOWN).index(pair[0]) + 1 if pair[0] in (OTHER, UNKNOWN) else 0,
            bands.index(pair[0]) if column == "age" and pair[0] in bands else 0,
            -len(pair[1]),
            pair[0],
        ),
    )


def _class(
    name: str, decided: Booleans, target: npt.NDArray[Any], cluster: Integers
) -> dict[str, Any]:
    """One class in one group; all arrays are `[images]` of the group."""
    with_it, without = target == 1, target == 0
    counts = [len(np.unique(cluster[chosen])) for chosen in (with_it, without)]
    sensitivity = _share(decided[with_it], cluster[with_it], counts[0])
    specificity = _share(~decided[without], cluster[without], counts[1])
    reasons = [
        f"{title}: {count} {'patient' if count == 1 else 'patients'} {which} {name}"
        for title, which, count in zip(
            ("sensitivity", "specificity"), ("with", "without"), counts, strict=True
        )
        if count < MIN_PATIENTS
    ]
    hidden = f"{'; '.join(reasons)}; fewer than {MIN_PATIENTS}" if reasons else None
    return {
        "patients": counts[0],
        "patients_without": counts[1],
        "sensitivity": sensitivity,
        "specificity": specificity,
        "hidden": hidden,
    }


def _share(correct: Booleans, cluster: Integers, patients: int) -> dict[str, float] | None:
    if patients < MIN_PATIENTS:
        return None
    _, own = np.unique(cluster, return_inverse=True)
    images = np.bincount(own).astype(np.float64)
    true = np.bincount(own, weights=correct).astype(np.float64)
    value, low, high = (float(each) for each in wilson(true, images))
    return {"value": value, "low": low, "high": high}
