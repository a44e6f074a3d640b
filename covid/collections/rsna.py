"""RSNA Pneumonia Detection Challenge 2018: DICOM images that radiologists looked at again."""

import json
from pathlib import Path

from covid.collections.collection import (
    Advance,
    Collection,
    Contents,
    Row,
    by_stem,
    counted,
    find_base,
    images_below,
    not_recognised,
    presence_notes,
    read_table,
)
from covid.collections.headers import read_facts
from covid.errors import DataError

LABELS, CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
# Which image of ChestX-ray14 each one is: the only place where patients are known.
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
OPACITY, NO_OPACITY = "Lung Opacity", "No Lung Opacity"
EXPECTED = f"{LABELS} and stage_2_train_images/ with DICOM files"


def read(folder: Path, advance: Advance) -> Contents:
    """Every labelled image that is there, under one of the three classes, without a split.

    Without the table of classes its Target decides between OPACITY and NO_OPACITY. Raises
    DataError where the layout is another or a table is damaged.
    """
    base = find_base(folder, LABELS)
    on_disk = by_stem(images_below(folder))
    if base is None or not on_disk:
        raise not_recognised(folder, EXPECTED)
    targets: dict[str, bool] = {}  # an image has a row for every box
    for box in read_table(base / LABELS, ("patientId", "Target")):
        if box["Target"] not in ("0", "1"):
            raise DataError(f"{base / LABELS}: the Target {box['Target']!r} is neither 0 nor 1.")
        targets[box["patientId"]] = targets.get(box["patientId"], False) or box["Target"] == "1"
    classes = {}
    if (base / CLASSES).is_file():
        classes = {image["patientId"]: image["class"]
                   for image in read_table(base / CLASSES, ("patientId", "class"))}  # fmt: skip
    patients = _patients(base / MAPPING) if (base / MAPPING).is_file() else {}
    rows, absent, unclassed = [], [], 0
    unlisted = dict(on_disk)
    for name, target in targets.items():
        path = unlisted.pop(name, None)
        if path is None:
            absent.append(name)
            continue
        facts = read_facts(folder / path)
        label = classes.get(name)
        unclassed += bool(classes) and label is None
        rows.append(
            Row(
                path,
                label or (OPACITY if target else NO_OPACITY),
                patient=patients.get(name, ""), view=facts.view, sex=facts.sex, age=facts.age,
            )
        )
        advance(1)
    if not rows:
        raise not_recognised(folder, EXPECTED)
    notes = presence_notes(absent, sorted(unlisted.values()))
    if not classes:
        notes.append(
            f"There is no {CLASSES}, so `{NO_OPACITY}` is not told apart into `Normal` and "
            f"`No Lung Opacity / Not Normal`."
        )
    elif unclassed:
        notes.append(f"{counted(unclassed, 'image')} had no row in {CLASSES}.")
    if not patients:
        notes.append(
            f"No patient is known, since patientId names an image: with {MAPPING} of RSNA's page "
            f"beside the tables, images get the patient of ChestX-ray14 that they come from."
        )
    notes.append(
        f"`{OPACITY}` is an opacity that looks like pneumonia. The images are a part of "
        f"ChestX-ray14 (`nih14`): do not evaluate a network on one that learnt from the other."
    )
    return Contents(rows, notes)


def _patients(mapping: Path) -> dict[str, str]:
    """patientId -> ChestX-ray14's Patient ID, with which its image names begin."""
    try:
        images = json.loads(mapping.read_text(encoding="utf-8"))
        return {image["subset_img_id"]: image["img_id"].partition("_")[0].lstrip("0")
                for image in images}  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{mapping}: is not RSNA's list of images; download it again.") from None


RSNA = Collection(
    name="rsna",
    title="RSNA Pneumonia Detection Challenge (2018)",
    address=(
        "https://www.rsna.org/education/ai-resources-and-training/ai-image-challenge/"
        "rsna-pneumonia-detection-challenge-2018"
    ),
    citation=(
        "G. Shih, C. C. Wu, S. S. Halabi, M. D. Kohli, L. M. Prevedello et al.: Augmenting the "
        "National Institutes of Health Chest Radiograph Dataset with Expert Annotations of "
        "Possible Pneumonia. Radiology: Artificial Intelligence 1(1), 2019. "
        "doi:10.1148/ryai.2019180041"
    ),
    terms=(
        "Free for research, education and other purposes, commercial ones too, with attribution: "
        "cite the paper, and the NIH Clinical Center's ChestX-ray14 that the images come from."
    ),
    expected=EXPECTED,
    read=read,
)
