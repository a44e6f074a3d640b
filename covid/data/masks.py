"""Masks that lie beside images: of lungs, and of lesions where those are known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from covid.data.index import Index, Sample
from covid.edge.images import read_grey
from covid.errors import DataError, ImageError

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


def read_lungs(index: Index, indices: Sequence[int], size: int) -> npt.NDArray[np.bool_]:
    """`[images, size, size]`, true where half of a pixel or more is lung. All must name a mask.

    Raises DataError where one is not there, cannot be read, or shows no lung.
    """
    lungs = np.empty((len(indices), size, size), dtype=bool)
    for place, i in enumerate(indices):
        path = mask_file(index, index.samples[i], "mask")
        assert path is not None
        try:
            lungs[place] = covered(read_mask(path), size, size) >= 0.5
        except ImageError as error:
            raise DataError(f"{error} The manifest names it as a mask.") from error
        if not lungs[place].any():
            raise DataError(
                f"{path}: shows no lung, as nothing in it is white; correct the manifest's mask, "
                f"or leave the cell empty."
            )
    return lungs


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
