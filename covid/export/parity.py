"""The gate: an ONNX file goes out only where it answers as the trained network does.

From the same image file to the same logit: on one side the training pixels and PyTorch, on the
other `covid.edge`, which opens, decodes, resizes and computes as a user's machine will.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.edge.card import Card
from covid.edge.model import Model, load
from covid.edge.predict import Outputs
from covid.errors import ModelError

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# Of a logit, and of a probability. The same sums in another order differ by some 1e-6 of their
# size, and logits of these networks reach a few tens; a wrong mean moves them by far more.
TOLERANCE = 1e-4
BATCHES = (1, 2, 5)  # alone, even, and odd: graphs with a frozen axis fail at one of them
MAX_IMAGES = 500
# Of novelty, as a share of it: its features are sums in float32, right to some 1e-6, and dividing
# by a deviation of a tenth of the median's, or by a direction's in a thousandth of the variance,
# makes that up to a hundred times larger.
NOVELTY_TOLERANCE = 1e-3
MAX_NAMED_IMAGES = 5  # of the images that differ, in a sentence


@dataclass(frozen=True)
class Check:
    """One check: its name, whether it holds, and the figures."""

    name: str
    holds: bool
    found: str


@dataclass(frozen=True)
class Parity:
    """The result of the gate. `checks` ends with the first kind of check that failed."""

    checks: list[Check]
    images: int
    largest: dict[str, Any] | None  # the largest difference of a logit: where, and how far
    changed: list[str]  # the images whose decision differs

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if not check.holds]


def check_parity(
    path: Path,
    card: Card,
    files: Sequence[Path],
    names: Sequence[str],
    pixels: Pixels,
    logits: Floats,
    probabilities: Floats,
    distances: Doubles | None = None,
) -> Parity:
    """Compares an fp32 file with the network that it was made from.

    `card` is what the file must say; `files` are images and `names` what reports call them;
    `pixels`, uint8 `[images, size, size]`, is what the network was fed for them, `logits` and
    `probabilities`, float32 `[images, classes]`, what it gave; `distances`, `[images]`, how
    novel they are by `Novelty.distance`, None where the file does not say.
    """
    checks, model = check_file(path, card, files, names, pixels)
    if model is None or not all(check.holds for check in checks):
        return Parity(checks, len(files), None, [])
    largest: dict[str, Any] = {"difference": -1.0}
    changed: dict[str, None] = {}
    decided = card.space.decide(probabilities)
    apart, answered = 0.0, list[Outputs]()
    for batch in BATCHES:
        given = []
        for start in range(0, len(pixels), batch):
            try:
                given.append(model.run(pixels[start : start + batch]))
            except ModelError as error:
                which = ", ".join(names[start : start + batch])
                detail = f"a batch of {batch} ({which}): {without_path(error, path)}"
                checks.append(Check("batches", False, detail))
                return Parity(checks, len(files), None, [])
        got = np.concatenate([outputs.logits for outputs in given])
        likely = np.concatenate([outputs.probabilities for outputs in given])
        answered += given
        apart = max(apart, float(_distance(likely, probabilities).max()))
        difference = _distance(got, logits)
        image, column = divmod(int(difference.argmax()), difference.shape[1])
        if difference[image, column] > largest["difference"]:
            largest = {
                "difference": float(difference[image, column]),
                "image": names[image],
                "class": card.space.classes[column],
                "pytorch": float(logits[image, column]),
                "onnx": float(got[image, column]),
                "batch": batch,
            }
        other = (card.space.decide(likely) != decided).any(axis=1)
        changed |= dict.fromkeys(names[place] for place in np.flatnonzero(other).tolist())
    checks.append(_check_logits(largest))
    detail = f"largest difference {apart:.2g} (at most {TOLERANCE:g})"
    checks.append(Check("probabilities", apart <= TOLERANCE, detail))
    checks.append(_check_decisions(list(changed), len(files)))
    checks.append(check_evidence(answered))
    expected = None if distances is None else np.tile(distances, len(BATCHES))
    checks.append(check_novelty(novelties(answered), expected, card.novelty_threshold))
    return Parity(checks, len(files), largest, list(changed))


def check_file(
    path: Path, card: Card, files: Sequence[Path], names: Sequence[str], pixels: Pixels
) -> tuple[list[Check], Model | None]:
    """Whether a file opens, says what it must, and reads images as training does.

    For fp32 and int8 alike; also the opened file, where it opens.
    """
    try:
        # Not spinning: images are read and other files asked between its answers.
        model = load(path, spinning=False)
    except ModelError as error:
        return [Check("opens", False, without_path(error, path))], None
    checks = [Check("opens", True, f"{path.stat().st_size:,} bytes")]
    wrong = [
        field.name for field in fields(Card)
        if getattr(card, field.name) != getattr(model.card, field.name)
    ]
    detail = f"{', '.join(wrong)} differ from the trained network's" if wrong else "as trained"
    checks.append(Check("card", not wrong, detail))
    if not wrong:
        checks.append(_check_pixels(model, files, names, pixels))
    return checks, model


def _check_pixels(
    model: Model, files: Sequence[Path], names: Sequence[str], pixels: Pixels
) -> Check:
    for file, name, trained in zip(files, names, pixels, strict=True):
        read = model.read(file)
        if read.shape != trained.shape or (read != trained).any():
            off = "another size"
            if read.shape == trained.shape:
                off = f"up to {int(np.abs(read.astype(int) - trained).max())} grey levels off"
            detail = f"{name} is read otherwise than in training: {off}"
            return Check("pixels", False, detail)
    return Check("pixels", True, f"{len(files)} images read to the same pixels")


def check_evidence(answered: Sequence[Outputs]) -> Check:
    """Whether what the places of an image add, and the rest, are its logits."""
    largest = 0.0
    for outputs in answered:
        logits, evidence, rest = outputs.logits, outputs.evidence, outputs.evidence_rest
        if evidence is None or rest is None:
            return Check("evidence", True, "none: the head does not read a feature map")
        largest = max(largest, float(_distance(evidence.sum(axis=(2, 3)) + rest, logits).max()))
    detail = f"adds up to the logits: largest difference {largest:.2g} (at most {TOLERANCE:g})"
    return Check("evidence", largest <= TOLERANCE, detail)


def novelties(answered: Sequence[Outputs]) -> Floats | None:
    """`[images]`: what files say of several batches; None where they do not say it."""
    given = [outputs.novelty for outputs in answered if outputs.novelty is not None]
    return np.concatenate(given) if given else None


def check_novelty(
    given: Floats | None, expected: Doubles | None, threshold: float | None
) -> Check:
    """Whether a file measures novelty as it was fitted, here in other batches and single precision.

    `given` is what it says of images `[images]`, `expected` what `Novelty.distance` says of them.
    """
    if expected is None or threshold is None:
        detail = "none: no convolution reads another's map, or that is the same for all images"
        return Check("novelty", given is None, detail)
    if given is None:
        return Check("novelty", False, "the file does not give it")
    largest = float(_distance(given, expected.astype(np.float32)).max() / expected.min())
    share = float((expected > threshold).mean())
    detail = (
        f"largest difference {largest:.2g} (at most {NOVELTY_TOLERANCE:g} of the smallest); "
        f"{share:.1%} of validation images lie beyond the threshold of {threshold:.3g}"
    )
    return Check("novelty", largest <= NOVELTY_TOLERANCE, detail)


def _distance(one: Floats, other: Floats) -> Floats:
    """How far apart; what is no number is infinitely far away, not equal."""
    difference = np.abs(one - other)
    return np.where(np.isfinite(difference), difference, np.float32(np.inf))


def _check_logits(largest: dict[str, Any]) -> Check:
    detail = (
        f"largest difference {largest['difference']:.2g} (at most {TOLERANCE:g}): "
        f"{largest['image']}, {largest['class']}, batch of {largest['batch']}"
    )
    return Check("logits", largest["difference"] <= TOLERANCE, detail)


def _check_decisions(changed: list[str], images: int) -> Check:
    if not changed:
        return Check("decisions", True, f"{images} of {images} equal")
    more = f" and {len(changed) - MAX_NAMED_IMAGES} more" if len(changed) > MAX_NAMED_IMAGES else ""
    return Check("decisions", False, f"differ for {', '.join(changed[:MAX_NAMED_IMAGES])}{more}")


def without_path(error: ModelError, path: Path) -> str:
    """What is wrong with a file, without the name that it has for now."""
    return str(error).removeprefix(f"{path}: ")
