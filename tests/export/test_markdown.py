"""Markdown of plain values."""

import pytest

from covid.export.markdown import NOT_STATED, age, bullets, count, counted, digest, figure, plain
from covid.export.markdown import table as markdown_table


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("<b>&", "&lt;b&gt;&amp;"),
        ("a|b", "a\\|b"),
        ("[x](y)", "\\[x\\](y)"),
        ("a\nb\u202ec", "a\\\\nb\\\\u202ec"),
        ("`#*", "\\`\\#\\*"),
    ],
)
def test_names_are_no_markup(words: str, shown: str) -> None:
    assert plain(words) == shown


def test_a_list_has_a_line_an_entry() -> None:
    assert bullets(["a\nb", "c"]) == "- a\\\\nb\n- c"


def test_a_table_has_a_line_a_row_or_is_not_there() -> None:
    assert markdown_table(["a", "b"], [["1", "2"]]) == ["| a | b |\n| --- | --- |\n| 1 | 2 |"]
    assert markdown_table(["a"], []) == []


def test_a_figure_has_its_interval_or_says_that_there_is_none() -> None:
    assert figure({"value": 0.9229, "low": 0.874, "high": 0.962}) == "0.923 (0.874–0.962)"
    assert figure({"value": 0.5, "low": None, "high": None}) == "0.500 (no interval)"
    assert figure(None) == "– (not determined)"


def test_what_is_not_known_is_not_stated() -> None:
    nothing = [count(None), counted({"unknown": 3}), counted(None), age({}), digest(None)]
    assert nothing == [NOT_STATED] * 5
    assert counted({"PA": 3, "unknown": 1}) == "PA 3, unknown 1"
    assert age({"median": 50.0, "known": 3}) == "50 (of 3)"
