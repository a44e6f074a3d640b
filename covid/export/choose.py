"""Which calibration, and which layers in float: chosen by what validation images say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from covid.edge.processors import usable_processors
from covid.export.budget import Verdict
from covid.export.int8 import METHODS, Centred, Method, Ranges, layers, quantise

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

MOST_IN_FLOAT = 0.5  # share of layers; with more of them in float it is no int8 file any more


@dataclass(frozen=True)
class Attempt:
    """An 8-bit graph that was tried, and what validation images said of it."""

    method: Method
    kept_in_float: list[str]
    verdict: Verdict
    model: onnx.ModelProto

    def summary(self) -> dict[str, Any]:
        return {
            "calibration": self.method,
            "kept_in_float": self.kept_in_float,
            "macro_f1_drop": self.verdict.drop,
            "decisions_changed": self.verdict.changed,
            "auroc_fall": self.verdict.auroc_fall,
            "mean_difference": self.verdict.distance,
            "refused": self.verdict.reasons,
        }


def choose_int8(
    centred: Centred,
    ranges: Ranges,
    judge: Callable[[onnx.ModelProto], Verdict],
    examples: Pixels,
    say: Callable[[str], object],
    *,
    reduce_range: bool,
) -> list[Attempt]:
    """Every attempt in order; the last one is the choice, which may have been refused too.

    All calibrations are tried with every layer in 8 bits, and the one whose probabilities are
    nearest to float's is kept. Where it is refused, the layer whose quantisation alone moves
    the logits of `examples` (uint8 `[n, size, size]`) most goes back to float, then the next.
    """

    def attempt(method: Method, kept: list[str]) -> Attempt:
        model = quantise(
            centred, ranges.choose(method), ranges.means, kept, reduce_range=reduce_range
        )
        done = Attempt(method, kept, judge(model), model)
        reasons = "; ".join(done.verdict.reasons) or "within the budget"
        say(f"int8, {method}, {len(kept)} layers in float: {reasons}")
        return done

    attempts = [attempt(method, []) for method in METHODS]
    passing = [one for one in attempts if one.verdict.holds]
    best = min(passing or attempts, key=lambda one: one.verdict.distance)
    attempts.remove(best)
    attempts.append(best)
    if best.verdict.holds:
        return attempts
    errors = layer_errors(centred, ranges, best.method, examples, reduce_range=reduce_range)
    worst = sorted(errors, key=lambda name: -errors[name])
    for kept in range(1, int(len(worst) * MOST_IN_FLOAT) + 1):
        attempts.append(attempt(best.method, worst[:kept]))
        if attempts[-1].verdict.holds:
            break
    return attempts


def layer_errors(
    centred: Centred, ranges: Ranges, method: Method, examples: Pixels, *, reduce_range: bool
) -> dict[str, float]:
    """layer -> mean squared change of the logits where this layer alone is in 8 bits."""
    chosen, names = ranges.choose(method), layers(centred.model)

    def ask(kept: list[str]) -> Floats:
        model = quantise(centred, chosen, ranges.means, kept, reduce_range=reduce_range)
        return _logits(model, examples)

    exact = ask(names)
    return {
        name: float(((ask([one for one in names if one != name]) - exact) ** 2).mean())
        for name in names
    }


def _logits(model: onnx.ModelProto, examples: Pixels) -> Floats:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_processors()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate(
        [session.run(["logit"], {"image": one[np.newaxis, np.newaxis]})[0] for one in examples]
    )
