"""The table on the terminal."""

from covid.evaluation.shortcuts.text import shortcuts_text
from covid.evaluation.shortcuts.verdict import verdict
from tests.evaluation.shortcuts.reports import report


def text(hidden: float, border: float = 0.0, own: bool = True) -> str:
    made = report(hidden, border, own=own)
    return shortcuts_text({**made, "verdict": verdict(made)})


def test_every_test_has_its_row_and_the_verdict_follows() -> None:
    printed = text(hidden=0.8)
    for words in ("lungs hidden, grey", "thumbnail", "gamma 2", "border probe", "60 images of 40"):
        assert words in printed
    assert printed.splitlines()[-1].endswith(".") and "is told from images without" in printed


def test_what_a_border_is_worth_stands_in_the_table() -> None:
    printed = text(hidden=0.5, border=0.3)
    assert "rank correlation" in printed.split("Its answers")[0]
    assert printed.count("0.30 (0.25 to 0.35)") == 3  # both classes, and the verdict


def test_other_images_are_cautioned_about_last() -> None:
    assert text(hidden=0.5, own=False).split("\n\n")[-1].startswith("These are not the images")


def test_lines_fit_a_terminal() -> None:
    assert max(map(len, text(hidden=0.8, border=0.3).splitlines())) <= 90
