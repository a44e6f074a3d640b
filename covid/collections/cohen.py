"""covid-chestxray-dataset (Cohen et al. 2020): `metadata.csv` and `images/` of many publishers."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from covid.collections.collection import (
    Advance,
    Collection,
    Contents,
    Row,
    as_age,
    counted,
    find_base,
    images_below,
    not_recognised,
    presence_notes,
    read_table,
    stem_of,
)
from covid.edge.columns import as_sex

TABLE, IMAGES = "metadata.csv", "images"
UNDECIDED = ("", "todo", "unknown")  # findings that say nothing
VIEWS = {"L": "lateral"}  # the other views' names are kept
EXPECTED = f"{TABLE} and {IMAGES}/"


def read(folder: Path, advance: Advance) -> Contents:
    """Every radiograph with a finding: its last part, the place it comes from; no split.

    Raises DataError where the layout is another.
    """
    base = find_base(folder, TABLE)
    if base is None or not (base / IMAGES).is_dir():
        raise not_recognised(folder, EXPECTED)
    paths = images_below(folder, base / IMAGES)
    on_disk = _by_name(paths)
    rows: dict[str, Row] = {}
    absent, licences, left_out = [], Counter[str](), Counter[str]()
    listed = set()
    for image in read_table(
        base / TABLE, ("patientid", "sex", "age", "finding", "view", "modality", "filename")
    ):
        finding, name = image["finding"], image["filename"]
        path = on_disk.get(name) or on_disk.get(stem_of(name))
        listed.add(path)
        if image["modality"].lower() != "x-ray":
            left_out[f"of the modality {image['modality'] or 'unknown'}"] += 1
        elif finding.lower() in UNDECIDED:
            left_out[f"of the finding {finding or 'unknown'}"] += 1
        elif path is None:
            absent.append(name)
        elif path not in rows:
            rows[path] = Row(
                path,
                _label(finding),
                patient=image["patientid"],
                view=VIEWS.get(image["view"], image["view"]),
                sex=as_sex(image["sex"]),
                age=as_age(image["age"]),
                source=" ".join(image.get("location", "").split()),
            )
            licences[image.get("license") or "not stated"] += 1
            advance(1)
        else:
            left_out["that repeat another row's image"] += 1
    if not rows:
        raise not_recognised(folder, EXPECTED)
    notes = presence_notes(absent, [path for path in paths if path not in listed])
    notes += [f"Left out: {counted(number, 'row')} {why}." for why, number in left_out.items()]
    notes.append("Licences of the images: " + "; ".join(
        f"{name}: {number:,}" for name, number in licences.most_common()) + ".")  # fmt: skip
    notes.append(
        "A label is the last part of the finding, such as COVID-19 of Pneumonia/Viral/COVID-19; "
        "source is the hospital or place."
    )
    return Contents(list(rows.values()), notes)


def _by_name(paths: Sequence[str]) -> dict[str, str]:
    """Images by their file's name and, where only one has it, by that without its ending."""
    stems = Counter(map(stem_of, paths))
    alone = {stem_of(path): path for path in paths if stems[stem_of(path)] == 1}
    return alone | {path.rpartition("/")[2]: path for path in paths}


def _label(finding: str) -> str:
    """The last part of each path; several findings are separated by a comma in old copies."""
    leaves = [path.strip(" /").rpartition("/")[2].strip() for path in finding.split(",")]
    return "|".join(dict.fromkeys(leaf for leaf in leaves if leaf))


COHEN = Collection(
    name="cohen",
    title="COVID-19 image data collection (covid-chestxray-dataset)",
    address="https://github.com/ieee8023/covid-chestxray-dataset",
    citation=(
        "J. P. Cohen, P. Morrison, L. Dao, K. Roth, T. Q. Duong, M. Ghassemi: COVID-19 Image Data "
        "Collection: Prospective Predictions Are the Future. arXiv:2006.11988, 2020."
    ),
    terms=(
        "Every image has its own licence, in the column license of metadata.csv (among them "
        "Apache 2.0, CC BY-NC-SA 4.0, CC BY 4.0); the table itself is CC BY-NC-SA 4.0. Its authors "
        "ask not to claim diagnostic performance without a clinical study."
    ),
    expected=EXPECTED,
    read=read,
)
