"""Tables line up."""

import csv
import io

import pytest

from covid.edge.table import csv_line, exact_csv_line, fold_table, format_table


def test_the_first_column_is_left_and_the_others_are_right() -> None:
    assert format_table(("name", "figure"), [("a", "1"), ("longer", "22")]) == (
        "name    figure\n------  ------\na            1\nlonger      22"
    )


def test_a_table_without_rows_is_its_header() -> None:
    assert format_table(("a", "b"), []) == "a  b\n-  -"


def test_columns_that_do_not_fit_go_on_in_a_table_below() -> None:
    columns = {"name": ["a"], "one": ["1"], "two": ["2"], "three": ["3"]}
    assert list(fold_table(columns, 14)) == [
        "name  one  two\n----  ---  ---\na       1    2",
        "name  three\n----  -----\na         3",
    ]


def test_a_column_too_wide_for_any_table_is_shown_all_the_same() -> None:
    assert list(fold_table({"name": ["a"], "one": ["1" * 20]}, 14)) == [
        f"name                   one\n----  {'-' * 20}\na     {'1' * 20}"
    ]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@sum", "\tx", "\rx"])
def test_what_a_spreadsheet_would_run_becomes_text(cell: str) -> None:
    assert next(csv.reader(io.StringIO(csv_line([cell, "b"]), newline=""))) == [f"'{cell}", "b"]


def test_other_cells_stay_as_they_are() -> None:
    cells = ["a=b", "", "0.5", 'say "a, b"', "two\nlines", "grüß"]
    assert next(csv.reader(io.StringIO(csv_line(cells), newline=""))) == cells


def test_an_exact_line_guards_nothing_and_loses_nothing() -> None:
    cells = ["-1", "=a", "two\rlines", "two\nlines", 'say "a, b"', ""]
    assert next(csv.reader(io.StringIO(exact_csv_line(cells), newline=""))) == cells
