"""Rows of text: as an aligned table for the terminal, as lines of CSV."""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of one


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right, two spaces between."""
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]
    lines = []
    for line in (header, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def csv_line(cells: Iterable[str]) -> str:
    """One line of CSV with its line break.

    A cell that a spreadsheet would run (a file can be called `=cmd.png`) is led by an
    apostrophe, which makes it text there.
    """
    return exact_csv_line(f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells)


def exact_csv_line(cells: Iterable[str]) -> str:
    """One line of CSV with its line break, which is read back as the same cells."""
    text = io.StringIO()
    # The writer quotes what its line break is made of: a name can hold either half.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"
