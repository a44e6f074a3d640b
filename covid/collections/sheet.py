"""The first sheet of an .xlsx file, by the standard library: a ZIP archive of XML."""

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from covid.errors import DataError

# Office Open XML (ECMA-376, part 1, section 18): cells and shared strings.
SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
MAX_BYTES = 200_000_000  # unpacked; ten thousand rows take some two million


def read_sheet(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Its rows by the names in the first one, as `read_table` gives those of a CSV file.

    Raises DataError where it cannot be read or lacks one of `columns`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            shared = [_text(item) for item in _parse(archive, "xl/sharedStrings.xml", path)]
            sheet = _parse(archive, _first_sheet(archive), path)
            rows = [_cells(row, shared) for row in sheet.iter(f"{SPACE}row")]
    except (zipfile.BadZipFile, ElementTree.ParseError, LookupError, ValueError, OSError):
        raise DataError(f"{path}: is not an .xlsx file that can be read; download it again, or "
                        f"save it as CSV beside.") from None  # fmt: skip
    header = {place: name.strip() for place, name in (rows[0] if rows else {}).items()}
    lacking = [name for name in columns if name not in header.values()]
    if lacking:
        raise DataError(
            f"{path}: has no column {', '.join(lacking)}; its columns are "
            f"{', '.join(header.values())}."
        )
    for row in rows[1:]:
        yield {name: row.get(place, "").strip() for place, name in header.items()}


def _first_sheet(archive: zipfile.ZipFile) -> str:
    sheets = [
        name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name)
    ]
    return sorted(sheets, key=lambda name: (len(name), name))[0]


def _parse(archive: zipfile.ZipFile, name: str, path: Path) -> ElementTree.Element:
    if name not in archive.namelist():  # a sheet can do without shared strings
        return ElementTree.Element("none")
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise DataError(f"{path}: unpacks to more than {MAX_BYTES:,} bytes, which is not read.")
    return ElementTree.fromstring(archive.read(name))


def _cells(row: ElementTree.Element, shared: Sequence[str]) -> dict[str, str]:
    """Column letters (its place where the file names none) -> text; empty cells are not written."""
    cells = {}
    for place, cell in enumerate(row.iter(f"{SPACE}c")):
        text = _text(cell)
        if cell.get("t") == "s":
            text = shared[int(text)]
        cells[cell.get("r", "").rstrip("0123456789") or str(place)] = text
    return cells


def _text(element: ElementTree.Element) -> str:
    """What `v` and `t` say: a value, an inline string, a shared one in one run or several."""
    return "".join(part.text or "" for part in element.iter()
                   if part.tag in (f"{SPACE}v", f"{SPACE}t"))  # fmt: skip
