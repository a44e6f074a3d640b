"""Evaluates a trained network on images that it was not trained on.

    python evaluate.py                      the newest finished run, on its test split
    python evaluate.py runs/NAME --data my/images --label tuberculosis=pneumonia
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

from covid.errors import ConfigError, DataError, RunError, UserError
from covid.project import missing_package

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from covid.data.cache import Original
    from covid.data.index import Index
    from covid.data.samples import Row
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
        "--label", action="append", default=[], metavar="THEIRS=OURS",
        help="what other images call otherwise; `THEIRS=` leaves a name out; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--allow-seen", action="store_true",
        help="evaluate other images though the network was trained on some of them",
    )
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

    originals: "dict[int, Original]"  # of those images, by index of the sample
    probabilities: "npt.NDArray[np.float32]"  # [images, classes], in that order
    read_images: "Callable[[list[int]], npt.NDArray[np.uint8]]"  # indices of samples to pixels
    about: Mapping[str, Any]  # for metrics.json, after what it is about the network and the data
    warnings: Sequence[str]


@dataclass(frozen=True)
class Predictor:
    """A trained network, however it is kept, and how images are put to it."""

    name: str  # in titles
    folder: Path  # whose `evaluation/` takes the report unless --output names another place
    space: "LabelSpace"
    about: Mapping[str, Any]  # which network it is, for metrics.json
    trained_on: "list[Row] | None"  # its run's samples.csv; None where that is not at hand
    open_own: "Callable[[], Index] | None"  # its own images; None: it has none
    lateral_known: bool  # whether it was trained on lateral views too
    read: "Callable[[Index, list[int], str], dict[int, Original]]"  # what some images are
    predict: "Callable[[Index, list[int], str], Predictions]"  # of some images of a split
    main_process_first: Callable[[], AbstractContextManager[None]]  # while images are searched
    is_main_process: bool  # the one that writes


def evaluate(arguments: argparse.Namespace) -> None:
    """Opens what is trained and the images, predicts; files to a folder, figures to the terminal.

    Of several processes all predict and one writes.
    """
    # Imported here, and below, because they take time that --help should not.
    from covid.data.index import targets_of
    from covid.data.samples import digest, rows_of
    from covid.data.source import data_name, is_synthetic
    from covid.edge.dicom_header import survey
    from covid.evaluation.report import Evaluation, write_report
    from covid.evaluation.terminal import metrics_table

    predictor, split = open_trained(arguments), arguments.split
    if arguments.data is None:
        index, own = open_own_images(predictor), True
    else:
        index, own = open_other_images(predictor, arguments.data, arguments.label)
    targets = targets_of(predictor.space, index)
    predictions = predictor.predict(index, indices_of(index, split), split)
    notes = check_images(
        predictor, index, predictions.originals, own=own, allow_seen=arguments.allow_seen
    )
    if not predictor.is_main_process:
        return

    indices = list(predictions.originals)
    samples = [index.samples[i] for i in indices]
    evaluation = Evaluation(
        title=f"{predictor.name} on {data_name(index)}, {split}",
        about={
            **predictor.about,
            "data": data_name(index),
            "synthetic": is_synthetic(index),
            "split": split,
            "samples_sha256": digest(rows_of(index, predictions.originals)),
            **predictions.about,
        },
        space=predictor.space,
        probabilities=predictions.probabilities,
        targets=targets[indices],
        names=[sample.name for sample in samples],
        cells=[sample.label for sample in samples],
        patients=[sample.patient for sample in samples],
    )
    place = split if arguments.data is None else f"{index.name}-{split}"
    output = arguments.output or predictor.folder / "evaluation" / place
    metrics = write_report(
        output, evaluation, lambda places: predictions.read_images([indices[i] for i in places])
    )
    headers = survey([sample.path for sample in samples], lateral_known=predictor.lateral_known)
    for sentence in (*index.warnings, *notes, *headers, *predictions.warnings):
        print(f"Warning: {sentence}", file=sys.stderr)
    print(metrics_table(metrics, evaluation.title))
    print(
        f"\n{output} holds metrics.json, predictions.csv, confusion.png, examples.png.\n"
        f"For learning and research, not for diagnosis."
    )


def open_trained(arguments: argparse.Namespace) -> Predictor:
    """An exported file where it is named like one, else a run, by default the newest."""
    trained = arguments.trained
    if arguments.data is None:
        for option in ("label", "allow_seen"):
            if getattr(arguments, option):
                raise ConfigError(
                    f"--{option.replace('_', '-')}: is about other images than the run's own; "
                    f"name them with --data ROOT."
                )
    if trained is None or trained.suffix.lower() != ".onnx":
        return open_run(trained)
    if arguments.data is None:
        raise ConfigError(f"{trained}: an ONNX file carries no images; name some with --data ROOT.")
    return open_file(trained)


def open_own_images(predictor: Predictor) -> "Index":
    """The run's own images, in the splits that it was trained with."""
    from covid.data.samples import own_images

    assert predictor.open_own is not None  # see `open_trained`
    with predictor.main_process_first():
        index = predictor.open_own()
    if predictor.trained_on is not None:
        return own_images(index, predictor.trained_on)
    if index.unsplit:
        raise RunError(
            f"{predictor.folder}: has no samples.csv, and its images lie in no splits, so nobody "
            f"knows which of them it was trained on; train anew."
        )
    return index


def open_other_images(
    predictor: Predictor, roots: Sequence[Path], renamed: Sequence[str]
) -> "tuple[Index, bool]":
    """The images in `roots`, and whether they are the run's own, which have moved.

    A set without splits is one split, `test`.
    """
    from covid.data.index import UNSPLIT
    from covid.data.samples import moved_images
    from covid.data.source import load_index

    names = list(predictor.space.labels)
    with predictor.main_process_first():
        index = load_index(
            [root.absolute() for root in roots], names, renamed=parse_labels(renamed, names)
        )
    trained_on = predictor.trained_on
    if trained_on is not None and len(index.samples) >= len(trained_on):
        # Only then can all of the run's images be among them, which their content shows.
        originals = predictor.read(index, list(range(len(index.samples))), "all")
        moved = moved_images(index, originals, trained_on)
        if moved is not None:
            return moved, True
    splits = ("test" if sample.split == UNSPLIT else sample.split for sample in index.samples)
    return index.with_splits(splits), False


def parse_labels(renamed: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """`THEIRS=OURS` to a mapping; OURS is one of `names`, or empty. Raises ConfigError."""
    mapping: dict[str, str] = {}
    for text in renamed:
        theirs, equals, ours = (part.strip() for part in text.partition("="))
        if not equals or not theirs:
            raise ConfigError(
                f"--label {text}: must look like THEIRS=OURS, or THEIRS= to leave images out."
            )
        if ours and ours not in names:
            raise ConfigError(f"--label {text}: {ours} is none of {', '.join(names)}.")
        if mapping.setdefault(theirs, ours) != ours:
            raise ConfigError(f"--label {text}: {theirs} is {mapping[theirs] or 'left out'} too.")
    return mapping


def check_images(
    predictor: Predictor,
    index: "Index",
    originals: "dict[int, Original]",
    *,
    own: bool,
    allow_seen: bool,
) -> list[str]:
    """Warnings about images that were predicted; DataError where figures would mean nothing.

    The run's own must be as they were; none of others may be among those it was trained on.
    """
    from covid.data.index import some
    from covid.data.samples import require_unchanged, seen_in_training

    trained_on = predictor.trained_on
    if trained_on is None:
        return [
            f"{predictor.name}: its run's samples.csv is not at hand, so it is not known whether "
            f"it was trained on some of these images."
        ]
    if own:
        require_unchanged(index, originals, trained_on)
        return []
    seen = seen_in_training(index, originals, trained_on)
    if not seen:
        return []
    sentence = (
        f"{index.root}: {len(seen):,} of {len(originals):,} images are among those that "
        f"{predictor.name} was trained on ({some(seen)})"
    )
    if not allow_seen:
        raise DataError(
            f"{sentence}, so figures would be too good; take them out, choose another --split, or "
            f"evaluate all the same with --allow-seen."
        )
    return [f"{sentence}, which --allow-seen permits."]


def indices_of(index: "Index", split: str) -> list[int]:
    """Raises DataError where the split has no images."""
    from covid.data.index import UNSPLIT

    indices = index.split(split)
    if not indices:
        raise DataError(
            f"{index.root}: has no {split} images; choose with --split among "
            f"{', '.join(sorted(index.counts().keys() - {UNSPLIT}))}."
        )
    return indices


def open_run(folder: Path | None) -> Predictor:
    """The best network of a run, None being the newest finished one, in full precision."""
    from tqdm import tqdm

    from covid.config import resolve
    from covid.data.batches import Split, load_batches
    from covid.data.cache import Images, open_images
    from covid.data.index import targets_of
    from covid.data.samples import digest, read_rows
    from covid.data.source import NAME_FOLDER, open_source
    from covid.model.weights import load_trained
    from covid.training.epochs import predict
    from covid.training.launch import loader_workers, start_accelerator, use_full_precision
    from covid.training.report import rendering_bar
    from covid.training.run import best_weights, lateral_images, newest_run, runs_folder
    from covid.training.scan import scan_images

    folder = folder or newest_run(runs_folder())
    trained = load_trained(best_weights(folder))
    config, space = trained.config, trained.config.label_space.naming_classes()
    accelerator = start_accelerator(precision="no")
    use_full_precision()
    trained_on = read_rows(folder)
    notes = []
    if trained_on is not None and digest(trained_on) != trained.trained_on_sha256:
        notes.append(
            f"{folder}: samples.csv is not the one that best.safetensors was trained on; the run "
            f"went on with changed images, or a file was replaced."
        )

    def images_of(index: "Index") -> Images:
        cache_dir = resolve(config.data.cache_dir) if config.data.cache else None
        return open_images(index, config.data.image_size, cache_dir, trained.greys)

    def read(index: "Index", indices: list[int], split: str) -> "dict[int, Original]":
        images = images_of(index)
        return scan_images(accelerator, images, indices, f"reading {split} images").originals

    def predict_images(index: "Index", indices: list[int], split: str) -> Predictions:
        images = images_of(index)
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
            {i: seen.originals[i] for i in indices},
            predictions.probabilities(space.task),
            images.read,
            {"unreadable": len(seen.unreadable)},
            [*notes, *([images.problem] if images.problem else [])],
        )

    return Predictor(
        name=config.name,
        folder=folder,
        space=space,
        about={
            "run": config.name,
            "epoch": trained.epoch,
            "trained_on_sha256": trained.trained_on_sha256,
        },
        trained_on=trained_on,
        open_own=lambda: open_source(config, advice=NAME_FOLDER, progress=rendering_bar()),
        lateral_known=lateral_images(folder) > 0,
        read=read,
        predict=predict_images,
        main_process_first=accelerator.main_process_first,
        is_main_process=accelerator.is_main_process,
    )


def open_file(path: Path) -> Predictor:
    """An ONNX file, by the way that predict.py takes: no PyTorch anywhere."""
    import numpy as np
    from tqdm import tqdm

    from covid.data.cache import Original, open_images
    from covid.data.index import MAX_LISTED
    from covid.data.samples import rows_for_file
    from covid.edge import load
    from covid.edge.images import read_grey, resize
    from covid.edge.predict import predict_files

    model = load(path, spinning=False)  # images are decoded meanwhile
    card = model.card

    def bar(indices: list[int], what: str) -> "tqdm[Any]":
        return tqdm(total=len(indices), desc=what, unit=" images", leave=False, delay=1,
                    disable=None)  # fmt: skip

    def read(index: "Index", indices: list[int], split: str) -> dict[int, Original]:
        with bar(indices, f"reading {split} images") as progress:
            images = open_images(index, card.image_size, None, card.greys)
            return images.scan(indices, progress.update).originals

    def predict_images(index: "Index", indices: list[int], split: str) -> Predictions:
        files = [index.samples[i].path for i in indices]
        originals: dict[Path, Original] = {}

        def read_once(file: Path) -> "npt.NDArray[np.uint8]":
            grey = read_grey(file, greys=card.greys)
            originals[file] = Original.of(grey)
            return resize(grey, card.image_size)

        predictions = []
        with bar(indices, f"evaluating {split}") as progress:
            for prediction in predict_files(
                files, read_once, lambda images: model.run(images).probabilities, card.space,
                decoders=model.decoders, batch_size=model.batch_size,
            ):  # fmt: skip
                predictions.append(prediction)
                progress.update()
        unreadable = [prediction.error for prediction in predictions if prediction.error]
        if unreadable:
            rest = len(unreadable) - MAX_LISTED
            more = f" (and {rest} more)" if rest > 0 else ""
            raise DataError(
                f"{len(unreadable)} of {len(indices)} images cannot be read: "
                f"{' '.join(unreadable[:MAX_LISTED])}{more} Repair or remove them."
            )
        return Predictions(
            {i: originals[file] for i, file in zip(indices, files, strict=True)},
            np.array([list(each.probabilities.values()) for each in predictions], dtype=np.float32),
            lambda wanted: np.stack([model.read(index.samples[i].path) for i in wanted]),
            {},
            [],
        )

    return Predictor(
        name=path.name,
        folder=path.parent,
        space=card.space.naming_classes(),
        about={
            "model": path.name,
            "precision": card.precision,
            "source_sha256": card.source_sha256,
            "trained_on": card.trained_on,
            "trained_on_sha256": card.trained_on_sha256,
        },
        trained_on=rows_for_file(path, card.trained_on_sha256),
        open_own=None,
        lateral_known=False,  # a file does not say
        read=read,
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
