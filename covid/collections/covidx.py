"""COVIDx CXR: images of many sources, in one folder and one text file a split."""

from collections import Counter, defaultdict
from collections.abc import Collection as Container
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from covid.collections.collection import (
    Advance,
    Collection,
    Contents,
    Row,
    images_below,
    not_recognised,
)
from covid.edge.images import image_endings
from covid.errors import DataError

# What its lists and folders of images are called -> our split.
MISSPELT = {"rnsa": "rsna"}  # as COVIDx 9 and CXR-2 and later write the source of some images
EXPECTED = (
    "train.txt and test.txt (val.txt too, where there is one; older ones are called "
    "train_split.txt or train_COVIDx….txt) beside the folders train/, val/ and test/"
)


class Entry(NamedTuple):
    """One line of a list."""

    patient: str
    file: str
    label: str
    source: str  # empty in lists before COVIDx 5


def read_covidx(folder: Path, advance: Advance) -> Contents:
    """Labels and sources as its lists have them; the patient is led by the source.

    Patients are numbered by each source for itself: 5 of `cohen` is not 5 of `sirm`.
    Raises DataError where no listed image is there, or two lists are of one split.
    """
    rows: list[Row] = []
    notes: list[str] = []
    for name, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        images = [path.removeprefix(f"{name}/") for path in images_below(folder, folder / name)]
        path = _list_of(folder, name)
        if path is not None:
            taken, said = _rows_of_split(path, name, split, images, advance)
            rows += taken
            notes += said
        elif images:
            notes.append(
                f"{len(images)} images in {name}/ are left out, because there is no {name}.txt."
            )
    if not rows:
        raise not_recognised(folder, EXPECTED)
    if not any(row.source for row in rows):
        notes.append(
            "These lists name no sources: two patients of one number, each of another source, are "
            "taken for one."
        )
    return Contents(rows, notes)


def _list_of(folder: Path, name: str) -> Path | None:
    """The list of a split; it may lie in labels/, as in the repository of COVID-Net."""
    if (folder / f"{name}.txt").is_file():
        return folder / f"{name}.txt"
    lists = sorted([*folder.glob(f"{name}_*.txt"), *folder.glob(f"labels/{name}_*.txt")])
    if len(lists) > 1:
        others = ", ".join(path.relative_to(folder).as_posix() for path in lists)
        raise DataError(f"{folder}: {others} all list the images of {name}/; keep one of them.")
    return lists[0] if lists else None


def _rows_of_split(
    path: Path, name: str, split: str, images: Sequence[str], advance: Advance
) -> tuple[list[Row], list[str]]:
    """Rows of one list and what is to be said of them; `images` are relative to the split's."""
    on_disk = set(images)
    lines = _lines(path)
    parsed = [_entry(line.split(), on_disk) for line in lines]
    entries = [entry for entry in parsed if entry is not None]
    listed = {entry.file for entry in entries}
    stems = Counter(Path(image).stem for image in on_disk - listed)
    spare = {Path(i).stem: i for i in on_disk - listed if stems[Path(i).stem] == 1}
    of_image: dict[str, list[Entry]] = defaultdict(list)
    missing = 0
    for entry in entries:
        advance(1)
        image = entry.file if entry.file in on_disk else spare.get(Path(entry.file).stem)
        if image is None:
            missing += 1
        else:
            of_image[image].append(entry)
    rows = [
        Row(
            path=f"{name}/{image}", label=same[0].label, split=split,
            patient=_patient(same[0]), source=same[0].source,
        )
        for image, same in of_image.items()
        if len({entry.label for entry in same}) == 1
    ]  # fmt: skip
    repeated = sum(len(same) - 1 for same in of_image.values())
    where = path.name
    said = (
        (missing, f"of {len(entries)} images that {where} lists are not in {name}/: left out."),
        (len(on_disk) - len(of_image), f"images in {name}/ are not listed in {where}: left out."),
        (len(lines) - len(entries), f"lines of {where} are not `patient file class source`."),
        (len(of_image) - len(rows), f"images have two classes in {where}: left out."),
        (repeated, f"lines of {where} name an image that an earlier line names."),
    )
    return rows, [f"{count} {sentence}" for count, sentence in said if count]


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; download it again.") from None
    return [line for line in text.splitlines() if line.strip()]


def _entry(words: Sequence[str], on_disk: Container[str]) -> Entry | None:
    """`patient file class [source]`; None where it is not that.

    Patients and files of some versions hold spaces: the file ends with the last word that has an
    image's ending, and begins where that names a file on disk; else it is that word.
    """
    ends = [i for i, word in enumerate(words) if Path(word).suffix.lower() in image_endings()]
    if not ends or ends[-1] == 0 or len(words) - ends[-1] not in (2, 3):
        return None
    label, source = (*words[ends[-1] + 1 :], "")[:2]
    patient, file = next(
        (halves for halves in _halves(words[: ends[-1] + 1]) if halves[1] in on_disk),
        (" ".join(words[: ends[-1]]), words[ends[-1]]),
    )
    return Entry(patient, file, label, MISSPELT.get(source, source))


def _halves(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place in range(1, len(words)):
        yield " ".join(words[:place]), " ".join(words[place:])


def _patient(entry: Entry) -> str:
    return f"{entry.source} {entry.patient}" if entry.source else entry.patient


COVIDX = Collection(
    name="covidx",
    title="COVIDx CXR",
    address="https://www.kaggle.com/datasets/andyczhao/covidx-cxr2",
    citation=(
        "Y. Wu, H. Gunraj, C.-e. A. Tai, A. Wong: COVIDx CXR-4: An Expanded Multi-Institutional "
        "Open-Source Benchmark Dataset for Chest X-ray Image-Based Computer-Aided COVID-19 "
        "Diagnostics, arXiv:2311.17677, 2023; L. Wang, Z. Q. Lin, A. Wong: COVID-Net, Scientific "
        "Reports 10, 19549, 2020"
    ),
    terms=(
        "For research. Each source keeps its own terms, and some forbid commercial use: look up "
        "those of every source that you use. Positives and negatives come mostly from different "
        "sources, which a network can learn instead of the disease."
    ),
    expected=EXPECTED,
    read=read_covidx,
)
