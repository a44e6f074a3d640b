"""Kermany et al. 2018: children's chest X-rays, as Mendeley Data or Kaggle give them."""

import re
from pathlib import Path

from covid.collections.collection import (
    SPLIT_NAMES,
    Advance,
    Collection,
    Contents,
    Row,
    counted,
    images_below,
    not_recognised,
    some,
)

PLACE = re.compile(r"(?:^|/)(train|val|test)/(NORMAL|PNEUMONIA)/([^/]+)$", re.IGNORECASE)
KIND = re.compile(r"^(bacteria|virus)-|_(bacteria|virus)_", re.IGNORECASE)
# Kaggle's two kinds of name, then Mendeley's: disease, patient, number of the patient's image.
PATIENT = (
    re.compile(r"^(person\d+)_"),
    # Two series of healthy children, `IM-` and `NORMAL2-IM-`, share many numbers. Nothing says
    # that they count different children, so that one number is one patient.
    re.compile(r"^(?:NORMAL2-)?(IM-\d+)-"),
    re.compile(r"^(?:BACTERIA|VIRUS|NORMAL)-(\d+)-\d+"),
)
EXPECTED = "chest_xray/ with train/NORMAL/, train/PNEUMONIA/, test/NORMAL/ and test/PNEUMONIA/"


def read(folder: Path, advance: Advance) -> Contents:
    """Every image of the official splits: normal, bacteria or virus, and its patient by name.

    Raises DataError where the layout is another.
    """
    rows: dict[tuple[str, ...], Row] = {}
    copies, others = [], []
    # Shallow ones first: Kaggle's archive holds all images once more, a folder deeper.
    for path in sorted(images_below(folder), key=lambda path: (path.count("/"), path)):
        advance(1)
        place = PLACE.search(path)
        if place is None:
            others.append(path)
            continue
        split, kind, name = SPLIT_NAMES[place[1].lower()], place[2].lower(), place[3]
        key = (split, kind, name)
        if key in rows:
            copies.append(path)
            continue
        rows[key] = Row(path, _label(kind, name), split, patient=_patient(name), view="AP")
    if not rows:
        raise not_recognised(folder, EXPECTED)
    notes = []
    if copies:
        notes.append(
            f"Listed once though they are there twice: {counted(len(copies), 'image')} "
            f"({some(copies)})."
        )
    if others:
        notes.append(
            f"Left out because they are in none of the collection's folders: "
            f"{counted(len(others), 'image')} ({some(others)})."
        )
    if any(row.label == "pneumonia" for row in rows.values()):
        notes.append("`pneumonia` stands where a file's name says neither bacteria nor virus.")
    notes.append(
        "The published task is normal against pneumonia: in `data.labels`, "
        "{normal: [normal], bacteria: [pneumonia], virus: [pneumonia]}."
    )
    notes.append(
        "A number in a file's name is taken for a patient, in all splits and series; whether it "
        "is one is nowhere said of Kaggle's names. All are children of one to five years, from "
        "one hospital."
    )
    return Contents(list(rows.values()), notes)


def _label(kind: str, name: str) -> str:
    if kind == "normal":
        return "normal"
    cause = KIND.search(name)
    return (cause[1] or cause[2]).lower() if cause else "pneumonia"


def _patient(name: str) -> str:
    return next((parts[1] for pattern in PATIENT if (parts := pattern.match(name))), "")


KERMANY = Collection(
    name="kermany",
    title="Chest X-ray images of children (Kermany et al. 2018)",
    address="https://data.mendeley.com/datasets/rscbjbr9sj",
    citation=(
        "D. S. Kermany, M. Goldbaum, W. Cai, C. C. S. Valentim, H. Liang et al.: Identifying "
        "Medical Diagnoses and Treatable Diseases by Image-Based Deep Learning. Cell 172(5), "
        "1122-1131, 2018. doi:10.1016/j.cell.2018.02.010; data: doi:10.17632/rscbjbr9sj"
    ),
    terms="CC BY 4.0: free to use and change, with attribution.",
    expected=EXPECTED,
    read=read,
)
