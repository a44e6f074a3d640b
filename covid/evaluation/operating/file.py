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
    folder: Path,
    point: OperatingPoint | None,
    recalibration: Recalibration | None,
    recipe_sha256: str | None = None,
) -> None:
    """Writes `folder`'s operating_point.json, whole or not at all. One of the two may be None.

    A point without thresholds, of more than two classes of `single_label`, chose nothing and is
    left out. `recipe_sha256` is of the config that was trained. Raises StorageError.
    """
    if point is not None and not point.thresholds:
        point = None
    if point is None and recalibration is None:
        raise ValueError("neither thresholds nor a recalibration")
    fields: dict[str, Any] = {} if point is None else point.fields()
    fields["calibration"] = recalibration and recalibration.fields()
    if recipe_sha256 is not None:
        fields["recipe_sha256"] = recipe_sha256
    text = json.dumps(fields, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / FILE, f"{text}\n")


def read_operating_point(
    folder: Path, space: LabelSpace, recipe_sha256: str | None = None
) -> tuple[OperatingPoint | None, Recalibration | None]:
    """What `write_operating_point` wrote; (None, None) where there is no file.

    `space` is the run's, `recipe_sha256` of its config. Raises RunError for a damaged file, one
    about other classes, or one chosen for networks of another config.
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
            f"{path}: cannot be read as what evaluate.py writes; remove it, and choose again "
            f"with --target."
        ) from None
    reason = misfit(space, point, recalibration)
    if recipe_sha256 is not None and fields.get("recipe_sha256") not in (None, recipe_sha256):
        reason = "was chosen for networks that another config made"
    if reason:
        raise RunError(f"{path}: {reason}; remove it, and choose again with --target.")
    return point, recalibration
