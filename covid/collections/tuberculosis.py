"""What the two tuberculosis sets of the National Library of Medicine have in common."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from covid.collections.collection import (
    Advance,
    Contents,
    Row,
    as_age,
    by_stem,
    images_below,
    not_recognised,
)

LABELS = {"0": "normal", "1": "tuberculosis"}  # by the last digit of an image's name
MASK_FOLDERS = ("mask", "masks")  # of both lungs in one picture
ONE_LUNG_FOLDERS = ("leftmask", "rightmask")
# "Patient's Sex: F", "male 45yrs", "femal 32yrs", "Female,24yrs", "female24yrs"
SEX = re.compile(r"(?:Sex:|^)\s*([MF])(?:\b|ale|emal)", re.IGNORECASE)
# "Patient's Age: 027Y", "male 45yrs", "male , 29yrs", "male 16month", "female 64days"
AGE = re.compile(r"(?:Age:|male?)\W*(\d+)\s*([dwmy])", re.IGNORECASE)


def read_tuberculosis(
    folder: Path,
    advance: Advance,
    *,
    prefix: str,
    expected: str,
    same_patient: Mapping[str, str] | None = None,
) -> Contents:
    """Images called PREFIX_NUMBER_0 (normal) or _1 (tuberculosis), anywhere below `folder`.

    Sex and age (whole years) are from the clinical reading of the image's name, if it is there;
    the mask is `NAME.png` or `NAME_mask.png` in a folder `mask` or `masks`. The patient is the
    number, or the one that `same_patient` gives for it. Raises DataError where no image is there,
    or two bear one name.
    """
    pattern = re.compile(rf"{prefix}_\d+_[01]")
    masks: dict[str, str] = {}
    own: list[str] = []
    others = 0
    for path in images_below(folder):
        parents = {part.lower() for part in PurePosixPath(path).parent.parts}
        stem = PurePosixPath(path).stem
        if parents.intersection(MASK_FOLDERS):
            masks[stem.removesuffix("_mask")] = path
        elif parents.isdisjoint(ONE_LUNG_FOLDERS):
            if pattern.fullmatch(stem):
                own.append(path)
            else:
                others += 1
    if not own:
        raise not_recognised(folder, expected)
    images = by_stem(own)
    readings = {path.stem: path for path in folder.rglob("*.txt") if pattern.fullmatch(path.stem)}
    rows = []
    unclear = 0
    for stem, path in images.items():
        sex = age = ""
        if stem in readings:
            sex, age = read_reading(readings[stem].read_text("utf-8-sig", errors="replace"))
            unclear += not (sex and age)
        _, number, digit = stem.split("_")
        patient = (same_patient or {}).get(number, number)
        rows.append(
            Row(path, LABELS[digit], patient=patient, sex=sex, age=age, mask=masks.get(stem, ""))
        )
        advance(1)
    said = (
        (len(readings.keys() - images), "clinical readings are of images that are not there."),
        (len(images.keys() - readings), "images have no clinical reading, so no sex and age."),
        (unclear, "clinical readings do not say both sex (M or F) and age (with its unit)."),
        (len(images.keys() - masks), "images have no mask of both lungs."),
        (others, f"images are left out: they are not called {prefix}_NUMBER_0 or _1."),
    )
    return Contents(rows, [f"{count} {sentence}" for count, sentence in said if count])


def read_reading(text: str) -> tuple[str, str]:
    """Sex (M or F) and age in whole years of a clinical reading; empty where it is not said.

    A number without a unit is no age: most are years, but some are months or days.
    """
    sex, age = SEX.search(text.strip()), AGE.search(text)
    return (sex[1].upper() if sex else ""), as_age(f"{age[1]}{age[2]}") if age else ""
