"""How much of what speaks for a decision lies in the lungs, where masks say where these are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from covid.data.index import Index, some
from covid.data.masks import covered, mask_file, read_mask
from covid.data.predictor import Maps, Predictions
from covid.errors import ImageError
from covid.evaluation.evidence import Placed, placement

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

LUNGS, LESION = "mask", "lesion"  # columns of a manifest
AT_ONCE = 32  # images whose maps are in memory together
# Networks with shuffled weights: one alone may happen to look anywhere. Three cost as much as
# three evaluations of the images with masks.
SHUFFLES = 3


def evidence_in_mask(
    index: Index,
    indices: Sequence[int],
    predictions: Predictions,
    decisions: Booleans,
    classes: Sequence[str],
) -> tuple[dict[str, Any] | None, list[str]]:
    """What metrics.json holds under `evidence_in_mask`, and a warning of masks that are no use.

    None where the network has no maps or no image has a mask of lungs. `indices` are the samples
    that were evaluated, in the order of `decisions` `[images, classes]`. What `placement` gives of
    lungs, and beside it `lesion`, the same of the manifest's other column; `shuffled` and
    `shuffled_lesion`, of `networks` networks with shuffled weights at the same classes, the mean
    of them. These three are None where there is nothing to tell, the last two for files too,
    whose weights stay as they are.
    """
    if predictions.maps is None:
        return None, []
    files = {
        column: {place: file for place, i in enumerate(indices)
                 if (file := mask_file(index, index.samples[i], column)) is not None}
        for column in (LUNGS, LESION)
    }  # fmt: skip
    order = sorted(files[LUNGS].keys() | files[LESION].keys())
    if not files[LUNGS]:
        return None, []
    wanted = [indices[place] for place in order]
    _, _, *places = predictions.maps(wanted[:1]).shape
    masks, warnings = {}, []
    for column, named in files.items():
        masks[column], useless = _read_masks([named.get(place) for place in order], places)
        if useless:
            warnings.append(
                f"{index.root}: {len(useless):,} of {len(named):,} files of the column {column} "
                f"cannot be read ({some(useless)}); their images say nothing of where evidence "
                f"lies."
            )
    shuffles = 0 if predictions.shuffled_maps is None else SHUFFLES
    placed: list[Mapping[str, Placed]] = []
    with tqdm(total=len(order) * (1 + shuffles), desc="evidence", unit=" images", leave=False,
              delay=1, disable=None) as bar:  # fmt: skip
        placed.append(_place(predictions.maps, wanted, masks, bar))
        for seed in range(shuffles):
            assert predictions.shuffled_maps is not None
            maps = predictions.shuffled_maps(seed, wanted[:AT_ONCE])
            placed.append(_place(maps, wanted, masks, bar))
    patients = [index.samples[i].patient for i in wanted]

    def figures(column: str, networks: Sequence[Mapping[str, Placed]]) -> dict[str, Any] | None:
        if not networks:
            return None
        together = Placed.averaged([each[column] for each in networks])
        return placement(together, decisions[order], classes, patients)

    lungs = figures(LUNGS, placed[:1])
    if lungs is None:
        return None, warnings
    shuffled = {
        name: (row := figures(column, placed[1:])) and {"networks": shuffles, **row}
        for name, column in (("shuffled", LUNGS), ("shuffled_lesion", LESION))
    }
    return {**lungs, "lesion": figures(LESION, placed[:1]), **shuffled}, warnings


def _place(
    maps: Maps, wanted: list[int], masks: Mapping[str, Floats], bar: "tqdm[Any]"
) -> dict[str, Placed]:
    """Where a network's evidence lies, by kind of mask, of all images in order."""
    parts: dict[str, list[Placed]] = {column: [] for column in masks}
    for start in range(0, len(wanted), AT_ONCE):
        some_images = slice(start, start + AT_ONCE)
        evidence = maps(wanted[some_images])
        for column, mask in masks.items():
            parts[column].append(Placed.of(evidence, mask[some_images]))
        bar.update(len(evidence))
    return {column: Placed.joined(each) for column, each in parts.items()}


def _read_masks(files: Sequence[Path | None], places: Sequence[int]) -> tuple[Floats, list[str]]:
    """What of each place masks cover, `[files, height, width]`, and the files that say nothing.

    All of an image without a mask is 0.
    """
    masks, useless = np.zeros((len(files), *places)), []
    for number, file in enumerate(files):
        if file is None:
            continue
        try:
            masks[number] = covered(read_mask(file), *places)
        except ImageError:
            useless.append(file.name)
    return masks, useless
