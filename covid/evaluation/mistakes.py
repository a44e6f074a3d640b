"""The errors that matter: the surest ones, and how many go away if a human reads the least sure."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.labels import LabelSpace
from covid.evaluation.intervals import proportion

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Probabilities = npt.NDArray[np.floating[Any]]
Targets = npt.NDArray[np.bool_] | npt.NDArray[np.floating[Any]]  # NaN where not known

SUREST = 20  # mistakes that are listed: what one looks through in a sitting
REVIEWED = 10  # one image in so many is left to a human
# The step of float32 below 1: nothing nearer to 1 can be told from it, and so nothing nearer to 0.
CLOSEST = 2.0**-24


def mistakes(
    space: LabelSpace,
    probabilities: Probabilities,
    decisions: Booleans,
    targets: Targets,
    names: Sequence[str],
    patients: Sequence[str | None],
    cells: Sequence[str],
) -> dict[str, Any]:
    """What metrics.json holds under "mistakes".

    `probabilities`, `decisions` and `targets` (NaN where not known) are `[images, classes]`, the
    others `[images]`: paths, patients or None, cells of labels. `decisions` are what
    `space.decide` gives. An image is a mistake where a known target was decided otherwise, as
    accuracy counts; one of which no target is known counts nowhere.

    `surest`: up to SUREST images, each with the class whose mistake is furthest on the wrong side
    of its threshold, on the logit scale: {"path", "label", "predicted", "class", "kind" ("missed"
    or "false alarm"), "probability", "threshold", "implied_by"}. `implied_by` names the class
    that switched another one on which did not reach its own threshold; else it is None. For the
    larger of several probabilities there is no threshold: the class is the one that was decided,
    and its distance that to the true class.

    `review`: of the tenth of all images that is the least sure, rounded down, how many are
    mistakes: {"share", "images", "evaluated", "errors", "errors_in_review", "share_of_errors"
    ({"value", "low", "high"} by Wilson over patients, or None), "reason" (why it is None)}. An
    image is as sure as the class nearest to its threshold, on the logit scale; without thresholds,
    as its largest probability exceeds the next. Of images that are equally sure those come first
    whose path has the smaller SHA-256: neither their order nor what their folders are called may
    decide. Raises ValueError where the lengths disagree.
    """
    shapes = {np.shape(each) for each in (probabilities, decisions, targets)}
    if len(shapes) > 1 or {len(targets)} != {len(each) for each in (names, patients, cells)}:
        raise ValueError("answers, names, patients and cells are of different images")
    known = ~np.isnan(targets)
    evaluated = np.any(known, axis=1)
    wrong = known & (decisions != (targets == 1))
    is_wrong = np.any(wrong, axis=1)
    drawn = np.array([hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
                      for name in names])  # fmt: skip
    places = np.flatnonzero(evaluated)
    order = places[np.lexsort((drawn[places], _sureness(space, probabilities)[places]))]
    reviewed = np.zeros(len(names), dtype=bool)
    reviewed[order[: len(order) // REVIEWED]] = True
    return {
        "surest": _surest(space, probabilities, decisions, wrong, drawn, names, cells),
        "review": _review(reviewed, is_wrong, int(evaluated.sum()), patients),
    }


def _surest(
    space: LabelSpace,
    probabilities: Probabilities,
    decisions: Booleans,
    wrong: Booleans,
    drawn: npt.NDArray[np.str_],
    names: Sequence[str],
    cells: Sequence[str],
) -> list[dict[str, Any]]:
    places = np.flatnonzero(np.any(wrong, axis=1))
    if space.thresholds is None:
        column, distance = _decided(probabilities[places], decisions[places], wrong[places])
        sources = column  # by itself
    else:
        own = _margins(space, probabilities[places])
        whole, source = _with_implied(space, own)
        # Both columns of two classes say the same, but for rounding: the first one speaks.
        considered = wrong[places]
        if space.task == "single_label":
            considered = considered & (np.arange(wrong.shape[1]) == 0)
        off = np.where(considered, np.abs(whole), -np.inf)
        # Of equals the class that is there by itself, not the one that it implies.
        distance = off.max(axis=1, initial=-np.inf)
        by_itself = source == np.arange(wrong.shape[1])
        column = ((off == distance[:, None]) * (1 + by_itself)).argmax(axis=1)
        sources = source[np.arange(len(places)), column]
    first = np.lexsort((drawn[places], -distance))[:SUREST]
    rows = []
    for number in first.tolist():
        image, place = int(places[number]), int(column[number])
        is_decided, probability = bool(decisions[image, place]), probabilities[image, place]
        threshold = None if space.thresholds is None else space.thresholds[place]
        below = threshold is not None and probability < probabilities.dtype.type(threshold)
        rows.append({
            "path": names[image],
            "label": cells[image],
            "predicted": space.join(decisions[image]),
            "class": space.classes[place],
            "kind": "false alarm" if is_decided else "missed",
            "probability": float(probability),
            "threshold": threshold,
            "implied_by": space.classes[int(sources[number])] if is_decided and below else None,
        })  # fmt: skip
    return rows


def _decided(
    probabilities: Probabilities, decisions: Booleans, wrong: Booleans
) -> tuple[Integers, Floats]:
    """The class that was decided, and how far its logit lies above that of the true one."""
    decided = decisions.argmax(axis=1)
    true = (wrong & ~decisions).argmax(axis=1)  # a wrong row misses exactly one
    logits = np.log(np.maximum(probabilities.astype(np.float64), CLOSEST))
    rows = np.arange(len(decided))
    return decided, logits[rows, decided] - logits[rows, true]


def _review(
    reviewed: Booleans, is_wrong: Booleans, evaluated: int, patients: Sequence[str | None]
) -> dict[str, Any]:
    images, errors = int(reviewed.sum()), int(is_wrong.sum())
    reason = None
    if not images:
        reason = f"a tenth of {evaluated} image{'s' * (evaluated != 1)} is less than one"
    elif not errors:
        reason = "there is no mistake"
    share = None
    if reason is None:
        of_errors = [patients[place] for place in np.flatnonzero(is_wrong).tolist()]
        share = proportion(reviewed[is_wrong], of_errors)
    return {
        "share": 1 / REVIEWED,
        "images": images,
        "evaluated": evaluated,
        "errors": errors,
        "errors_in_review": int((reviewed & is_wrong).sum()),
        "share_of_errors": share and {"value": share.value, "low": share.low, "high": share.high},
        "reason": reason,
    }


def _sureness(space: LabelSpace, probabilities: Probabilities) -> Floats:
    """How far each image's decision is from being another one: `[images]`, at least 0."""
    if space.thresholds is not None:
        whole, _ = _with_implied(space, _margins(space, probabilities))
        sureness: Floats = np.abs(whole).min(axis=1)
        return sureness
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    largest = np.sort(probabilities.astype(np.float64), axis=1)
    margin: Floats = largest[:, -1] - largest[:, -2]
    return margin


def _margins(space: LabelSpace, probabilities: Probabilities) -> Floats:
    """logit(probability) - logit(threshold), `[images, classes]`: 0 or more is decided."""
    return _logit(probabilities) - _logit(np.array(space.thresholds))


def _logit(probabilities: Probabilities) -> Floats:
    inside = np.clip(probabilities.astype(np.float64), CLOSEST, 1 - CLOSEST)
    logits: Floats = np.log(inside) - np.log1p(-inside)
    return logits


def _with_implied(space: LabelSpace, margins: Floats) -> tuple[Floats, Integers]:
    """Each class's margin as implications leave it, and the class that it comes from.

    A class is on where any that implies it is: the largest margin of these and its own.
    """
    implies = space.close(np.eye(margins.shape[1], dtype=bool))  # [class, those that it switches]
    whole = margins.copy()
    source = np.broadcast_to(np.arange(margins.shape[1]), margins.shape).copy()
    if space.task == "single_label":
        return whole, source
    for start, others in enumerate(implies):
        for other in np.flatnonzero(others):
            larger = margins[:, start] > whole[:, other]
            whole[larger, other] = margins[larger, start]
            source[larger, other] = start
    return whole, source


def mistakes_sentence(summary: Mapping[str, Any]) -> str:
    """What `mistakes` gives, in a sentence or two for the terminal."""
    review = summary["review"]
    if review["errors"] == 0:
        return "No image was decided wrongly."
    errors = f"{review['errors']:,} mistake{'s' * (review['errors'] != 1)}"
    lead = "The only mistake" if review["errors"] == 1 else f"The surest of {errors}"
    surest = summary["surest"][0]
    first = (
        f"{lead}: {surest['path']} ({surest['kind']}, {surest['class']} "
        f"{surest['probability']:.3f})."
    )
    share = review["share_of_errors"]
    if share is None:
        return first
    value, low, high = (_percent(share[key]) for key in ("value", "low", "high"))
    reviewed = _percent(review["share"])
    return (
        f"{first} With the least sure {reviewed} left to a human ({review['images']:,} of "
        f"{review['evaluated']:,} images) {review['errors_in_review']:,} of {errors} would go "
        f"away: {value} (95 % interval {low} to {high}); by chance it would be {reviewed}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
