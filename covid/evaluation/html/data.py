"""The data of report.html: how images came here, who they are of, what each split holds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any

from covid.edge.columns import as_sex, as_view, plausible_age
from covid.edge.labels import read_cell
from covid.evaluation.html.elements import (
    DASH,
    Markup,
    absent,
    bullets,
    count,
    element,
    join,
    listed,
    paragraph,
    plural,
    section,
    table,
)

Rows = Sequence[Mapping[str, str]]  # of images: split, label, patient, source, view, sex, age
Labels = Mapping[str, Sequence[str]]  # a key of `data.labels` to the classes that are true of it

SPLITS = ("train", "validation", "test")  # first in tables, in this order
REMOVED = "removed"  # a split of samples.csv: trained on before, not part of the set any more
MAX_SOURCES = 6  # that a sentence names
UNKNOWN = "unknown"


def data_section(
    metrics: Mapping[str, Any],
    samples: Rows,
    evaluated: Rows,
    audit: Mapping[str, Any] | None,
    labels: Labels,
    *,
    other_images: bool,
) -> Markup:
    """The flow of images, what each split holds, age and source by class.

    `samples` are all images of the run, and `labels` what its keys mean.
    """
    classes = list(metrics["classes"])
    groups = _splits(samples)
    if other_images and evaluated:
        groups[f"{metrics.get('data', 'other images')}, evaluated here"] = list(evaluated)
    parts = [_flow(metrics, samples, audit, other_images=other_images)]
    if groups:
        header = ["split", "images", "patients", *classes]
        rows = [[name, *_events(rows, classes, labels)] for name, rows in groups.items()]
        parts += [
            table("Images and patients by split; of each class, images (patients)", header, rows),
            _overlap(samples),
            _people("Age, sex and view by split", "split", groups),
        ]
    else:
        parts.append(absent("Which images were trained on is not known: there is no samples.csv."))
    parts.append(_by_class(audit))
    return section("data", "The data", *parts)


def _splits(samples: Rows) -> dict[str, list[Mapping[str, str]]]:
    """Rows by split, training first."""
    groups: dict[str, list[Mapping[str, str]]] = {}
    for row in samples:
        groups.setdefault(row.get("split") or UNKNOWN, []).append(row)
    groups.pop(REMOVED, None)
    first = [name for name in SPLITS if name in groups]
    return {name: groups[name] for name in [*first, *sorted(groups.keys() - set(first))]}


def _events(rows: Rows, classes: Sequence[str], labels: Labels) -> list[str]:
    """Cells of one split: images, patients, and of each class both; doubtful labels are none."""
    bear: dict[str, list[Mapping[str, str]]] = {name: [] for name in classes}
    for row in rows:
        for name in _classes_of(row.get("label") or "", labels):
            if name in bear:
                bear[name].append(row)
    patients = _patients(rows)
    each = []
    for name in classes:
        of = _patients(bear[name])
        each.append(count(len(bear[name])) + ("" if of is None else f" ({of:,})"))
    return [count(len(rows)), count(patients), *each]


def _classes_of(cell: str, labels: Labels) -> set[str]:
    try:
        keys = read_cell(cell)
    except ValueError:  # an image without a label
        return set()
    return {name for key, certain in keys.items() if certain for name in labels.get(key, (key,))}


def _patients(rows: Rows) -> int | None:
    """None where no patient is known; an image without one counts for none."""
    return len({row["patient"] for row in rows if row.get("patient")}) or None


def _overlap(samples: Rows) -> Markup:
    """Whether patients stand in several splits."""
    splits: dict[str, set[str]] = {}
    for row in samples:
        if row.get("patient") and row.get("split") != REMOVED:
            splits.setdefault(row["patient"], set()).add(row.get("split") or UNKNOWN)
    if not splits:
        return paragraph("No patient is known, so nobody can say whether one stands in two splits.")
    several = sum(len(each) > 1 for each in splits.values())
    if several:
        return paragraph(
            element("strong", f"{plural(several, 'patient')} in more than one split"),
            ": figures on such images are too good.",
        )
    return paragraph("No patient stands in more than one split.")


def _flow(
    metrics: Mapping[str, Any],
    samples: Rows,
    audit: Mapping[str, Any] | None,
    *,
    other_images: bool,
) -> Markup:
    """All images, their splits and what was left out, and those that figures are of."""
    groups, steps = _splits(samples), []
    unreadable = len((audit or {}).get("unreadable") or ())
    removed = sum(row.get("split") == REMOVED for row in samples)
    if groups:
        kept = [row for rows in groups.values() for row in rows]
        steps.append([_box("images of the run", len(kept) + unreadable, _patients(kept))])
        boxes = [
            _box(name, len(rows), _patients(rows),
                 "evaluated" if name == metrics.get("split") and not other_images else "")
            for name, rows in groups.items()
        ]  # fmt: skip
        boxes += [
            _box(what, images, None, "out")
            for what, images in (("not readable", unreadable), ("taken out later", removed))
            if images
        ]
        steps.append(boxes)
    here = [
        _box("evaluated here", metrics["images"], metrics.get("patients"), "evaluated")
    ]
    if metrics.get("unreadable"):
        here.append(_box("not readable", metrics["unreadable"], None, "out"))
    steps.append(here)
    rows = [element("li", element("div", *boxes, class_="boxes")) for boxes in steps]
    return join(element("h3", "How the images came here"), element("ol", *rows, class_="flow"))


def _box(what: str, images: int, patients: int | None, kind: str = "") -> Markup:
    size = [element("span", plural(images, "image"))]
    if patients:
        size.append(element("span", plural(patients, "patient")))
    return element("div", element("strong", what), *size, class_=f"box {kind}".strip())


def _people(caption: str, first: str, groups: Mapping[str, Rows]) -> Markup:
    """Who the images are of, as far as the manifest says; nothing where it says nothing."""
    rows = []
    for name, images in groups.items():
        years = [age for row in images
                 if (age := plausible_age(row.get("age") or "")) is not None]  # fmt: skip
        sexes = Counter(as_sex((row.get("sex") or "").strip()) or UNKNOWN for row in images)
        views = Counter(as_view(row.get("view") or "") or UNKNOWN for row in images)
        rows.append([name, _ages(years, len(images)), counted(sexes), counted(views)])
    if all(row[1:] == [DASH, DASH, DASH] for row in rows):
        return absent("The manifest says nothing of age, sex or view.")
    header = [first, "age: median (quartiles)", "sex", "view"]
    return table(caption, header, rows, words=(1, 2, 3))


def _ages(years: list[float], images: int) -> str:
    if not years:
        return DASH
    low, median, high = quantiles(years, n=4, method="inclusive") if len(years) > 1 else years * 3
    return ages({"known": len(years), "median": median, "quartiles": [low, high]}, images)


def ages(age: Mapping[str, Any], images: int) -> str:
    """`age` of an audit or of a site, {"known", "median", "quartiles"}, of so many images."""
    if age.get("median") is None or not age.get("quartiles"):
        return DASH
    low, high = age["quartiles"]
    known = "" if age["known"] == images else f", known of {age['known']:,}"
    return f"{age['median']:.3g} ({low:.3g}{DASH}{high:.3g}){known}"


def counted(values: Mapping[str, int]) -> str:
    """`AP 296, PA 126`, those that are not known last; a dash where nothing is known."""
    if not set(values) - {UNKNOWN}:
        return DASH
    ordered = sorted(values.items(), key=lambda item: (item[0] == UNKNOWN, -item[1], item[0]))
    shown = [f"{name} {n:,}" for name, n in ordered[:MAX_SOURCES]]
    rest = len(ordered) - len(shown)
    return ", ".join([*shown, f"{rest} more"] if rest else shown)


def _by_class(audit: Mapping[str, Any] | None) -> Markup:
    """What the audit knows of each label's images, and what can be told without looking."""
    if not audit or not audit.get("by_class"):
        return absent("Age and source by class are not known: there is no data_audit.json.")
    rows = []
    for label, group in audit["by_class"].items():
        shown = ages(group.get("age") or {}, group["images"])
        words = [
            counted(group.get(column) or {}) for column in ("sex", "view", "source")
        ]
        rows.append([label, count(group["images"]), count(group.get("patients")), shown, *words])
    header = ["label", "images", "patients", "age: median (quartiles)", "sex", "view", "source"]
    whole = table("Age, sex, view and source by label, all splits", header, rows,
                  words=(3, 4, 5, 6))  # fmt: skip
    return join(whole, _shortcuts(audit))


def _shortcuts(audit: Mapping[str, Any]) -> Markup:
    """How well labels are told apart by what is not in the lungs."""
    sentences = []
    for key, what in (("metadata_baseline", "size, format and the like, without the pixels,"),
                      ("source_baseline", "the source alone,")):  # fmt: skip
        baseline = audit.get(key) or {}
        reached = baseline.get("balanced_accuracy")
        if reached is None:
            continue
        most = [
            f"{name} {value:.2f}"
            for name, value in sorted(baseline.get("per_class", {}).items(), key=lambda x: -x[1])
        ]
        each = f"; each label against the rest: {listed(most)}" if most else ""
        sentences.append(
            f"From {what} a simple classifier reaches a balanced accuracy of {reached:.2f} where "
            f"chance is {baseline['chance']:.2f}{each}. What can be told so may be what the "
            f"network has learnt."
        )
    return bullets(sentences)

