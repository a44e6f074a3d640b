"""A DICOM file's stored values to greys, as its header says that they are to be shown.

In the order of the standard (PS3.3 C.11, PS3.4 N.2): modality LUT, VOI LUT or window, polarity.
MONOCHROME1 alone decides the polarity: PresentationLUTShape says the same once more, and
PixelIntensityRelationshipSign says what X-rays did to a value, not how it is shown.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from covid.edge.greys import BEYOND_ENDS, depth, ends
from covid.errors import ImageError

Values = npt.NDArray[Any]
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


class Window(NamedTuple):
    """Which values are shown from black to white, and how: PS3.3 C.11.2.1.2 and C.11.2.1.3."""

    function: str  # one of FUNCTIONS
    center: float  # in values after the modality LUT, like the next
    width: float

    def shares(self, values: Values) -> npt.NDArray[np.float64]:
        """Values to shares of the window's own output range, 0 to 1."""
        values = values.astype(np.float64)
        if self.function == "SIGMOID":
            # Where exp would overflow the share is 0 to all digits.
            exponent = np.minimum(-4 * (values - self.center) / self.width, 700)
            shares: npt.NDArray[np.float64] = 1 / (1 + np.exp(exponent))
            return shares
        # LINEAR counts the values from the first to the last, so its ends are one closer.
        less = 1.0 if self.function == "LINEAR" else 0.0
        center, width = self.center - less / 2, self.width - less
        if width == 0:
            return (values > center).astype(np.float64)
        return np.clip((values - center) / width + 0.5, 0, 1)


class Table(NamedTuple):
    """A look-up table: PS3.3 C.11.1 and C.11.2.1.1."""

    first: int  # the value that the first entry is for
    entries: npt.NDArray[np.uint16]

    def look_up(self, values: Values) -> npt.NDArray[np.uint16]:
        """The entry of the nearest row, the first or last one beyond them."""
        rows = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        entries: npt.NDArray[np.uint16] = self.entries[rows.astype(np.intp)]
        return entries


def to_grey(path: Path, stored: Values, header: Any) -> npt.NDArray[np.uint8]:
    """uint8 `[rows, columns]` of stored values, by the first VOI LUT, else the first window.

    Its own output range becomes 0..255, whatever the pixels are: of a LUT, the smallest depth
    that holds its largest entry, since many claim 16 bits and use 12. Without either, values of
    8 bits are greys already; of more, all but BEYOND_ENDS of the pixels at each end fill the
    range, padding (`PixelPaddingValue`, `PixelPaddingRangeLimit`) not counted. A LUT or window
    that cannot be (a width of 0, say) is as none. MONOCHROME1 is turned round at last.

    Raises ImageError where values are not finite, or a window shows none of them.
    """
    values = _after_modality(stored, header)
    smallest, largest = values.min(), values.max()
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        raise ImageError(f"{path}: has values that are not finite numbers.")
    table, window = first_table(header), first_window(header)
    if table:
        white = 2 ** depth(table.entries) - 1
        shares = table.look_up(values) / white
    elif window:
        shares = window.shares(values)
        if smallest < largest and shares.min() == shares.max():
            raise ImageError(
                f"{path}: its window (center {window.center:g}, width {window.width:g}) shows "
                f"none of its values, {smallest:g} to {largest:g}; correct its header."
            )
    elif _are_greys(stored, header):
        shares = values / (2**header.BitsStored - 1)
    else:
        low, high = ends(_without_padding(stored, values, header), BEYOND_ENDS)
        shares = np.clip((values - low) / (high - low), 0, 1) if low < high else np.zeros(1)
        shares = np.broadcast_to(shares, values.shape)
    grey: npt.NDArray[np.uint8] = np.rint(shares * 255).astype(np.uint8)
    return np.invert(grey) if header.PhotometricInterpretation == "MONOCHROME1" else grey


def to_grey_of_version_1(path: Path, stored: Values, header: Any) -> npt.NDArray[np.uint8]:
    """The greys of files exported before: from the smallest to the largest value shown."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    shown = apply_modality_lut(stored, header)
    if header.get("VOILUTSequence"):  # a table of integers; pydicom would round down to its rows
        shown = np.rint(shown).astype(np.int64)
    values = np.asarray(apply_voi_lut(shown, header), dtype=np.float64)
    smallest, largest = values.min(), values.max()
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        raise ImageError(f"{path}: has values that are not finite numbers.")
    scale = 255 / (largest - smallest) if largest > smallest else 0.0
    grey: npt.NDArray[np.uint8] = np.rint((values - smallest) * scale).astype(np.uint8)
    return np.invert(grey) if header.PhotometricInterpretation == "MONOCHROME1" else grey


def first_window(header: Any) -> Window | None:
    """The first window, None where there is none or none that can be applied."""
    centers, widths = numbers(header, "WindowCenter"), numbers(header, "WindowWidth")
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    if not centers or not widths or function not in FUNCTIONS:
        return None
    center, width = centers[0], widths[0]
    if not np.isfinite([center, width]).all() or width < 1 and function == "LINEAR" or width <= 0:
        return None
    return Window(function, center, width)


def first_table(header: Any) -> Table | None:
    """The first VOI LUT, None where there is none or none that can be applied."""
    return _table(header, "VOILUTSequence")


def numbers(header: Any, name: str) -> list[float]:
    """An attribute's values; none where it is absent or holds something else than numbers."""
    try:
        value = header.get(name)
        several = hasattr(value, "__iter__") and not isinstance(value, str)
        return [float(each) for each in (value if several else [value])]
    except (ValueError, TypeError, ArithmeticError):  # None and "" among others
        return []


def _after_modality(stored: Values, header: Any) -> Values:
    table = _table(header, "ModalityLUTSequence")
    if table:
        return table.look_up(stored)
    slope, intercept = _slope_and_intercept(header)
    if (slope, intercept) == (1, 0):
        return stored
    return stored.astype(np.float64) * slope + intercept


def _slope_and_intercept(header: Any) -> tuple[float, float]:
    slopes, intercepts = numbers(header, "RescaleSlope"), numbers(header, "RescaleIntercept")
    return (slopes or [1.0])[0], (intercepts or [0.0])[0]


def _table(header: Any, name: str) -> Table | None:
    items = header.get(name)
    if not items:
        return None
    descriptor, data = numbers(items[0], "LUTDescriptor"), items[0].get("LUTData")
    if len(descriptor) != 3 or not data:
        return None
    count, first = int(descriptor[0]) or 2**16, int(descriptor[1])
    if isinstance(data, bytes):
        order = "<" if header.original_encoding[1] else ">"
        kind = "u1" if len(data) < 2 * count else f"{order}u2"
        data = np.frombuffer(data, kind, count=min(count, len(data)))
    entries = np.asarray(data).ravel()[:count].astype(np.uint16)
    if entries.min() == entries.max():
        return None
    # Written as unsigned where it is meant as signed, as the pixels are.
    signed = header.get("PixelRepresentation") == 1
    return Table(first - 2**16 if signed and first >= 2**15 else first, entries)


def _are_greys(stored: Values, header: Any) -> bool:
    """Whether stored values span black to white as they are, as 8 bits do in other formats."""
    if header.get("ModalityLUTSequence") or _slope_and_intercept(header) != (1, 0):
        return False
    bits = header.get("BitsStored")
    if stored.dtype.kind != "u" or not isinstance(bits, int) or not 1 <= bits <= 8:
        return False
    return bool(stored.max() < 2**bits)  # a JPEG inside can have more bits than the header says


def _without_padding(stored: Values, values: Values, header: Any) -> Values:
    """The values of pixels that show something; of all where padding is all that there is."""
    padding = numbers(header, "PixelPaddingValue")
    if not padding or stored.dtype.kind not in "iu":
        return values
    limit = numbers(header, "PixelPaddingRangeLimit") or padding
    low, high = sorted(_as_stored(each[0], stored.dtype) for each in (padding, limit))
    shows = (stored < low) | (stored > high)
    return values[shows] if shows.any() else values


def _as_stored(value: float, kind: np.dtype[Any]) -> int:
    """A value of the pixels' kind; 63536 is -2000 where it was written as unsigned."""
    values: int = 2 ** (kind.itemsize * 8)
    wrapped = int(value) % values
    return wrapped - values if kind.kind == "i" and wrapped >= values // 2 else wrapped
