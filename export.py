"""Turns a trained run into ONNX files, and lets none out that answers otherwise than the network.

    python export.py                      the newest finished run
    python export.py runs/NAME --output DIR
"""

import argparse
import math
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from covid.errors import exit_code


def fraction(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError
    return value


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write model.onnx and model.int8.onnx of a trained run, prove on validation "
        "images that they answer as the network does, and measure them. "
        "For learning and research, not for diagnosis."
    )
    parser.add_argument(
        "run", type=Path, nargs="?", help="a run folder (default: the newest finished run)"
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", action="extend", metavar="ROOT",
        help="the run's own images, where they have moved, under whatever names",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: RUN/export")
    parser.add_argument("--no-int8", action="store_true", help="write no 8-bit file")
    parser.add_argument(
        "--any-size", action="store_true",
        help="write model.anysize.onnx too, which resizes inside the graph",
    )  # fmt: skip
    parser.add_argument(
        "--max-drop", type=fraction, default=0.005, metavar="DROP",
        help="of macro F1 on validation, from fp32 to int8, that is let through (default: 0.005)",
    )  # fmt: skip
    return parser.parse_args()


def export(arguments: argparse.Namespace) -> int:
    """From a run folder to files that were proven. Returns the exit code."""
    # Imported here because torch takes seconds, and --help should not.
    import onnx
    import onnxruntime

    from covid.edge.card import read_card
    from covid.edge.operating_point import decides_by, recalibrated_by
    from covid.evaluation.operating.file import read_operating_point
    from covid.evaluation.report import read_json
    from covid.export.files import (
        ANY_SIZE,
        FP32,
        INT8,
        novelty_of,
        remove_earlier,
        write_any_size,
        write_fp32,
        write_int8,
    )
    from covid.export.graph import export_graph, recalibrate
    from covid.export.model_card import MODEL_CARD, write_model_card
    from covid.export.reference import gather_reference
    from covid.export.report import build_report, report_table, write_report
    from covid.model.weights import load_trained
    from covid.training.run import (
        best_weights,
        newest_run,
        recipe_sha256,
        runs_folder,
        versions,
    )

    folder = arguments.run or newest_run(runs_folder())
    weights = best_weights(folder)
    output = arguments.output or folder / "export"
    trained = load_trained(weights)
    if arguments.data:
        trained = replace(trained, config=trained.config.with_roots(arguments.data))
    config, network = trained.config, trained.network
    point, recalibration = read_operating_point(folder, config.label_space, recipe_sha256(config))
    print(f"{config.name}, epoch {trained.epoch}: exporting to {output}", flush=True)

    # What the files must agree with: the network's own answers for the validation images.
    reference = gather_reference(
        trained,
        weights,
        versions() | {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        moved=arguments.data is not None,
        point=point,
        recalibration=recalibration,
    )

    model = export_graph(network, config.task, config.data.image_size)
    if recalibration is not None:
        recalibrate(model, recalibration)
    novelty = novelty_of(model, reference)
    parity = write_fp32(output / FP32, model, reference, novelty)
    remove_earlier(output)
    int8 = None
    if parity.holds and not arguments.no_int8:
        int8 = write_int8(output / INT8, model, reference, arguments.max_drop, print)
    any_size = None
    if parity.holds and arguments.any_size:
        any_size = write_any_size(output / ANY_SIZE, model, reference, novelty)
    report = build_report(output, config.name, reference, parity, int8, any_size)
    write_report(output, report)
    written = [*report["files"], "report.json"]
    if report["files"]:
        write_model_card(
            output, read_card(output / FP32).fields(), report,
            audit=read_json(folder / "data_audit.json"),
            summary=read_json(folder / "summary.json"),
            config=config.model_dump(mode="json"),
            metrics=test_metrics(folder, report),
        )  # fmt: skip
        written.append(MODEL_CARD)

    print(f"\n{config.name} on {reference.card.trained_on}")
    print(f"{decides_by(reference.space, point)}{recalibrated_by(recalibration)}\n")
    print(report_table(report))
    print(
        f"\n{output} holds {', '.join(written)}.\n"
        f"For learning and research, not for diagnosis."
    )
    return 0 if report["holds"] else 1


def test_metrics(folder: Path, report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the run's evaluation on test says, if it decided there as the files do; else None."""
    from covid.evaluation.report import read_json

    metrics: dict[str, Any] | None = read_json(folder / "evaluation" / "test" / "metrics.json")
    ways = (("operating_point", "operating_point"), ("recalibration", "calibration"))
    same = metrics is not None and all(metrics.get(a) == report[b] for a, b in ways)
    return metrics if same else None


def main() -> int:
    arguments = parse_arguments()
    # As all else that goes wrong: one sentence, without the line of code that it comes from.
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    return exit_code(lambda: export(arguments), "Interrupted; no half-written file was left.")


if __name__ == "__main__":
    sys.exit(main())
