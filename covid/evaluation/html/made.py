"""The last part of report.html but the checklists: how the network and this report were made."""

from collections.abc import Mapping, Sequence
from typing import Any

from covid.evaluation.html.elements import (
    DASH,
    Markup,
    absent,
    callout,
    element,
    join,
    number,
    paragraph,
    section,
    table,
)

TRAINING = "the training images"


def made_section(
    metrics: Mapping[str, Any],
    settings: Mapping[str, Any],
    config: str | None,
    summary: Mapping[str, Any] | None,
    hashes: Mapping[str, str],
    warnings: Sequence[str],
    *,
    together: bool = False,
) -> Markup:
    """Config, seeds, versions, digests and warnings.

    `config` is the text of config.yaml and `settings` what it says; `hashes` are digests by what
    they are of; `warnings` those of the run that the report has not shown before. `together` says
    that grey levels were averaged over all folds. Where `metrics` has `networks`, one a fold, the
    other files are the first fold's, and what only it is or did stands there for no other.
    """
    networks = list(metrics.get("networks") or ())
    known, summary = summary or {}, {} if networks else summary or {}
    model, data = _part(settings, "model"), _part(settings, "data")
    facts: dict[str, Any] = {
        "network": metrics.get("run") or metrics.get("model"),
        "architecture": model.get("arch"),
        "backbone ends after": model.get("until"),
        "weights at the start": model.get("weights"),
        "epoch that was kept": _kept(metrics, summary),
        "trained on": metrics.get("trained_on") or known.get("data"),
        "evaluated on": _pair(metrics, "data", "split"),
        "seed of training and of splits": settings.get("seed"),
        "device and precision of training": _pair(summary, "device", "precision"),
        "precision of this evaluation": metrics.get("precision") or "fp32",
        "processes": summary.get("processes"),
        "training took": _duration(summary.get("seconds")),
        "status of the run": summary.get("status"),
    }
    rows = [[name, str(value)] for name, value in facts.items() if value not in (None, "")]
    size = data.get("image_size")
    return section(
        "made", "How it was made",
        table("The networks" if networks else "The network", ["what", "value"], rows, words=(1,)),
        _networks(networks),
        paragraph(
            "An image is made grey with 8 bits, resized"
            + (f" to {size} × {size} pixels" if size else "")
            + " by a bilinear filter with antialiasing, and normalised inside the network by mean "
            f"and deviation of {'the images of all folds together' if together else TRAINING}. "
            "Training, this evaluation and exported files read images by the same code."
        ),
        _versions(known.get("versions"), " of the first fold" if networks else ""),
        table("Digests (SHA-256)", ["of", "digest"],
              [[name, element("code", value, class_="hash")] for name, value in hashes.items()],
              words=(1,)),
        callout("Warnings of the training" + " of the first fold" * bool(networks), warnings),
        _config(config),
    )  # fmt: skip


def _networks(networks: Sequence[Mapping[str, Any]]) -> Markup:
    """A row for each fold's network; nothing where there is one network."""
    rows = [
        [str(each.get("fold", DASH)), str(each.get("epoch", DASH)),
         element("code", str(each.get("trained_on_sha256") or DASH), class_="hash")]
        for each in networks
    ]  # fmt: skip
    header = ["fold", "epoch that was kept", "samples.csv (SHA-256)"]
    return table("The network of each fold", header, rows, words=(2,))


def _versions(versions: Mapping[str, Any] | None, of: str) -> Markup:
    if not versions:
        return absent("Versions are not known: there is no summary.json.")
    return paragraph(f"Versions{of}: {', '.join(f'{name} {v}' for name, v in versions.items())}.")


def _config(config: str | None) -> Markup:
    if config is None:
        return absent("The configuration is not known: there is no config.yaml.")
    text = element("pre", element("code", config.rstrip("\n")), tabindex=0)
    summary = element("summary", "config.yaml, everything that was decided")
    return join(element("details", summary, text, open="open"))


def _part(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = settings.get(key)
    return value if isinstance(value, Mapping) else {}


def _kept(metrics: Mapping[str, Any], summary: Mapping[str, Any]) -> str | None:
    epoch = metrics.get("epoch") or summary.get("best_epoch")
    if epoch is None:
        return None
    of = f" of {summary['epochs']}" if summary.get("epochs") else ""
    by = f", chosen by {summary['select_by']} on validation" if summary.get("select_by") else ""
    return f"{epoch}{of}{by}"


def _pair(values: Mapping[str, Any], *keys: str) -> str:
    return ", ".join(str(values[key]) for key in keys if values.get(key) is not None)


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return f"{number(seconds, 0)} s" if seconds < 600 else f"{number(seconds / 60, 0)} minutes"
