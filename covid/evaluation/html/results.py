"""Figures in report.html: at the operating point, at other prevalences, and of probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

from covid.edge.operating_point import MAPPED_ALONG
from covid.evaluation.html.elements import (
    DASH,
    Markup,
    absent,
    bullets,
    callout,
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
from covid.evaluation.html.pictures import Picture, shown
from covid.evaluation.operating.point import DEFAULT_RULE

FEW_CLASSES = 4  # columns that a page holds beside each other; of more, each class is a row
# In metrics.json, for people, and why a class may have none.
FIGURES = (
    ("recall", "sensitivity (recall)", "no image bears it"),
    ("specificity", "specificity", "every image bears it"),
    ("precision", "positive predictive value (precision)", "none was decided so"),
    ("npv", "negative predictive value", "all were decided so"),
    ("f1", "F1", "no image bears it"),
    ("auroc", "AUROC", "one outcome only"),
    ("average_precision", "average precision", "one outcome only"),
    ("brier", "Brier score (0 is best)", "no target is known"),
)
# Figures of an operating point, as the report calls them.
WHERE_CHOSEN = {"sensitivity": "sensitivity", "specificity": "specificity",
                "ppv": "positive predictive value", "npv": "negative predictive value"}  # fmt: skip


def results_section(metrics: Mapping[str, Any], pictures: Mapping[str, Picture]) -> Markup:
    """Rule, thresholds, every figure of each class, predictive values and net benefit."""
    classes = list(metrics["classes"])
    return section(
        "results", "Results at the operating point",
        element("h3", "How probabilities become decisions"),
        _rule(metrics),
        element("h3", "Figures"),
        paragraph(
            f"Of {plural(metrics['images'], 'image')}"
            + (f" of {plural(metrics['patients'], 'patient')}" if metrics.get("patients") else "")
            + ": accuracy (images decided wholly right) ",
            figure(metrics.get("accuracy")), ", macro F1 ", figure(metrics.get("macro_f1")), "."
        ),
        _figures(metrics, classes),
        _counts(metrics, classes),
        shown(pictures, "confusion.png",
              "Matrices of targets against decisions. The table above has the same counts.",
              "Targets against decisions."),
        paragraph(
            "In brackets: 95 % intervals, in which images of one patient do not count as so many "
            "patients. Sensitivity, specificity, predictive values and accuracy have Wilson's "
            "interval on an effective number of images; the others a bootstrap over patients."
        ),
        _folds(metrics),
        callout("To know of these figures", list(metrics.get("notes") or ())),
        element("h3", "Where the disease is rarer or more frequent"),
        _predictive_values(metrics, classes),
        shown(pictures, "operating.png",
              "Curves of what each threshold would give, with the one that decides marked.",
              "What other thresholds would give.") if "operating.png" in pictures else "",
    )  # fmt: skip


def calibration_section(
    metrics: Mapping[str, Any],
    pictures: Mapping[str, Picture],
    recalibration: Mapping[str, Any] | None,
) -> Markup:
    """Whether 80 % is right in eight of ten cases. `recalibration` as Recalibration.fields()."""
    calibration = metrics.get("calibration")
    parts = [_recalibration(recalibration)]
    if not calibration:
        parts.append(absent("Calibration was not looked at in this evaluation."))
        return section("calibration", "Calibration", *parts)
    rows, bins = [], []
    notes: list[str] = []
    for name, row in calibration.items():
        notes += row.get("notes") or []
        why = row.get("reason") or "not determined"
        rows.append([name, *(figure(row.get(key), reason=why)
                             for key in ("intercept", "slope", "brier"))])  # fmt: skip
        for each in row.get("bins") or ():
            observed = {**each, "value": each.get("observed")}
            bins.append([name, number(each.get("predicted")), figure(observed),
                         count(each.get("images")), count(each.get("patients"))])  # fmt: skip
    header = ["class", "intercept (0 is right)", "slope (1 is right)", "Brier score (0 is best)"]
    parts += [
        paragraph(
            "A probability is calibrated where the network is right as often as it says. An "
            "intercept below 0 means probabilities that are too high on the whole; a slope below "
            "1 means that they are too far from the middle, too sure of both answers."
        ),
        table("Calibration by class, with 95 % intervals", header, rows),
        bullets(notes),
        shown(pictures, "calibration.png",
              "A reliability diagram of each class: what was predicted against what was true. "
              "The table below has the same numbers.",
              "What was predicted against what was true, with 95 % intervals; on the diagonal "
              "they agree."),
    ]  # fmt: skip
    if bins:
        head = ["class", "predicted, mean", "observed", "images", "patients"]
        caption = "The diagram's numbers, in bins of as many images each"
        parts.append(element("details", element("summary", "The diagram as a table"),
                             table(caption, head, bins)))  # fmt: skip
    return section("calibration", "Calibration", *parts)


def _rule(metrics: Mapping[str, Any]) -> Markup:
    point = metrics.get("operating_point")
    rows = metrics["per_class"]
    thresholds = {name: row.get("threshold") for name, row in rows.items()}
    if not point:
        if all(value is None for value in thresholds.values()):
            return paragraph("The class with the largest probability is the decision. "
                             "No threshold was chosen.")  # fmt: skip
        return paragraph(
            f"A class is present from its threshold on: "
            f"{', '.join(f'{name} {value:.3g}' for name, value in thresholds.items())}. "
            f"Thresholds are {DEFAULT_RULE}: nobody chose them for a purpose."
        )
    where = plural(point["images"], "image")
    where += f" of {plural(point['patients'], 'patient')}" if point.get("patients") else ""
    same = point["samples_sha256"] and point["samples_sha256"] == metrics.get("samples_sha256")
    but = " They are the images evaluated here: figures are somewhat too good." if same else ""
    on = f"on {where} ({point['split']})"
    rule, said = str(point["rule"]), f"Thresholds were chosen {on}.{but}"
    if rule.endswith(MAPPED_ALONG):
        said = (f"Thresholds followed a recalibration {on}, which changed no decision: nobody "
                f"chose them for a purpose.")  # fmt: skip
    elif rule == DEFAULT_RULE:
        said = f"Nobody chose thresholds for a purpose; what they reached was seen {on}."
    chosen = paragraph("Rule: ", element("code", rule), f". {said}")
    named = [name for name in WHERE_CHOSEN
             if any(name in row for row in point.get("per_class", {}).values())]  # fmt: skip
    lines = []
    for name, value in point["thresholds"].items():
        row = point.get("per_class", {}).get(name, {})
        target = row.get("target")
        lines.append([
            name, f"{value:.3g}", f"{target['figure']} {target['value']:g}" if target else DASH,
            *(figure(row.get(key)) for key in named),
            DASH if row.get("shown") is None else "shown" if row["shown"] else "cannot be shown",
        ])  # fmt: skip
    header = ["class", "threshold", "target", *(WHERE_CHOSEN[name] for name in named),
              "lower limit reaches it"]  # fmt: skip
    words = (len(header) - 1,)
    return join(chosen, table("Thresholds, and what they reached on these images", header,
                              lines, words=words), bullets(point.get("notes") or ()))  # fmt: skip


def _figures(metrics: Mapping[str, Any], classes: Sequence[str]) -> Markup:
    """Figures by class, whichever way round fits the page."""
    rows = metrics["per_class"]
    named = [each for each in FIGURES if any(each[0] in row for row in rows.values())]
    cells = {
        name: [_with_it(rows[name]), *(_figure(rows[name], key, why) for key, _, why in named)]
        for name in classes
    }
    titles = ["images (patients) with it", *(title for _, title, _ in named)]
    caption = "Figures by class, with 95 % intervals"
    if len(classes) > FEW_CLASSES:
        return table(caption, ["class", *titles], [[name, *cells[name]] for name in classes])
    turned = [[title, *(cells[name][place] for name in classes)]
              for place, title in enumerate(titles)]  # fmt: skip
    return table(caption, ["figure", *classes], turned)


def _with_it(row: Mapping[str, Any]) -> str:
    patients = row["intervals"]["recall"]["patients"] if row["support"] else None
    return count(row["support"]) + (f" ({patients:,})" if patients is not None else "")


def _figure(row: Mapping[str, Any], key: str, reason: str) -> Markup:
    return figure({"value": row.get(key), **row["intervals"].get(key, {})}, reason=reason)


def _counts(metrics: Mapping[str, Any], classes: Sequence[str]) -> Markup:
    """Each class against the rest, as counts: what the confusion picture shows."""
    confusion, rows = metrics["confusion"], []
    for place, name in enumerate(classes):
        if isinstance(confusion, Mapping):
            (absent_right, alarm), (missed, right) = confusion[name]
        else:
            right = confusion[place][place]
            missed = sum(confusion[place]) - right
            alarm = sum(row[place] for row in confusion) - right
            absent_right = sum(map(sum, confusion)) - right - missed - alarm
        rows.append([name, *(count(each) for each in (right, missed, alarm, absent_right))])
    header = ["class", "present, decided so", "present, missed", "absent, decided present",
              "absent, decided so"]  # fmt: skip
    return table("Counts of images", header, rows)


def _folds(metrics: Mapping[str, Any]) -> Markup:
    """What cross-validation adds: how figures differ from fold to fold."""
    folds = metrics.get("folds")
    if not folds:
        return Markup()
    number_of = folds.get("folds")
    sentence = "Every image was evaluated by the network that was not trained on it"
    sentence += f", in {number_of} folds: " if number_of else ": "
    rest = {key: value for key, value in folds.items() if key != "folds"}
    return join(
        paragraph(f"{sentence}shares are of all images together, AUROC is the mean of the folds."),
        _spread(rest),
    )


def _spread(values: Mapping[str, Any]) -> Markup:
    """Nested plain values as a list, whatever their names: how folds differ."""
    items = []
    for key, value in values.items():
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            inner = figure(value) if "value" in value else _spread(value)
            items.append(join(f"{name}: ", inner))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            each = [number(v) if isinstance(v, float) else str(v) for v in value]
            items.append(join(f"{name}: {', '.join(each)}"))
        else:
            items.append(join(f"{name}: {number(value) if isinstance(value, float) else value}"))
    return bullets(items)


def _predictive_values(metrics: Mapping[str, Any], classes: Sequence[str]) -> Markup:
    rows = metrics["per_class"]
    shares = [
        f"{name} {rows[name]['support'] / metrics['images']:.0%}"
        for name in classes
        if metrics["images"]
    ]
    here = paragraph(
        f"The predictive values above hold where classes are as frequent as in these images: "
        f"{', '.join(shares)}. Where a disease is rarer, more of the alarms are false."
    )
    values = metrics.get("predictive_values")
    if not values:
        return join(here, absent("Predictive values at other prevalences were not computed."))
    lines = []
    for name, each in values.items():
        for row in each:
            lines.append([name, f"{row['prevalence']:.1%}".replace(".0%", "%"),
                          figure(row.get("ppv"), reason="no alarm"),
                          figure(row.get("npv"), reason="alarms only"),
                          number(row.get("net_benefit")),
                          number(row.get("net_benefit_treat_all"))])  # fmt: skip
    header = ["class", "prevalence", "positive predictive value", "negative predictive value",
              "net benefit", "if all were called positive"]  # fmt: skip
    return join(
        here,
        table("Predictive values by prevalence, with 95 % intervals", header, lines),
        paragraph(
            "They follow from sensitivity and specificity, and hold only where these are the same "
            "elsewhere. Net benefit is the share of images rightly called positive, less those "
            "wrongly called so at the threshold's odds (Vickers and Elkin, 2006). Nobody gains by "
            "the network where it is below 0, or below what calling all positive gives."
        ),
    )


def _recalibration(recalibration: Mapping[str, Any] | None) -> Markup:
    if not recalibration:
        return paragraph("Probabilities are the network's own; they were not recalibrated.")
    where = plural(recalibration["images"], "image")
    if recalibration.get("patients"):
        where += f" of {plural(recalibration['patients'], 'patient')}"
    return paragraph(
        f"Probabilities were recalibrated ({recalibration['method']}) on {where} "
        f"({recalibration['split']})."
    )
