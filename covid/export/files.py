"""The files themselves: written beside their names, evaluated there, renamed only if they hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from tqdm import tqdm

from covid.edge.card import RESIZE_IN_GRAPH, Card
from covid.edge.files import replacing
from covid.errors import ModelError, StorageError
from covid.evaluation.metrics import compute_metrics
from covid.export.any_size import any_size_graph, check_any_size
from covid.export.budget import Agreement, Verdict, agreement, compare
from covid.export.calibration import without_8_bit_form
from covid.export.choose import Attempt, answer, choose_int8
from covid.export.evidence import add_evidence, evidence_scale
from covid.export.golden import Proof, prove_float, prove_int8
from covid.export.int8 import PASSES, prepare
from covid.export.model_card import MODEL_CARD
from covid.export.novelty import Novelty, add_novelty, distances_of, fit_novelty
from covid.export.parity import (
    MAX_IMAGES,
    Check,
    Parity,
    check_evidence,
    check_file,
    check_novelty,
    check_parity,
    novelties,
    without_path,
)
from covid.export.reference import Reference, headline

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
FP32, INT8, ANY_SIZE = "model.onnx", "model.int8.onnx", "model.anysize.onnx"
REPORT = "report.json"
SCALE_IMAGES = 64  # images that say how much is much; a percentile of them moves by a few percent
# Training images that say what is known: more than any directions need, and VGG-16's take a minute.
NOVELTY_IMAGES = 1000
RANKING_IMAGES = 16  # images that rank layers; their errors differ by powers of ten


class Refused(Exception):
    """A gate held a file back. Nothing is left under its name; the report says why."""


@dataclass(frozen=True)
class Quantised:
    """What became of the 8-bit file."""

    attempts: list[Attempt]  # the last went out, or was the last refused; none: not tried
    checks: list[Check]
    proof: Proof | None  # None where every attempt was refused
    metrics: dict[str, Any] | None  # None where no file went out

    @property
    def holds(self) -> bool:
        return self.metrics is not None


def novelty_of(model: onnx.ModelProto, reference: Reference) -> Novelty | None:
    """What an fp32 or 8-bit graph sees of the training images, and of validation's."""
    training = sorted([*reference.calibration, *reference.unseen])
    spaced = np.linspace(0, len(training) - 1, min(len(training), NOVELTY_IMAGES))
    chosen = [training[int(place)] for place in spaced]
    with _bar("measuring novelty", len(chosen) + len(reference.indices)) as bar:
        return fit_novelty(
            model,
            _counted(reference.batches_of(chosen), bar),
            _counted(reference.batches(), bar),
        )


def write_fp32(
    path: Path, model: onnx.ModelProto, reference: Reference, novelty: Novelty | None = None
) -> Parity:
    """Writes `model` to `path` if it answers as the network does; else `path` is gone.

    With `novelty`, as `novelty_of` gives it for `model`, the file says how novel an image is. Up
    to 500 validation images are compared, evenly spaced where there are more.
    """
    places = reference.sample(MAX_IMAGES)
    whole = add_novelty(add_evidence(model), novelty)
    card = replace(
        reference.card,
        golden=prove_float(model, reference.card.image_size).golden,
        evidence_scale=scale_of(whole, reference),
        novelty_threshold=None if novelty is None else novelty.threshold,
    )
    distances = distances_of(model, novelty, [reference.pixels(places)])
    try:
        with replacing(path) as beside:
            beside.write_bytes(card.attach(whole.SerializeToString()))
            parity = check_parity(
                beside, card, reference.files(places), reference.names(places),
                reference.pixels(places), reference.logits[places], reference.probabilities[places],
                distances,
            )  # fmt: skip
            if not parity.holds:
                raise Refused
    except Refused:
        path.unlink(missing_ok=True)  # an earlier export's file would be taken for this one's
    return parity


def scale_of(model: onnx.ModelProto, reference: Reference) -> float | None:
    """The evidence of a place that is much, over validation images spread over all."""
    places = reference.sample(SCALE_IMAGES)
    return evidence_scale(model, (pixels[np.newaxis] for pixels in reference.pixels(places)))


def remove_earlier(output: Path) -> None:
    """Removes what else an earlier export wrote into `output`: it is of another model.onnx."""
    for name in (INT8, ANY_SIZE, REPORT, MODEL_CARD):
        if (output / name).is_file():
            (output / name).unlink()


def write_int8(
    path: Path,
    model: onnx.ModelProto,
    reference: Reference,
    max_drop: float,
    log: Callable[[str], object],
) -> Quantised:
    """Writes the 8-bit form of `model`, an fp32 graph, if it stays in the budget; else none.

    Where the graph has operations without an 8-bit form, or so few images are at hand that even
    the fp32 file would be refused beside itself, nothing is tried.
    """
    kinds = without_8_bit_form(model)
    if kinds:
        path.unlink(missing_ok=True)
        have = "have" if len(kinds) > 1 else "has"
        sentence = f"{', '.join(kinds)} {have} no 8-bit form here; use {FP32}, or --no-int8"
        return Quantised([], [Check("operations", False, sentence)], None, None)
    calibration, unseen = reference.calibration, [*reference.unseen, *reference.indices]

    def ask(graph: onnx.ModelProto, indices: list[int]) -> Floats:
        with _bar("asking", len(indices)) as bar:
            return answer(graph, _counted(reference.batches_of(indices), bar), "probability")

    fp32 = ask(model, unseen)

    def evaluate(int8: Floats) -> Verdict:
        patients = reference.patients_of(unseen)
        return compare(reference.space, fp32, int8, reference.targets, patients, max_drop)

    beside_itself = evaluate(fp32)
    if not beside_itself.holds:
        return _refused(path, [], beside_itself.reasons)
    with _bar("calibrating", PASSES * len(calibration)) as bar:
        prepared = prepare(model, lambda: reference.batches_of(calibration), bar.update)
    fp32_calibration = ask(model, calibration)

    def agree(candidate: onnx.ModelProto) -> Agreement:
        patients = reference.patients_of(calibration)
        int8 = ask(candidate, calibration)
        return agreement(reference.space, fp32_calibration, int8, patients)

    examples = reference.images.read(calibration[:RANKING_IMAGES])
    try:
        attempts = choose_int8(
            prepared, agree, lambda candidate: evaluate(ask(candidate, unseen)), examples, log
        )
    except OSError as error:  # onnxruntime's quantiser works in the temporary folder
        raise _no_room(error) from error
    chosen = attempts[-1]
    if not chosen.holds:
        return _refused(path, attempts, chosen.reasons)
    proof = prove_int8(chosen.model, reference.card.image_size)
    metrics = compute_metrics(
        reference.space, ask(chosen.model, reference.indices), reference.targets, reference.patients
    )
    novelty = novelty_of(chosen.model, reference)
    whole = add_novelty(add_evidence(chosen.model), novelty)
    card = replace(
        reference.card,
        precision="int8",
        golden=proof.golden,
        metrics=headline(metrics),
        evidence_scale=scale_of(whole, reference),
        novelty_threshold=None if novelty is None else novelty.threshold,
    )
    distances = distances_of(chosen.model, novelty, reference.batches())
    try:
        with replacing(path) as beside:
            beside.write_bytes(card.attach(whole.SerializeToString()))
            checks = check_int8(beside, card, proof, reference, evaluate, distances)
            if not all(check.holds for check in checks):
                raise Refused
    except Refused:
        path.unlink(missing_ok=True)
        return Quantised(attempts, checks, proof, None)
    return Quantised(attempts, checks, proof, metrics)


def _refused(path: Path, attempts: list[Attempt], reasons: list[str]) -> Quantised:
    path.unlink(missing_ok=True)
    return Quantised(attempts, [Check("budget", False, "; ".join(reasons))], None, None)


def check_int8(
    path: Path,
    card: Card,
    proof: Proof,
    reference: Reference,
    evaluate: Callable[[Floats], Verdict],
    distances: Doubles | None = None,
) -> list[Check]:
    """Whether an 8-bit file opens, says what it must, reads as training does, and costs little.

    `evaluate` takes probabilities of the training images that calibration did not use, then of
    all validation images. `distances`, `[images]`, is how novel these are.
    """
    places = reference.sample(MAX_IMAGES)
    checks, model = check_file(
        path, card, reference.files(places), reference.names(places), reference.pixels(places)
    )
    checks.append(_check_saturation(proof))
    if model is None or not all(check.holds for check in checks):
        return checks
    indices = [*reference.unseen, *reference.indices]
    try:
        with _bar("asking the file", len(indices)) as bar:
            given = [model.run(pixels) for pixels in _counted(reference.batches_of(indices), bar)]
        checks.append(check_evidence(given))
        novelty = novelties(given)
        validation = None if novelty is None else novelty[len(reference.unseen) :]
        checks.append(check_novelty(validation, distances, card.novelty_threshold))
        verdict = evaluate(np.concatenate([outputs.probabilities for outputs in given]))
    except ModelError as error:
        verdict = Verdict.without_answers(without_path(error, path))
    checks.append(Check("budget", verdict.holds, "; ".join(verdict.reasons) or str(verdict.unseen)))
    return checks


def _check_saturation(proof: Proof) -> Check:
    """Whether a processor that adds 8-bit products in 16 bits would be noticed."""
    if not proof.saturable_pairs:
        detail = "no two products overflow 16 bits, on any processor"
    else:
        detail = (
            f"emulated, it moves a golden logit by {proof.saturated:.2g} "
            f"(noticed above {proof.golden.tolerance:.2g})"
        )
    return Check("saturation", proof.shows_saturation, detail)


def write_any_size(
    path: Path, model: onnx.ModelProto, reference: Reference, novelty: Novelty | None = None
) -> dict[str, Any]:
    """Writes the any-size form of `model`, an fp32 graph, if it stays near the network's answers.

    `novelty` is as for `write_fp32`. Returns the result of `check_any_size`.
    """
    golden = prove_float(model, reference.card.image_size).golden  # resized to the size it has
    whole = add_novelty(add_evidence(model), novelty)
    card = replace(
        reference.card,
        resize=RESIZE_IN_GRAPH,
        golden=golden,
        evidence_scale=scale_of(whole, reference),
        novelty_threshold=None if novelty is None else novelty.threshold,
    )
    graph = any_size_graph(whole, card.image_size)
    try:
        with replacing(path) as beside:
            beside.write_bytes(card.attach(graph.SerializeToString()))
            evaluated = check_any_size(beside, reference)
            if not all(check.holds for check in evaluated["checks"]):
                raise Refused
    except Refused:
        path.unlink(missing_ok=True)
    return evaluated


def _bar(what: str, total: int) -> "tqdm[Any]":
    return tqdm(total=total, desc=what, unit=" images", leave=False, delay=1, disable=None)


def _counted(batches: Iterator[Pixels], bar: "tqdm[Any]") -> Iterator[Pixels]:
    for several in batches:
        yield several
        bar.update(len(several))


def _no_room(error: OSError) -> StorageError:
    return StorageError(
        f"The temporary folder cannot hold a file while it is evaluated "
        f"({error.strerror or error}); make room, or name another folder in TMPDIR."
    )
