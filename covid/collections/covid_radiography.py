"""COVID-19 Radiography Database (Qatar, Dhaka): a folder per class, a sheet of sources for each."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

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
    read_table,
    some,
    stem_of,
)
from covid.collections.sheet import read_sheet

# Folders, in small letters, and labels; the first release wrote them otherwise.
LABELS = {"covid": "COVID", "covid-19": "COVID", "lung_opacity": "Lung_Opacity",
          "normal": "Normal", "viral pneumonia": "Viral Pneumonia"}  # fmt: skip
# Where an address of the sheets says that an image comes from; other addresses give their host.
SOURCES = {
    "rsna-pneumonia-detection-challenge": "rsna",
    "chest-xray-pneumonia": "kermany",
    "bimcv": "bimcv",
    "ieee8023/covid-chestxray-dataset": "cohen",
    "ml-workgroup/covid-19-image-repository": "ml-workgroup",
    "armiro/covid-cxnet": "covid-cxnet",
    "sirm.org": "sirm",
    "eurorad": "eurorad",
    "figshare": "figshare",
}
# What the database's description says of classes that come from one place alone.
WHOLE = {"Lung_Opacity": "rsna", "Viral Pneumonia": "kermany"}
EXPECTED = (
    "the folders COVID, Lung_Opacity, Normal and Viral Pneumonia (or some of them), each with "
    "images/ and masks/, or images directly"
)


def read(folder: Path, advance: Advance) -> Contents:
    """Every image under its class, with its mask and the collection that it comes from.

    Raises DataError where the layout is another or a sheet is damaged.
    """
    base = find_base(folder, "COVID", "COVID-19", "[Nn]ormal", "NORMAL", "Lung_Opacity",
                     "Viral Pneumonia")  # fmt: skip
    if base is None:
        raise not_recognised(folder, EXPECTED)
    rows, notes, maskless = [], [], []
    for place, label in _classes(base):
        paths = images_below(folder, place / "images" if (place / "images").is_dir() else place)
        masks = by_stem(images_below(folder, place / "masks"))
        sources = _sources(base, place.name)
        if not sources and paths:
            notes.append(_without_sheet(label))
        for path in paths:
            stem = stem_of(path)
            mask = masks.get(stem, "")
            if masks and not mask:
                maskless.append(path)
            source = sources.get(_key(stem), "") if sources else WHOLE.get(label, "")
            rows.append(Row(path, label, source=source, mask=mask))
            advance(1)
    if not rows:
        raise not_recognised(folder, EXPECTED)
    others = set(images_below(folder)) - {row.path for row in rows} - {row.mask for row in rows}
    others = {path for path in others if "/masks/" not in path}
    if others:
        notes.append(
            f"Left out because they are in no class's folder: {counted(len(others), 'image')} "
            f"({some(sorted(others))})."
        )
    if maskless:
        notes.append(f"{counted(len(maskless), 'image')} without a mask ({some(maskless)}).")
    notes.append(
        "No patient is known: images of one patient can fall into two splits, and figures on the "
        "test split may be too good."
    )
    notes.append(
        "Every class comes from other hospitals than the next, as the column source shows, and "
        "parts of it are `kermany`, `rsna` and `cohen`: do not evaluate a network on one that "
        "learnt from the other."
    )
    return Contents(rows, notes)


def _classes(base: Path) -> Iterator[tuple[Path, str]]:
    for place in sorted(base.iterdir()):
        if place.is_dir() and place.name.lower() in LABELS:
            yield place, LABELS[place.name.lower()]


def _key(name: str) -> str:
    """A file's name as sheets and folders agree on it: `NORMAL-1` there is `Normal-1.png` here."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _sources(base: Path, class_folder: str) -> dict[str, str]:
    """`_key` of a file's name -> source, of a class's sheet; empty where there is none."""
    lead = f"{class_folder}.".lower()
    sheets = [
        path for path in sorted(base.iterdir())
        # One of them was published as `.matadata.xlsx`.
        if path.name.lower().startswith((f"{lead}metadata", f"{lead}matadata"))
        and path.suffix.lower() in (".xlsx", ".csv")
    ]  # fmt: skip
    if not sheets:
        return {}
    columns = ("FILE NAME", "URL")
    read_rows = read_sheet if sheets[0].suffix.lower() == ".xlsx" else read_table
    return {
        _key(row["FILE NAME"]): _source(row["URL"]) for row in read_rows(sheets[0], columns)
    }


def _source(address: str) -> str:
    known = (name for part, name in SOURCES.items() if part in address.lower())
    return next(known, urlsplit(address).netloc.removeprefix("www."))


def _without_sheet(label: str) -> str:
    sentence = f"There is no {label}.metadata.xlsx"
    if label in WHOLE:
        return f"{sentence}; by the database's description all of {label} is of {WHOLE[label]}."
    return f"{sentence}, so that the sources of {label}, which are several, are left empty."


COVID_RADIOGRAPHY = Collection(
    name="covid_radiography",
    title="COVID-19 Radiography Database",
    address="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
    citation=(
        "M. E. H. Chowdhury, T. Rahman, A. Khandakar, R. Mazhar, M. A. Kadir et al.: Can AI Help "
        "in Screening Viral and COVID-19 Pneumonia? IEEE Access 8, 132665-132676, 2020. "
        "T. Rahman, A. Khandakar, Y. Qiblawey, A. Tahir, S. Kiranyaz et al.: Exploring the Effect "
        "of Image Enhancement Techniques on COVID-19 Detection Using Chest X-ray Images. "
        "Computers in Biology and Medicine 132, 104319, 2021."
    ),
    terms=(
        "Put together from other collections, whose own terms hold for their images; cite both "
        "papers. See the database's page and its README."
    ),
    expected=EXPECTED,
    read=read,
)
