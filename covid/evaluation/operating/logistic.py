"""Logistic regression on one number: its coefficients, and their intervals over patients."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, stdtrit

from covid.evaluation.clusters import covariance_of_sums

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.intp]

UPPER = 0.975  # what leaves 95 % between itself and its opposite
STEPS = 100  # of Newton's; where a maximum exists, about ten suffice
CLOSE = 1e-9  # the last step, in log-odds: what is left after it is about its square


@dataclass(frozen=True)
class Line:
    """log-odds = slope · x + intercept, with the standard error of the slope over patients."""

    slope: float
    intercept: float
    slope_error: float | None  # None where there is one cluster


def why_no_slope(x: Floats, outcomes: Booleans) -> str | None:
    """Why the likelihood of a logistic regression has no maximum; None where it has one.

    `x` and `outcomes` are `[images]`, both outcomes among them. It has none where a value of x
    separates the outcomes, if only just: Albert & Anderson 1984, "On the existence of maximum
    likelihood estimates in logistic regression models".
    """
    true, false = x[outcomes], x[~outcomes]
    if x.min() == x.max():
        return "all images have the same probability"
    if true.min() >= false.max() or false.min() >= true.max():
        return "the probabilities separate the two outcomes without a mistake"
    return None


def fit_line(x: Floats, outcomes: Booleans, cluster: Integers | None = None) -> Line:
    """By maximum likelihood, where `why_no_slope` finds no reason against it.

    `x` and `outcomes` are `[images]`; with `cluster` `[images]` the error is there too. Raises
    ArithmeticError where the maximum is too far away for float64.
    """
    centre, spread = float(x.mean()), float(x.std())
    if not spread:  # values that differ by less than float64 can square
        raise ArithmeticError("the values are too close to each other")
    design = np.stack([(x - centre) / spread, np.ones_like(x)], axis=1)
    offset = np.zeros_like(x)
    slope, level = _maximum(design, outcomes, offset).tolist()
    error = None
    if cluster is not None:
        covariance = _sandwich(design, outcomes, offset, np.array([slope, level]), cluster)
        error = None if covariance is None else float(np.sqrt(covariance[0, 0])) / spread
    return Line(slope / spread, level - slope * centre / spread, error)


def fit_shift(
    offset: Floats, outcomes: Booleans, cluster: Integers
) -> tuple[float, float | None]:
    """The number that `offset` `[images]`, log-odds, must be moved by, and its standard error."""
    design = np.ones((len(offset), 1))
    shift = _maximum(design, outcomes, offset)
    covariance = _sandwich(design, outcomes, offset, shift, cluster)
    return float(shift[0]), None if covariance is None else float(np.sqrt(covariance[0, 0]))


def interval(value: float, error: float, clusters: int) -> tuple[float, float]:
    """95 % by Student's t with one degree of freedom fewer than there are clusters."""
    half = float(stdtrit(clusters - 1, UPPER)) * error
    return value - half, value + half


def _maximum(design: Floats, outcomes: Booleans, offset: Floats) -> Floats:
    """Newton's method, each step halved until the log-likelihood does not fall."""
    signs = np.where(outcomes, 1.0, -1.0)

    def log_likelihood(at: Floats) -> float:
        return -float(np.logaddexp(0.0, -signs * (offset + design @ at)).sum())

    at = np.zeros(design.shape[1])
    for _ in range(STEPS):
        likely = expit(offset + design @ at)
        curvature = (design * (likely * (1 - likely))[:, None]).T @ design
        try:
            step = np.linalg.solve(curvature, design.T @ (outcomes - likely))
        except np.linalg.LinAlgError:
            raise ArithmeticError("the likelihood is flat") from None
        if not np.isfinite(step).all():
            raise ArithmeticError("the likelihood is flat")
        reached = log_likelihood(at)
        while np.abs(step).max() > CLOSE and not log_likelihood(at + step) >= reached:
            step = step / 2
        at = at + step
        if np.abs(step).max() <= CLOSE:
            return at
    raise ArithmeticError("the likelihood has no maximum nearby")


def _sandwich(
    design: Floats, outcomes: Booleans, offset: Floats, at: Floats, cluster: Integers
) -> Floats | None:
    """The covariance `[k, k]` of coefficients: Liang & Zeger 1986, "Longitudinal data analysis"."""
    if len(np.unique(cluster)) < 2:
        return None
    likely = expit(offset + design @ at)
    bread = np.linalg.inv((design * (likely * (1 - likely))[:, None]).T @ design)
    scores = design * (outcomes - likely)[:, None]
    covariance: Floats = bread @ covariance_of_sums(scores, cluster) @ bread
    return covariance
