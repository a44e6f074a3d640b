"""Comparisons for people and for programs: on the terminal, as JSON, as CSV."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from statistics import stdev
from typing import Any

from covid.edge.labels import SEPARATOR
from covid.edge.table import csv_line, fold_table, format_table
from covid.evaluation.comparison.compare import Comparison, Difference, FoldDifference

COLUMNS = 90  # of a line, so that it fits most terminals
SHOWN = 10  # images on the terminal; comparison.csv has all
WIDEST = 30  # characters of a cell in their table; a path shows its end
SIDES = ("first", "second")


def comparison_text(comparison: Comparison) -> str:
    """What differs, for people: figures, images, and what the comparison is worth."""
    same = "Both give the same answers, to the last digit. No image is decided otherwise."
    parts = [
        _heading(comparison),
        *_figures(comparison.differences),
        "The difference is the second less the first, with its 95 % interval.",
        same if comparison.same_answers else _images(comparison),
        _test(comparison),
        _folds(comparison.folds),
        comparison.about,
    ]
    notes = (textwrap.fill(f"Note: {sentence}", COLUMNS, subsequent_indent="      ")
             for sentence in comparison.notes)  # fmt: skip
    whole = "\n\n".join(part if "\n" in part else textwrap.fill(part, COLUMNS)
                        for part in [*parts, "\n".join(notes)] if part)  # fmt: skip
    # A file's name may hold codes that a terminal would obey.
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in whole)


def comparison_fields(comparison: Comparison) -> dict[str, Any]:
    """Plain numbers, strings, lists and dictionaries, for JSON; figures are called as in
    metrics.json.
    """
    def figures(of: str | None) -> dict[str, dict[str, float | None]]:
        return {
            each.metric.name: {"first": each.first, "second": each.second,
                               "difference": each.value, "low": each.low, "high": each.high}
            for each in comparison.differences if each.of == of
        }  # fmt: skip

    folds = comparison.folds
    return {
        "second": comparison.names[1],
        "images": comparison.images,
        "patients": comparison.patients,
        "left_out": dict(zip(SIDES, comparison.left_out, strict=True)),
        "same_answers": comparison.same_answers,
        "same_probabilities": comparison.same_probabilities,
        **figures(None),
        "per_class": {name: figures(name) for name in comparison.classes},
        "sign_flip_test": {
            "figure": "accuracy", "p": comparison.p, "patients": comparison.patients_deciding,
        },
        "decided_otherwise": {
            "images": len(comparison.disagreements),
            "right": {who: count for who, count in _right(comparison)},
        },
        "folds": folds and {
            "accuracy": [{"fold": each.fold, "images": each.images, "difference": each.value}
                         for each in folds],
            "standard_deviation": _spread(folds),
        },
        "about": comparison.about,
        "notes": list(comparison.notes),
    }  # fmt: skip


def comparison_csv(comparisons: Iterable[Comparison]) -> str:
    """The images that are decided otherwise, a row each; `right` says which of the two is."""
    lines = [csv_line(["second_file", "path", "label", *SIDES, "right"])]
    for comparison in comparisons:
        for each in comparison.disagreements:
            decided = (SEPARATOR.join(names) for names in (each.first, each.second))
            lines.append(
                csv_line([comparison.names[1], each.name, each.cell, *decided, each.right])
            )
    return "".join(lines)


def difference_title(difference: Difference) -> str:
    """What a figure is called beside others: `normal: recall`."""
    metric = difference.metric
    title = metric.title if difference.of is None else f"{difference.of}: {metric.title}"
    return title if metric.larger_is_better else f"{title} (less is better)"


def signed(value: float | None) -> str:
    """Three decimals and always a sign, but for what is 0 with these; a dash for None."""
    if value is None:
        return "–"
    return "0.000" if round(value, 3) == 0 else f"{value:+.3f}"


def images_of_patients(comparison: Comparison) -> str:
    """How many of them both have."""
    images = _count(comparison.images, "image")
    return images + (f" of {_count(comparison.patients, 'patient')}" if comparison.patients else "")


def _heading(comparison: Comparison) -> str:
    alone = [f"{_count(count, 'image')} of the {side} alone"
             for count, side in zip(comparison.left_out, SIDES, strict=True) if count]
    left_out = f"; left out: {' and '.join(alone)}" if alone else ""
    names = [f"{side:6}  {name}" for side, name in zip(SIDES, comparison.names, strict=True)]
    return "\n".join([*names, f"{images_of_patients(comparison)} in both{left_out}"])  # fmt: skip


def _figures(differences: Sequence[Difference]) -> Iterator[str]:
    columns = {
        "figure": [difference_title(each) for each in differences],
        "first": [_three_decimals(each.first) for each in differences],
        "second": [_three_decimals(each.second) for each in differences],
        "difference": [signed(each.value) for each in differences],
        "95 % interval": ["–" if each.low is None else f"{signed(each.low)} to {signed(each.high)}"
                          for each in differences],
    }  # fmt: skip
    return fold_table(columns, COLUMNS)


def _images(comparison: Comparison) -> str:
    differing = comparison.disagreements
    if not differing:
        return "No image is decided otherwise."
    counts = dict(_right(comparison))
    said = [f"the {side} alone is right in {counts[side]:,}" for side in SIDES]
    said += [f"{who} in {counts[who]:,}" for who in ("both", "neither") if counts[who]]
    said += [f"of {counts['not known']:,} no label is known"] if counts["not known"] else []
    rows = [[_end(each.name), _end(each.cell),
             *(_end(SEPARATOR.join(names) or "-") for names in (each.first, each.second)),
             each.right] for each in differing[:SHOWN]]  # fmt: skip
    more = len(differing) - SHOWN
    first_line = f"{_count(len(differing), 'image')} decided otherwise: {', '.join(said)}."
    return "\n".join([
        textwrap.fill(first_line, COLUMNS), "", format_table(["path", "label", *SIDES, "right"],
                                                             rows),
        *([f"and {more:,} more"] if more > 0 else []),
    ])  # fmt: skip


def _test(comparison: Comparison) -> str:
    patients = comparison.patients_deciding
    whom = "patient" if comparison.patients else "image"
    who = f"{_count(patients, whom)} that {'decides' if patients == 1 else 'decide'}"
    p = "p < 0.001" if comparison.p < 0.001 else f"p = {comparison.p:.2g}"
    return (
        f"Sign-flip test of the difference in accuracy: {p}, from "
        f"{who if patients else f'no {whom} that decides'} for one of the two."
    )


def _folds(folds: Sequence[FoldDifference] | None) -> str:
    if not folds:
        return ""
    values = ", ".join(f"{signed(each.value)} in {each.fold}" for each in folds)
    deviation = _spread(folds)
    spread = "" if deviation is None else f" (standard deviation {deviation:.3f})"
    return f"Accuracy by fold differs by {values}{spread}."


def _spread(folds: Sequence[FoldDifference]) -> float | None:
    return stdev(each.value for each in folds) if len(folds) > 1 else None


def _right(comparison: Comparison) -> Iterator[tuple[str, int]]:
    for who in (*SIDES, "both", "neither", "not known"):
        yield who, sum(each.right == who for each in comparison.disagreements)


def _end(text: str) -> str:
    return text if len(text) <= WIDEST else f"…{text[1 - WIDEST :]}"


def _three_decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}" + "s" * (number != 1)
