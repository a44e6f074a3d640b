"""Masks that lie beside images: of lungs, and of lesions where those are known."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from covid.data.index import Index, Sample
from covid.edge.images import read_grey

WHITE = 128  # grey levels from here on are inside; files of two levels have it in between


def mask_file(index: Index, sample: Sample, column: str) -> Path | None:
    """The picture that `column` of a sample's manifest names; None where it names none."""
    name = sample.columns.get(column, "").strip().replace("\\", "/")
    if not name:
        return None
    roots = [root for root in index.roots if sample.path.is_relative_to(root)]
    return (max(roots, key=lambda root: len(root.parts)) if roots else sample.path.parent) / name


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """bool `[height, width]` at the file's own size, true where it is white. Raises ImageError."""
    return np.asarray(read_grey(path)) >= WHITE


def covered(mask: npt.NDArray[np.bool_], height: int, width: int) -> npt.NDArray[np.float64]:
    """What share of each of `height` × `width` places a mask of any size covers: 0..1."""
    shares = _weights(height, mask.shape[0]) @ mask @ _weights(width, mask.shape[1]).T
    return np.asarray(shares, dtype=np.float64)


def _weights(places: int, pixels: int) -> npt.NDArray[np.float64]:
    """How much of each place every pixel is: `[places, pixels]`, rows that add up to 1."""
    edges = np.arange(places + 1) * (pixels / places)
    pixel = np.arange(pixels)
    low = np.maximum(edges[:-1, None], pixel)
    high = np.minimum(edges[1:, None], pixel + 1)
    return np.asarray(np.maximum(high - low, 0) * (places / pixels))
