"""Other hospitals on the terminal."""

from typing import Any

import pytest

from covid.edge.labels import LabelSpace
from covid.evaluation.sites.report import external_report
from covid.evaluation.sites.text import (
    MAX_CLASSES,
    external_notes,
    external_table,
    figure_text,
    shown_classes,
    traits_table,
)
from tests.evaluation.sites.made_up import NAMES, fixed, site

GOOD = (0.8, 0.7, 0.9)


def test_the_table_is_readable() -> None:
    report = external_report(fixed("run", GOOD), [fixed("jsrt", (0.6, 0.5, 0.7))])
    assert external_table(report) == (
        "covid           patients             AUROC       sensitivity       specificity\n"
        "--------------  --------  ----------------  ----------------  ----------------\n"
        "run (own test)        25  0.80 (0.70–0.90)  0.80 (0.70–0.90)  0.90 (0.80–0.95)\n"
        "jsrt                  25  0.60 (0.50–0.70)  0.80 (0.70–0.90)  0.90 (0.80–0.95)\n"
        "\n"
        "covid           calibration slope\n"
        "--------------  -----------------\n"
        "run (own test)                  –\n"
        "jsrt                            –\n"
        "\n"
        "site            images  patients  age  view  sex  grey levels    labels\n"
        "--------------  ------  --------  ---  ----  ---  -----------  --------\n"
        "run (own test)      80         –    –     –    –            –  80 covid\n"
        "jsrt                80         –    –     –    –            –  80 covid\n"
        "\n"
        "Note: A dash at run, jsrt: not determined.\n"
        "Note: Not pooled: fewer than three sites."
    )


def test_lines_stay_within_the_terminal() -> None:
    names = [f"a finding with a long name, number {n}" for n in range(20)]
    labels = {name: [name] for name in names}
    space = LabelSpace.from_labels("multilabel", labels)
    report = external_report(None, [site(name, n, space=space) for n, name in enumerate(NAMES[:3])])
    assert max(map(len, external_table(report).splitlines())) <= 90


def test_there_is_no_table_of_no_site() -> None:
    assert external_table(external_report(None, [])) == ""


def test_the_summary_says_what_to_expect_of_the_next_site() -> None:
    report = external_report(None, [fixed(name, GOOD) for name in "abc"])
    notes = [note for note in external_notes(report) if note.startswith("AUROC of covid over 3")]
    assert len(notes) == 1 and "for 95 % of sites like these" in notes[0]


def test_a_class_that_is_not_pooled_says_why() -> None:
    sites = [fixed("a", GOOD), fixed("b", GOOD), fixed("c", (None, None, None))]
    assert "covid is not pooled: AUROC of covid is known at fewer than three sites." in list(
        external_notes(external_report(None, sites))
    )


def test_of_many_classes_those_with_the_most_patients_are_shown_in_order() -> None:
    names = [f"c{n}" for n in range(MAX_CLASSES + 3)]
    report = external_report(None, [fixed("a", GOOD, names)])
    for name in names[:2]:
        report["sites"][0]["per_class"][name] = {
            **report["sites"][0]["per_class"][name], "patients": 1,
        }  # fmt: skip
    assert shown_classes(report["sites"]) == names[2 : MAX_CLASSES + 2]


@pytest.mark.parametrize("figure, text", [
    ({"value": None, "low": None, "high": None}, "–"),
    ({"value": 0.5, "low": None, "high": None}, "0.50"),
    ({"value": 0.5, "low": 0.25, "high": 0.75}, "0.50 (0.25–0.75)"),
    ({"value": -0.5, "low": -1.25, "high": 0.75}, "−0.50 (−1.25 to 0.75)"),
    ({"value": 12.34, "low": 1.0, "high": 123.4}, "12.3 (1.00–123)"),
])  # fmt: skip
def test_a_figure_is_written_with_its_interval(figure: dict[str, Any], text: str) -> None:
    assert figure_text(figure) == text


def test_of_many_labels_the_most_frequent_are_named() -> None:
    report = external_report(None, [fixed("a", GOOD)])
    report["sites"][0]["traits"]["labels"] = {f"label{n}": 9 - n for n in range(5)}
    assert traits_table(report)["labels"] == ["9 label0, 8 label1, 7 label2 +2"]


def test_traits_are_shares_of_images() -> None:
    report = external_report(None, [site("a", images=1), site("b", 1, 200)])
    table = traits_table(report)
    assert table["images"] == ["1", "200"]
    assert table["view"][0].endswith("100 %") and table["view"][1].count("%") == 3
