"""VinDr-CXR: three radiologists an image of train, a consensus of five for test."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from covid.collections.collection import (
    Advance,
    Collection,
    Contents,
    Row,
    by_stem,
    images_below,
    not_recognised,
    read_table,
)
from covid.collections.headers import read_facts
from covid.errors import DataError

EXPECTED = (
    "annotations/image_labels_train.csv and image_labels_test.csv beside train/ and test/ "
    "(PhysioNet), or train.csv beside train/ (Kaggle)"
)
PRESENT = {"1": True, "1.0": True, "0": False, "0.0": False, "": False}
RENAMED = {"Other disease": "Other diseases"}  # one column, called differently for test
# image -> label -> the readers who gave it; every reader of the image is under EVERY_READER.
Votes = dict[str, dict[str, set[str]]]
EVERY_READER = ""


def read_vindr(folder: Path, advance: Advance) -> Contents:
    """Labels that most readers of an image gave; those of half of them or fewer are doubtful.

    All images are postero-anterior, as its publishers say. Kaggle labels only part of them, all
    called train, so those have no split. Raises DataError where no labelled image is there.
    """
    rows: list[Row] = []
    notes: list[str] = []
    at_kaggle = True
    for split in ("train", "test"):
        table = _table(folder, split)
        if table is not None:
            at_kaggle = False
            taken, said = _rows_of_split(folder, split, split, _published(table, advance))
            rows += taken
            notes += said
    if at_kaggle and (folder / "train.csv").is_file():
        rows, notes = _rows_of_split(folder, "train", "", _boxes(folder / "train.csv", advance))
        if unlabelled := len(images_below(folder, folder / "test")):
            notes.append(f"{unlabelled} images in test/ are left out: Kaggle labels none of them.")
    if not rows:
        raise not_recognised(folder, EXPECTED)
    notes += [
        "A label that at most half of an image's readers gave is doubtful and ends in `?`.",
        "Its tables do not say which images are of one patient, so a split cannot be by patient.",
    ]
    return Contents(rows, notes)


def _table(folder: Path, split: str) -> Path | None:
    name = f"image_labels_{split}.csv"
    places = (folder / "annotations" / name, folder / name)
    return next((path for path in places if path.is_file()), None)


def _published(table: Path, advance: Advance) -> Votes:
    """PhysioNet's: a row for each image and reader (test: each image), 0 or 1 for each label."""
    votes: Votes = defaultdict(lambda: defaultdict(set))
    for row in read_table(table, ["image_id", "No finding"]):
        reader = row.get("rad_id", "consensus")
        votes[row["image_id"]][EVERY_READER].add(reader)
        for label, value in row.items():
            if label in ("", "image_id", "rad_id"):
                continue
            if value not in PRESENT:
                raise DataError(
                    f"{table}: {label} of {row['image_id']} is {value}, neither 0 nor 1; download "
                    f"it again."
                )
            if PRESENT[value]:
                votes[row["image_id"]][RENAMED.get(label, label)].add(reader)
        advance(1)
    return votes


def _boxes(table: Path, advance: Advance) -> Votes:
    """Kaggle's: a row for each box that a reader drew, and one where a reader found nothing."""
    votes: Votes = defaultdict(lambda: defaultdict(set))
    for row in read_table(table, ["image_id", "class_name", "rad_id"]):
        for label in (EVERY_READER, row["class_name"]):
            votes[row["image_id"]][label].add(row["rad_id"])
        advance(1)
    return votes


def _rows_of_split(
    folder: Path, name: str, split: str, votes: Votes
) -> tuple[list[Row], list[str]]:
    """Rows of the images in folder `name`, and what is to be said of them."""
    images = by_stem(images_below(folder, folder / name))
    rows = []
    for image, given in votes.items():
        if image in images and (label := "|".join(_labels(given))):
            facts = read_facts(folder / images[image])
            rows.append(
                Row(images[image], label, split, view="PA", sex=facts.sex, age=facts.age)
            )
    listed = len(images.keys() & votes)
    said = (
        (len(votes) - listed, f"of {len(votes)} labelled images are not in {name}/: left out."),
        (len(images) - listed, f"images in {name}/ have no labels: left out."),
        (listed - len(rows), f"images in {name}/ have neither a label nor `No finding`: left out."),
    )
    return rows, [f"{count} {sentence}" for count, sentence in said if count]


def _labels(given: dict[str, set[str]]) -> Iterator[str]:
    readers = len(given[EVERY_READER])
    for label, by in given.items():
        if label != EVERY_READER:
            yield label if 2 * len(by) > readers else f"{label}?"


VINDR = Collection(
    name="vindr",
    title="VinDr-CXR",
    address="https://physionet.org/content/vindr-cxr/",
    citation=(
        "H. Q. Nguyen et al.: VinDr-CXR: An open dataset of chest X-rays with radiologist's "
        "annotations, Scientific Data 9, 429, 2022; PhysioNet, doi:10.13026/3akn-b287, 2021"
    ),
    terms=(
        "PhysioNet gives it to credentialed users who have done a course on research with human "
        "subjects and signed its agreement: research only, not to be passed on, no attempt to "
        "identify anyone. Kaggle's part is under the rules of its competition, not commercial."
    ),
    expected=EXPECTED,
    read=read_vindr,
)
