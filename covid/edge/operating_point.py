"""Which thresholds a network decides by, what its logits were recalibrated by, and on which images.

Both were chosen on images that the network was not trained on. They stand in a run's
operating_point.json, and travel in the card of its ONNX files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from covid.edge.labels import DEFAULT_THRESHOLD, LabelSpace, are_complementary

Method = Literal["temperature", "platt"]
MAPPED_ALONG = "mapped along"  # ends the rule of thresholds that only followed a recalibration


@dataclass(frozen=True)
class ChosenOn:
    """The images that something was chosen on."""

    split: str  # validation, folds, or the name of another place's images
    images: int
    patients: int | None  # None where no patient is known
    samples_sha256: str | None  # of their rows, as in metrics.json

    def __str__(self) -> str:
        counts = [f"{self.images:,} image{'s' * (self.images != 1)}"]
        if self.patients is not None:
            counts.append(f"{self.patients:,} patient{'s' * (self.patients != 1)}")
        return f"{self.split} ({', '.join(counts)})"


@dataclass(frozen=True)
class OperatingPoint:
    """Thresholds by class, the rule that chose them, and what they reach where they were chosen."""

    rule: str  # as --target has it: sensitivity=0.95, or covid:sensitivity=0.95 and so on
    thresholds: Mapping[str, float]  # of probabilities, after recalibration: 0..1
    chosen_on: ChosenOn
    # Figures of each class at its threshold, each {"value", "low", "high", "patients"}, beside
    # its `target` and whether that is `shown`.
    per_class: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()  # sentences, such as what cannot be shown with so few patients

    def fields(self) -> dict[str, Any]:
        """As plain values, for JSON; `from_fields` reads them."""
        return {
            "rule": self.rule,
            "thresholds": dict(self.thresholds),
            **vars(self.chosen_on),
            "per_class": {name: dict(row) for name, row in self.per_class.items()},
            "notes": list(self.notes),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "OperatingPoint":
        """Raises KeyError, TypeError or ValueError where `fields` make no sense."""
        thresholds = {
            name: _number(value, "thresholds") for name, value in fields["thresholds"].items()
        }
        if not thresholds or not all(0 <= value <= 1 for value in thresholds.values()):
            raise ValueError("thresholds")
        per_class = {name: dict(row) for name, row in fields["per_class"].items()}
        notes = tuple(_text(note, "notes") for note in fields["notes"])
        return cls(_text(fields["rule"], "rule"), thresholds, _chosen_on(fields), per_class, notes)


@dataclass(frozen=True)
class Recalibration:
    """logit = scale · z + shift, class by class: z is what the network's head gives."""

    method: Method  # temperature: one scale for all classes and no shift
    scale: tuple[float, ...]  # above 0, so that the order of images stays
    shift: tuple[float, ...]
    chosen_on: ChosenOn

    def apply(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """float32 `[..., classes]` to the same, as the graph computes it."""
        scale, shift = (np.array(each, dtype=np.float32) for each in (self.scale, self.shift))
        return logits * scale + shift

    def fields(self) -> dict[str, Any]:
        """As plain values, for JSON; `from_fields` reads them."""
        return {
            "method": self.method,
            "scale": list(self.scale),
            "shift": list(self.shift),
            **vars(self.chosen_on),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], classes: int) -> "Recalibration":
        """Raises KeyError, TypeError or ValueError where `fields` make no sense."""
        method = fields["method"]
        if method not in get_args(Method):
            raise ValueError("calibration: method")
        scale = tuple(_number(value, "calibration: scale") for value in fields["scale"])
        shift = tuple(_number(value, "calibration: shift") for value in fields["shift"])
        if len(scale) != classes or len(shift) != classes or min(scale) <= 0:
            raise ValueError("calibration: scale or shift")
        if method == "temperature" and (len(set(scale)) > 1 or any(shift)):
            raise ValueError("calibration: temperature")
        return cls(method, scale, shift, _chosen_on(fields))


def decides_by(space: LabelSpace, point: OperatingPoint | None) -> str:
    """The sentence on what turns probabilities into decisions; `point` is what chose it, if any."""
    if space.thresholds is None:
        return "Decides by the largest probability."
    if point is not None and point.rule != f"{DEFAULT_THRESHOLD:g}, the default":
        verb = "recalibrated" if point.rule.endswith(MAPPED_ALONG) else "chosen"
        return f"Thresholds: {point.rule}, {verb} on {point.chosen_on}."
    if all(threshold == DEFAULT_THRESHOLD for threshold in space.thresholds):
        return f"Thresholds: {DEFAULT_THRESHOLD:g}, the default, chosen on nothing."
    numbers = ", ".join(f"{threshold:.3g}" for threshold in space.thresholds)
    return f"Thresholds: {numbers}; nothing says what they were chosen on."


def recalibrated_by(recalibration: Recalibration | None) -> str:
    """One more sentence, led by a space; none where there is no recalibration."""
    if recalibration is None:
        return ""
    return f" Recalibrated by {recalibration.method} on {recalibration.chosen_on}."


def misfit(
    space: LabelSpace, point: OperatingPoint | None, recalibration: Recalibration | None
) -> str | None:
    """Why these cannot be about a network with the classes of `space`; None where they can.

    Softmax needs one scale for all classes and no shift, and thresholds of two classes alone.
    """
    classes = len(space.classes)
    if point is not None and set(point.thresholds) != set(space.classes):
        theirs, ours = ", ".join(point.thresholds), ", ".join(space.classes)
        return f"is about {theirs}, and the network about {ours}"
    if recalibration is not None and len(recalibration.scale) != classes:
        return f"recalibrates {len(recalibration.scale)} classes, and the network has {classes}"
    if space.task == "single_label":
        if point is not None and not are_complementary(tuple(point.thresholds.values())):
            return "has thresholds, which of single_label are t and 1 - t, of two classes"
        if recalibration is not None and recalibration.method != "temperature":
            return f"recalibrates by {recalibration.method}, and single_label takes temperature"
    return None


def _chosen_on(fields: Mapping[str, Any]) -> ChosenOn:
    images, patients = fields["images"], fields["patients"]
    if type(images) is not int or (patients is not None and type(patients) is not int):
        raise TypeError("images or patients")
    digest = fields["samples_sha256"]
    return ChosenOn(
        _text(fields["split"], "split"), images, patients,
        None if digest is None else _text(digest, "samples_sha256"),
    )  # fmt: skip


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise TypeError(key)
    return value


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(key)
    return float(value)
