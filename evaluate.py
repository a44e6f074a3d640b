"""Judges a trained network on images that it was not trained on.

    python evaluate.py                      the newest finished run, on its test split
    python evaluate.py runs/NAME --data my/images
    python evaluate.py model.onnx --data my/images      an exported network, without PyTorch
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid.errors import ConfigError, DataError, UserError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from covid.data.index import Index
    from covid.edge.labels import LabelSpace


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Evaluate a trained network: figures with their intervals, predictions, "
        "pictures. For learning and research, not for diagnosis."
    )
    parser.add_argument(
        "trained", type=Path, nargs="?", metavar="RUN | MODEL.onnx",
        help="a run folder or an exported file (default: the newest finished run)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="ROOT",
        help="other images than the run's own; an ONNX file carries none and needs this",
    )  # fmt: skip
    parser.add_argument(
        "--split", default="test", choices=("train", "validation", "test"), help="default: test"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR",
        help="default: RUN/evaluation/SPLIT; for an ONNX file, evaluation/ROOT-SPLIT beside it",
    )  # fmt: skip
    return parser.parse_args()


def evaluate_run(arguments: argparse.Namespace) -> None:
    # Imported here because torch takes seconds, and --help should not.
    from tqdm import tqdm

    from covid.config import resolve
    from covid.data.batches import Split, load_batches
    from covid.data.cache import Images
    from covid.data.index import load_index
    from covid.data.source import NAME_FOLDER, data_name, is_synthetic, open_source
    from covid.model.weights import load_trained
    from covid.training.epochs import predict
    from covid.training.launch import loader_workers, start_accelerator, use_full_precision
    from covid.training.report import rendering_bar
    from covid.training.run import best_weights, newest_run, runs_folder
    from covid.training.scan import scan_images

    folder = arguments.trained or newest_run(runs_folder())
    trained = load_trained(best_weights(folder))
    config, split = trained.config, arguments.split
    space = config.label_space
    accelerator = start_accelerator(precision="no")
    use_full_precision()

    with accelerator.main_process_first():
        if arguments.data is None:
            index = open_source(config, advice=NAME_FOLDER, progress=rendering_bar())
        else:
            index = load_index(
                arguments.data.absolute(), list(space.labels), seed=config.seed,
                allow_patient_overlap=True,  # nothing is trained on it
            )  # fmt: skip
    rows = rows_of(index, split)
    cache_dir = resolve(config.data.cache_dir) if config.data.cache else None
    images = Images(index, config.data.image_size, cache_dir)
    seen = scan_images(accelerator, images, rows, f"reading {split} images")
    if not config.data.skip_unreadable:
        seen.require_readable(len(rows))
    rows = [row for row in rows if row not in seen.unreadable]

    targets = space.encode(index.samples[row].label for row in rows)
    batches = load_batches(
        Split(images, rows, targets),
        batch_size=config.batch_size,
        workers=loader_workers(accelerator),
    )
    bar = tqdm(total=len(rows), desc=f"evaluating {split}", unit=" images", leave=False, delay=1,
               disable=None if accelerator.is_main_process else True)  # fmt: skip
    with bar:
        predictions = predict(
            accelerator, trained.network.to(accelerator.device), accelerator.prepare(batches),
            bar.update,
        )  # fmt: skip
    if not accelerator.is_main_process:
        return

    place = split if arguments.data is None else f"{index.root.resolve().name}-{split}"
    output = arguments.output or folder / "evaluation" / place
    name = f"{config.name} on {data_name(index)}, {split}"
    report(
        output,
        space,
        predictions.probabilities(space.task),
        index,
        rows,
        lambda places: images.read([rows[place] for place in places]),
        name,
        {
            "run": config.name,
            "epoch": trained.epoch,
            "data": data_name(index),
            "synthetic": is_synthetic(index),
            "split": split,
            "unreadable": len(seen.unreadable),
        },
        [*index.warnings, *([images.problem] if images.problem else [])],
    )


def evaluate_file(arguments: argparse.Namespace) -> None:
    """The same for an ONNX file, by the way that predict.py takes: no PyTorch anywhere."""
    import numpy as np
    from tqdm import tqdm

    from covid.data.index import LISTED, load_index
    from covid.data.source import data_name, is_synthetic
    from covid.edge import load

    path, split = arguments.trained, arguments.split
    if arguments.data is None:
        raise ConfigError(f"{path}: an ONNX file carries no images; name some with --data ROOT.")
    model = load(path, spinning=False)  # images are decoded meanwhile
    card = model.card
    index = load_index(
        arguments.data.absolute(), list(card.space.labels), allow_patient_overlap=True
    )
    rows = rows_of(index, split)
    files = [index.samples[row].path for row in rows]
    with tqdm(model.predict(files), total=len(rows), desc=f"evaluating {split}", unit=" images",
              leave=False, delay=1, disable=None) as bar:  # fmt: skip
        predictions = list(bar)
    unreadable = [prediction.error for prediction in predictions if prediction.error]
    if unreadable:
        more = f" (and {len(unreadable) - LISTED} more)" if len(unreadable) > LISTED else ""
        raise DataError(
            f"{len(unreadable)} of {len(rows)} images cannot be read: "
            f"{' '.join(unreadable[:LISTED])}{more} Repair or remove them."
        )

    beside = path.parent / "evaluation" / f"{index.root.resolve().name}-{split}"
    warnings = list(index.warnings)
    if index.drawn:
        warnings.append(
            f"{index.root}: its manifest has no split, so one was drawn from seed 0; if the "
            f"network was trained on these images with another seed, it knows some of them."
        )
    report(
        arguments.output or beside,
        card.space,
        np.array([list(each.probabilities.values()) for each in predictions], dtype=np.float32),
        index,
        rows,
        lambda places: np.stack([model.read(files[place]) for place in places]),
        f"{path.name} on {data_name(index)}, {split}",
        {
            "model": path.name,
            "precision": card.precision,
            "source_sha256": card.source_sha256,
            "trained_on": card.trained_on,
            "data": data_name(index),
            "synthetic": is_synthetic(index),
            "split": split,
        },
        warnings,
    )


def rows_of(index: "Index", split: str) -> list[int]:
    """Raises DataError where the split has no images."""
    rows = index.split(split)
    if not rows:
        raise DataError(
            f"{index.root}: has no {split} images; choose with --split among "
            f"{', '.join(sorted(index.counts()))}."
        )
    return rows


def report(
    output: Path,
    space: "LabelSpace",
    probabilities: "npt.NDArray[np.float32]",
    index: "Index",
    rows: Sequence[int],
    read_images: Callable[[list[int]], "npt.NDArray[np.uint8]"],
    name: str,
    about: Mapping[str, Any],
    warnings: Sequence[str],
) -> None:
    """Files to `output` and figures to the terminal; `probabilities` has one row for each row."""
    from covid.evaluation.report import write_report
    from covid.evaluation.terminal import metrics_table

    samples = [index.samples[row] for row in rows]
    metrics = write_report(
        output,
        space,
        probabilities,
        space.encode(sample.label for sample in samples),
        names=[sample.name for sample in samples],
        keys=[sample.label for sample in samples],
        patients=[sample.patient for sample in samples],
        read_images=read_images,
        title=name,
        about=about,
    )
    for sentence in warnings:
        print(f"Warning: {sentence}", file=sys.stderr)
    print(metrics_table(metrics, name))
    print(
        f"\n{output} holds metrics.json, predictions.csv, confusion.png, examples.png.\n"
        f"For learning and research, not for diagnosis."
    )


def main() -> int:
    arguments = parse_arguments()
    exported = arguments.trained is not None and arguments.trained.suffix.lower() == ".onnx"
    # As all else that goes wrong: one sentence, without the line of code that it comes from.
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    try:
        evaluate_file(arguments) if exported else evaluate_run(arguments)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
