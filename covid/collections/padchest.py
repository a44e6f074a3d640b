"""PadChest: 160,000 images of one Spanish hospital, labelled from their reports."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

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
from covid.errors import DataError

TABLE = "PADCHEST_chest_x_ray_images_labels*.csv"
EXPECTED = (
    "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv, and its images beside it or in folders "
    "0/ to 54/"
)
COLUMNS = (
    "ImageID", "StudyDate_DICOM", "PatientID", "PatientBirth", "PatientSex_DICOM", "Projection",
    "Labels",
)  # fmt: skip
# Said of a study or its report, not found in it: an image that has nothing else is unlabelled.
REMARKS = ("exclude", "unchanged", "suboptimal study")
QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
OLDEST = 120  # years; a difference of years outside 0..120 is a slip in one of the dates
VIEWS = {"L": "lateral", "AP_horizontal": "AP Supine"}  # as other collections name them


def read_padchest(folder: Path, advance: Advance) -> Contents:
    """Labels without REMARKS, patient, projection, sex, and age as a difference of years.

    Raises DataError where no labelled image is there, its table is not, or two images bear one
    name.
    """
    table = _table(folder)
    images = by_stem(images_below(folder))
    rows = []
    listed = set()
    counts: Counter[str] = Counter()
    for row in read_table(table, COLUMNS):
        advance(1)
        stem = PurePosixPath(row["ImageID"]).stem
        if stem in listed:
            counts["repeated"] += 1
            continue
        listed.add(stem)
        written = read_labels(row["Labels"])
        labels = [label for label in written if label not in REMARKS]
        if stem not in images:
            counts["missing"] += 1
        elif row["Projection"] == "EXCLUDE":
            counts["excluded"] += 1
        elif not labels:
            counts["remarks" if written else "unlabelled"] += 1
        else:
            cells = [label.replace("|", "/").rstrip("?") for label in labels]
            counts["renamed"] += cells != labels
            counts["read by a network"] += row.get("MethodLabel", "").startswith("RNN")
            rows.append(
                Row(
                    images[stem], "|".join(cells), patient=row["PatientID"],
                    view=VIEWS.get(row["Projection"], row["Projection"]), sex=_sex(row),
                    age=_age(row), source=row.get("Manufacturer_DICOM", ""),
                )
            )  # fmt: skip
    if not rows:
        raise not_recognised(folder, EXPECTED)
    said = (
        (counts["missing"], f"of {len(listed)} images that {table.name} lists are not there."),
        (len(images.keys() - listed), f"images are not listed in {table.name}: left out."),
        (counts["excluded"], "images are left out: their projection is EXCLUDE."),
        (counts["unlabelled"], "images are left out: they have no labels."),
        (counts["remarks"], f"images are left out: all they have is {' or '.join(REMARKS)}."),
        (counts["repeated"], f"rows of {table.name} are of an image that an earlier row is of."),
        (counts["renamed"], "images have labels with | (now /) or a ? at the end (now without)."),
        (counts["read by a network"], f"of {len(rows)} reports were labelled by a network."),
    )
    notes = [f"{count} {sentence}" for count, sentence in said if count]
    return Contents(rows, [*notes, f"The labels {', '.join(REMARKS)} are dropped."])


def read_labels(text: str) -> list[str]:
    """The labels of a cell such as "['normal', ' unchanged']", each once, without outer spaces."""
    labels = (" ".join((single or double).split()) for single, double in QUOTED.findall(text))
    return [label for label in dict.fromkeys(labels) if label]


def _table(folder: Path) -> Path:
    tables = sorted(folder.glob(TABLE))
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(f"{folder}: holds {names}; keep one of them.")
    if tables:
        return tables[0]
    if packed := sorted(folder.glob(f"{TABLE}.gz")):
        raise DataError(f"{packed[0]}: is packed; unpack it with gunzip.")
    raise not_recognised(folder, EXPECTED)


def _sex(row: Mapping[str, str]) -> str:
    return row["PatientSex_DICOM"] if row["PatientSex_DICOM"] in ("M", "F") else ""


def _age(row: Mapping[str, str]) -> str:
    """Years between the year of birth ("1950" or "1950.0") and that of the study ("20140131")."""
    study, birth = row["StudyDate_DICOM"][:4], row["PatientBirth"][:4]
    if not (re.fullmatch(r"\d{4}", study) and re.fullmatch(r"\d{4}", birth)):
        return ""
    age = int(study) - int(birth)
    return str(age) if 0 <= age <= OLDEST else ""


PADCHEST = Collection(
    name="padchest",
    title="PadChest",
    address="https://bimcv.cipf.es/bimcv-projects/padchest/",
    citation=(
        "A. Bustos, A. Pertusa, J.-M. Salinas, M. de la Iglesia-Vayá: PadChest: A large chest "
        "x-ray image dataset with multi-label annotated reports, Medical Image Analysis 66, "
        "101797, 2020"
    ),
    terms=(
        "For research, after registering at BIMCV and accepting its agreement: not commercial, "
        "not to be passed on, no attempt to identify anyone."
    ),
    expected=EXPECTED,
    read=read_padchest,
)
