"""Other hospitals in report.html: the same network at each site, and how sites differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from covid.evaluation.html.data import ages, counted
from covid.evaluation.html.elements import (
    DASH,
    Markup,
    absent,
    code,
    count,
    figure,
    join,
    number,
    paragraph,
    section,
    table,
)
from covid.evaluation.html.pictures import Picture, shown

FIGURES = {
    "auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity",
    "calibration_slope": "calibration slope",
}  # fmt: skip


def sites_section(
    external: Mapping[str, Any] | None, pictures: Mapping[str, Picture]
) -> Markup:
    """`external` is the content of external.json, None where no other site was evaluated."""
    sites = (external or {}).get("sites") or ()
    if not external or not sites:
        return section(
            "sites", "Other hospitals",
            absent("No other hospital was evaluated. A network that has only seen the hospitals "
                   "that it was trained on may rely on their machines and markers."),
            paragraph("To evaluate some: ", code("python evaluate.py RUN --data A --data B"), "."),
        )  # fmt: skip
    rows = []
    for site in sites:
        of = count(site["images"])
        of += f" ({site['patients']:,})" if site["patients"] else ""
        for place, (name, row) in enumerate(site["per_class"].items()):
            figures = [
                figure(row[key], digits=2, reason=row[key].get("reason") or "not determined")
                for key in FIGURES
            ]
            rows.append([_name(site), "" if place else of, name, count(row["patients"]), *figures])
    header = ["site", "images (patients)", "class", "patients with it", *FIGURES.values()]
    return section(
        "sites", "Other hospitals",
        paragraph("At the same thresholds everywhere; nothing was fitted to these images."),
        shown(pictures, "external.png",
              "A forest plot: each figure with its interval, a row for each site. The table below "
              "has the same numbers.",
              "The same network at each site, with 95 % intervals."),
        table("Figures by site, with 95 % intervals", header, rows, words=(2,)),
        _pooled(external),
        _differences(sites),
    )  # fmt: skip


def _name(site: Mapping[str, Any]) -> str:
    return f"{site['name']} (own test)" if site.get("own") else str(site["name"])


def _pooled(external: Mapping[str, Any]) -> Markup:
    """One summary over sites, where there are enough of them."""
    pooled = external.get("pooled")
    if not pooled:
        return absent(f"Sites were not pooled: {external.get('pooled_reason') or 'too few'}.")
    rows = []
    for name, row in pooled["per_class"].items():
        prediction = row.get("prediction")
        reason = row.get("reason") or "not determined"
        between = row.get("between")
        rows.append([
            name, count(row["sites"]), figure(row.get("auroc"), reason=reason),
            DASH if not prediction
            else f"{number(prediction['low'])} to {number(prediction['high'])}",
            number(between),
        ])  # fmt: skip
    header = ["class", "sites", "AUROC over sites", "95 % of such sites", "between sites (logit)"]
    return join(
        table("AUROC over all sites but the own", header, rows),
        paragraph(f"Method: {pooled['method']}."),
    )


def _differences(sites: Sequence[Mapping[str, Any]]) -> Markup:
    """What may explain that figures differ, though none of it is proof."""
    rows = []
    for site in sites:
        traits = site.get("traits") or {}
        age, greys = traits.get("age") or {}, traits.get("grey_levels")
        rows.append([
            _name(site), ages(age, site["images"]),
            *(counted(traits.get(column) or {}) for column in ("sex", "view")),
            f"{number(greys['mean'], 0)} ± {number(greys['standard_deviation'], 0)}" if greys
            else DASH,
            counted(traits.get("labels") or {}),
        ])  # fmt: skip
    header = ["site", "age: median (quartiles)", "sex", "view", "grey levels, 0 to 255", "labels"]
    return table("How the sites differ", header, rows, words=(1, 2, 3, 4, 5))
