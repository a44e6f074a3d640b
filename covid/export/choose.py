"""Which 8-bit graph: as fast as it can be everywhere, with as few layers in float as it takes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from covid.edge.processors import usable_processors
from covid.export.budget import Agreement, Verdict, differences
from covid.export.int8 import Prepared, layers, quantise
from covid.export.rounding import FULL, SAFE, Rounded

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

MAX_SHARE_IN_FLOAT = 0.5  # share of layers; with more of them in float it is no int8 file any more


@dataclass(frozen=True)
class Attempt:
    """An 8-bit graph that was tried, and its result."""

    limit: int  # largest magnitude of a weight's integer
    kept_in_float: list[str]
    calibration: Agreement  # with fp32 on the calibration images
    verdict: Verdict | None  # on all others; None where calibration images were against it
    model: onnx.ModelProto

    @property
    def holds(self) -> bool:
        return self.verdict is not None and self.verdict.holds

    @property
    def reasons(self) -> list[str]:
        """Why it is not chosen."""
        if self.verdict is None:
            reasons = differences(self.calibration)
            return [f"on its own calibration images {reason}" for reason in reasons]
        return self.verdict.reasons

    def fields(self) -> dict[str, Any]:
        """As report.json has it."""
        return {
            "largest_weight": self.limit,
            "kept_in_float": self.kept_in_float,
            "calibration": self.calibration.fields(),
            "gate": self.verdict and self.verdict.fields(),
            "refused": self.reasons,
        }


def choose_int8(
    prepared: Prepared,
    agree: Callable[[onnx.ModelProto], Agreement],
    evaluate: Callable[[onnx.ModelProto], Verdict],
    examples: Pixels,
    log: Callable[[str], object],
) -> list[Attempt]:
    """Every attempt in order; the last one is the choice, which may have been refused too.

    First weights that no processor saturates, then weights of full 8 bits, then, where both are
    refused, the layer whose quantisation alone moves the logits of `examples` (uint8
    `[n, size, size]`) most goes back to float, then the next. `agree` asks the calibration
    images; only what they accept is put to `evaluate`, the gate, so that its images are asked
    as seldom as can be.
    """
    attempts: list[Attempt] = []

    def attempt(limit: int, rounded: Mapping[str, Rounded], kept: list[str]) -> bool:
        model = quantise(prepared, rounded, kept)
        calibrated = agree(model)
        verdict = None if differences(calibrated) else evaluate(model)
        attempts.append(Attempt(limit, kept, calibrated, verdict, model))
        reasons = "; ".join(attempts[-1].reasons) or "within the budget"
        log(f"int8, weights up to {limit}, {len(kept)} layers in float: {reasons}")
        return attempts[-1].holds

    safe = prepared.round(SAFE)
    if attempt(SAFE, safe, []) or attempt(FULL, prepared.round(FULL), []):
        return attempts
    errors = layer_errors(prepared, safe, examples)
    worst = sorted(errors, key=lambda name: -errors[name])
    for kept in range(1, int(len(worst) * MAX_SHARE_IN_FLOAT) + 1):
        if attempt(SAFE, safe, worst[:kept]):
            break
    return attempts


def layer_errors(
    prepared: Prepared, rounded: Mapping[str, Rounded], examples: Pixels
) -> dict[str, float]:
    """layer -> mean squared change of the logits where this layer alone is in 8 bits."""
    names = layers(prepared.centred.model)

    def ask(kept: Sequence[str]) -> Floats:
        return answer(quantise(prepared, rounded, kept), [examples], "logit")

    exact = ask(names)
    return {
        name: float(((ask([other for other in names if other != name]) - exact) ** 2).mean())
        for name in names
    }


def answer(model: onnx.ModelProto, images: Iterable[Pixels], output: str) -> Floats:
    """`[n, classes]`: an output for batches of uint8 `[n, size, size]`, one image at a time.

    Integers are multiplied exactly, on processors without VNNI too.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_processors()
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate(
        [
            session.run([output], {"image": image[np.newaxis, np.newaxis]})[0]
            for several in images
            for image in several
        ]
    )
