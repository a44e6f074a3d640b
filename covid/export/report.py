"""report.json and the table: what was exported, what was proven, how fast it is."""

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from covid.edge.card import INTENDED_USE
from covid.edge.files import write_atomically
from covid.edge.model import load
from covid.edge.table import format_table
from covid.export.files import ANY_SIZE, FP32, INT8, REPORT, Quantised
from covid.export.latency import measure_latency
from covid.export.parity import BATCHES, TOLERANCE, Check, Parity
from covid.export.reference import Reference

ROUNDS = 20  # turns of three calls per file; their median moves by a few per cent between exports


def build_report(
    output: Path,
    run: str,
    reference: Reference,
    parity: Parity,
    int8: Quantised | None,
    any_size: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The content of report.json. `int8` and `any_size` are None where none was asked for.

    A number that JSON does not have, such as an infinite difference, is None.
    """
    files = [output / name for name in (FP32, INT8, ANY_SIZE) if (output / name).is_file()]
    checks = [*parity.checks, *(int8.checks if int8 else []), *(any_size or {}).get("checks", [])]
    point, calibration = reference.card.operating_point, reference.card.calibration
    report = {
        "run": run,
        "trained_on": reference.card.trained_on,
        "operating_point": point and point.fields(),
        "calibration": calibration and calibration.fields(),
        "holds": all(check.holds for check in checks),
        "files": {path.name: {"bytes": path.stat().st_size} for path in files},
        "parity": {
            "images": parity.images,
            "batches": list(BATCHES),
            "tolerance": TOLERANCE,
            "checks": _checks(parity.checks),
            "largest_difference": parity.largest,
            "decisions_changed": parity.changed,
        },
        "fp32": reference.metrics,
        "int8": None if int8 is None else {
            "checks": _checks(int8.checks),
            "attempts": [attempt.fields() for attempt in int8.attempts],
            "calibration_images": len(reference.calibration),
            "largest_weight": int8.attempts[-1].limit if int8.attempts else None,
            "kept_in_float": int8.attempts[-1].kept_in_float if int8.attempts else [],
            "golden": None if int8.proof is None else {
                **int8.proof.golden.fields(),
                "saturable_pairs": int8.proof.saturable_pairs,
                "saturated_difference": int8.proof.saturated,
            },
            "metrics": int8.metrics,
        },
        "any_size": None if any_size is None else {
            **any_size, "checks": _checks(any_size["checks"])
        },
        "latency": _latency(files, reference),
        "source_sha256": reference.card.source_sha256,
        "versions": dict(reference.card.versions),
        "intended_use": INTENDED_USE,
    }  # fmt: skip
    plain: dict[str, Any] = _plain(report)
    return plain


def write_report(output: Path, report: Mapping[str, Any]) -> None:
    text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(output / REPORT, f"{text}\n")


def report_table(report: Mapping[str, Any]) -> str:
    """The same for people: the files, then every check with its result."""
    rows = []
    for name, file in report["files"].items():
        if name == ANY_SIZE:  # a program without this package runs it; its checks are below
            continue
        metrics = report["int8"]["metrics"] if name == INT8 else report["fp32"]
        took = report["latency"]["files"].get(name)
        rows.append(
            [
                name,
                f"{file['bytes'] / 1e6:.1f}",
                *(_interval(metrics[figure]) for figure in ("accuracy", "macro_f1")),
                f"{took['median_ms']:.1f}" if took else "–",
            ]
        )
    parts = []
    if rows:
        header = ["file", "MB", "validation accuracy", "macro F1", "ms per image"]
        parts.append(format_table(header, rows))
    for file, checks in _named_checks(report):
        lines = [
            f"  {'holds' if check['holds'] else 'FAILS'}  {check['name']:13}  {check['found']}"
            for check in checks
        ]
        if file == INT8 and checks[0]["name"] != "operations":
            lines.append(_calibration(report["int8"]))
        parts.append("\n".join([_compared(file), *lines]))
    return "\n\n".join(parts)


def _named_checks(report: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    named = [(FP32, report["parity"]["checks"])]
    for kind, name in (("int8", INT8), ("any_size", ANY_SIZE)):
        if report[kind] is not None:
            named.append((name, report[kind]["checks"]))
    return named


def _compared(file: str) -> str:
    if file == INT8:
        return f"{file} against {FP32}, on images that calibration did not use"
    return f"{file} against the network, on validation images"


def _calibration(int8: Mapping[str, Any]) -> str:
    if not int8["attempts"]:
        return "  none was made, since these images could not show that it is good enough"
    kept = ", ".join(int8["kept_in_float"]) or "no layer"
    return (
        f"  kept in float: {kept}; the others calibrated on {int8['calibration_images']} "
        f"training images, weights up to {int8['largest_weight']}"
    )


def _plain(value: Any) -> Any:
    """Dictionaries and lists as they are, but for numbers that JSON does not have: None."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _checks(checks: list[Check]) -> list[dict[str, Any]]:
    return [{"name": check.name, "holds": check.holds, "found": check.found} for check in checks]


def _latency(files: list[Path], reference: Reference) -> dict[str, Any]:
    """One image at a time, all threads, the files in turn."""
    pixels = reference.pixels([0])
    models = {path.name: load(path) for path in files if path.name != ANY_SIZE}
    if not models:
        return {"threads": None, "rounds": 0, "files": {}}
    calls = {name: partial(model.run, pixels) for name, model in models.items()}
    took = measure_latency(calls, ROUNDS)
    threads = next(iter(models.values())).threads
    return {"threads": threads, "rounds": ROUNDS, "files": took}


def _interval(figure: Mapping[str, float | None]) -> str:
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None:
        return "–"
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
