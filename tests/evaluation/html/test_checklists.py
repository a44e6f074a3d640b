"""Two checklists: every item once, in one of three words, and no score."""

import re

import pytest

from covid.evaluation.html.checklists import CLAIM, PLACES, TRIPOD_AI, checklist_section
from tests.evaluation.report_page import Page

EVERY_FACT = {"config", "versions", "splits", "patients", "people", "external", "own test",
              "recalibration"}  # fmt: skip
STATUS = "here|you must say|not applicable"


def items(facts: set[str]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Numbers and words of TRIPOD+AI's items and of CLAIM's."""
    both = checklist_section(facts).split("CLAIM 2024</h3>")
    listed = [re.findall(rf">item (\w+)</span><span class=\"status \w+\">({STATUS})<", part)
              for part in both]  # fmt: skip
    return listed[0], listed[1]


@pytest.mark.parametrize("facts", [set(), EVERY_FACT])
def test_every_item_stands_there_once_in_one_of_three_words(facts: set[str]) -> None:
    tripod, claim = items(facts)
    assert [number for number, _ in claim] == [str(n) for n in range(1, 45)]
    numbers = [number for number, _ in tripod]
    assert len(numbers) == len(set(numbers)) == 52
    assert list(dict.fromkeys(int(re.sub(r"\D", "", n)) for n in numbers)) == list(range(1, 28))


def test_no_item_of_claim_has_a_word() -> None:
    assert {item.name for item in CLAIM} == {""}
    list_of_claim = checklist_section(EVERY_FACT).rpartition("<ul")[2]
    words = {word.strip() for word in Page(f"<ul{list_of_claim}").words} - {""}
    words -= {f"item {number}" for number in range(1, 45)}
    assert words <= {*STATUS.split("|"), *PLACES.values()}


def test_an_item_is_here_only_where_the_report_holds_it() -> None:
    assert ("33", "you must say") in items(set())[1]
    assert ("33", "here") in items({"external"})[1]
    assert ("24", "not applicable") in items(set())[0]
    assert ("24", "here") in items({"recalibration"})[0]


def test_what_items_need_is_a_fact_that_a_report_can_have() -> None:
    needed = {fact for item in (*CLAIM, *TRIPOD_AI) for fact in item.needs or ()}
    assert needed == EVERY_FACT
    assert {item.place for item in (*CLAIM, *TRIPOD_AI)} <= {"", *PLACES}


def test_nothing_is_counted_and_the_source_is_credited() -> None:
    page = Page(checklist_section(EVERY_FACT))
    assert not re.search(r"\d+ (of|/) \d+|\d ?%", page.text)
    assert "BMJ 2024;385:e078378" in page.text and "CC BY 4.0" in page.text
