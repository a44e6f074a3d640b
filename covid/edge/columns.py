"""What the cells of a manifest's view, sex and age columns say, however they are written."""

import re

from covid.edge.dicom_header import LATERAL_VIEWS

MAX_AGE = 120  # years; tables hold some of several hundred, which are mistakes of typing
LATERAL = "lateral"
NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:\s*(month|week|day)|([mwd])\b)?", re.IGNORECASE)
UNITS_A_YEAR = {"m": 12.0, "w": 365.25 / 7, "d": 365.25}
# What stands in a cell where nothing is known, in small letters.
MISSING = {"", "-", "?", "n/a", "na", "nan", "none", "null", "not stated", "unknown", "unspecified"}


def age_in_years(cell: str) -> float | None:
    """The first number of a cell, None where there is none: "045Y" is 45, "006M" is 0.5.

    Years unless M, W or D follows it at once, as in DICOM's age strings (PS3.5, 6.2: AS), or the
    word month, week or day.
    """
    match = NUMBER.search(cell)
    if match is None:
        return None
    number, word, letter = match.groups()
    unit = (word or letter or "").lower()[:1]
    return float(number) / UNITS_A_YEAR.get(unit, 1.0)


def plausible_age(cell: str) -> float | None:
    """`age_in_years`, but None below 0 ("-1" stands for nothing known) and above MAX_AGE."""
    years = None if cell.lstrip().startswith("-") else age_in_years(cell)
    return None if years is None or years > MAX_AGE else years


def as_sex(text: str) -> str:
    """M or F, empty for anything else, such as Unknown."""
    return {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F"}.get(text.upper(), "")


def as_view(cell: str) -> str:
    """AP, PA or lateral where that is meant, else the cell in capitals; empty where it is missing.

    What follows AP or PA (supine, horizontal, portable) is how the patient lay: it is left out.
    """
    text = known_text(cell).upper()
    first = re.split(r"[\s_(,;-]", text)[0]
    if first in ("AP", "PA"):
        return first
    return LATERAL if text == "L" or text in LATERAL_VIEWS else text


def known_text(cell: str) -> str:
    """The cell without spaces around it; empty where it says that nothing is known."""
    text = " ".join(cell.split())
    return "" if text.lower() in MISSING else text
