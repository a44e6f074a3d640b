"""Elements of HTML: nothing that is put into one becomes markup by itself."""

from hypothesis import given
from hypothesis import strategies as st

from covid.evaluation.html.elements import (
    Markup,
    bullets,
    callout,
    element,
    figure,
    join,
    listed,
    number,
    plural,
    table,
    text,
)
from tests.evaluation.report_page import HOSTILE, Page, share


@given(st.text(), st.text())
def test_any_words_are_read_back_as_text_and_as_an_attribute(words: str, value: str) -> None:
    page = Page(element("p", words, title=value))
    assert [name for name, _ in page.elements] == ["p"]
    assert not page.mistakes


def test_words_stay_as_they_are_where_they_can_be_seen() -> None:
    assert Page(element("p", "a < b & „c“\nd")).words == ["a < b & „c“\nd"]


def test_a_character_that_turns_or_ends_text_is_written_out() -> None:
    assert text("a\u202egpj.exe\0") == "a\\u202egpj.exe\\x00"


def test_markup_is_not_escaped_twice_and_a_joined_string_is_text_again() -> None:
    bold = element("b", "x")
    assert join(bold, "<") == "<b>x</b>&lt;"
    assert not isinstance(bold + "<", Markup)


def test_an_attribute_that_is_none_is_left_out_and_names_have_hyphens() -> None:
    assert element("td", class_=None, aria_label="x") == '<td aria-label="x"></td>'


def test_a_void_element_has_no_end() -> None:
    assert element("br") == "<br>"


def test_a_figure_has_three_decimals_and_its_interval() -> None:
    assert Page(figure(share(0.9229, 0.8741, 0.9619))).text == "0.923 (0.874–0.962)"


def test_an_interval_with_a_minus_sign_has_a_word_between() -> None:
    assert Page(figure(share(-0.31, -0.8, 0.2), digits=2)).text == "−0.31 (−0.80 to 0.20)"


def test_an_undefined_figure_is_a_dash_with_its_reason() -> None:
    assert Page(figure(share(None), reason="no image bears it")).text == "– (no image bears it)"
    assert Page(figure(None)).text == "– (not determined)"


def test_a_figure_without_an_interval_says_so() -> None:
    assert Page(figure(share(0.5))).text == "0.500 (no interval)"


def test_a_table_names_its_rows_and_columns_and_scrolls_in_a_named_box() -> None:
    page = Page(table("A table", ["class", "n"], [[HOSTILE, "1"]]))
    assert [each["scope"] for each in page.all("th")] == ["col", "col", "row"]
    assert page.all("div")[0] == {
        "class": "scroll", "role": "region", "tabindex": "0", "aria-label": "A table",
    }  # fmt: skip
    assert HOSTILE in page.text


def test_what_would_be_empty_is_not_there() -> None:
    assert table("A table", ["class"], []) == bullets([]) == callout("Heading", []) == ""


def test_numbers_and_words_agree() -> None:
    assert (plural(1, "image"), plural(1200, "image")) == ("1 image", "1,200 images")
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")
    assert (number(None), number(-1.0, 1)) == ("–", "−1.0")
