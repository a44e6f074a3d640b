"""Where a network fails, in report.html: its surest mistakes, and groups of patients."""

from collections.abc import Mapping, Sequence
from typing import Any

from covid.evaluation.html.elements import (
    DASH,
    Markup,
    absent,
    code,
    count,
    element,
    figure,
    join,
    number,
    paragraph,
    plural,
    section,
    table,
)
from covid.evaluation.html.evidence import evidence_part
from covid.evaluation.html.pictures import Picture, shown


def failures_section(metrics: Mapping[str, Any], pictures: Mapping[str, Picture]) -> Markup:
    """Mistakes, what a human's review of the least sure tenth would catch, subgroups, examples."""
    mistakes = metrics.get("mistakes")
    parts = [element("h3", "The surest mistakes")]
    if mistakes:
        parts += [_surest(mistakes.get("surest") or ()), _review(mistakes.get("review"))]
    else:
        parts.append(absent("The surest mistakes were not listed in this evaluation."))
    parts += [
        element("h3", "Groups of patients"),
        _subgroups(metrics.get("subgroups")),
        evidence_part(metrics.get("evidence_in_mask")),
        element("h3", "Examples"),
        shown(pictures, "examples.png",
              "Radiographs that were decided wrong, and some that were decided right, each with "
              "its label and the probability of each class, and what of it speaks for the class "
              "in question where the network tells.",
              "Images of each label, wrong ones (the surest first) and right ones, with what the "
              "network said."),
    ]  # fmt: skip
    return section("failures", "Where it fails", *parts)


def _surest(surest: Sequence[Mapping[str, Any]]) -> Markup:
    if not surest:
        return paragraph("No image was decided wrongly.")
    rows = []
    for each in surest:
        threshold = each.get("threshold")
        why = f", with {each['implied_by']}" if each.get("implied_by") else ""
        rows.append([
            code(str(each["path"])), str(each["label"]), str(each["predicted"]) or "none",
            f"{each['class']}: {each['kind']}{why}", number(each["probability"]),
            DASH if threshold is None else f"{threshold:.3g}",
        ])  # fmt: skip
    header = ["image", "label", "decided", "mistake", "probability", "threshold"]
    return join(
        paragraph("The network was furthest from the truth on these. A label may be wrong too."),
        table("The surest mistakes, the surest first", header, rows, words=(1, 2, 3)),
    )


def _review(review: Mapping[str, Any] | None) -> Markup:
    if not review:
        return Markup()
    share = review.get("share_of_errors")
    if not share:
        reason = review.get("reason") or "these images do not determine it"
        return paragraph(f"What a human's review of the least sure would catch: {DASH} ({reason}).")
    least = f"{review['share']:.0%}"
    return paragraph(
        f"If a human read the {least} of images that the network is least sure of "
        f"({review['images']:,} of {review['evaluated']:,}), "
        f"{review['errors_in_review']:,} of {plural(review['errors'], 'mistake')} would go away, a "
        f"share of ",
        figure(share, digits=2),
        f". Of images chosen at random it would be {least}.",
    )


def _subgroups(subgroups: Mapping[str, Any] | None) -> Markup:
    """A table for each grouping; figures of too few patients are a dash."""
    if subgroups is None:
        return absent("Subgroups were not looked at in this evaluation.")
    if not subgroups:
        return absent("The manifest does not tell two views, sexes, ages or sources apart.")
    parts = []
    for grouping, groups in subgroups.items():
        rows = []
        for group in groups:
            of = f"{group['images']:,} ({group['patients']:,})"
            for place, (name, row) in enumerate(group["classes"].items()):
                cells = [figure(row.get(key), reason="too few")
                         for key in ("sensitivity", "specificity")]  # fmt: skip
                first = of if place == 0 else ""
                rows.append([str(group["group"]), first, name, count(row.get("patients")), *cells])
        header = [grouping, "images (patients)", "class", "patients with it", "sensitivity",
                  "specificity"]  # fmt: skip
        parts.append(table(f"By {grouping}, with 95 % intervals", header, rows, words=(2,)))
    parts.append(
        paragraph(
            "A figure is hidden where fewer than ten patients would make it. Groups differ in more "
            "than their name: no figure here says why one does worse."
        )
    )
    return join(*parts)
