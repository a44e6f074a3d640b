"""What DICOM headers say of an image beside its pixels, as the manifest has it."""

import importlib.util
import re
from pathlib import Path
from typing import Any, NamedTuple

from covid.collections.collection import PER_YEAR
from covid.edge.columns import LATERAL, MAX_AGE, as_sex
from covid.edge.dicom_header import is_lateral, read_attributes
from covid.errors import ImageError

VIEWS = {"AP", "PA", "LLD", "RLD", "LLO", "RLO"}  # PS3.3 C.8.1.1.3, without the lateral ones
# HIPAA's safe harbour, 45 CFR 164.514(b)(2)(i)(C), has all ages over 89 in one group: 90 or older.
OLDEST, OVER = 89, "90"
ATTRIBUTES = ("ViewPosition", "PatientOrientation", "PatientSex", "PatientAge")


class Facts(NamedTuple):
    """Of one image; empty where its header does not say."""

    view: str = ""
    sex: str = ""
    age: str = ""


def facts_of(header: Any) -> Facts:
    """Of ATTRIBUTES, read by `read_attributes`."""
    sex = as_sex(text_of(header, "PatientSex"))
    return Facts(_view(header), sex, _age(text_of(header, "PatientAge")))


def read_facts(path: Path) -> Facts:
    """Of a file; nothing where it is no DICOM file, cannot be read, or pydicom is missing."""
    if importlib.util.find_spec("pydicom") is None:
        return Facts()
    try:
        header = read_attributes(path, ATTRIBUTES)
    except ImageError:  # reading its pixels says why
        return Facts()
    return Facts() if header is None else facts_of(header)


def text_of(header: Any, name: str) -> str:
    value = header.get(name)
    return " ".join(str(value).split()) if value is not None else ""


def _view(header: Any) -> str:
    if is_lateral(header):
        return LATERAL
    view = text_of(header, "ViewPosition").upper()
    return view if view in VIEWS else ""  # anything may be typed there


def _age(text: str) -> str:
    """Years of "045Y" or "006M", OVER above OLDEST, empty where it is no age."""
    parts = re.fullmatch(r"(\d{1,3})([DWMY])", text.upper())
    if parts is None:
        return ""
    years = round(int(parts[1]) / PER_YEAR[parts[2]], 1)
    if years > MAX_AGE:
        return ""
    return OVER if years > OLDEST else f"{years:g}"
