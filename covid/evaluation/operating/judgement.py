"""Whether a network may be used at a place, by what some of its images say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from covid.edge.table import fold_table
from covid.evaluation.clusters import number_patients
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.operating.calibration import calibration_figures
from covid.evaluation.operating.site import Fitted, Site
from covid.evaluation.terminal import COLUMNS

Verdict = Literal["may", "undecided", "should not"]

# Patients with a class, and without it, below which their bootstrap knows too few different
# patients to be believed in either direction.
MIN_PATIENTS = 10
CHANCE = 0.5  # the AUROC of a coin
# What the AUROC could be at best must reach this: three of four pairs of an image that bears the
# class and one that does not in the right order. Less is no use even for sorting a worklist.
MIN_AUROC = 0.75
# An interval that is wider would call both a good and a poor network possible.
MAX_WIDTH = 0.2


@dataclass(frozen=True)
class Judgement:
    """The worst of all classes, and why."""

    verdict: Verdict
    sentence: str
    reasons: tuple[str, ...]  # one a class that is not fit for use; none where all are

    def fields(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"verdict": self.verdict, "sentence": self.sentence, "reasons": list(self.reasons)}


def judge(classes: Mapping[str, Mapping[str, Any]]) -> Judgement:
    """By what `rows_of_classes` gives.

    A class with fewer than 10 patients who have it, or who do not, or whose AUROC has no interval,
    cannot be told. Of others the network should not be used where the interval of the AUROC holds
    0.5 or lies below it, or ends below 0.75; and cannot be told where it is wider than 0.2. Neither
    thresholds nor a recalibration, which were fitted on the same images, have a say: but for a
    temperature of three classes or more, they do not change the order that the AUROC is of.
    """
    against, undecided, few = [], [], []
    for name, row in classes.items():
        verdict, reason = _of_class(name, row)
        if verdict == "should not":
            against.append(reason)
        elif verdict == "undecided":
            undecided.append(reason)
            few.append(_fewest(name, row))
    if against:
        return Judgement("should not", "It should not be used here.", tuple(against))
    if undecided:
        sentence = f"It cannot be told with these few images ({', '.join(few)})."
        return Judgement("undecided", sentence, tuple(undecided))
    return Judgement("may", "It may be used here for research.", ())


def _of_class(name: str, row: Mapping[str, Any]) -> tuple[Verdict, str]:
    low, high = row["auroc"]["low"], row["auroc"]["high"]
    if min(row["with"], row["without"]) < MIN_PATIENTS or low is None:
        return "undecided", f"{_fewest(name, row)}, where {MIN_PATIENTS} are needed on either side"
    range_ = f"{name}: an AUROC of {low:.2f} to {high:.2f}"
    if low <= CHANCE:
        return "should not", f"{range_} is not told from chance"
    if high < MIN_AUROC:
        return "should not", f"{range_} is below {MIN_AUROC:g} at best"
    if high - low > MAX_WIDTH:
        return "undecided", f"{range_} is wider than {MAX_WIDTH:g}"
    return "may", ""


def _fewest(name: str, row: Mapping[str, Any]) -> str:
    """The smaller side of a class: `7 patients with covid`."""
    side = "with" if row["with"] <= row["without"] else "without"
    return f"{row[side]:,} {row['of']}{'s' * (row[side] != 1)} {side} {name}"


def rows_of_classes(
    site: Site, fitted: Fitted, metrics: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """What a site's images say of each class before and after what was `fitted` to them.

    `metrics` is what `compute_metrics` gives after it. `with` and `without` count patients (`of`
    says `image` where no patient is known) among those whose target is known.
    """
    cluster = number_patients(site.patients)
    of = "patient" if any(patient is not None for patient in site.patients) else "image"
    both = {
        "before": (
            compute_metrics(site.space, site.probabilities, site.targets, site.patients),
            calibration_figures(site.space, site.probabilities, site.targets, site.patients),
        ),
        "after": (
            metrics,
            calibration_figures(fitted.space, fitted.probabilities, site.targets, site.patients),
        ),
    }
    return {
        name: {
            "with": len(np.unique(cluster[site.targets[:, column] == 1])),
            "without": len(np.unique(cluster[site.targets[:, column] == 0])),
            "of": of,
            "auroc": _figure(metrics["per_class"][name], "auroc"),
            **{when: _at(name, *figures) for when, figures in both.items()},
        }
        for column, name in enumerate(site.space.classes)
    }


def _at(name: str, metrics: Mapping[str, Any], calibration: Mapping[str, Any]) -> dict[str, Any]:
    row = metrics["per_class"][name]
    return {
        "threshold": row["threshold"],
        "sensitivity": _figure(row, "recall"),
        "specificity": _figure(row, "specificity"),
        **{figure: calibration[name][figure] for figure in ("slope", "intercept")},
    }


def _figure(row: Mapping[str, Any], name: str) -> dict[str, float | None]:
    interval = row["intervals"][name]
    return {"value": row[name], "low": interval["low"], "high": interval["high"]}


def judgement_tables(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """What `rows_of_classes` gives, for people: classes, then each before and after."""
    of = next(iter(rows.values()))["of"]
    classes = {
        "class": list(rows),
        f"{of}s with": [f"{row['with']:,}" for row in rows.values()],
        "without": [f"{row['without']:,}" for row in rows.values()],
        "AUROC (95 %)": [_range(row["auroc"]) for row in rows.values()],
    }
    both = [(name, when, row[when]) for name, row in rows.items() for when in ("before", "after")]
    compared = {
        "": [f"{name}, {when}" for name, when, _ in both],
        "threshold": [
            "–" if row["threshold"] is None else f"{row['threshold']:.3g}" for _, _, row in both
        ],
        "sensitivity (95 %)": [_range(row["sensitivity"]) for _, _, row in both],
        "specificity (95 %)": [_range(row["specificity"]) for _, _, row in both],
        "slope": [_number(row["slope"]["value"]) for _, _, row in both],
        "intercept": [_number(row["intercept"]["value"]) for _, _, row in both],
    }
    return "\n\n".join([*fold_table(classes, COLUMNS), *fold_table(compared, COLUMNS)])


def _number(value: float | None) -> str:
    # Adding 0 takes the sign off what rounds to nothing.
    return "–" if value is None else f"{round(value, 2) + 0.0:.2f}"


def _range(figure: Mapping[str, float | None]) -> str:
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if low is None or high is None:
        return _number(value)
    return f"{_number(value)} ({low:.2f}–{high:.2f})"
