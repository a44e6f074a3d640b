"""operating_point.json: what is written is read, and a file that cannot be meant is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from covid.edge.labels import LabelSpace
from covid.edge.operating_point import OperatingPoint, Recalibration
from covid.errors import RunError
from covid.evaluation.operating.file import FILE, read_operating_point, write_operating_point
from tests.edge.test_operating_point import PLATT, POINT, SPACE, TEMPERATURE, TWO


@pytest.mark.parametrize(
    ("space", "point", "recalibration"),
    [(SPACE, POINT, PLATT), (SPACE, POINT, None), (SPACE, None, PLATT), (TWO, None, TEMPERATURE)],
)
def test_what_is_written_is_read(
    tmp_path: Path,
    space: LabelSpace,
    point: OperatingPoint | None,
    recalibration: Recalibration | None,
) -> None:
    write_operating_point(tmp_path, point, recalibration)
    assert read_operating_point(tmp_path, space) == (point, recalibration)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_thresholds_stand_at_the_top_and_the_recalibration_below_its_key(tmp_path: Path) -> None:
    write_operating_point(tmp_path, POINT, PLATT)
    fields = json.loads((tmp_path / FILE).read_text())
    assert fields == {**POINT.fields(), "calibration": PLATT.fields()}


def test_a_run_without_the_file_has_neither(tmp_path: Path) -> None:
    assert read_operating_point(tmp_path, SPACE) == (None, None)


def test_a_point_without_thresholds_is_left_out(tmp_path: Path) -> None:
    write_operating_point(tmp_path, replace(POINT, thresholds={}), TEMPERATURE)
    assert read_operating_point(tmp_path, TWO) == (None, TEMPERATURE)


def test_nothing_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_operating_point(tmp_path, None, None)


WHOLE: dict[str, Any] = {**POINT.fields(), "calibration": PLATT.fields()}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"a"', "{}", "\xff", "[" * 100_000,
     json.dumps(POINT.fields()),
     json.dumps({**WHOLE, "thresholds": {"covid": "half"}}),
     json.dumps({**WHOLE, "thresholds": [0.5]}),
     json.dumps({**WHOLE, "calibration": "platt"}),
     json.dumps({**WHOLE, "calibration": {**PLATT.fields(), "scale": [-1.0, 1.0, 1.0]}})],
)  # fmt: skip
def test_a_damaged_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match="operating_point.json: cannot be read as what evaluate.py"):
        read_operating_point(tmp_path, SPACE)


def test_a_folder_of_that_name_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(RunError, match="cannot be read as"):
        read_operating_point(tmp_path, SPACE)


@pytest.mark.parametrize(
    ("space", "recalibration", "reason"),
    [(TWO, None, "is about covid, normal, pneumonia, and the network about infected, normal"),
     (SPACE, TEMPERATURE, "recalibrates 2 classes, and the network has 3")],
)  # fmt: skip
def test_a_file_of_another_network_is_refused(
    tmp_path: Path, space: LabelSpace, recalibration: Recalibration | None, reason: str
) -> None:
    write_operating_point(tmp_path, POINT, recalibration)
    with pytest.raises(RunError, match=reason):
        read_operating_point(tmp_path, space)


def test_a_point_of_another_recipe_is_refused(tmp_path: Path) -> None:
    write_operating_point(tmp_path, POINT, PLATT, "1234")
    assert read_operating_point(tmp_path, SPACE, "1234") == (POINT, PLATT)
    with pytest.raises(RunError, match="that another config made; remove it"):
        read_operating_point(tmp_path, SPACE, "5678")
