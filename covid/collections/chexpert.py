"""CheXpert: `train.csv`, `valid.csv` and maybe a table of its test set, in any of its layouts."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from covid.collections.collection import (
    Advance,
    Collection,
    Contents,
    Row,
    as_age,
    find_base,
    images_below,
    not_recognised,
    presence_notes,
    read_table,
)
from covid.edge.columns import as_sex
from covid.errors import DataError

# The test set's table has come under both names, later than the others.
TABLES = {"train.csv": "train", "valid.csv": "validation", "test.csv": "test",
          "test_labels.csv": "test"}  # fmt: skip
NO_FINDING, NONE_MENTIONED = "No Finding", "none mentioned"
OBSERVATIONS = (
    NO_FINDING, "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
# patient/study/view without its ending, which no two images share: the folders before them
# differ between the small and the large release, which comes in batches.
KEY = re.compile(r"(patient\d+)/(study\d+)/([^/]+)\.\w+$")
STUDY = re.compile(r"(patient\d+)/(study\d+)$")
EXPECTED = "train.csv or valid.csv, and images such as train/patient00001/study1/view1_frontal.jpg"


def read(folder: Path, advance: Advance) -> Contents:
    """Every listed image that is there: what its report affirms, and in doubt `NAME?`.

    `valid.csv` is the validation split. Raises DataError where the layout is another, a value
    is none of 1, 0, -1 and blank, or an image is there twice.
    """
    base = find_base(folder, "train.csv", "valid.csv")
    on_disk = _by_view(images_below(folder))
    if base is None or not on_disk:
        raise not_recognised(folder, EXPECTED)
    studies = defaultdict(list)
    for key in on_disk:
        studies[key[:2]].append(key)
    rows: dict[str, Row] = {}
    absent = []
    for table, split in TABLES.items():
        if not (base / table).is_file():
            continue
        for image in _rows_of(base / table):
            where = image.get("Path") or image["Study"]
            keys = [key for key in _keys(base / table, where, studies) if key in on_disk]
            if not keys:
                absent.append(where)
            for key in keys:
                path = on_disk[key]
                rows[path] = Row(
                    path,
                    _label(base / table, image),
                    split=split,
                    patient=key[0],
                    view=_view(image, key[2]),
                    sex=as_sex(image.get("Sex", "")),
                    age=as_age(image.get("Age", "")),
                )
            advance(len(keys))
    if not rows:
        raise not_recognised(folder, EXPECTED)
    notes = presence_notes(absent, sorted(set(on_disk.values()) - rows.keys()))
    notes.append(
        "A name with `?` is an observation that the report leaves in doubt; one that it does not "
        "mention is taken for absent."
    )
    if any(row.label == NONE_MENTIONED for row in rows.values()):
        notes.append(
            f"`{NONE_MENTIONED}` stands where no observation is present or in doubt and "
            f"`{NO_FINDING}` is not claimed either; `data.labels` can map it to []."
        )
    return Contents(list(rows.values()), notes)


def _by_view(paths: list[str]) -> dict[tuple[str, str, str], str]:
    views: dict[tuple[str, str, str], str] = {}
    for path in paths:
        if parts := KEY.search(path):
            key = (parts[1], parts[2], parts[3])
            if key in views:
                raise DataError(f"{views[key]} and {path}: are the same view; keep one of them.")
            views[key] = path
    return views


def _rows_of(table: Path) -> Iterator[Mapping[str, str]]:
    """One row per image, or per study where the test set's table says no more."""
    # Peeked at, since either column will do.
    first = next(iter(read_table(table, ())), {})
    return read_table(table, ("Study" if "Study" in first else "Path", *OBSERVATIONS))


def _keys(
    table: Path, where: str, studies: Mapping[tuple[str, str], list[tuple[str, str, str]]]
) -> list[tuple[str, str, str]]:
    if parts := KEY.search(where):
        return [(parts[1], parts[2], parts[3])]
    if parts := STUDY.search(where):
        return studies.get((parts[1], parts[2]), [])
    raise DataError(f"{table}: {where!r} names no patient, study and view.")


def _label(table: Path, image: Mapping[str, str]) -> str:
    names = []
    for name in OBSERVATIONS:
        match image[name]:
            case "1.0" | "1":
                names.append(name)
            case "-1.0" | "-1":
                names.append(f"{name}?")
            case "0.0" | "0" | "":
                pass
            case other:
                raise DataError(f"{table}: {other!r} in column {name} is none of 1, 0, -1.")
    return "|".join(names) or NONE_MENTIONED


def _view(image: Mapping[str, str], name: str) -> str:
    if "lateral" in (image.get("Frontal/Lateral") or name).lower():
        return "lateral"
    position = image.get("AP/PA", "")
    return position if position in ("AP", "PA") else ""  # a few say LL or RL of a frontal view


CHEXPERT = Collection(
    name="chexpert",
    title="CheXpert",
    address="https://stanfordmlgroup.github.io/competitions/chexpert/",
    citation=(
        "J. Irvin, P. Rajpurkar, M. Ko, Y. Yu, S. Ciurea-Ilcus, C. Chute et al.: CheXpert: A "
        "Large Chest Radiograph Dataset with Uncertainty Labels and Expert Comparison. AAAI 2019, "
        "pp. 590-597. doi:10.1609/aaai.v33i01.3301590"
    ),
    terms=(
        "Stanford University's research use agreement, which everybody accepts for themselves "
        "before downloading: personal, non-commercial research; images are not passed on."
    ),
    expected=EXPECTED,
    read=read,
)
