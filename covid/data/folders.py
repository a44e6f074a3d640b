"""Folders named after splits and labels to samples."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from covid.data.index import MAX_LISTED, SPLIT_NAMES, Index, Sample, some, walk
from covid.edge.images import image_endings
from covid.edge.labels import read_cell, write_cell
from covid.errors import DataError


class Folders:
    """Images under ROOT/SPLIT/LABEL/, or under ROOT/LABEL/ (all of them `test`)."""

    def __init__(self, root: Path):
        self.root = root

    def index(self) -> Index:
        """See `covid.data.source.Source`; an image's label is its folder's name, read as a cell."""
        root = self.root
        folders = {
            entry.name: entry
            for entry in root.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        }
        splits = {
            name: SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES
        }
        _no_split_twice(root, splits)
        # Without folders of splits the labels' folders stand directly under the root.
        places = [(folders[name], split) for name, split in sorted(splits.items())]
        places = places or [(root, "test")]
        samples: list[Sample] = []
        others: Counter[str] = Counter()
        for place, split in places:
            for folder in sorted(place.iterdir()):
                if not folder.is_dir() or folder.name.startswith("."):
                    continue
                images = []
                for name in sorted(walk(folder)):
                    ending = os.path.splitext(name)[1].lower()
                    if ending in image_endings():
                        images.append(name)
                    else:
                        others[ending or name] += 1
                if not images:
                    raise DataError(f"{folder}: holds no images; fill it or remove the folder.")
                try:
                    label = write_cell(read_cell(folder.name))
                except ValueError as error:
                    raise DataError(f"{folder}: its name has {error}; rename it.") from None
                for name in images:
                    path = folder / name
                    name = path.relative_to(root).as_posix()
                    samples.append(Sample(path, name, label, split))
        if not samples:
            raise DataError(
                f"{root}: holds no images; expected {root}/train/LABEL/image.png and so on, "
                f"or {root}/manifest.csv."
            )
        warnings = []
        ignored = sorted(name for name in folders if splits and name not in splits)
        if ignored:
            warnings.append(f"{root}: the folders {some(ignored)} are no splits and are left out.")
        if others:
            kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(MAX_LISTED))
            warnings.append(
                f"{root}: files that are no images by their ending are left out ({kinds})."
            )
        return Index((root,), tuple(samples), tuple(warnings))


def _no_split_twice(root: Path, splits: Mapping[str, str]) -> None:
    for split, times in Counter(splits.values()).items():
        if times > 1:
            names = some(sorted(name for name, meant in splits.items() if meant == split))
            raise DataError(f"{root}: the folders {names} all mean {split}; keep one.")
