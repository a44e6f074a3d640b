"""Predictions as text, each as soon as it is there: a table for the terminal, CSV, JSON."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from covid.edge.labels import SEPARATOR, LabelSpace
from covid.edge.predict import Prediction
from covid.edge.table import csv_line

BAR_WIDTH = 8  # characters
MIN_PATH_WIDTH = 12  # characters of a path that is cut
GAP = "  "


def csv_rows(space: LabelSpace, predictions: Iterable[Prediction]) -> Iterator[str]:
    """A header, then one line per prediction.

    The columns: path, probability_NAME…, predicted, novelty, unfamiliar (its reasons joined by a
    plus), error. What is not known is empty, and `predicted` where the decision is refused.
    """
    columns = [f"probability_{name}" for name in space.classes]
    yield csv_line(["path", *columns, "predicted", "novelty", "unfamiliar", "error"])
    for prediction in predictions:
        # Six decimals: float32 has no more to say of a number below 1.
        numbers = [f"{value:.6f}" for value in prediction.probabilities.values()]
        labels, why = SEPARATOR.join(prediction.labels), SEPARATOR.join(prediction.unfamiliar)
        novelty = "" if prediction.novelty is None else f"{prediction.novelty:.6g}"
        row = [*(numbers or [""] * len(columns)), labels, novelty, why, prediction.error or ""]
        yield csv_line([str(prediction.path), *row])


def json_rows(predictions: Iterable[Prediction]) -> Iterator[str]:
    """A list of objects, whole as soon as the predictions end.

    The keys: path, probability, predicted, novelty, unfamiliar (a list of reasons), error. Where a
    file cannot be read, all but the first and the last are null; `predicted` is where the decision
    is refused, `novelty` and `unfamiliar` are where the network's file does not say. The text is
    ASCII, so that it is JSON in whatever encoding it is written.
    """
    before = "[\n"
    for prediction in predictions:
        shown = {name: round(value, 6) for name, value in prediction.probabilities.items()}
        decided = None if prediction.error or prediction.refused else prediction.labels
        fields = {
            "path": str(prediction.path),
            "probability": None if prediction.error else shown,
            "predicted": None if decided is None else list(decided),
            "novelty": prediction.novelty and float(f"{prediction.novelty:.6g}"),
            "unfamiliar": None if prediction.novelty is None else list(prediction.unfamiliar),
            "error": prediction.error,
        }
        yield before + json.dumps(fields, allow_nan=False)
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def table_rows(
    space: LabelSpace,
    predictions: Iterable[Prediction],
    paths: Sequence[Path],
    bar: Callable[[float, int], str],
    *,
    line: int | None,
    novelty: bool = False,
) -> Iterator[str]:
    """A header, then one line per prediction, with a bar for every probability.

    With `novelty`, a column of it, and after the decision why an image is unfamiliar.

    `paths` are all that will come, for the first column's width; where that would make a line
    of more than `line` characters, only the ends of paths are shown. `bar(share, width)` draws.
    """
    names = {path: printable(str(path)) for path in paths}
    columns = [max(len(name), len("0.000 ") + BAR_WIDTH) for name in space.classes]
    heads = [name.ljust(column) for name, column in zip(space.classes, columns, strict=True)]
    if novelty:
        heads.append("novelty")
    width = max(len("image"), *(len(name) for name in names.values()))
    if line is not None:
        last = [len(SEPARATOR.join(true)) for true in space.labels.values()]
        others = sum(map(len, heads)) + max(len("predicted"), *last) + len(GAP) * (len(heads) + 1)
        width = min(width, max(MIN_PATH_WIDTH, line - others))
    yield GAP.join(["image".ljust(width), *heads, "predicted"]) + "\n"
    for prediction in predictions:
        name = names[prediction.path]
        name = name if len(name) <= width else "..." + name[len(name) - width + 3 :]
        if prediction.error:
            # The sentence begins with the path, which stands beside it already.
            what = prediction.error.removeprefix(f"{prediction.path}: ")
            yield GAP.join([name.ljust(width), f"unreadable: {what}"]) + "\n"
            continue
        cells = [
            f"{value:.3f} {bar(value, BAR_WIDTH)}".ljust(column)
            for value, column in zip(prediction.probabilities.values(), columns, strict=True)
        ]
        decided = SEPARATOR.join(prediction.labels) or "-"
        if novelty and prediction.novelty is not None:
            cells.append(f"{prediction.novelty:{len('novelty')}.2f}")
        if prediction.unfamiliar:
            decided = "refused" if prediction.refused else decided
            decided += f"{GAP}unfamiliar: {SEPARATOR.join(prediction.unfamiliar)}"
        yield GAP.join([name.ljust(width), *cells, decided]) + "\n"


def printable(text: str) -> str:
    """Without line breaks, and without codes that a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)
