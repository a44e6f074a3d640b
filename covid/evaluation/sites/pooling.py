"""AUROC of several sites as one summary, and what to expect of the next site."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from covid.evaluation.intervals import Z

MIN_SITES = 3  # of two, the variance between sites cannot be told from chance
CENTRAL = 0.975  # the quantile that 95 % intervals end at
METHOD = (
    "random effects on the logit scale; variance between sites by DerSimonian and Laird, "
    "interval by Hartung, Knapp, Sidik and Jonkman"
)


@dataclass(frozen=True)
class Summary:
    """The mean of a figure over sites, and the range that holds for most sites like these."""

    value: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float
    between: float  # standard deviation between sites, as far as sampling does not explain it


def random_effects(estimates: Sequence[float], errors: Sequence[float]) -> Summary:
    """The summary of `estimates` of MIN_SITES sites or more, with their standard `errors`, above 0.

    DerSimonian & Laird, Controlled Clinical Trials 7, 1986, for the variance between sites.
    IntHout, Ioannidis & Borm, BMC Medical Research Methodology 14:25, 2014, for the interval,
    whose factor is at least 1 (Knapp & Hartung, Statistics in Medicine 22, 2003): by chance three
    sites can agree better than each is known. Higgins, Thompson & Spiegelhalter, JRSS A 172, 2009,
    equation 12, for the prediction interval. Raises ValueError for fewer sites.
    """
    if len(estimates) < MIN_SITES or len(estimates) != len(errors):
        raise ValueError(f"{len(estimates)} estimates and {len(errors)} errors")
    # Sums of floats depend on their order; sites have none.
    pairs = np.array(sorted(zip(estimates, errors, strict=True)), dtype=np.float64)
    figures, variances = pairs[:, 0], pairs[:, 1] ** 2
    sites = len(figures)
    fixed = 1 / variances
    q = fixed @ (figures - fixed @ figures / fixed.sum()) ** 2
    excess = (q - (sites - 1)) / (fixed.sum() - fixed @ fixed / fixed.sum())
    between = max(0.0, float(excess))
    weights = 1 / (variances + between)
    mean = float(weights @ figures / weights.sum())
    factor = max(1.0, float(weights @ (figures - mean) ** 2) / (sites - 1))
    error = math.sqrt(factor / weights.sum())
    spread = float(stdtrit(sites - 1, CENTRAL)) * error
    next_site = float(stdtrit(sites - 2, CENTRAL)) * math.sqrt(between + error**2)
    return Summary(
        mean, mean - spread, mean + spread, mean - next_site, mean + next_site, math.sqrt(between)
    )


def pool(figures: Sequence[Mapping[str, float | None]]) -> Summary:
    """The summary of shares or areas, `{"value", "low", "high"}` in 0..1, on that scale.

    Standard errors follow from the 95 % intervals, on the logit scale (Snell, Ensor, Debray, Moons
    & Riley, Statistical Methods in Medical Research 27, 2018, for AUROC); where one end of an
    interval is 0 or 1, from the other end. `between` stays on the logit scale. Raises ValueError
    for fewer than MIN_SITES, or where one of them has no standard error, see `has_error`: without
    it the summary would be of other sites.
    """
    errors = [error for figure in figures if (error := _error(figure)) is not None]
    if len(errors) < len(figures):
        raise ValueError("a figure without a standard error")
    values = [_logit(value) for figure in figures if (value := figure["value"]) is not None]
    summary = random_effects(values, errors)
    value, low, high, prediction_low, prediction_high = (
        _share(each)
        for each in (summary.value, summary.low, summary.high,
                     summary.prediction_low, summary.prediction_high)
    )  # fmt: skip
    return Summary(value, low, high, prediction_low, prediction_high, summary.between)


def has_error(figure: Mapping[str, float | None]) -> bool:
    """Whether a figure and its interval give a standard error on the logit scale.

    They do not where the figure is 0 or 1, which lie at infinity, or the interval has no width.
    """
    return _error(figure) is not None


def _error(figure: Mapping[str, float | None]) -> float | None:
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None or low is None or high is None or not 0 < value < 1:
        return None
    ends = [_logit(end) for end in (low, high) if 0 < end < 1]
    if len(ends) == 2:
        error = (ends[1] - ends[0]) / (2 * Z)
    elif ends:
        error = abs(ends[0] - _logit(value)) / Z
    else:
        return None
    return error if error > 0 else None


def _logit(share: float) -> float:
    return math.log(share) - math.log1p(-share)


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -500 else 0.0  # exp overflows at 710
