"""operating_point.json: the thresholds and the recalibration that a run's export will carry."""

import json
from pathlib import Path
from typing import Any

from covid.edge.files import write_atomically
from covid.edge.labels import LabelSpace
from covid.edge.operating_point import OperatingPoint, Recalibration, misfit
from covid.errors import RunError

FILE = "operating_point.json"


def write_operating_point(
    folder: Path, point: OperatingPoint | None, recalibration: Recalibration | None
) -> None:
    """Writes `folder`'s operating_point.json, whole or not at all. One of the two may be None.

    A point without thresholds, of more than two classes of `single_label`, chose nothing and is
    left out. Raises StorageError.
    """
    if point is not None and not point.thresholds:
        point = None
    if point is None and recalibration is None:
        raise ValueError("neither thresholds nor a recalibration")
    fields: dict[str, Any] = {} if point is None else point.fields()
    fields["calibration"] = recalibration and recalibration.fields()
    text = json.dumps(fields, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / FILE, f"{text}\n")


def read_operating_point(
    folder: Path, space: LabelSpace
) -> tuple[OperatingPoint | None, Recalibration | None]:
    """What `write_operating_point` wrote; (None, None) where there is no file.

    `space` is the run's. Raises RunError for a damaged file, or one about other classes.
    """
    path = folder / FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        calibration = fields["calibration"]
        point = OperatingPoint.from_fields(fields) if "thresholds" in fields else None
        recalibration = None
        if calibration is not None:
            recalibration = Recalibration.from_fields(calibration, len(calibration["scale"]))
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RunError(
            f"{path}: cannot be read as what evaluate.py writes; choose thresholds again with "
            f"--target, or remove it."
        ) from None
    reason = misfit(space, point, recalibration)
    if reason:
        raise RunError(f"{path}: {reason}; choose thresholds again with --target, or remove it.")
    return point, recalibration
