"""A file that was exported, with other thresholds and another recalibration: no onnx, no PyTorch.

Its bytes are those of the file that it comes from, but for two constants and the card.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from covid.edge.card import Card
from covid.edge.constants import Constants
from covid.edge.files import replacing
from covid.edge.model import load
from covid.edge.operating_point import Recalibration
from covid.errors import ModelError
from covid.export.parity import without_path


def compose(constants: Constants, step: Recalibration) -> Recalibration:
    """What a file does to logits that it recalibrates already and `step` recalibrates again.

    a · (s · z + t) + b = a · s · z + (a · t + b), in numbers that float32 holds, as the graph does.
    It is a temperature only where both are.
    """
    scale, shift = (np.array(each, dtype=np.float32) for each in (step.scale, step.shift))
    scales, shifts = scale * constants.scale, scale * constants.shift + shift
    one = len(set(scales.tolist())) == 1 and not shifts.any()
    return Recalibration(
        "temperature" if one and step.method == "temperature" else "platt",
        tuple(scales.tolist()), tuple(shifts.tolist()), step.chosen_on,
    )  # fmt: skip


def write_recalibrated(
    output: Path, constants: Constants, card: Card, step: Recalibration | None
) -> Card:
    """Writes `constants.content` to `output` with `step` after what it does to logits, and `card`.

    `card` is that of the file that it comes from, but for what was chosen; its `calibration` and
    its golden answers are made here, and the card that was written is given back. The file takes
    its name once it has given those answers. Raises ModelError, where it does not, and
    StorageError.
    """
    content = constants.content
    if step is not None:
        assert card.golden is not None
        whole = compose(constants, step)
        content = constants.replaced(whole.scale, whole.shift)
        golden = card.golden.mapped(step.scale, step.shift, exact=card.precision != "int8")
        much = card.evidence_scale and card.evidence_scale * max(step.scale)
        card = replace(card, calibration=whole, golden=golden, evidence_scale=much)
    with replacing(output) as beside:
        beside.write_bytes(card.attach(content))
        try:
            return load(beside, spinning=False).card
        except ModelError as error:
            more = ""
            if step is not None and card.precision == "int8" and max(step.scale) > 1:
                more = (
                    f" What 8 bits round off grows with the scale (here up to "
                    f"{max(step.scale):.2g}): calibrate the fp32 file instead."
                )
            raise ModelError(f"{output}: {without_path(error, beside)}{more}") from None
