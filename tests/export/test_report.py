"""report.json and its table: what was proven, in plain JSON and in words."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covid.export.files import ANY_SIZE, FP32, INT8, REPORT, write_any_size, write_fp32, write_int8
from covid.export.parity import TOLERANCE, Check
from covid.export.report import build_report, report_table, write_report
from tests.export.conftest import Small
from tests.export.networks import PLATT, POINT

KEYS = {
    "run", "trained_on", "operating_point", "calibration", "holds", "files", "parity", "fp32",
    "int8", "any_size", "latency", "source_sha256", "versions", "intended_use",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def whole(small: Small, folder: Path) -> dict[str, Any]:
    """The report of an export with everything."""
    parity = write_fp32(folder / FP32, small.model, small.reference)
    int8 = write_int8(folder / INT8, small.model, small.reference, 0.005, lambda _: None)
    any_size = write_any_size(folder / ANY_SIZE, small.model, small.reference)
    return build_report(folder, "small", small.reference, parity, int8, any_size)


def refused(small: Small, output: Path) -> dict[str, Any]:
    """The report of an fp32 file that was held back."""
    other = replace(small.reference, logits=small.reference.logits + np.float32(np.inf))
    parity = write_fp32(output / FP32, small.model, other)
    return build_report(output, "small", other, parity, None, None)


def test_a_report_has_its_keys(whole: dict[str, Any]) -> None:
    assert set(whole) == KEYS


def test_a_report_says_what_was_chosen(
    whole: dict[str, Any], chosen: Small, tmp_path: Path
) -> None:
    assert whole["operating_point"] is whole["calibration"] is None
    parity = write_fp32(tmp_path / FP32, chosen.model, chosen.reference)
    report = build_report(tmp_path, "chosen", chosen.reference, parity, None, None)
    assert report["operating_point"] == POINT.fields()
    assert report["calibration"] == PLATT.fields()


def test_a_report_names_every_file_and_its_bytes(whole: dict[str, Any], folder: Path) -> None:
    assert whole["files"] == {
        name: {"bytes": (folder / name).stat().st_size} for name in (FP32, INT8, ANY_SIZE)
    }


def test_a_report_says_what_was_asked_of_fp32(whole: dict[str, Any]) -> None:
    assert (whole["parity"]["tolerance"], whole["parity"]["batches"]) == (TOLERANCE, [1, 2, 5])


def test_files_that_are_for_this_package_are_timed_and_no_others(whole: dict[str, Any]) -> None:
    assert set(whole["latency"]["files"]) == {FP32, INT8}


def test_a_report_reads_back_from_its_file(whole: dict[str, Any], folder: Path) -> None:
    write_report(folder, whole)
    assert json.loads((folder / REPORT).read_text()) == whole


def test_a_file_that_was_held_back_is_not_among_the_files(small: Small, tmp_path: Path) -> None:
    assert refused(small, tmp_path)["files"] == {}


def test_a_report_holds_only_where_everything_does(small: Small, tmp_path: Path) -> None:
    assert not refused(small, tmp_path)["holds"]


def test_one_failed_check_of_the_last_file_is_enough(
    small: Small, folder: Path, whole: dict[str, Any], tmp_path: Path
) -> None:
    parity = write_fp32(tmp_path / FP32, small.model, small.reference)
    failed = {"checks": [Check("probabilities", False, "far")]}
    assert not build_report(tmp_path, "small", small.reference, parity, None, failed)["holds"]


def test_a_difference_without_bound_is_null(small: Small, tmp_path: Path) -> None:
    assert "Infinity" not in json.dumps(refused(small, tmp_path), allow_nan=False)


def test_the_table_says_which_check_failed(small: Small, tmp_path: Path) -> None:
    assert "FAILS  logits" in report_table(refused(small, tmp_path))


def test_the_table_has_a_row_a_file_that_this_package_runs(whole: dict[str, Any]) -> None:
    rows = report_table(whole).split("\n\n")[0].splitlines()
    assert [row.split()[0] for row in rows[2:]] == [FP32, INT8]


def test_the_table_says_what_stayed_in_float(whole: dict[str, Any]) -> None:
    assert "kept in float: no layer" in report_table(whole)
