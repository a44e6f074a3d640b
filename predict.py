"""Says what a network sees in chest X-rays; needs numpy, Pillow and onnxruntime, no PyTorch.

    python predict.py model.onnx image.png folder/
    python predict.py model.onnx folder/ --output predictions.csv
    python predict.py model.onnx folder/ --heatmaps pictures/
"""

import argparse
import io
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from covid.errors import ConfigError, StorageError, exit_code

if TYPE_CHECKING:
    from covid.edge.card import Card
    from covid.edge.model import Model
    from covid.edge.predict import Prediction

BY_ENDING = {".csv": "csv", ".json": "json"}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Say what a network sees in chest X-rays: a probability for every class, and "
        "what is decided. For learning and research, not for diagnosis."
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="what export.py wrote")
    parser.add_argument(
        "sources", type=Path, nargs="+", metavar="IMAGE_OR_FOLDER",
        help="folders are gone through recursively, in sorted order",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("table", "csv", "json"), help="default: by --output's ending, or table"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: the terminal")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="default: as many processors as may be used"
    )
    parser.add_argument(
        "--low-memory", action="store_true", help="one image at a time, and memory given back"
    )
    parser.add_argument(
        "--provider", metavar="NAME",
        help="onnxruntime's execution provider, such as OpenVINOExecutionProvider "
        "(default: CPUExecutionProvider)",
    )  # fmt: skip
    parser.add_argument(
        "--heatmaps", type=Path, metavar="DIR",
        help="a picture of each image there: what of it speaks for what was decided, and against",
    )
    parser.add_argument(
        "--class", dest="shown", metavar="NAME",
        help="with --heatmaps: the class to show (default: each that was decided, or where none "
        "was, the most probable one)",
    )  # fmt: skip
    parser.add_argument(
        "--refuse", action="store_true",
        help="decide nothing where an image is unlike those of training",
    )  # fmt: skip
    return parser.parse_args()


def predict(arguments: argparse.Namespace) -> int:
    form = choose_format(arguments.format, arguments.output)
    # Imported here because numpy and onnxruntime take their time, and --help should not.
    from covid.edge.card import INTENDED_USE
    from covid.edge.dicom_header import survey
    from covid.edge.files import replacing
    from covid.edge.model import load
    from covid.edge.operating_point import decides_by
    from covid.edge.predict import find_images
    from covid.edge.progress import Progress

    if arguments.shown and not arguments.heatmaps:
        raise ConfigError("--class: says what --heatmaps DIR shows; give that too.")
    if arguments.heatmaps:
        check_place(arguments.heatmaps, arguments.sources)
    paths, others = find_images(arguments.sources)
    model = load(
        arguments.model,
        threads=arguments.threads,
        low_memory=arguments.low_memory,
        spinning=len(paths) == 1,  # else threads that wait leave their cores to decoding
        providers=[arguments.provider] if arguments.provider else None,
    )
    if arguments.refuse and model.card.novelty_threshold is None:
        raise ConfigError(
            f"--refuse: {arguments.model} does not say which images are unlike those of training; "
            f"export it anew, or leave --refuse out."
        )
    draw = heatmaps(model, paths, arguments.heatmaps, arguments.shown)
    card, bar, caught = model.card, Progress(len(paths), sys.stderr), catch_signals()
    point = card.operating_point
    done = unreadable = unfamiliar = 0

    def watch(predictions: Iterable["Prediction"]) -> Iterator["Prediction"]:
        """The same, counted, until a signal has come in and its batch is through."""
        nonlocal done, unreadable, unfamiliar
        for prediction in predictions:
            if arguments.refuse and prediction.unfamiliar:
                prediction = replace(prediction, labels=(), refused=True)
            draw(prediction)
            yield prediction  # it goes on here once the row is written
            done, unreadable = done + 1, unreadable + bool(prediction.error)
            unfamiliar += bool(prediction.unfamiliar)
            bar.draw(done)
            if caught and done % model.batch_size == 0:
                return

    with ExitStack() as stack:
        stream = standard_output()
        if arguments.output:
            beside = stack.enter_context(replacing(arguments.output))
            stream = stack.enter_context(
                beside.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            )
        # Whatever another program may read has rows in it and nothing else.
        aside = sys.stderr if arguments.output or form != "table" else stream
        write(aside, f"{arguments.model}: {card.arch} ({card.precision}, {model.arithmetic} "
                     f"arithmetic), trained on {card.trained_on}. "
                     f"{decides_by(card.space, point)} {INTENDED_USE}\n")  # fmt: skip
        for note in point.notes if point else ():
            write(aside, f"Note: {note}\n")
        if card.synthetic:
            write(aside, "It learnt from SYNTHETIC images and says nothing of real ones.\n")
        if others:
            write(sys.stderr, f"Left out for their ending, which is no image's: {others} files.\n")
        bar.draw(done)
        for text in as_rows(form, card, watch(model.predict(paths)), paths, stream):
            bar.clear()
            write(stream, text)
        bar.clear()

    if unfamiliar:
        refused = "nothing is decided of them" if arguments.refuse else "do not rely on their rows"
        write(sys.stderr, f"Unfamiliar: {unfamiliar} of {done} images, unlike those of training; "
                          f"{refused}.\n")  # fmt: skip
    if unreadable:
        write(sys.stderr, f"Unreadable: {unreadable} of {done} images; their rows say why.\n")
    if caught:
        write(sys.stderr, f"Interrupted after {done} of {len(paths)} images; all rows are kept.\n")
        return 128 + caught[0]
    for sentence in survey(paths):  # at the end, since no row waits for other images' headers
        write(sys.stderr, f"{sentence}\n")
    return 1 if unreadable else 0


def check_place(folder: Path, sources: Sequence[Path]) -> None:
    """Raises ConfigError where pictures cannot or must not be written into `folder`.

    The next run on a source that holds it would take its pictures for radiographs.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--heatmaps {folder}: is a file, not a folder; name another place.")
    for source in sources:
        if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
            raise ConfigError(
                f"--heatmaps {folder}: lies in {source}, whose images are read, and its pictures "
                f"would be taken for some; name a folder outside."
            )


def heatmaps(
    model: "Model", paths: Sequence[Path], folder: Path | None, shown: str | None
) -> Callable[["Prediction"], None]:
    """What writes a prediction's picture into `folder`; None: nothing.

    Raises ModelError, ConfigError, StorageError.
    """
    if folder is None:
        return lambda prediction: None
    from covid.edge.heatmaps import Heatmaps

    return Heatmaps(model, paths, folder, shown).write


def choose_format(form: str | None, output: Path | None) -> str:
    """Raises ConfigError where neither says."""
    if form or output is None:
        return form or "table"
    if output.suffix.lower() not in BY_ENDING:
        raise ConfigError(f"--output {output}: end it with .csv or .json, or say --format.")
    return BY_ENDING[output.suffix.lower()]


def catch_signals() -> list[int]:
    """A list that the first SIGINT or SIGTERM goes into; the next ends the process at once."""
    caught: list[int] = []

    def catch(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, catch)
    return caught


def standard_output() -> TextIO:
    """stdout, which shows a character that its encoding lacks as a number instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return sys.stdout


def write(stream: TextIO, text: str) -> None:
    """At once, so that rows appear as they are done. Raises StorageError, BrokenPipeError."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"the rows cannot be written ({error.strerror}).") from error


def as_rows(
    form: str,
    card: "Card",
    predictions: Iterable["Prediction"],
    paths: Sequence[Path],
    stream: TextIO,
) -> Iterator[str]:
    from covid.edge.formatters import csv_rows, json_rows, table_rows
    from covid.edge.progress import draw_bar

    if form == "csv":
        return csv_rows(card.space, predictions)
    if form == "json":
        return json_rows(predictions)
    # A file or another program gets whole paths; a terminal's line has to hold the bars too.
    line = shutil.get_terminal_size().columns if stream.isatty() else None
    return table_rows(
        card.space, predictions, paths,
        lambda share, width: draw_bar(share, width, stream.encoding),
        line=line, novelty=card.novelty_threshold is not None,
    )  # fmt: skip


def main() -> int:
    arguments = parse_arguments()
    # As all else that goes wrong: one sentence, without the line of code that it comes from.
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    return exit_code(lambda: predict(arguments), "Interrupted before the first image.")


if __name__ == "__main__":
    sys.exit(main())
