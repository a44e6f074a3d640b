"""Sheets without openpyxl: shared and inline strings, gaps, and what is no sheet."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from covid.collections.sheet import read_sheet
from covid.errors import DataError

NAMESPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def write_sheet(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """As spreadsheet programs write it: strings apart, empty cells left out."""
    strings = sorted({cell for row in rows for cell in row})
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = [f'<c r="{"ABCDEFG"[place]}{number}" t="s"><v>{strings.index(cell)}</v></c>'
                 for place, cell in enumerate(row) if cell]  # fmt: skip
        lines.append(f"<row>{''.join(cells)}</row>")
    shared = "".join(f"<si><t>{escape(text)}</t></si>" for text in strings)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/sharedStrings.xml", f"<sst {NAMESPACE}>{shared}</sst>")
        archive.writestr("xl/worksheets/sheet1.xml", _worksheet("".join(lines)))


def _worksheet(rows: str) -> str:
    return f"<worksheet {NAMESPACE}><sheetData>{rows}</sheetData></worksheet>"


def test_rows_come_by_the_names_of_the_first(tmp_path: Path) -> None:
    write_sheet(tmp_path / "a.xlsx", [["FILE NAME", "URL "], ["A & B", "https://a"], ["C", ""]])
    assert list(read_sheet(tmp_path / "a.xlsx", ["URL"])) == [
        {"FILE NAME": "A & B", "URL": "https://a"}, {"FILE NAME": "C", "URL": ""},
    ]  # fmt: skip


def test_a_cell_that_is_left_out_does_not_move_the_next(tmp_path: Path) -> None:
    write_sheet(tmp_path / "a.xlsx", [["A", "B", "C"], ["1", "", "3"]])
    assert list(read_sheet(tmp_path / "a.xlsx", [])) == [{"A": "1", "B": "", "C": "3"}]


def test_inline_strings_and_numbers_are_read_without_references(tmp_path: Path) -> None:
    rows = ('<row><c t="inlineStr"><is><r><t>Na</t></r><r><t>me</t></r></is></c>'
            '<c t="inlineStr"><is><t>Size</t></is></c></row>'
            '<row><c t="inlineStr"><is><t>a</t></is></c><c><v>256</v></c></row>')  # fmt: skip
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", _worksheet(rows))
    assert list(read_sheet(tmp_path / "a.xlsx", [])) == [{"Name": "a", "Size": "256"}]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_sheet(tmp_path / "a.xlsx", [["FILE NAME", "SIZE"]])
    with pytest.raises(DataError, match="no column URL; its columns are FILE NAME, SIZE"):
        list(read_sheet(tmp_path / "a.xlsx", ["FILE NAME", "URL"]))


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 cut off"])
def test_what_is_no_sheet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(DataError, match=r"not an \.xlsx file"):
        list(read_sheet(tmp_path / "a.xlsx", []))


def test_an_archive_without_a_sheet_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(DataError, match=r"not an \.xlsx file"):
        list(read_sheet(tmp_path / "a.xlsx", []))
