"""Which golden answers travel with a file: few, exact, and such as show saturation."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from covid.edge.golden import DECIMALS, MAX_IMAGES, Golden, Pattern, float_tolerance
from covid.edge.processors import usable_processors
from covid.export.saturation import emulate, saturable_pairs

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

CANDIDATES = tuple(Pattern(seed, side) for side, seed in product((4, 16, 64), (0, 1)))
# 0.03 of a probability where the sigmoid is steepest, a quarter of the logit's change. Rounding
# on the way to 8 bits, in which processors may differ, moved no probability by more than 0.02.
INT8_TOLERANCE = 4 * 0.03


@dataclass(frozen=True)
class Proof:
    """Golden answers, and what is known of processors that saturate."""

    golden: Golden
    saturable_pairs: int  # pairs of weights whose products 16 bits may not hold; 0: none can
    saturated: float  # largest difference of a golden logit on such a processor

    @property
    def shows_saturation(self) -> bool:
        """Whether golden answers detect a processor that saturates, or none can."""
        return not self.saturable_pairs or self.saturated > self.golden.tolerance


def prove_float(model: onnx.ModelProto, size: int) -> Proof:
    """Golden answers of an fp32 graph that takes images of `size` pixels."""
    patterns = CANDIDATES[:MAX_IMAGES]
    logits = exact_answers(model, _render(patterns, size))
    return Proof(_golden(patterns, logits, float_tolerance(logits)), 0, 0.0)


def prove_int8(model: onnx.ModelProto, size: int) -> Proof:
    """Golden answers of an 8-bit graph: of all candidates, those where saturation shows most."""
    images = _render(CANDIDATES, size)
    logits = exact_answers(model, images)
    pairs = saturable_pairs(model)
    apart = np.zeros(len(images))
    if pairs:
        apart = np.abs(emulate(model, images) - logits).max(axis=1)
    most = np.argsort(-apart, kind="stable")[:MAX_IMAGES]
    patterns = [CANDIDATES[place] for place in most]
    golden = _golden(patterns, logits[most], INT8_TOLERANCE)
    return Proof(golden, pairs, float(np.nan_to_num(apart).max()))


def exact_answers(model: onnx.ModelProto, images: Pixels, output: str = "logit") -> Floats:
    """`[n, classes]`: an output for uint8 `[n, size, size]`, as the graph is written.

    Without optimisation onnxruntime computes 8-bit layers in float from what their integers say,
    on every processor.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = usable_processors()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate(
        [session.run([output], {"image": image[None, None]})[0] for image in images]
    )


def _render(patterns: Sequence[Pattern], size: int) -> Pixels:
    return np.stack([pattern.render(size) for pattern in patterns])


def _golden(patterns: Sequence[Pattern], logits: Floats, tolerance: float) -> Golden:
    # What is no number becomes 0, which a file with such an answer does not give: it is refused
    # as soon as it is opened.
    logits = np.nan_to_num(logits, nan=0.0, posinf=0.0, neginf=0.0)
    rows = tuple(tuple(round(float(value), DECIMALS) for value in row) for row in logits)
    return Golden(tuple(patterns), rows, tolerance)
