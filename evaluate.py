"""Evaluates a trained network on images that it was not trained on.

    python evaluate.py                      the newest finished run, on its test split
    python evaluate.py runs/NAME --data my/images
    python evaluate.py model.onnx --data my/images      an exported network, without PyTorch
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid.errors import ConfigError, DataError, UserError
from covid.project import missing_package

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
        "--data", type=Path, nargs="+", action="extend", metavar="ROOT",
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


@dataclass(frozen=True)
class Predictions:
    """What a network answers about the images of an index that can be read."""

    indices: list[int]  # of the index
    probabilities: "npt.NDArray[np.float32]"  # [images, classes]
    read_images: "Callable[[list[int]], npt.NDArray[np.uint8]]"  # n places of `indices` to pixels
    about: Mapping[str, Any]  # for metrics.json, after what it is about the network and the data
    warnings: Sequence[str]


@dataclass(frozen=True)
class Predictor:
    """A trained network, however it is kept, and how images are put to it."""

    name: str  # in titles
    folder: Path  # whose `evaluation/` takes the report unless --output names another place
    space: "LabelSpace"
    seed: int  # of a split that is drawn
    about: Mapping[str, Any]  # which network it is, for metrics.json
    open_own: "Callable[[], Index] | None"  # its own images; None: it has none
    predict: "Callable[[Index, list[int], str], Predictions]"  # of some images of a split
    main_process_first: Callable[[], AbstractContextManager[None]]  # while images are searched
    is_main_process: bool  # the one that writes


def evaluate(arguments: argparse.Namespace) -> None:
    """Opens what is trained and the images, predicts; files to a folder, figures to the terminal.

    Of several processes all predict and one writes.
    """
    # Imported here, and below, because they take time that --help should not.
    from covid.data.index import targets_of
    from covid.data.source import data_name, is_synthetic
    from covid.evaluation.report import Evaluation, write_report
    from covid.evaluation.terminal import metrics_table

    predictor, split = open_trained(arguments.trained, arguments.data), arguments.split
    with predictor.main_process_first():
        index = open_images(predictor, arguments.data)
    targets = targets_of(predictor.space, index)
    predictions = predictor.predict(index, indices_of(index, split), split)
    if not predictor.is_main_process:
        return

    samples = [index.samples[i] for i in predictions.indices]
    evaluation = Evaluation(
        title=f"{predictor.name} on {data_name(index)}, {split}",
        about={
            **predictor.about,
            "data": data_name(index),
            "synthetic": is_synthetic(index),
            "split": split,
            **predictions.about,
        },
        space=predictor.space,
        probabilities=predictions.probabilities,
        targets=targets[predictions.indices],
        names=[sample.name for sample in samples],
        cells=[sample.label for sample in samples],
        patients=[sample.patient for sample in samples],
    )
    place = split if arguments.data is None else f"{index.name}-{split}"
    output = arguments.output or predictor.folder / "evaluation" / place
    metrics = write_report(output, evaluation, predictions.read_images)
    for sentence in (*index.warnings, *predictions.warnings):
        print(f"Warning: {sentence}", file=sys.stderr)
    print(metrics_table(metrics, evaluation.title))
    print(
        f"\n{output} holds metrics.json, predictions.csv, confusion.png, examples.png.\n"
        f"For learning and research, not for diagnosis."
    )


def open_trained(trained: Path | None, data: list[Path] | None) -> Predictor:
    """An exported file where `trained` is named like one, else a run, by default the newest."""
    if trained is None or trained.suffix.lower() != ".onnx":
        return open_run(trained)
    if data is None:
        raise ConfigError(f"{trained}: an ONNX file carries no images; name some with --data ROOT.")
    return open_file(trained)


def open_images(predictor: Predictor, data: list[Path] | None) -> "Index":
    """The images in `data`, or the predictor's own."""
    from covid.data.source import load_index

    if data is None:
        assert predictor.open_own is not None  # see `open_trained`
        return predictor.open_own()
    return load_index(
        [root.absolute() for root in data], list(predictor.space.labels)
    )


def indices_of(index: "Index", split: str) -> list[int]:
    """Raises DataError where the split has no images."""
    indices = index.split(split)
    if not indices:
        raise DataError(
            f"{index.root}: has no {split} images; choose with --split among "
            f"{', '.join(sorted(index.counts()))}."
        )
    return indices


def open_run(folder: Path | None) -> Predictor:
    """The best network of a run, None being the newest finished one, in full precision."""
    from tqdm import tqdm

    from covid.config import resolve
    from covid.data.batches import Split, load_batches
    from covid.data.cache import Images
    from covid.data.index import targets_of
    from covid.data.source import NAME_FOLDER, open_source
    from covid.model.weights import load_trained
    from covid.training.epochs import predict
    from covid.training.launch import loader_workers, start_accelerator, use_full_precision
    from covid.training.report import rendering_bar
    from covid.training.run import best_weights, newest_run, runs_folder
    from covid.training.scan import scan_images

    folder = folder or newest_run(runs_folder())
    trained = load_trained(best_weights(folder))
    config, space = trained.config, trained.config.label_space
    accelerator = start_accelerator(precision="no")
    use_full_precision()

    def predict_images(index: "Index", indices: list[int], split: str) -> Predictions:
        cache_dir = resolve(config.data.cache_dir) if config.data.cache else None
        images = Images(index, config.data.image_size, cache_dir)
        seen = scan_images(accelerator, images, indices, f"reading {split} images")
        if not config.data.skip_unreadable:
            seen.require_readable(len(indices))
        indices = [i for i in indices if i not in seen.unreadable]
        batches = load_batches(
            Split(images, indices, targets_of(space, index)[indices]),
            batch_size=config.batch_size,
            workers=loader_workers(accelerator),
        )
        bar = tqdm(total=len(indices), desc=f"evaluating {split}", unit=" images", leave=False,
                   delay=1, disable=None if accelerator.is_main_process else True)  # fmt: skip
        with bar:
            predictions = predict(
                accelerator, trained.network.to(accelerator.device), accelerator.prepare(batches),
                bar.update,
            )  # fmt: skip
        return Predictions(
            indices,
            predictions.probabilities(space.task),
            lambda places: images.read([indices[place] for place in places]),
            {"unreadable": len(seen.unreadable)},
            [images.problem] if images.problem else [],
        )

    return Predictor(
        name=config.name,
        folder=folder,
        space=space,
        seed=config.seed,
        about={"run": config.name, "epoch": trained.epoch},
        open_own=lambda: open_source(config, advice=NAME_FOLDER, progress=rendering_bar()),
        predict=predict_images,
        main_process_first=accelerator.main_process_first,
        is_main_process=accelerator.is_main_process,
    )


def open_file(path: Path) -> Predictor:
    """An ONNX file, by the way that predict.py takes: no PyTorch anywhere."""
    import numpy as np
    from tqdm import tqdm

    from covid.data.index import MAX_LISTED
    from covid.edge import load

    model = load(path, spinning=False)  # images are decoded meanwhile
    card = model.card

    def predict_images(index: "Index", indices: list[int], split: str) -> Predictions:
        files = [index.samples[i].path for i in indices]
        with tqdm(model.predict(files), total=len(indices), desc=f"evaluating {split}",
                  unit=" images", leave=False, delay=1, disable=None) as bar:  # fmt: skip
            predictions = list(bar)
        unreadable = [prediction.error for prediction in predictions if prediction.error]
        if unreadable:
            rest = len(unreadable) - MAX_LISTED
            more = f" (and {rest} more)" if rest > 0 else ""
            raise DataError(
                f"{len(unreadable)} of {len(indices)} images cannot be read: "
                f"{' '.join(unreadable[:MAX_LISTED])}{more} Repair or remove them."
            )
        drawn = (
            f"{index.root}: its manifest has no split, so one was drawn from seed 0; if the "
            f"network was trained on these images with another seed, it knows some of them."
        )
        return Predictions(
            indices,
            np.array([list(each.probabilities.values()) for each in predictions], dtype=np.float32),
            lambda places: np.stack([model.read(files[place]) for place in places]),
            {},
            [drawn] if index.unsplit else [],
        )

    return Predictor(
        name=path.name,
        folder=path.parent,
        space=card.space,
        seed=0,  # a file does not carry the one of its run
        about={
            "model": path.name,
            "precision": card.precision,
            "source_sha256": card.source_sha256,
            "trained_on": card.trained_on,
        },
        open_own=None,
        predict=predict_images,
        main_process_first=nullcontext,
        is_main_process=True,
    )


def main() -> int:
    arguments = parse_arguments()
    # As all else that goes wrong: one sentence, without the line of code that it comes from.
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    try:
        evaluate(arguments)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"Error: {missing_package(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
