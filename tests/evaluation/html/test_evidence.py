"""Where a network looks, as the report says it."""

from typing import Any

from covid.evaluation.html.evidence import evidence_part
from tests.evaluation.report_page import HOSTILE, Page, share

FIGURES = {
    "images": 40, "share": share(0.4, 0.3, 0.5), "area": share(0.25, 0.2, 0.3),
    "ratio": share(1.6, 1.2, 2.0), "pointing": share(0.55, 0.5, 0.6),
    "pointing_by_chance": share(0.24, 0.2, 0.3),
}  # fmt: skip


def part(**changes: Any) -> Page:
    nothing = dict.fromkeys(("shuffled", "lesion", "shuffled_lesion"))
    return Page(evidence_part({**FIGURES, "per_class": {}, **nothing, **changes}))


def test_a_row_has_its_figures_with_intervals() -> None:
    text = part().text
    assert "in the lungs 40 0.40 (0.30–0.50) 0.25 (0.20–0.30) 1.60 (1.20–2.00) 0.55" in text


def test_classes_have_rows_of_their_own() -> None:
    page = part(per_class={HOSTILE: FIGURES})
    assert f"… for {HOSTILE} 40" in page.text and not page.mistakes


def test_shuffled_networks_are_explained_where_there_are_some() -> None:
    assert "the mean of 3" in part(shuffled={**FIGURES, "networks": 3}).text
    assert "shuffled" not in part().text


def test_without_masks_there_is_nothing() -> None:
    assert evidence_part(None) == ""
