"""Tables line up."""

from covid.edge.table import format_table


def test_the_first_column_is_left_and_the_others_are_right() -> None:
    assert format_table(("name", "figure"), [("a", "1"), ("longer", "22")]) == (
        "name    figure\n------  ------\na            1\nlonger      22"
    )


def test_a_table_without_rows_is_its_header() -> None:
    assert format_table(("a", "b"), []) == "a  b\n-  -"
