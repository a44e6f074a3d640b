"""NIH ChestX-ray14: `Data_Entry_2017*.csv`, the lists of its split, images in any folders."""

from pathlib import Path

from covid.collections.collection import (
    Advance,
    Collection,
    Contents,
    Row,
    as_age,
    by_stem,
    find_base,
    images_below,
    not_recognised,
    presence_notes,
    read_table,
    stem_of,
)
from covid.edge.columns import as_sex
from covid.errors import DataError

TABLE = "Data_Entry_2017*.csv"
# Which images are for training and validation together, and which for testing.
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
EXPECTED = f"{TABLE} and its PNG images, in images/ or images_001/images/ and so on"


def read(folder: Path, advance: Advance) -> Contents:
    """Every listed image that is there, with all its findings and the official split.

    Raises DataError where the layout is another, or two images bear one name.
    """
    base = find_base(folder, TABLE)
    on_disk = by_stem(images_below(folder))
    if base is None or not on_disk:
        raise not_recognised(folder, EXPECTED)
    split_of, notes = _splits(base)
    rows, absent, ages = [], [], 0
    unlisted = dict(on_disk)
    for image in read_table(
        sorted(base.glob(TABLE))[-1],  # the corrected one of 2020 comes after that of 2017
        ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position"),
    ):
        name = stem_of(image["Image Index"])
        path = unlisted.pop(name, None)
        if path is None:
            absent.append(image["Image Index"])
            continue
        age = as_age(image["Patient Age"])
        ages += not age and bool(image["Patient Age"])
        # The column was renamed in 2020.
        sex = image.get("Patient Gender") or image.get("Patient Sex", "")
        rows.append(
            Row(
                path,
                image["Finding Labels"],
                split=split_of.get(name, ""),
                patient=image["Patient ID"],
                view=image["View Position"],
                sex=as_sex(sex),
                age=age,
            )
        )
        advance(1)
    if not rows:
        raise not_recognised(folder, EXPECTED)
    notes += presence_notes(absent, sorted(unlisted.values()))
    if ages:
        notes.append(f"Ages above 120 years or not understood, left empty: {ages:,}.")
    notes.append(
        "Labels were read from reports by a program, with more than 90 % of them right by its "
        "authors' account."
    )
    return Contents(rows, notes)


def _splits(base: Path) -> tuple[dict[str, str], list[str]]:
    """A split for every listed image's name without its ending, and notes."""
    missing = [name for name in LISTS if not (base / name).is_file()]
    if missing:
        return {}, [f"There is no {' and no '.join(missing)}, so the official split is not known."]
    split_of: dict[str, str] = {}
    for name, split in LISTS.items():
        try:
            lines = (base / name).read_text(encoding="utf-8-sig").split()
        except UnicodeDecodeError:
            raise DataError(f"{base / name}: is not text; download it again.") from None
        split_of |= {stem_of(line): split for line in lines}
    return split_of, []


NIH14 = Collection(
    name="nih14",
    title="NIH ChestX-ray14",
    address="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    citation=(
        "X. Wang, Y. Peng, L. Lu, Z. Lu, M. Bagheri, R. M. Summers: ChestX-ray8: Hospital-scale "
        "Chest X-ray Database and Benchmarks on Weakly-Supervised Classification and Localization "
        "of Common Thorax Diseases. IEEE CVPR 2017, pp. 3462-3471."
    ),
    terms=(
        "Free to use without restriction; name the NIH Clinical Center as the provider, link to "
        "its download page and cite the paper."
    ),
    expected=EXPECTED,
    read=read,
)
