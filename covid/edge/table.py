"""Rows of text: as an aligned table for the terminal, as lines of CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

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


def fold_table(columns: Mapping[str, Sequence[str]], width: int) -> Iterator[str]:
    """Columns as aligned tables of at most `width` characters, each led by the first of them.

    One that would be wider goes on in the next; wider is only a pair that does not fit by itself.
    """
    (first, names), *others = columns.items()

    def table(chosen: Sequence[tuple[str, Sequence[str]]]) -> str:
        rows = [list(row) for row in zip(names, *(cells for _, cells in chosen), strict=True)]
        return format_table([first, *(title for title, _ in chosen)], rows)

    chosen: list[tuple[str, Sequence[str]]] = []
    for column in others:
        if chosen and max(map(len, table([*chosen, column]).splitlines())) > width:
            yield table(chosen)
            chosen = []
        chosen.append(column)
    if chosen:
        yield table(chosen)


def csv_line(cells: Iterable[str]) -> str:
    """One line of CSV with its line break.

    A cell that a spreadsheet would run (a file can be called `=cmd.png`) is led by an
    apostrophe, which makes it text there; `plain_cell` takes it away again.
    """
    return exact_csv_line(f"'{cell}" if _is_formula(cell) else cell for cell in cells)


def exact_csv_line(cells: Iterable[str]) -> str:
    """One line of CSV with its line break, which is read back as the same cells."""
    text = io.StringIO()
    # The writer quotes what its line break is made of: a name can hold either half.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def plain_cell(cell: str) -> str:
    """What `csv_line` was given, from a cell of its line."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell) else cell


def _is_formula(cell: str) -> bool:
    """Whether a spreadsheet would run it, or an apostrophe before it could be one of ours."""
    return cell.lstrip("'").startswith(FORMULA)
