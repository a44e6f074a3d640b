"""Reports of a test of shortcuts as shortcuts.json has them, with a few figures set."""

from typing import Any

from covid.evaluation.shortcuts.plot import GROUPS

CLASSES = ("covid", "normal")


def figure(value: float | None, reach: float = 0.05) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - reach, "high": value + reach}


def report(
    hidden: float = 0.5,
    border: float = 0.0,
    equalised: float = -0.02,
    probe: float | None = 0.5,
    evaluated: tuple[bool, bool] = (True, True),
    black: float | None = None,
    lost: float = -0.2,
    own: bool | None = True,
) -> dict[str, Any]:
    """Of two classes.

    `black` is the AUROC with lungs in black where it is not `hidden`, `lost` the difference of
    AUROC in the other label's border, `own` whether the images are the run's.
    """

    def test(value: float, difference: float = 0.0) -> dict[str, Any]:
        of = {**figure(value), "difference": figure(difference, 0.03)}
        return {"auroc": dict.fromkeys((*CLASSES, "macro"), of), "changed": figure(0.1)}

    whole = {"auroc": dict.fromkeys((*CLASSES, "macro"), figure(0.9)), "changed": None}
    names = [name for _, group in GROUPS for name in group if "mask" not in name]
    tests = {"whole": whole, **{name: test(0.6) for name in names}}
    tests["lungs hidden, grey"] = test(hidden)
    tests["lungs hidden, black"] = test(hidden if black is None else black)
    tests["equalised"] = test(0.9 + equalised, equalised)
    across = {**figure(0.7), "difference": figure(lost)}
    each = (*CLASSES, "macro")
    return {
        "title": "a network on images", "own_images": own, "images": 60, "patients": 40,
        "classes": list(CLASSES), "evaluated": list(evaluated),
        "tests": tests, "masks": None,
        "swap": {
            "images": 60,
            "auroc": {"within": dict.fromkeys(each, figure(0.9)),
                      "across": dict.fromkeys(each, across)},
            "followed": {name: {"within": figure(0.9), "centre": figure(0.7),
                                "border": figure(0.3)} for name in CLASSES},
            "border_weight": {name: figure(border) for name in CLASSES},
        },
        "probe": None if probe is None else {name: figure(probe) for name in CLASSES},
    }  # fmt: skip
