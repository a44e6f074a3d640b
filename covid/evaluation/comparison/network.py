"""What metrics.json beside two prediction files says of the networks: thresholds and identity."""

from collections.abc import Iterator, Mapping
from typing import Any

from covid.edge.labels import ROUNDING

# What tells networks apart: those of folds, a file, the network of one run.
IDENTITIES = (
    ("run", "networks"),
    ("source_sha256", "precision"),
    ("run", "epoch", "trained_on_sha256"),
)


def network_notes(
    first: Mapping[str, Any], second: Mapping[str, Any], *, same_probabilities: bool
) -> Iterator[str]:
    """Sentences on what else than their networks sets two evaluations apart.

    `first` and `second` hold what stands in metrics.json; of what is not there, nothing is said.
    """
    yield from _threshold_notes(first, second)
    same = _same_network(first, second)
    rules = [_recalibration(about) for about in (first, second)]
    if None not in rules and rules[0] != rules[1]:
        which = " By what metrics.json says of them, both are the same network." if same else ""
        yield (
            f"Probabilities of the first are {rules[0]}, those of the second {rules[1]}: "
            f"differences in probabilities are of recalibration too, and thresholds of one are "
            f"not on the scale of the other.{which}"
        )
    if same_probabilities and same is False:
        yield (
            "By metrics.json the two are not the same network, and yet their probabilities are the "
            "same: one predictions.csv may be a copy of the other, or one network the other's, "
            "trained again with the same seed."
        )


def _threshold_notes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    one, two = _thresholds(first), _thresholds(second)
    if one is None or two is None or one.keys() != two.keys():
        return
    other = [name for name in one if _differ(one[name], two[name])]
    if other:
        sides = [_decides({name: side[name] for name in other}) + _rule(about)
                 for side, about in ((one, first), (two, second))]  # fmt: skip
        if len(other) == 1:  # its name is said once
            sides[1] = sides[1].removeprefix(f"{other[0]} ")
        yield (
            f"The first decides {sides[0]}, the second {sides[1]}: differences in what is decided "
            f"are of thresholds too."
        )


def _thresholds(about: Mapping[str, Any]) -> dict[str, float | None] | None:
    """By class, None where the largest probability decides; None where they are not known."""
    rows = about.get("per_class")
    if not isinstance(rows, dict) or not rows:
        return None
    thresholds: dict[str, float | None] = {}
    for name, row in rows.items():
        if not isinstance(row, dict) or "threshold" not in row:
            return None
        value = row["threshold"]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return None
        thresholds[name] = value
    return thresholds


def _differ(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is not two
    return abs(one - two) > ROUNDING


def _decides(thresholds: Mapping[str, float | None]) -> str:
    known = [f"{name} from {value:.6g}" for name, value in thresholds.items() if value is not None]
    return " and ".join(known) if known else "by the largest probability"


def _rule(about: Mapping[str, Any]) -> str:
    """What chose the thresholds, in brackets; empty where nothing is said to have."""
    point = about.get("operating_point")
    rule = point.get("rule") if isinstance(point, dict) else None
    return f" ({rule})" if rule else ""


def _recalibration(about: Mapping[str, Any]) -> str | None:
    """None where not known: that of an exported file is in its graph, and metrics.json has none."""
    if "recalibration" not in about or "model" in about:
        return None
    made = about["recalibration"]
    if made is None:
        return "as the network gives them"
    if not isinstance(made, dict):
        return None
    # Twice by the same method, but on other images, is not the same.
    numbers = f"scale {_list(made.get('scale'))}, shift {_list(made.get('shift'))}"
    return f"recalibrated by {made.get('method')} ({numbers})"


def _list(values: object) -> str:
    every = values if isinstance(values, list) else [values]
    return " ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in every)


def _same_network(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool | None:
    """None where metrics.json does not tell."""
    for keys in IDENTITIES:
        sides = [[about.get(key) for key in keys] for about in (first, second)]
        if None not in sides[0] and None not in sides[1]:
            return sides[0] == sides[1]
    return None
