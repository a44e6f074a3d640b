"""Which values become black and white where a file has more than the 256 greys that are kept.

What `covid.edge.images` and DICOM files have in common: both leave out a few values, because one
hot pixel or one marker would else decide how dark everything else becomes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

# Shares of the pixels that may lie beyond white or black. In version 1 none may, so that one pixel
# decides. From version 2 on, a thousandth is more than the hot pixels and the small markers of a
# radiograph, and less than anything that shows anatomy.
TOO_BRIGHT = {1: 0.0, 2: 0.001}
# At each end where a DICOM file names no window. Markers and collimated borders have more pixels
# than a detector's faults; if greys are evenly frequent, half a percent moves none by more than
# 255 * 0.005 = 1.3 levels.
BEYOND_ENDS = 0.005


def depth(values: npt.NDArray[Any], too_bright: float = 0.0) -> int:
    """The fewest bits, 8 or more, that hold all but a share `too_bright` of `values`, all >= 0."""
    allowed = int(values.size * too_bright)
    bits = max(int(values.max()).bit_length(), 8)
    while bits > 8 and np.count_nonzero(values >= 2 ** (bits - 1)) <= allowed:
        bits -= 1
    return bits


def ends(values: npt.NDArray[Any], beyond: float) -> tuple[float, float]:
    """Smallest and largest of `values` (one or more) once a share `beyond` is cut off at each end.

    With those cut off where they are all alike, as where nearly all is one colour.
    """
    cut = int(values.size * beyond)
    ordered = np.partition(values, [cut, values.size - 1 - cut], axis=None)
    low, high = ordered[cut], ordered[values.size - 1 - cut]
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)
