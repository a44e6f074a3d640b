"""DICOM files of one's own, as a hospital's archive exports them: their headers to a manifest."""

import hashlib
import hmac
import importlib.util
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from covid.collections.collection import (
    NOT_ENTERED,
    SPLIT_NAMES,
    Advance,
    Collection,
    Contents,
    Row,
    not_recognised,
    read_table,
    refuse,
)
from covid.collections.headers import ATTRIBUTES as HEADER_ATTRIBUTES
from covid.collections.headers import OLDEST, OVER, facts_of, text_of
from covid.edge.dicom import ENDINGS
from covid.edge.dicom_header import (
    TRAIT_ATTRIBUTES,
    Traits,
    read_attributes,
    sentences,
    traits_of,
)
from covid.edge.images import image_endings
from covid.errors import DataError, ImageError, StorageError

LABELS, KEY = "labels.csv", ".patient-key"
KEY_BYTES = 32  # as long as SHA-256's output, beyond which a longer key adds nothing (RFC 2104)
HASH_DIGITS = 16  # hexadecimal: among a million patients two alike come with 1 in 37 million
MAX_SOURCE = 64  # characters that an attribute of this kind may have

# What leads to a person, looked for in paths and written nowhere.
PERSONAL = ("PatientID", "PatientName", "PatientBirthDate", "AccessionNumber", "OtherPatientIDs")
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
ATTRIBUTES: tuple[str | int, ...] = (
    *TRAIT_ATTRIBUTES, *PERSONAL, *UIDS, *HEADER_ATTRIBUTES, "Manufacturer",
    "ManufacturerModelName",
)  # fmt: skip
EXPECTED = (
    f"DICOM files in folders named after their labels, such as FOLDER/normal/…, or a {LABELS} "
    f"with the columns path,label beside them"
)


class Place(NamedTuple):
    """What is said of an image beside its header."""

    label: str
    split: str


def read(folder: Path, advance: Advance) -> Contents:
    """A row of every DICOM image below `folder`. See Collection.

    Of a person only sex, age and a keyed hash of the patient's number go into rows and notes;
    the key is made once and stays in `folder`. Raises DataError, StorageError.
    """
    if importlib.util.find_spec("pydicom") is None:
        raise DataError(
            f"{folder}: headers are read by pydicom; `pip install '.[dicom]'` in the project's "
            f"folder, or pip install pydicom."
        )
    listed = _listed(folder) if (folder / LABELS).is_file() else None
    rows: list[Row] = []
    traits: list[Traits] = []
    counts: Counter[str] = Counter()
    key: bytes | None = None
    for name in _files(folder):
        try:
            header = read_attributes(folder / name, ATTRIBUTES)
        except ImageError:  # it may quote the header
            counts["unreadable"] += 1
            continue
        finally:
            advance(1)
        if header is None:
            counts["others"] += 1
            continue
        if "Rows" not in header:
            counts["no picture"] += 1
            continue
        place = listed.pop(name, None) if listed is not None else _place_of(folder, name)
        if place is None:
            counts["unlisted"] += 1
            continue
        number = text_of(header, "PatientID")
        if number:
            key = key or _key(folder)
        patient = _hash(key, number) if key and number else ""
        if listed is None and _leads_to(place.label, header, (*PERSONAL, *UIDS)):
            raise DataError(
                f"{folder}: a folder that would be a label is called after the patient's name, "
                f"number or birth date, or a UID, and no such thing is written anywhere; list the "
                f"files in {folder / LABELS} with the columns path,label."
            )
        facts = facts_of(header)
        rows.append(
            Row(
                name, place.label, split=place.split, patient=patient, view=facts.view,
                sex=facts.sex, age=facts.age, source=_source(header),
            )
        )  # fmt: skip
        traits.append(traits_of(header))
        counts["no number"] += not number
        counts["over"] += facts.age == OVER
        counts["personal paths"] += _leads_to(name, header, PERSONAL)
        counts["uid paths"] += _leads_to(name, header, UIDS)
    if listed:
        raise DataError(
            f"{folder / LABELS}: {len(listed)} of its rows name no DICOM file with a picture, the "
            f"first {min(listed)}; correct the paths, which start at {folder}."
        )
    if not rows:
        raise not_recognised(folder, EXPECTED)
    return Contents(rows, [*_notes(rows, counts), *sentences(traits)])


def _files(folder: Path) -> Iterator[str]:
    """Files that may be DICOM, by name in order, relative with '/'; hidden ones not."""
    names = []
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(NOT_ENTERED)]
        below = Path(place).relative_to(folder)
        names += [(below / name).as_posix() for name in files if not name.startswith(".")]
    for name in sorted(names):
        ending = os.path.splitext(name)[1].lower()
        if ending in ENDINGS or ending not in image_endings() | {".csv", ".md"}:
            yield name


def _listed(folder: Path) -> dict[str, Place]:
    """Path -> what labels.csv says of it. Raises DataError."""
    places: dict[str, Place] = {}
    for line, row in enumerate(read_table(folder / LABELS, ("path", "label")), start=2):
        path = os.path.normpath(row["path"].replace("\\", "/"))
        split = SPLIT_NAMES.get(row.get("split", "").lower(), "")
        if not row["label"] or path == ".":
            raise DataError(f"{folder / LABELS} line {line}: path or label is empty.")
        if row.get("split") and not split:
            raise DataError(
                f"{folder / LABELS} line {line}: the split {row['split']!r} is none of train, "
                f"validation, test."
            )
        if path in places:
            raise DataError(f"{folder / LABELS} line {line}: {path} has a row already; keep one.")
        places[path] = Place(row["label"], split)
    return places


def _place_of(folder: Path, name: str) -> Place:
    """The label by the first folder, or the second where the first is a split. Raises DataError."""
    parts = name.split("/")[:-1]
    split = SPLIT_NAMES.get(parts[0].lower(), "") if parts else ""
    if len(parts) < (2 if split else 1):
        raise DataError(
            f"{folder / name}: nothing says what is true of it; put it into a folder named after "
            f"its label, or list it in {folder / LABELS} with the columns path,label."
        )
    return Place(parts[1 if split else 0], split)


def _key(folder: Path) -> bytes:
    """The folder's secret, made where there is none. Raises DataError, StorageError."""
    path = folder / KEY
    try:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
    except FileExistsError:
        pass
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}).") from None
    try:
        text = path.read_text(encoding="ascii").strip()
        if not re.fullmatch(f"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
            raise ValueError
    except (OSError, ValueError):
        raise DataError(
            f"{path}: is not the key that was written there; put it back, or delete it, and every "
            f"patient gets another name."
        ) from None
    return bytes.fromhex(text)


def _hash(key: bytes, number: str) -> str:
    """HMAC-SHA256 (RFC 2104): a plain hash of a number is found by trying all numbers."""
    message = number.encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:HASH_DIGITS]


def _source(header: Any) -> str:
    """The device: its manufacturer and model, for a hospital's name would say where one was."""
    manufacturer, model = text_of(header, "Manufacturer"), text_of(header, "ManufacturerModelName")
    repeated = model.lower().startswith(manufacturer.lower())
    name = model if repeated else f"{manufacturer} {model}"
    return "".join(letter for letter in name if letter.isprintable()).strip()[:MAX_SOURCE]


def _leads_to(path: str, header: Any, attributes: tuple[str, ...]) -> bool:
    """Whether a path holds one of these attributes' values, or a part of a name."""
    path = path.lower()
    words = set(re.split(r"[\W_]+", path))
    for attribute in attributes:
        text = text_of(header, attribute).lower()
        parts = re.split(r"[\W_]+", text) if attribute == "PatientName" else []
        for part in filter(None, (text, *(part for part in parts if len(part) > 1))):
            if part in words or len(part) > 4 and part in path:  # "12" is in many a path
                return True
    return False


def _notes(rows: list[Row], counts: Counter[str]) -> list[str]:
    notes = [
        "patient is a hash of PatientID, made with the key in "
        f"{KEY}: keep that file private, and where it is, so that the next time gives the same; "
        "source is the device. No name, birth date or identifier of a header is written.",
    ]
    for count, sentence in (
        (counts["personal paths"],
         "are called after the patient's name, number or birth date, or the accession number, and "
         "path lists them: rename files and folders, and prepare again, before you share it"),
        (counts["uid paths"],
         "are called after UIDs, which lead to the patient in the archive that they come from: "
         "rename them before you share path"),
        (counts["no number"], "have no PatientID, so their patient is not known"),
        (counts["over"], f"are of patients above {OLDEST}, whose age is written as {OVER}"),
    ):  # fmt: skip
        if count:
            notes.append(f"{count} of {len(rows)} images {sentence}.")
    patients = Counter(row.patient for row in rows if row.patient)
    if len(rows) > 1 and len(patients) == 1:
        notes.append(
            "All images bear one PatientID; if that only stands in for the true ones, remove the "
            "column patient, for no split by patient can be made of it."
        )
    for count, what in (
        (counts["unlisted"], f"DICOM images that {LABELS} does not list"),
        (counts["no picture"], "DICOM files without a picture"),
        (counts["unreadable"], "DICOM files whose header cannot be read"),
        (counts["others"], "files that are not DICOM"),
    ):
        if count:
            notes.append(f"Left out: {count} {what}.")
    return notes


DICOM = Collection(
    name="dicom",
    title="DICOM files of your own",
    address="https://www.dicomstandard.org",
    citation="Name those who took the images, and who allowed their use.",
    terms=(
        "Those of the hospital, the ethics committee and the law that the images are under. "
        "Pixels can show a name too: look at them before you share any."
    ),
    expected=EXPECTED,
    read=read,
)
