"""The first section of report.html: what it is, and what it cannot say."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from covid.edge.card import INTENDED_USE
from covid.edge.columns import known_text
from covid.evaluation.html.elements import (
    Markup,
    bullets,
    callout,
    element,
    join,
    number,
    paragraph,
    plural,
    section,
)
from covid.evaluation.html.pictures import Picture, shown
from covid.evaluation.intervals import Z

MAX_SOURCES = 6  # that a sentence names
UNKNOWN = "not known"


def what_section(
    metrics: Mapping[str, Any],
    evaluated: Sequence[Mapping[str, str]],
    warnings: Sequence[str],
    *,
    other_images: bool,
    external: bool,
    shortcuts: Mapping[str, Any] | None = None,
    pictures: Mapping[str, Picture] | None = None,
) -> Markup:
    """Headline figures, and plain sentences on what they do not mean.

    `warnings` are the audit's; `evaluated` the rows of the images that figures are of, as far as
    these are known; `other_images` whether they are not the run's own; `external` whether other
    hospitals stand in the report too. `shortcuts` is the content of shortcuts.json; None: nobody
    asked whether the network cheats, and nothing is said of it.
    """
    return section(
        "what", "What this is, and what it cannot say",
        _headlines(metrics),
        paragraph(element("strong", str(metrics.get("intended_use") or INTENDED_USE)), " ",
                  "No figure here shows that the network helps a patient or a physician."),
        bullets([
            *_origin(metrics, evaluated, other_images=other_images, external=external),
            *_rarest(metrics),
            "Intervals are 95 %: they say how far a figure could lie elsewhere by the luck of "
            "which patients were drawn. They do not cover another hospital, other machines or "
            "other years.",
            "This file holds pictures and file names of the images: show it only to those who "
            "may see these.",
        ]),
        callout("What was noticed in the data", warnings),
        _shortcuts(shortcuts, pictures or {}),
    )  # fmt: skip


def _shortcuts(report: Mapping[str, Any] | None, pictures: Mapping[str, Picture]) -> Markup:
    """What the test on changed images came to, and its picture."""
    if report is None:
        return Markup()
    verdict = report["verdict"]
    sentences = [*verdict["sentences"], *([verdict["caution"]] if verdict["caution"] else [])]
    return join(
        callout("Does it cheat? What the test on changed images says", sentences),
        shown(pictures, "shortcuts.png",
              "Each change of an image, and what the network still tells from images changed so. "
              "The sentences above say what it comes to.",
              "What is told from changed images, with 95 % intervals over patients; red is what "
              "accuses the network."),
    )  # fmt: skip


def _headlines(metrics: Mapping[str, Any]) -> Markup:
    """Accuracy, macro F1, and how many of the rarest class are found."""
    boxes = [
        ("accuracy: images decided wholly right", metrics.get("accuracy"), ""),
        ("macro F1: the mean over classes", metrics.get("macro_f1"), ""),
    ]
    rare = rarest_class(metrics)
    if rare is not None:
        name, patients, images = rare
        row = metrics["per_class"][name]
        fields = {"value": row["recall"], **row["intervals"]["recall"]}
        of = plural(images, "image")
        of += f" of {plural(patients, 'patient')}" if patients else ""
        boxes.append((f"sensitivity for {name}, the rarest class", fields, of))
    return element("dl", *(_headline(*box) for box in boxes), class_="headlines")


def _headline(title: str, fields: Mapping[str, Any] | None, of: str) -> Markup:
    value = None if fields is None else fields.get("value")
    parts = [element("dt", title), element("dd", number(value), class_="value")]
    if fields is None or value is None:
        parts.append(element("dd", "These images do not determine it.", class_="faint"))
    elif fields.get("low") is None:
        parts.append(element("dd", "no interval", class_="faint"))
    else:
        interval = f"95 % interval {number(fields['low'])} to {number(fields['high'])}"
        parts.append(element("dd", interval, class_="faint"))
    if of:
        parts.append(element("dd", of, class_="faint"))
    return element("div", *parts)


def rarest_class(metrics: Mapping[str, Any]) -> tuple[str, int | None, int] | None:
    """The class with the fewest patients, or images where none is known: its name and both.

    None where no image bears any class.
    """
    borne = []
    for name, row in metrics["per_class"].items():
        patients = row["intervals"]["recall"]["patients"] if metrics.get("patients") else None
        if row["support"]:
            borne.append((patients or row["support"], row["support"], name, patients))
    if not borne:
        return None
    _, images, name, patients = min(borne)
    return name, patients, images


def _rarest(metrics: Mapping[str, Any]) -> list[str]:
    rare = rarest_class(metrics)
    if rare is None:
        return ["No image bears any of the classes, so nothing is said of finding one."]
    name, patients, images = rare
    units = patients or images
    # Wilson's lower limit where all of n are found: n / (n + z²).
    best = units / (units + Z**2)
    shown = plural(patients, "patient") if patients else plural(images, "image")
    return [
        f"The rarest class, {name}, has {shown}. Had the network missed none of them, the interval "
        f"of its sensitivity would still begin at {best:.2f}."
    ]


def _origin(
    metrics: Mapping[str, Any],
    evaluated: Sequence[Mapping[str, str]],
    *,
    other_images: bool,
    external: bool,
) -> list[str]:
    """Where the images are from, and which images they are to the network."""
    sentences = []
    if metrics.get("synthetic"):
        sentences.append(
            "The images are SYNTHETIC, drawn by a program: figures say nothing of real ones."
        )
    sources = Counter(known_text(row.get("source") or "") or UNKNOWN for row in evaluated)
    if set(sources) - {UNKNOWN}:
        named = [f"{name} ({plural(n, 'image')})" for name, n in sources.most_common(MAX_SOURCES)]
        rest = len(sources) - len(named)
        more = f" and {plural(rest, 'other source')}" if rest else ""
        sentences.append(f"The images come from: {', '.join(named)}{more}.")
    else:
        sentences.append(
            "Which hospitals the images are from is not stated: the manifest has no source."
        )
    if not external:
        sentences.append(
            "No other hospital was evaluated here. How the network does elsewhere is not known, "
            "and is often worse."
        )
    split = metrics.get("split")
    if not other_images and split == "train":
        sentences.append("The network was trained on these very images: figures are too good.")
    elif not other_images and split == "validation":
        sentences.append(
            "On these images the epoch that is kept was chosen: figures are somewhat too good."
        )
    seen = metrics.get("seen_in_training")
    if seen:
        sentences.append(
            f"The network was trained on {plural(seen, 'image')} of these: figures are too good."
        )
    elif "seen_in_training" in metrics and seen is None:
        sentences.append("Whether the network was trained on some of these images is not known.")
    return sentences
