"""Whether a network cheats, by rules: at most three sentences with their figures.

The limits are those of benchmarks/shortcuts.py, which trains honest networks and cheating ones on
phantoms; docs/shortcuts.md has its table. A rule looks at the end of a 95 % interval that is nearer
to innocence, so few images clear a network rather than accuse it.
"""

from collections.abc import Mapping
from typing import Any

# AUROC that a class must exceed where lungs are hidden, in both fills.
OUTSIDE = 0.55
# Partial rank correlation of an answer with that of the image which lent the border.
BORDER = 0.1
# AUROC that equalised greys must cost, as a difference.
GREYS = -0.08
# Of what the whole image tells beyond chance: above it lungs are not needed for most of it.
MOST = 0.5
HIDDEN = ("lungs hidden, grey", "lungs hidden, black")
WITHOUT_LUNGS = (*HIDDEN, "border only, grey", "border only, black")
Figure = Mapping[str, float | None]


def verdict(report: Mapping[str, Any]) -> dict[str, Any]:
    """What `report`, shortcuts.json but for this, comes to: `cheats`, `sentences`, rules broken.

    `caution` is a sentence where the images are not known to be of the run (`own_images`), else
    None: a shortcut of one collection need not go with the label in another.

    A class is evaluated where enough patients have it and enough do not. It is `told` without lungs
    where the interval of its AUROC lies above OUTSIDE whether lungs are filled with grey or with
    black. It `follows` the border where the interval of `border_weight` lies above BORDER and a
    border of the other label costs AUROC of the centre's: the interval of the difference from a
    border of the same label, resampled in pairs, lies below 0. It `rests` on greys where equalised
    ones cost more AUROC than GREYS, and the linear model on the features of borders, where there is
    one, tells it as `told` does. Each of these is cheating.
    `cheats` is None where no class could be evaluated.
    """
    evaluated = evaluated_classes(report)
    weights = (report["swap"] or {}).get("border_weight", {})
    told = [name for name in evaluated if _above(outside(report, name), OUTSIDE)]
    follows = [name for name in evaluated if name in weights and _follows_border(report, name)]
    rests = [name for name in evaluated if _rests(report, name)]
    sentences = []
    if not evaluated:
        sentences.append(
            "Too few patients to tell whether it cheats: no class has 10 with it and 10 without."
        )
    elif not (told or follows or rests):
        sentences.append(_clear(report, evaluated, weights))
    if told:
        sentences.append(_told(report, told))
    if follows:
        sentences.append(_follows(report, max(follows, key=lambda name: weights[name]["value"])))
    if rests:
        sentences.append(_greys(report, min(rests, key=lambda name: _equalised(report, name))))
    left_out = [name for name in report["classes"] if name not in evaluated]
    if evaluated and left_out and len(sentences) < 3:
        sentences.append(
            f"Of {_and(left_out)} it cannot be told, for want of 10 patients with and without."
        )
    return {
        "cheats": bool(told or follows or rests) if evaluated else None,
        "told_without_lungs": told,
        "follows_the_border": follows,
        "rests_on_greys": rests,
        "limits": {
            "auroc_without_lungs": OUTSIDE, "border_weight": BORDER, "equalised": GREYS,
        },
        "sentences": sentences,
        "caution": _caution(report["own_images"]),
    }


def _caution(own: bool | None) -> str | None:
    """`own` says whether the images are the run's; None: not known."""
    if own:
        return None
    which = (
        "Whether these images are of the collection that it was trained on is not known"
        if own is None else "These are not the images of its run"
    )  # fmt: skip
    return (
        f"{which}: a shortcut that it has learnt need not go with the label here, and to see no "
        f"sign of one here does not clear it."
    )


def evaluated_classes(report: Mapping[str, Any]) -> list[str]:
    """Those that enough patients have and enough do not."""
    both = zip(report["classes"], report["evaluated"], strict=True)
    return [name for name, enough in both if enough]


def outside(report: Mapping[str, Any], name: str) -> Figure:
    """A class's AUROC where lungs are hidden, by the fill that tells less."""
    figures = [report["tests"][test]["auroc"][name] for test in HIDDEN]
    lowest: Figure = min(figures, key=lambda f: -1.0 if f["low"] is None else f["low"])
    return lowest


def _above(figure: Figure, limit: float) -> bool:
    return figure["low"] is not None and figure["low"] > limit


def _follows_border(report: Mapping[str, Any], name: str) -> bool:
    lost = report["swap"]["auroc"]["across"][name]["difference"]
    follows = _above(report["swap"]["border_weight"][name], BORDER)
    return follows and lost["high"] is not None and lost["high"] < 0


def _rests(report: Mapping[str, Any], name: str) -> bool:
    cost = report["tests"]["equalised"]["auroc"][name]["difference"]
    probe = report["probe"]
    known = probe is None or (name in probe and _above(probe[name], OUTSIDE))
    return known and cost["high"] is not None and cost["high"] < GREYS


def _equalised(report: Mapping[str, Any], name: str) -> float:
    """The difference that equalised greys make, of a class that rests on them."""
    return float(report["tests"]["equalised"]["auroc"][name]["difference"]["value"])


def _greys(report: Mapping[str, Any], name: str) -> str:
    figures = report["tests"]["equalised"]["auroc"][name]
    sentence = (
        f"Its answers rest on how light an image is: with equalised greys AUROC of {name} is "
        f"{figures['value']:.2f} instead of {report['tests']['whole']['auroc'][name]['value']:.2f}"
    )
    if report["probe"]:
        sentence += f", and borders alone tell it with {_range(report['probe'][name])}"
    return f"{sentence}."


def _told(report: Mapping[str, Any], told: list[str]) -> str:
    """The classes that are told best come first."""
    figures = {name: outside(report, name) for name in told}
    order = sorted(told, key=lambda name: -(figures[name]["value"] or 0))
    first, *rest = order
    said = f"{first} is told from images without lungs with AUROC {_range(figures[first])}"
    if rest:
        said += ", " + _and([f"{name} with {_range(figures[name])}" for name in rest])
    whole = report["tests"]["whole"]["auroc"]
    empty = [name for name in order
             if ((figures[name]["value"] or 0) - 0.5) >= MOST * (whole[name]["value"] - 0.5)]
    if empty:
        return f"{said}: a figure of {_and(empty)} on this set says nothing of the disease."
    return f"{said}: a part of what figures on this set show is not the disease."


def _follows(report: Mapping[str, Any], name: str) -> str:
    swap = report["swap"]
    shares, lost = swap["followed"][name], swap["auroc"]["across"][name]["difference"]
    wrong = 100 * (1 - shares["within"]["value"])
    return (
        f"Its answers follow the border: given the centre, the rank correlation of an answer for "
        f"{name} with that of the border's image is {_range(swap['border_weight'][name])}; in a "
        f"border of the other label its AUROC is lower by {_range(_negative(lost))} than in one of "
        f"the same label, and {100 * shares['border']['value']:.0f} % of decisions are wrong "
        f"instead of {wrong:.0f} %."
    )


def _negative(figure: Figure) -> Figure:
    value, low, high = (None if figure[key] is None else -(figure[key] or 0.0)
                        for key in ("value", "low", "high"))  # fmt: skip
    return {"value": value, "low": high, "high": low}


def _clear(report: Mapping[str, Any], evaluated: list[str], weights: Mapping[str, Figure]) -> str:
    best = max(evaluated, key=lambda name: outside(report, name)["value"] or 0)
    sentence = (
        f"No sign of cheating was seen: without lungs {best} is told with AUROC "
        f"{_range(outside(report, best))}"
    )
    known = [name for name in evaluated if name in weights and weights[name]["value"] is not None]
    if known:
        most = max(known, key=lambda name: weights[name]["value"] or 0)
        sentence += (
            f", and answers follow a foreign border with a rank correlation of "
            f"{_range(weights[most])}"
        )
    return f"{sentence}; what lies on the lungs, such as a device, is not tested."


def _range(figure: Figure) -> str:
    if figure["value"] is None:
        return "unknown"
    if figure["low"] is None:
        return f"{figure['value']:.2f}"
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
