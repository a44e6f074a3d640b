"""MODEL_CARD.md: what an exported network is, for those who find it on a shelf of models.

Its head is the YAML that Hugging Face's Hub reads, its body Markdown. It says what is known from
the run and the export; what nobody told, such as a licence, it calls not stated.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from covid.edge.card import INTENDED_USE
from covid.edge.files import write_atomically
from covid.edge.labels import DEFAULT_THRESHOLD
from covid.edge.operating_point import MAPPED_ALONG
from covid.export.markdown import (
    NOT_STATED,
    age,
    bullets,
    count,
    counted,
    digest,
    figure,
    plain,
    table,
)

MODEL_CARD = "MODEL_CARD.md"
# The Hub's own word for a licence that nobody stated: it takes no other words than its list has.
UNKNOWN_LICENSE = "unknown"
DATASET_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")  # what the Hub takes as one
# Figures of metrics.json by the Hub's names for them, over all classes.
HUB_METRICS = {"accuracy": "accuracy", "macro_f1": "f1"}
COLUMNS = (
    ("recall", "sensitivity"), ("specificity", "specificity"),
    ("precision", "positive predictive value"), ("auroc", "AUROC"),
)  # fmt: skip


def model_card(
    card: Mapping[str, Any],
    report: Mapping[str, Any],
    *,
    audit: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    weights_license: str | None = None,
) -> str:
    """The whole text.

    `card` are the fields of an exported file's card (`arch`, `task`, `classes`, `thresholds`,
    `image_size`, `trained_on`, `operating_point`, `calibration` and so on), `report` the content of
    the export's report.json, `audit` and `summary` of the run's data_audit.json and summary.json,
    `config` what its config.yaml says, `metrics` the content of evaluation/test/metrics.json.
    `weights_license` is one of the Hub's names for licences, such as `mit`; None: nobody stated it.
    """
    name = str(report.get("run") or (summary or {}).get("name") or card["arch"])
    front = _front_matter(name, card, audit, metrics, weights_license)
    parts = [
        f"# {plain(name)}",
        f"**{INTENDED_USE}**",
        *_what(card, report, weights_license),
        *_use(card),
        *_data(card, audit),
        *_how_to_use(report),
        *_figures(report, metrics),
        *_decisions(card),
        *_limits(audit, summary, metrics),
        *_made(card, summary, config),
    ]
    return "\n\n".join([front, *parts]) + "\n"


def write_model_card(folder: Path, card: Mapping[str, Any], report: Mapping[str, Any],
                     **known: Any) -> Path:  # fmt: skip
    """Writes MODEL_CARD.md into the folder of an export; `known` is what `model_card` takes beside.

    Raises StorageError.
    """
    path = folder / MODEL_CARD
    write_atomically(path, model_card(card, report, **known))
    return path


def _front_matter(
    name: str,
    card: Mapping[str, Any],
    audit: Mapping[str, Any] | None,
    metrics: Mapping[str, Any] | None,
    weights_license: str | None,
) -> str:
    """Between two lines of three hyphens: only what is known."""
    synthetic = "SYNTHETIC" in str(card.get("trained_on"))
    dataset = str((audit or {}).get("name") or "")
    known_dataset = not synthetic and DATASET_NAME.fullmatch(dataset) is not None
    fields: dict[str, Any] = {
        "license": weights_license or UNKNOWN_LICENSE,
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["medical", "radiology", "chest-x-ray", str(card["task"]).replace("_", "-"),
                 str(card["arch"])],
    }  # fmt: skip
    if known_dataset:
        fields["datasets"] = [dataset]
    values = {
        hub: (metrics or {})[key]["value"]
        for key, hub in HUB_METRICS.items()
        if ((metrics or {}).get(key) or {}).get("value") is not None
    }
    if values and metrics:
        fields["metrics"] = list(values)
        evaluated_on = str(metrics.get("data") or dataset or NOT_STATED)
        fields["model-index"] = [{
            "name": name,
            "results": [{
                "task": {"type": "image-classification"},
                "dataset": {"name": evaluated_on, "type": evaluated_on,
                            "split": str(metrics.get("split") or "test")},
                "metrics": [{"type": hub, "value": round(value, 4)}
                            for hub, value in values.items()],
            }],
        }]  # fmt: skip
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---"


def _what(
    card: Mapping[str, Any], report: Mapping[str, Any], weights_license: str | None
) -> list[str]:
    classes = ", ".join(plain(name) for name in card["classes"])
    decided = ("several can be true at once" if card["task"] == "multilabel"
               else "exactly one is decided")  # fmt: skip
    files = [
        f"`{plain(name)}` ({file['bytes'] / 1e6:.1f} MB)"
        for name, file in (report.get("files") or {}).items()
    ]
    lines = [
        f"- Network: {plain(card['arch'])}, as ONNX: {', '.join(files) or NOT_STATED}",
        f"- Input: one chest radiograph, grey, {card['image_size']} × {card['image_size']} pixels; "
        f"predict.py makes it so as training did, and the file normalises",
        f"- Output: a probability for each of {classes}; {decided}",
        *(
            ["- Beside it: a map of each class that adds up to its logit "
             "(`predict.py --heatmaps DIR`)"]
            if card.get("evidence_scale") else []
        ),
        *(
            [f"- Images unlike those of training are marked `unfamiliar`, by a novelty above "
             f"{card['novelty_threshold']:.2f} and other signs"]
            if card.get("novelty_threshold") else []
        ),
        f"- License of the weights: {plain(weights_license) if weights_license else NOT_STATED}",
        f"- Authors and contact: {NOT_STATED}",
    ]  # fmt: skip
    return ["## What it is", "\n".join(lines)]


def _use(card: Mapping[str, Any]) -> list[str]:
    return [
        "## What it is for, and what not",
        "For learning and research: to study how such networks are trained, evaluated and moved to "
        "small computers.",
        "Not for diagnosis, triage or any decision about a patient; not for images of another kind "
        "than those below (other views, children where it saw adults, photographs of films), and "
        "not at another hospital before it was evaluated there.",
    ]


def _data(card: Mapping[str, Any], audit: Mapping[str, Any] | None) -> list[str]:
    lines = [f"Trained on {plain(card.get('trained_on') or NOT_STATED)}."]
    if not audit:
        return ["## Training data", *lines, f"Patients and sources: {NOT_STATED}."]
    patients = audit.get("patients")
    lines.append(
        f"The whole set, validation and test included, has "
        f"{f'{patients:,} patients' if patients else 'no patients that are known'}. "
        f"License and consent: {NOT_STATED}."
    )
    rows = [
        [plain(label), f"{group['images']:,}", count(group.get("patients")),
         age(group.get("age") or {}), counted(group.get("sex")), counted(group.get("view")),
         counted(group.get("source"))]
        for label, group in (audit.get("by_class") or {}).items()
    ]  # fmt: skip
    header = ["label", "images", "patients", "median age", "sex", "view", "source"]
    return ["## Training data", *lines, *table(header, rows)]


def _how_to_use(report: Mapping[str, Any]) -> list[str]:
    files = list(report.get("files") or {}) or ["model.onnx"]
    return [
        "## How to use it",
        f"    python predict.py {files[0]} IMAGE_OR_FOLDER",
        "It needs numpy, Pillow and onnxruntime, and no PyTorch. Thresholds, labels and image size "
        "stand in the file's metadata under the key `covid`.",
    ]


def _figures(report: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> list[str]:
    parts = ["## Figures", "With 95 % intervals, by patient where patients are known."]
    validation = report.get("fp32")
    if metrics:
        of = f"{plain(metrics.get('data') or NOT_STATED)}, {plain(metrics.get('split') or 'test')}"
        parts += _of(f"On {of}, by the trained network", metrics)
    else:
        parts.append(f"On test images: {NOT_STATED}; `evaluate.py` had not run on them.")
    if validation:
        parts += _of("On validation, on which the epoch was chosen, by the exported file",
                     validation)  # fmt: skip
    int8 = (report.get("int8") or {}).get("metrics")
    if int8:
        parts += _of("On validation, by the 8-bit file", int8)
    return parts


def _of(title: str, metrics: Mapping[str, Any]) -> list[str]:
    patients = metrics.get("patients")
    of = f"{metrics['images']:,} images" + (f" of {patients:,} patients" if patients else "")
    rows = []
    for name, row in metrics["per_class"].items():
        each = [figure({"value": row.get(key), **row["intervals"].get(key, {})})
                for key, _ in COLUMNS]  # fmt: skip
        bear = (row["intervals"].get("recall") or {}).get("patients")
        rows.append([plain(name), f"{row['support']:,}", count(bear), *each])
    header = ["class", "images with it", "patients with it", *(title for _, title in COLUMNS)]
    return [
        f"**{title}** ({of}): accuracy {figure(metrics.get('accuracy'))}, macro F1 "
        f"{figure(metrics.get('macro_f1'))}.",
        *table(header, rows),
    ]


def _decisions(card: Mapping[str, Any]) -> list[str]:
    """Operating point and calibration."""
    point, calibration = card.get("operating_point"), card.get("calibration")
    thresholds = card.get("thresholds")
    parts = ["## Operating point and calibration"]
    named = ", ".join(
        f"{plain(name)} {value:.3g}"
        for name, value in zip(card["classes"], thresholds or (), strict=False)
    )
    if point and point["rule"] != f"{DEFAULT_THRESHOLD:g}, the default":
        of = f", {point['patients']:,} patients" if point.get("patients") else ""
        on = f"on {plain(point['split'])} ({point['images']:,} images{of})"
        rule = str(point["rule"])
        if rule.endswith(MAPPED_ALONG):
            parts.append(
                f"Thresholds ({named}) are {plain(rule)} with a recalibration {on}, which changed "
                f"no decision; nobody chose them for a purpose."
            )
        else:
            parts.append(
                f"Thresholds ({named}) were chosen by the rule {plain(rule)} {on}."
            )
        if point.get("notes"):
            parts.append(bullets(point["notes"]))
    elif named:
        parts.append(f"Thresholds are the default ({named}); nobody chose them for a purpose.")
    else:
        parts.append("The class with the largest probability is the decision.")
    if calibration:
        parts.append(
            f"Probabilities were recalibrated ({plain(calibration['method'])}) on "
            f"{plain(calibration['split'])} ({calibration['images']:,} images)."
        )
    else:
        parts.append("Probabilities are the network's own; they were not recalibrated.")
    return parts


def _limits(
    audit: Mapping[str, Any] | None,
    summary: Mapping[str, Any] | None,
    metrics: Mapping[str, Any] | None,
) -> list[str]:
    sentences = [
        *((audit or {}).get("warnings") or ()), *((summary or {}).get("warnings") or ()),
        *((metrics or {}).get("notes") or ()),
        "How it does at a hospital that its images are not from is not known until it is "
        "evaluated there: python evaluate.py MODEL.onnx --data FOLDER.",
    ]  # fmt: skip
    return ["## Limitations", bullets(dict.fromkeys(sentences))]


def _made(
    card: Mapping[str, Any], summary: Mapping[str, Any] | None, config: Mapping[str, Any] | None
) -> list[str]:
    known, settings = summary or {}, config or {}
    model = settings.get("model") or {}
    versions = card.get("versions") or known.get("versions") or {}
    weights, until = model.get("weights"), model.get("until")
    seconds = known.get("seconds")
    lines = [
        f"- Weights at the start: {plain(weights) if weights else NOT_STATED}",
        *([f"- Backbone: up to {plain(until)}, without what comes after"] if until else []),
        f"- Seed: {settings.get('seed', NOT_STATED)}",
        f"- Epochs: {known.get('epochs', NOT_STATED)}, of which number "
        f"{known.get('best_epoch', NOT_STATED)} was kept, by {known.get('select_by', NOT_STATED)} "
        f"on validation",
        f"- Device: {plain(known.get('device') or NOT_STATED)}, precision of training "
        f"{plain(known.get('precision') or NOT_STATED)}, "
        f"{NOT_STATED if seconds is None else f'{seconds:,.0f} seconds'}",
        f"- Versions: {plain(', '.join(f'{n} {v}' for n, v in versions.items()) or NOT_STATED)}",
        f"- SHA-256 of best.safetensors: {digest(card.get('source_sha256'))}",
        f"- SHA-256 of samples.csv: {digest(card.get('trained_on_sha256'))}",
    ]
    return ["## How it was made", "\n".join(lines)]
