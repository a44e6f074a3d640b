"""The files themselves: written beside their names, judged there, renamed only if they hold."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from tqdm import tqdm

from covid.edge.card import RESIZE_IN_GRAPH, Card
from covid.edge.files import replacing
from covid.edge.model import load
from covid.errors import ModelError, StorageError
from covid.evaluation.metrics import compute_metrics
from covid.export.any_size import any_size_graph, judge_any_size
from covid.export.budget import Verdict, judge
from covid.export.choose import Attempt, choose_int8
from covid.export.evidence import Evidence, headline
from covid.export.int8 import Ranges, centre, lacks_vnni
from covid.export.parity import (
    MOST_IMAGES,
    Check,
    Parity,
    check_file,
    check_parity,
    without_path,
)

Floats = npt.NDArray[np.float32]
FP32, INT8, ANY_SIZE = "model.onnx", "model.int8.onnx", "model.anysize.onnx"
REPORT = "report.json"
EXAMPLES = 16  # images that rank layers; their errors differ by powers of ten


class Refused(Exception):
    """A gate held a file back. Nothing is left under its name; the report says why."""


@dataclass(frozen=True)
class Quantised:
    """What became of the 8-bit file."""

    attempts: list[Attempt]  # the last is the one that went out, or the last refused
    checks: list[Check]
    metrics: dict[str, Any] | None  # None where no file went out
    reduced_range: bool

    @property
    def holds(self) -> bool:
        return self.metrics is not None


def write_fp32(path: Path, model: onnx.ModelProto, evidence: Evidence) -> Parity:
    """Writes `model` to `path` if it answers as the network does; else `path` is gone.

    Up to 500 validation images are compared, evenly spaced where there are more.
    """
    places = evidence.sample(MOST_IMAGES)
    try:
        with replacing(path) as beside:
            beside.write_bytes(evidence.card.attach(model.SerializeToString()))
            parity = check_parity(
                beside, evidence.card, evidence.files(places), evidence.names(places),
                evidence.pixels(places), evidence.logits[places], evidence.probabilities[places],
            )  # fmt: skip
            if not parity.holds:
                raise Refused
    except Refused:
        path.unlink(missing_ok=True)  # an earlier export's file would be taken for this one's
    return parity


def remove_earlier(output: Path) -> None:
    """Removes what else an earlier export wrote into `output`: it is of another model.onnx."""
    for name in (INT8, ANY_SIZE, REPORT):
        if (output / name).is_file():
            (output / name).unlink()


def write_int8(
    path: Path,
    model: onnx.ModelProto,
    evidence: Evidence,
    max_drop: float,
    say: Callable[[str], object],
) -> Quantised:
    """Writes the 8-bit form of `model`, an fp32 graph, if it stays in the budget; else none."""
    centred = centre(model)
    total = 2 * len(evidence.calibration)
    with tqdm(total=total, desc="calibrating", unit=" images", leave=False, disable=None) as bar:
        ranges = Ranges(centred, evidence.calibration_batches, bar.update)
    reduced = lacks_vnni()
    int8 = replace(evidence.card, precision="int8")

    def ask(candidate: onnx.ModelProto) -> Verdict:
        with _for_now(int8.attach(candidate.SerializeToString())) as file:
            return _judge(file, evidence, max_drop)

    examples = evidence.images.read(evidence.calibration[:EXAMPLES])
    try:
        attempts = choose_int8(centred, ranges, ask, examples, say, reduce_range=reduced)
    except OSError as error:  # onnxruntime's quantiser works there too
        raise _no_room(error) from error
    chosen = attempts[-1]
    metrics = None
    if chosen.verdict.holds:
        checks, metrics = _release(path, chosen.model, int8, evidence, max_drop)
    else:
        checks = [Check("budget", False, "; ".join(chosen.verdict.reasons))]
        path.unlink(missing_ok=True)
    return Quantised(attempts, checks, metrics, reduced)


def _release(
    path: Path, model: onnx.ModelProto, card: Card, evidence: Evidence, max_drop: float
) -> tuple[list[Check], dict[str, Any] | None]:
    """Writes a graph that was chosen, judging once more the very bytes that go out."""
    content = model.SerializeToString()
    with _for_now(card.attach(content)) as file:  # the card says how good it is: asked first
        metrics = compute_metrics(
            evidence.space, probabilities(file, evidence), evidence.truths, evidence.patients
        )
    card = replace(card, metrics=headline(metrics))
    try:
        with replacing(path) as beside:
            beside.write_bytes(card.attach(content))
            checks = judge_int8(beside, card, evidence, max_drop)
            if not all(check.holds for check in checks):
                raise Refused
    except Refused:
        path.unlink(missing_ok=True)
        return checks, None
    return checks, metrics


def write_any_size(path: Path, model: onnx.ModelProto, evidence: Evidence) -> dict[str, Any]:
    """Writes the any-size form of `model`, an fp32 graph, if it stays near the network's answers.

    Returns what `judge_any_size` found.
    """
    card = replace(evidence.card, resize=RESIZE_IN_GRAPH)
    graph = any_size_graph(model, card.image_size)
    try:
        with replacing(path) as beside:
            beside.write_bytes(card.attach(graph.SerializeToString()))
            judged = judge_any_size(beside, evidence)
            if not all(check.holds for check in judged["checks"]):
                raise Refused
    except Refused:
        path.unlink(missing_ok=True)
    return judged


def judge_int8(path: Path, card: Card, evidence: Evidence, max_drop: float) -> list[Check]:
    """Whether an 8-bit file opens, says what it must, reads as training does, and costs little."""
    places = evidence.sample(MOST_IMAGES)
    checks, _ = check_file(
        path, card, evidence.files(places), evidence.names(places), evidence.pixels(places)
    )
    if all(check.holds for check in checks):
        verdict = _judge(path, evidence, max_drop)
        found = "; ".join(verdict.reasons) or (
            f"{verdict.changed:.1%} of decisions change, macro F1 falls by "
            f"{_four(verdict.drop['value'])} (at least {_four(verdict.drop['at_least'])})"
        )
        checks.append(Check("budget", verdict.holds, found))
    return checks


def probabilities(path: Path, evidence: Evidence) -> Floats:
    """What a file says of every validation image: `[images, classes]`."""
    model = load(path)
    return np.concatenate([model.run(pixels).probabilities for pixels in evidence.batches()])


def _judge(path: Path, evidence: Evidence, max_drop: float) -> Verdict:
    """What a file's answers for the validation images cost."""
    try:
        given = probabilities(path, evidence)
    except ModelError as error:
        return Verdict.without_answers(without_path(error, path))
    return judge(
        evidence.space, evidence.probabilities, given, evidence.truths, evidence.patients, max_drop
    )


@contextmanager
def _for_now(content: bytes) -> Iterator[Path]:
    """A file with `content` for as long as the block lasts. Raises StorageError."""
    try:
        folder = TemporaryDirectory()
    except OSError as error:
        raise _no_room(error) from error
    with folder as name:
        file = Path(name) / "candidate.onnx"
        try:
            file.write_bytes(content)
        except OSError as error:
            raise _no_room(error) from error
        yield file


def _no_room(error: OSError) -> StorageError:
    return StorageError(
        f"The temporary folder cannot hold a file while it is judged ({error.strerror or error}); "
        f"make room, or name another folder in TMPDIR."
    )


def _four(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
