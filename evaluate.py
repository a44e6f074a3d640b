"""Judges a trained network on images that it was not trained on.

    python evaluate.py                      the newest finished run, on its test split
    python evaluate.py runs/NAME --data my/images
"""

import argparse
import sys
from pathlib import Path

from covid.errors import DataError, UserError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Judge a trained network: figures with their intervals, predictions, pictures. "
        "For learning and research, not for diagnosis."
    )
    parser.add_argument(
        "run", type=Path, nargs="?", help="a run folder (default: the newest finished run)"
    )
    parser.add_argument("--data", type=Path, metavar="ROOT", help="other images than the run's own")
    parser.add_argument(
        "--split", default="test", choices=("train", "validation", "test"), help="default: test"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: RUN/evaluation/SPLIT"
    )
    return parser.parse_args()


def evaluate(arguments: argparse.Namespace) -> None:
    # Imported here because torch takes seconds, and --help should not.
    from tqdm import tqdm

    from covid.config import resolve
    from covid.data.batches import Split, load_batches
    from covid.data.cache import Images
    from covid.data.index import load_index
    from covid.data.source import data_name, is_synthetic, open_source
    from covid.evaluation.metrics import metrics_table
    from covid.evaluation.report import write_report
    from covid.model.weights import load_trained
    from covid.training.epochs import predict
    from covid.training.launch import judge_in_full_precision, loader_workers, start_accelerator
    from covid.training.report import command_without_data, rendering_bar
    from covid.training.run import best_weights, newest_run, runs_folder
    from covid.training.survey import look

    folder = arguments.run or newest_run(runs_folder())
    trained = load_trained(best_weights(folder))
    config, split = trained.config, arguments.split
    space = config.label_space
    accelerator = start_accelerator(precision="no")
    judge_in_full_precision()

    with accelerator.main_process_first():
        if arguments.data is None:
            instead = command_without_data(folder / "config.yaml")
            index = open_source(config, instead=instead, progress=rendering_bar())
        else:
            index = load_index(
                arguments.data.absolute(), list(space.labels), seed=config.seed,
                allow_patient_overlap=True,  # nothing is trained on it
            )  # fmt: skip
    rows = index.split(split)
    if not rows:
        raise DataError(
            f"{index.root}: has no {split} images; choose with --split among "
            f"{', '.join(sorted(index.counts()))}."
        )
    cache_dir = resolve(config.data.cache_dir) if config.data.cache else None
    images = Images(index, config.data.image_size, cache_dir)
    seen = look(accelerator, images, rows, f"reading {split} images")
    if not config.data.skip_unreadable:
        seen.require_readable(len(rows))
    rows = [row for row in rows if row not in seen.unreadable]

    samples = [index.samples[row] for row in rows]
    truths = space.encode(sample.label for sample in samples)
    batches = load_batches(
        Split(images, rows, truths),
        batch_size=config.batch_size,
        workers=loader_workers(accelerator),
    )
    bar = tqdm(total=len(rows), desc=f"judging {split}", unit=" images", leave=False, delay=1,
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
    metrics = write_report(
        output,
        space,
        predictions.probabilities(space.task),
        truths,
        names=[sample.name for sample in samples],
        keys=[sample.label for sample in samples],
        patients=[sample.patient for sample in samples],
        read_images=lambda places: images.read([rows[place] for place in places]),
        title=name,
        about={
            "run": config.name,
            "epoch": trained.epoch,
            "data": data_name(index),
            "synthetic": is_synthetic(index),
            "split": split,
            "unreadable": len(seen.unreadable),
        },
    )
    for sentence in (*index.warnings, *([images.problem] if images.problem else [])):
        print(f"Warning: {sentence}", file=sys.stderr)
    print(metrics_table(metrics, name))
    print(
        f"\n{output} holds metrics.json, predictions.csv, confusion.png, examples.png.\n"
        f"For learning and research, not for diagnosis."
    )


def main() -> int:
    arguments = parse_arguments()
    try:
        evaluate(arguments)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
