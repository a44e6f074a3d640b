"""Where a network looks, in report.html: how much of its evidence lies in the lungs."""

from collections.abc import Mapping
from typing import Any

from covid.evaluation.evidence import evidence_rows
from covid.evaluation.html.elements import Markup, count, element, figure, join, paragraph, table


def evidence_part(in_mask: Mapping[str, Any] | None) -> Markup:
    """A heading, a table and how to read it; nothing where no masks are known."""
    if not in_mask:
        return Markup()
    rows = []
    for name, row in evidence_rows(in_mask).items():
        rows.append([name, *_cells(row)])
        if row is in_mask:
            rows += [[f"… for {of_class}", *_cells(each)]
                     for of_class, each in row["per_class"].items()]  # fmt: skip
    header = ["evidence for what was decided", "images", "share inside", "share of the area",
              "ratio (1 is chance)", "largest inside", "by chance"]  # fmt: skip
    shuffled = in_mask["shuffled"]
    beside = (
        f" A network of the same shape whose weights were shuffled, which has learnt nothing, is "
        f"beside it (the mean of {shuffled['networks']}): what it reaches owes nothing to learning."
        if shuffled else ""
    )  # fmt: skip
    return join(
        element("h3", "Where it looks"),
        paragraph(
            "Each place of an image adds something to a logit, or takes from it. Of what adds to "
            "the logit of a class that was decided, so much lies in the masks; a ratio of 1 is "
            "what evidence that is spread over the whole image has." + beside
        ),
        table("Evidence inside masks, with 95 % intervals", header, rows),
        paragraph(
            "Evidence in the lungs does not show that the disease was seen there; evidence outside "
            "of them is a reason to doubt that it was."
        ),
    )


def _cells(row: Mapping[str, Any]) -> list[Markup | str]:
    return [count(row["images"]), *(figure(row[key], digits=2) for key in
            ("share", "area", "ratio", "pointing", "pointing_by_chance"))]  # fmt: skip
