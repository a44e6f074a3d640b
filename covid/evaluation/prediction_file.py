"""predictions.csv: a row for each image, from which every figure can be computed again."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from covid.edge.labels import SEPARATOR
from covid.edge.table import csv_line, plain_cell
from covid.errors import DataError
from covid.evaluation.answers import Answers
from covid.project import command

Cell = TypeVar("Cell")

FILE = "predictions.csv"
PROBABILITY, TARGET = "probability_", "target_"
ORIGIN = ["patient", "source", "fold"]  # columns that files of earlier versions lack
CORRECT = {True: "true", False: "false", None: ""}  # None: no target is known
SHOWN = 40  # characters of a wrong cell that a sentence repeats


@dataclass(frozen=True)
class PredictionFile:
    """What predictions.csv holds, a row for each image."""

    classes: tuple[str, ...]
    names: tuple[str, ...]  # [images], like the next: paths below the root
    cells: tuple[str, ...]  # of keys of `data.labels`, as a manifest has them
    probabilities: npt.NDArray[np.float32]  # [images, classes], like the next two
    targets: npt.NDArray[np.float32]  # NaN where not known
    decisions: npt.NDArray[np.bool_]
    patients: tuple[str | None, ...]  # [images], like the next two
    sources: tuple[str, ...]  # empty where not known
    folds: tuple[str, ...] | None = None  # None unless each image was held out by a fold
    earlier: bool = False  # read from a file without patients, with six digits of a probability

    @cached_property
    def answers(self) -> Answers:
        """Targets beside the decisions that stand in the file."""
        known, fold = ~np.isnan(self.targets), None
        if self.folds is not None:
            fold = np.unique(np.array(self.folds), return_inverse=True)[1]
        return Answers(self.targets == 1, known, self.decisions, self.probabilities, fold)

    def correct(self) -> list[bool | None]:
        """Whether each image's whole decision is, as accuracy counts; None where nothing is known.
        """
        pairs = zip(self.answers.correct, self.answers.evaluated, strict=True)
        return [bool(correct) if evaluated else None for correct, evaluated in pairs]

    def take(self, places: Sequence[int]) -> "PredictionFile":
        """The same file with these of its images, in this order."""

        def chosen(values: Sequence[Cell]) -> tuple[Cell, ...]:
            return tuple(values[place] for place in places)

        rows = np.array(places, dtype=np.intp)
        return PredictionFile(
            self.classes, chosen(self.names), chosen(self.cells), self.probabilities[rows],
            self.targets[rows], self.decisions[rows], chosen(self.patients), chosen(self.sources),
            None if self.folds is None else chosen(self.folds), self.earlier,
        )  # fmt: skip


def predictions_csv(file: PredictionFile) -> str:
    """The content of predictions.csv, which `read_predictions` reads as the same numbers.

    A probability has nine significant digits, which tell every float32 from its neighbours
    (Goldberg 1991, "What every computer scientist should know about floating-point arithmetic",
    theorem 15). A target that is not known is empty, and so are `correct` where none is, and
    patient, source and fold where they are not.
    """
    lines = [csv_line(_header(file.classes))]
    names = np.array(file.classes, dtype=object)
    folds = file.folds or [""] * len(file.names)
    for image, correct in enumerate(file.correct()):
        numbers = [f"{value:.9g}" for value in file.probabilities[image].tolist()]
        targets = ["" if np.isnan(t) else f"{t:.0f}" for t in file.targets[image].tolist()]
        lines.append(csv_line([
            file.names[image], file.cells[image], *numbers,
            SEPARATOR.join(names[file.decisions[image]]), CORRECT[correct], *targets,
            file.patients[image] or "", file.sources[image], folds[image],
        ]))  # fmt: skip
    return "".join(lines)


def read_predictions(path: Path) -> PredictionFile:
    """What evaluate.py wrote, of this version or of one before patients stood in it.

    Raises DataError, which names line and column, for anything else.
    """
    header, lines, rows, whole = _read_table(path)
    classes, earlier = _classes_of(path, header)
    _check_rows(path, header, lines, rows, whole)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))

    def read(column: str, understand: Callable[[str], Cell]) -> list[Cell]:
        """Every cell of one column; ValueError says what is wrong with a cell."""
        values = []
        for line, cell in zip(lines, columns[column], strict=True):
            try:
                values.append(understand(cell))
            except ValueError as error:
                raise _wrong(path, line, column, str(error)) from None
        return values

    names = read("path", _text)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        line = lines[len(names) - 1 - names[::-1].index(twice[0])]
        raise _wrong(path, line, "path", f"{_shown(twice[0])} stands in another row too")
    place = {name: number for number, name in enumerate(classes)}

    def decided(cell: str) -> list[bool]:
        own = cell.split(SEPARATOR) if cell else []
        if unknown := [name for name in own if name not in place]:
            raise ValueError(f"{_shown(unknown[0])} is none of {', '.join(classes)}")
        return [name in own for name in classes]

    folds = [] if earlier else read("fold", str)
    if any(folds) and not all(folds):
        raise _wrong(path, lines[folds.index("")], "fold", "is empty, and other rows have one")
    file = PredictionFile(
        classes,
        tuple(names),
        tuple(read("label", _text)),
        np.array([read(f"{PROBABILITY}{name}", _probability) for name in classes], np.float32).T,
        np.array([read(f"{TARGET}{name}", _target) for name in classes], np.float32).T,
        np.array(read("predicted", decided), dtype=bool),
        (None,) * len(rows) if earlier else tuple(cell or None for cell in read("patient", str)),
        ("",) * len(rows) if earlier else tuple(read("source", str)),
        tuple(folds) if any(folds) else None,
        earlier,
    )
    for line, cell, correct in zip(lines, columns["correct"], file.correct(), strict=True):
        if cell != CORRECT[correct]:
            says = f"says {_shown(cell)}, and by predicted and targets it is {CORRECT[correct]!r}"
            raise _wrong(path, line, "correct", says)
    return file


def _header(classes: Sequence[str]) -> list[str]:
    probabilities = [f"{PROBABILITY}{name}" for name in classes]
    targets = [f"{TARGET}{name}" for name in classes]
    return ["path", "label", *probabilities, "predicted", "correct", *targets, *ORIGIN]


def _read_table(path: Path) -> tuple[list[str], list[int], list[list[str]], bool]:
    """The header, the line that each row begins on, the rows, and whether the last line ends."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets add its mark
            text = file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a file that "
                        f"`{command('evaluate')}` wrote.") from None  # fmt: skip
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; name a {FILE}.") from None
    lines, rows = [], []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [plain_cell(cell) for cell in next(reader, [])]
        line = reader.line_num + 1
        for row in reader:
            if row:  # else a blank line
                lines.append(line)
                rows.append([plain_cell(cell) for cell in row])
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: is not CSV ({error}).") from None
    whole = text.endswith(("\n", "\r"))
    return header, lines, rows, whole


def _check_rows(
    path: Path, header: Sequence[str], lines: Sequence[int], rows: Sequence[Sequence[str]],
    whole: bool,
) -> None:  # fmt: skip
    """Raises DataError where there is none, one is not as long as the header, or some are lost."""
    for line, row in zip(lines, rows, strict=True):
        if len(row) < len(header):
            raise _wrong(path, line, header[len(row)], "is not there: the row ends before it")
        if len(row) > len(header):
            raise _wrong(path, line, header[-1], f"{len(row) - len(header)} cells follow it")
    if rows and not whole:
        raise _wrong(path, lines[-1], header[-1], "the file ends within this line, cut off")
    if not rows:
        raise DataError(f"{path} line 2: there is no image; evaluate some.")


def _classes_of(path: Path, header: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The classes that a header names, and whether it is one of an earlier version."""
    evaluate = f"`{command('evaluate')}`"
    if header[:1] == ["path"] and "predicted" in header and "label" not in header:
        raise DataError(
            f"{path} line 1: there is no column label, correct or {TARGET}NAME, as in what "
            f"predict.py writes, which knows no targets; {evaluate} writes the file needed here."
        )
    count = sum(name.startswith(PROBABILITY) for name in header)
    classes = tuple(name.removeprefix(PROBABILITY) for name in header[2 : 2 + count])
    full = _header(classes)
    shorter = full[: -len(ORIGIN)]
    if list(header) not in (full, shorter) or not classes:
        wanted = full if classes else ["path", "label", f"{PROBABILITY}NAME"]
        column = next((n for n, pair in enumerate(zip(header, wanted, strict=False))
                       if pair[0] != pair[1]), min(len(header), len(wanted)))  # fmt: skip
        there = _shown(header[column]) if column < len(header) else "nothing"
        should = f"where {wanted[column]} belongs" if column < len(wanted) else "after the last"
        raise DataError(
            f"{path} line 1, column {column + 1}: {there} stands {should}; {evaluate} writes the "
            f"columns that are needed here."
        )
    for name in classes:
        if classes.count(name) > 1 or not name or SEPARATOR in name:
            reason = f"{_shown(name)} is empty, has a {SEPARATOR} or is there twice"
            raise _wrong(path, 1, f"{PROBABILITY}{name}", f"{reason}: no class can be called so")
    return classes, list(header) == shorter


def _text(cell: str) -> str:
    if not cell:
        raise ValueError("is empty")
    return cell


def _probability(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = np.nan
    if not 0 <= value <= 1:
        raise ValueError(f"{_shown(cell)} is no number of 0 to 1")
    return value


def _target(cell: str) -> float:
    if cell not in ("0", "1", ""):
        raise ValueError(f"{_shown(cell)} is neither 0 nor 1 nor empty")
    return float(cell) if cell else np.nan


def _shown(cell: str) -> str:
    """A cell as a sentence repeats it."""
    return repr(cell if len(cell) <= SHOWN else f"{cell[: SHOWN - 1]}…")


def _wrong(path: Path, line: int, column: str, reason: str) -> DataError:
    return DataError(
        f"{path} line {line}, column {column}: {reason}; use the file as `{command('evaluate')}` "
        f"wrote it."
    )
