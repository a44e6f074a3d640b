"""What a decision is worth where the disease is rarer, or commoner, than among these images."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.labels import DEFAULT_THRESHOLD, LabelSpace
from covid.edge.table import fold_table
from covid.errors import ConfigError
from covid.evaluation.answers import Answers, Targets
from covid.evaluation.intervals import Proportion, proportion
from covid.evaluation.terminal import COLUMNS

PREVALENCES = (0.01, 0.10, 0.30)  # screening, a ward's visitors, those who are suspected


def prevalences(own: float | None) -> tuple[float, ...]:
    """`PREVALENCES` and that of `--prevalence`, ascending. Raises ConfigError."""
    if own is not None and not 0 < own < 1:
        percent = f"; write {own / 100:g} for {own:g} %" if 1 < own < 100 else ""
        raise ConfigError(f"--prevalence {own:g}: must be above 0 and below 1{percent}.")
    return tuple(sorted({*PREVALENCES, *([] if own is None else [own])}))


def predictive_values(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Targets,
    patients: Sequence[str | None],
    prevalences: Sequence[float] = PREVALENCES,
) -> dict[str, list[dict[str, Any]]]:
    """For each class a row for each of `prevalences`, which are above 0 and below 1.

    `probabilities` in 0..1 and `targets` (bool, or 1 and 0 with NaN where they are not known) are
    `[images, classes]`; `space` decides. A row holds `prevalence`, `ppv` and `npv` (each
    `{"value", "low", "high"}`), `net_benefit` and, beside it, `net_benefit_treat_all` and
    `net_benefit_treat_none`, which is 0.

    Bayes' theorem: the odds after a decision are those before it times a likelihood ratio,
    sensitivity / (1 - specificity) or specificity / (1 - sensitivity). The 95 % interval of that
    ratio is recovered from Wilson's limits of its two shares, so that patients count as they do
    there (Newcombe 2016, "MOVER-R confidence intervals for ratios and products of two independently
    estimated quantities"). Sensitivity and specificity are taken to be the same at every
    prevalence, which is rarely quite true.

    Net benefit (Vickers & Elkin 2006, "Decision curve analysis"): true positives per image, less
    false positives at the odds t / (1 - t) of the class's threshold t, which says how many false
    alarms one case is worth. It is None where there is no threshold, or one of 1. What no image
    defines is None. Raises what `Answers.of` raises.
    """
    answers = Answers.of(space, probabilities, targets)
    thresholds: Sequence[float | None] = space.thresholds or (
        (DEFAULT_THRESHOLD,) * 2 if len(space.classes) == 2 else (None,) * len(space.classes)
    )
    values = {}
    for column, (name, threshold) in enumerate(zip(space.classes, thresholds, strict=True)):
        decided = answers.decisions[:, column]
        positive, negative = (answers.are(kind)[:, column] for kind in ("positive", "negative"))
        sensitivity = _share(positive, decided, patients)
        specificity = _share(negative, ~decided, patients)
        values[name] = [_row(each, sensitivity, specificity, threshold) for each in prevalences]
    return values


def _share(
    of: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_], patients: Sequence[str | None]
) -> Proportion | None:
    places = np.flatnonzero(of)
    if not len(places):
        return None
    return proportion(right[places], [patients[place] for place in places.tolist()])


def _row(
    prevalence: float,
    sensitivity: Proportion | None,
    specificity: Proportion | None,
    threshold: float | None,
) -> dict[str, Any]:
    odds = prevalence / (1 - prevalence)
    nothing = {"value": None, "low": None, "high": None}
    row: dict[str, Any] = {"prevalence": prevalence, "ppv": nothing, "npv": nothing}
    benefit = treat_all = None
    price = None if threshold is None or threshold >= 1 else threshold / (1 - threshold)
    if price is not None:
        treat_all = prevalence - (1 - prevalence) * price
    if sensitivity is not None and specificity is not None:
        row["ppv"] = _after(odds, sensitivity, specificity)
        row["npv"] = _after(1 / odds, specificity, sensitivity)
        if price is not None:
            false = (1 - specificity.value) * (1 - prevalence)
            benefit = sensitivity.value * prevalence - false * price
    return row | {
        "net_benefit": benefit,
        "net_benefit_treat_all": treat_all,
        "net_benefit_treat_none": 0.0,
    }


def _after(odds: float, own: Proportion, other: Proportion) -> dict[str, float | None]:
    """The chance of an outcome once it was decided.

    `own` is the share of images with the outcome that are decided so, `other` that of images
    without it that are not; `odds` are those of the outcome before.
    """
    wrong, low, high = 1 - other.value, 1 - other.high, 1 - other.low
    if own.value == 0 and wrong <= 0:  # it is never decided
        return {"value": None, "low": None, "high": None}
    ratios = {
        "value": own.value / wrong if wrong > 0 else math.inf,
        "low": _lower_ratio(own.value, own.low, wrong, high),
        "high": 1 / lower if (lower := _lower_ratio(wrong, low, own.value, own.high)) else math.inf,
    }
    return {name: _chance(odds * ratio) for name, ratio in ratios.items()}


def _lower_ratio(above: float, above_low: float, below: float, below_high: float) -> float:
    """The lower limit of above / below, whose limits are known: Newcombe 2016.

    Multiplied by its conjugate, so that neither a share of 0 nor one whose limit is twice itself
    divides by 0. The upper limit is one over the lower limit of below / above.
    """
    room = above_low * (2 * above - above_low)
    product = above * below
    root = math.sqrt(max(0.0, product**2 - room * below_high * (2 * below - below_high)))
    return room / (product + root) if room > 0 else 0.0


def _chance(odds: float) -> float:
    return 1.0 if math.isinf(odds) else odds / (1 + odds)


def predictive_values_table(values: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What `predictive_values` gives, for people; a dash for what is undefined."""
    rows = [(name, row) for name, each in values.items() for row in each]
    columns = {
        "at a prevalence": [f"{name}, {100 * row['prevalence']:.3g} %" for name, row in rows],
        **{
            key.upper(): [_with_range(row[key]) for _, row in rows] for key in ("ppv", "npv")
        },
        "net benefit": [_signed(row["net_benefit"]) for _, row in rows],
        "of treating all": [_signed(row["net_benefit_treat_all"]) for _, row in rows],
    }  # fmt: skip
    return "\n\n".join(fold_table(columns, COLUMNS))


def _with_range(figure: Mapping[str, float | None]) -> str:
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None:
        return "–"
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
