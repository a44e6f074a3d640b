"""Whether probabilities can be taken at their word, and what to do about it: a recalibration.

Cox 1958, "Two further applications of a model for binary regression": the log-odds of the outcome
as a line in the log-odds that were predicted. Slope 1 and intercept 0 are calibration; a slope
below 1 says that probabilities are too extreme, an intercept below 0 that they are too high.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit, softmax

from covid.edge.labels import LabelSpace
from covid.edge.operating_point import ChosenOn, Method, Recalibration
from covid.edge.table import fold_table
from covid.errors import ConfigError, DataError
from covid.evaluation.answers import Answers, Targets
from covid.evaluation.clusters import number_patients
from covid.evaluation.intervals import MIN_DIFFERING_PATIENTS, proportion
from covid.evaluation.operating.logistic import fit_line, fit_shift, interval, why_no_slope
from covid.evaluation.terminal import COLUMNS

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.intp]
Figure = dict[str, float | None]  # "value", "low", "high"

# A float32 next to 1 is 1 - 2**-24: a probability nearer to 0 or 1 is a sigmoid that has run out of
# digits, and its log-odds would be infinite.
RESOLUTION = 2.0**-24
BINS = 10  # at most
IMAGES_PER_BIN = 10  # about: below that a bin's share says nothing
LARGEST_SCALE = 2.0**20  # logits of 1e-6 would become 1: they differ by rounding alone


def calibration_figures(
    space: LabelSpace,
    probabilities: npt.NDArray[np.floating[Any]],
    targets: Targets,
    patients: Sequence[str | None],
) -> dict[str, dict[str, Any]]:
    """For each class `slope` and `intercept`, each `{"value", "low", "high"}`, `bins`, `reason`.

    `probabilities` in 0..1 and `targets` (bool, or 1 and 0 with NaN where they are not known) are
    `[images, classes]`. The slope is that of a logistic regression on logit(p), the intercept that
    of one whose slope is fixed at 1. Their 95 % intervals are over patients (Liang & Zeger 1986),
    by Student's t with one degree of freedom fewer than the rarer outcome has patients: with as
    many as there are patients, simulated intervals of slopes at 30 patients hold the truth in less
    than 92 %. What cannot be determined is None, and a sentence in the class's `notes` says why;
    `reason` is the same in a few words, or None where there is a slope.

    `bins` hold about as many images each, by ascending probability: the mean `predicted`, the share
    `observed` with Wilson's `low` and `high`, `images`, `patients`. Raises what `Answers.of` does.
    """
    answers = Answers.of(space, probabilities, targets)
    figures = {}
    for column, name in enumerate(space.classes):
        known = np.flatnonzero(answers.known[:, column])
        own = [patients[place] for place in known.tolist()]
        predicted = answers.probabilities[known, column].astype(np.float64)
        outcomes = answers.targets[known, column]
        figures[name] = _of_class(name, predicted, outcomes, own)
    return figures


def _of_class(
    name: str, predicted: Floats, outcomes: Booleans, patients: Sequence[str | None]
) -> dict[str, Any]:
    nothing: Figure = {"value": None, "low": None, "high": None}
    figures: dict[str, Any] = {"slope": nothing, "intercept": nothing, "bins": []}
    if not len(predicted):
        figures["reason"] = "of no image is it known"
        return figures | {"notes": [f"Of no image is it known whether it bears {name}."]}
    cluster = number_patients(patients)
    figures["bins"] = _bins(predicted, outcomes, patients)
    fewest = min(len(np.unique(cluster[outcomes])), len(np.unique(cluster[~outcomes])))
    why = why_one_outcome(outcomes)
    if why is None and fewest < MIN_DIFFERING_PATIENTS:
        why = f"fewer than {MIN_DIFFERING_PATIENTS} patients have one of the two outcomes"
    if why is not None:
        sentence = f"{name}: calibration slope and intercept cannot be determined, as {why}."
        return figures | {"reason": why, "notes": [sentence]}
    log_odds = logit(np.clip(predicted, RESOLUTION, 1 - RESOLUTION))
    figures["intercept"] = _estimate(*fit_shift(log_odds, outcomes, cluster), fewest)
    why_not = why_no_slope(log_odds, outcomes) or _why_no_interval(log_odds, outcomes, cluster)
    if why_not is None:
        try:
            line = fit_line(log_odds, outcomes, cluster)
            figures["slope"] = _estimate(line.slope, line.slope_error, fewest)
        except ArithmeticError:
            why_not = "the likelihood is too flat"
    notes = [f"{name}: a calibration slope cannot be determined, as {why_not}."] if why_not else []
    return figures | {"reason": why_not, "notes": notes}


def why_one_outcome(outcomes: Booleans) -> str | None:
    """Why `outcomes` `[images]` of a class, those that are known, are not of both kinds, if so."""
    if not len(outcomes):
        return "of no image is it known whether it bears it"
    if outcomes.all():
        return "every image bears it"
    return None if outcomes.any() else "no image bears it"


def _why_no_interval(log_odds: Floats, outcomes: Booleans, cluster: Integers) -> str | None:
    """A slope that rests on a mistake or two would be huge, and its spread nobody's guess."""
    lowest, highest = log_odds[outcomes].min(), log_odds[~outcomes].max()
    mixed = np.where(outcomes, log_odds <= highest, log_odds >= lowest)
    if len(np.unique(cluster[mixed])) >= MIN_DIFFERING_PATIENTS:
        return None
    return f"the two outcomes overlap in fewer than {MIN_DIFFERING_PATIENTS} patients"


def _estimate(value: float, error: float | None, patients: int) -> Figure:
    low, high = (None, None) if error is None else interval(value, error, patients)
    return {"value": value, "low": low, "high": high}


def _bins(
    predicted: Floats, outcomes: Booleans, patients: Sequence[str | None]
) -> list[dict[str, Any]]:
    """Images of equal probability stay together, so that their order makes no difference."""
    count = min(BINS, max(1, len(predicted) // IMAGES_PER_BIN))
    _, level, images = np.unique(predicted, return_inverse=True, return_counts=True)
    middle = images.cumsum() - images / 2  # of each level's places
    bin_of = np.floor(count * middle / len(predicted)).astype(np.intp)[level]
    bins = []
    for number in np.unique(bin_of).tolist():
        chosen = np.flatnonzero(bin_of == number)
        share = proportion(outcomes[chosen], [patients[place] for place in chosen.tolist()])
        bins.append({
            "predicted": float(predicted[chosen].mean()), "observed": share.value,
            "low": share.low, "high": share.high,
            "images": share.images, "patients": share.patients,
        })  # fmt: skip
    return bins


def fit_recalibration(
    method: Method,
    space: LabelSpace,
    logits: npt.NDArray[np.floating[Any]],
    targets: Targets,
    chosen_on: ChosenOn,
) -> Recalibration:
    """The `scale` and `shift` of `logits` `[images, classes]` under which `targets` are likeliest.

    `temperature`: one scale for all classes and no shift (Guo, Pleiss, Sun & Weinberger 2017, "On
    calibration of modern neural networks"); `platt`: a line for each class of `multilabel` (Platt
    1999, "Probabilistic outputs for support vector machines", without his smoothed targets).
    Targets are bool, or 1 and 0 with NaN where they are not known, which do not count. Numbers are
    those of float32, which the graph holds. The order of the images makes no difference but for
    rounding.

    Raises ConfigError for `platt` where the task is `single_label`; DataError where these images
    do not allow a recalibration: nothing known, one outcome only, logits that make no mistake (the
    scale would be infinite) or are no better than none (it would not be above 0).
    """
    if logits.shape != targets.shape or targets.shape[1:] != (len(space.classes),):
        raise ValueError(f"logits {logits.shape} and targets {targets.shape}")
    if method == "platt" and space.task == "single_label":
        raise ConfigError(
            "--recalibrate platt: single_label takes temperature only, as its probabilities must "
            "sum to 1; write --recalibrate temperature."
        )
    known = ~np.isnan(targets)
    if not known.any():
        raise _impossible(method, "of no image is it known what it bears")
    scores, true = logits.astype(np.float64), np.asarray(targets == 1)
    if method == "temperature":
        if space.task == "multilabel":
            scale = _sigmoid_scale(scores[known], true[known])
        else:
            rows = known.all(axis=1) & (true.sum(axis=1) == 1)
            scale = _softmax_scale(scores[rows], true[rows])
        lines = [(scale, 0.0)] * len(space.classes)
    else:
        lines = []
        for column, name in enumerate(space.classes):
            try:
                lines.append(fit_class(logits[:, column], targets[:, column]))
            except ArithmeticError as error:
                raise _impossible(method, f"for {name} {error}") from None
    scales, shifts = (tuple(float(np.float32(number)) for number in each)
                      for each in zip(*lines, strict=True))  # fmt: skip
    return Recalibration(method, scales, shifts, chosen_on)


def fit_class(logits: npt.NDArray[np.floating[Any]], targets: Targets) -> tuple[float, float]:
    """Scale and shift of one class's `logits` `[images]` by `platt`, as float32 holds them.

    `targets` `[images]` as `fit_recalibration` takes them. Raises ArithmeticError, with the reason
    in a few words, where these images allow none.
    """
    known = ~np.isnan(targets)
    scores, true = logits[known].astype(np.float64), np.asarray(targets[known] == 1)
    why = why_one_outcome(true) or why_no_slope(scores, true)
    if why is not None:
        raise ArithmeticError(why)
    line = fit_line(scores, true)
    if line.slope <= 0 or np.float32(line.slope) <= 0:
        raise ArithmeticError("it is no likelier where its logit is larger")
    return float(np.float32(line.slope)), float(np.float32(line.intercept))


def recalibrated(
    space: LabelSpace, logits: npt.NDArray[np.float32], recalibration: Recalibration | None
) -> npt.NDArray[np.float32]:
    """Probabilities of the network's own logits, both float32 `[images, classes]`.

    As the graph computes them, but for the rounding of the last step. None leaves logits as they
    are.
    """
    applied = logits if recalibration is None else recalibration.apply(logits)
    scores = applied.astype(np.float64)
    likely = expit(scores) if space.task == "multilabel" else softmax(scores, axis=1)
    return np.asarray(likely, dtype=np.float32)


def calibration_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """What `calibration_figures` gives, for people, a row a class; a dash for what is undefined."""
    columns = {"calibration": list(figures)}
    for title in ("slope", "intercept"):
        rows = [row[title] for row in figures.values()]
        columns[title] = [_two_decimals(row["value"]) for row in rows]
        # Apart: a table of two columns each goes on below itself where names are long.
        columns[f"{title} 95 %"] = [_range(row) for row in rows]
    return "\n\n".join(fold_table(columns, COLUMNS))


def _two_decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _range(figure: Mapping[str, float | None]) -> str:
    low, high = figure["low"], figure["high"]
    return "–" if low is None else f"{low:.2f} to {high:.2f}"


def _sigmoid_scale(scores: Floats, true: Booleans) -> float:
    margins = np.where(true, scores, -scores)  # above 0 where it is right
    if (margins >= 0).all():
        raise _no_mistake()
    return _root(lambda scale: float((margins * expit(-scale * margins)).sum()))


def _softmax_scale(scores: Floats, true: Booleans) -> float:
    own = scores[true]  # one an image
    margins = scores - own[:, None]
    if (margins <= 0).all():
        raise _no_mistake()
    return _root(lambda scale: -float((softmax(scale * scores, axis=1) * margins).sum()))


def _root(slope: Callable[[float], float]) -> float:
    """Where the slope of a concave log-likelihood in the scale changes its sign, above 0."""
    if slope(0.0) <= 0:
        raise _impossible("temperature", "labels are no likelier where their logits are larger")
    upper = 1.0
    while slope(upper) >= 0:
        upper *= 2
        if upper > LARGEST_SCALE:
            raise _no_mistake()
    return float(brentq(slope, 0.0, upper, xtol=1e-12, rtol=1e-12))


def _no_mistake() -> DataError:
    return _impossible("temperature", "the network makes no mistake on them, and the scale would "
                       "be infinite")  # fmt: skip


def _impossible(method: Method, why: str) -> DataError:
    return DataError(
        f"These images do not allow a recalibration by {method}: {why}; take more images, or do "
        f"without it."
    )
