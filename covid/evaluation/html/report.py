"""report.html: an evaluation and its run as one file that opens anywhere, without a network.

No script, no font, no picture from elsewhere: a policy in the file itself forbids them. It can be
printed, mailed and read on a telephone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from covid.edge.card import INTENDED_USE
from covid.edge.files import write_atomically
from covid.evaluation.html.checklists import PLACES, checklist_section
from covid.evaluation.html.data import data_section
from covid.evaluation.html.elements import Markup, element, join
from covid.evaluation.html.failures import failures_section
from covid.evaluation.html.made import made_section
from covid.evaluation.html.pictures import embed
from covid.evaluation.html.results import calibration_section, results_section
from covid.evaluation.html.sites import sites_section
from covid.evaluation.html.style import CSS
from covid.evaluation.html.what import what_section

REPORT = "report.html"
PICTURES = ("confusion.png", "examples.png", "calibration.png", "operating.png", "external.png",
            "shortcuts.png")  # fmt: skip
TOGETHER = "of all folds together"  # in a run's warnings, where grey levels are of all folds
# What the file may load: pictures and styles that stand in it, nothing else.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def report_html(
    title: str,
    metrics: Mapping[str, Any],
    *,
    pictures: Mapping[str, bytes] | None = None,
    external: Mapping[str, Any] | None = None,
    shortcuts: Mapping[str, Any] | None = None,
    samples: Sequence[Mapping[str, str]] = (),
    evaluated: Sequence[Mapping[str, str]] | None = None,
    other_images: bool = False,
    audit: Mapping[str, Any] | None = None,
    config: str | None = None,
    summary: Mapping[str, Any] | None = None,
    recalibration: Mapping[str, Any] | None = None,
    hashes: Mapping[str, str] | None = None,
    date: str | None = None,
) -> str:
    """The whole file; what is not given, the report says to be missing.

    `title` names network and data; `metrics` is the content of metrics.json, `external` of
    external.json, `shortcuts` of shortcuts.json (None: it was not asked), `audit` of
    data_audit.json, `summary` of summary.json, `config` the text of config.yaml; `pictures` are PNG
    files by name. `samples` are all images of the run: `split`, `label`, `patient`, `source` and,
    where known, `view`, `sex`, `age`, empty where nothing is known. `evaluated` are such rows of
    the images that figures are of; None means the samples of the split that `metrics` names.
    `other_images` says that they are not the run's own. `recalibration` is Recalibration.fields();
    `hashes` are digests by what they are of, beside those in `metrics`; `date` is that of the
    evaluation, in words.
    """
    settings = _settings(config)
    if evaluated is None:
        evaluated = [row for row in samples if row.get("split") == metrics.get("split")]
    given = pictures or {}
    embedded = embed({name: given[name] for name in PICTURES if name in given})
    noticed = list((audit or {}).get("warnings") or ())
    warnings = [each for each in (summary or {}).get("warnings") or () if each not in noticed]
    together = bool(metrics.get("networks")) or any(
        TOGETHER in each for each in [*noticed, *warnings]
    )
    digests = {
        "samples.csv of the training": metrics.get("trained_on_sha256"),
        "rows of the images evaluated": metrics.get("samples_sha256"),
        "best.safetensors": metrics.get("source_sha256"),
        **(hashes or {}),
    }
    known = {name: value for name, value in digests.items() if value}
    facts = _facts(metrics, samples, external, config, summary, recalibration, other_images)
    body = join(
        what_section(metrics, evaluated, noticed, other_images=other_images,
                     external="external" in facts, shortcuts=shortcuts, pictures=embedded),
        data_section(metrics, samples, evaluated, audit, _labels(settings),
                     other_images=other_images),
        results_section(metrics, embedded),
        calibration_section(metrics, embedded, recalibration),
        failures_section(metrics, embedded),
        sites_section(external, embedded),
        made_section(metrics, settings, config, summary, known, warnings,
                     together=together),
        checklist_section(facts),
    )  # fmt: skip
    return _page(title, body, date)


def write_html(folder: Path, title: str, metrics: Mapping[str, Any], **known: Any) -> Path:
    """Writes `report.html` into an evaluation's folder, with the pictures that lie there.

    `known` is what `report_html` takes beside these, but for `pictures`. Raises StorageError where
    the file cannot be written; what was there before stays.
    """
    pictures = {
        name: (folder / name).read_bytes() for name in PICTURES if (folder / name).is_file()
    }
    path = folder / REPORT
    write_atomically(path, report_html(title, metrics, pictures=pictures, **known))
    return path


def _page(title: str, body: Markup, date: str | None) -> str:
    places = {**PLACES, "checklist": "For a paper"}
    links = [element("li", element("a", name, href=f"#{place}")) for place, name in places.items()]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title}: evaluation"),
        element("link", rel="icon", href="data:,"),  # else a browser asks the server for one
        element("style", Markup(CSS)),
    )
    header = element(
        "header",
        element("p", "Evaluation of a neural network" + (f", {date}" if date else ""),
                class_="kind"),
        element("h1", title),
        element("nav", element("ul", *links), aria_label="Parts of this report"),
    )  # fmt: skip
    footer = element("footer", INTENDED_USE)
    whole = element(
        "html", head, element("body", header, element("main", body), footer), lang="en"
    )
    return f"<!DOCTYPE html>\n{whole}\n"


def _settings(config: str | None) -> dict[str, Any]:
    """What a run's config.yaml says; nothing where it says nothing that can be read."""
    try:
        settings = yaml.safe_load(config or "")
    except yaml.YAMLError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _labels(settings: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """`data.labels` of a config; nothing where that is no mapping of lists."""
    data = settings.get("data")
    labels = data.get("labels") if isinstance(data, dict) else None
    pairs = labels.items() if isinstance(labels, dict) else ()
    return {str(key): [str(name) for name in true] for key, true in pairs
            if isinstance(true, list)}  # fmt: skip


def _facts(
    metrics: Mapping[str, Any],
    samples: Sequence[Mapping[str, str]],
    external: Mapping[str, Any] | None,
    config: str | None,
    summary: Mapping[str, Any] | None,
    recalibration: Mapping[str, Any] | None,
    other_images: bool,
) -> set[str]:
    """What the report holds, in the words that checklists ask by."""
    sites = (external or {}).get("sites") or ()
    held = {
        "config": bool(config),
        "versions": bool((summary or {}).get("versions")),
        "splits": bool(samples),
        "patients": any(row.get("patient") for row in samples),
        "people": any(row.get("age") or row.get("sex") for row in samples),
        "external": any(not site.get("own") for site in sites),
        "own test": not other_images and metrics.get("split") in ("test", "folds"),
        "recalibration": bool(recalibration),
    }
    return {fact for fact, holds in held.items() if holds}
