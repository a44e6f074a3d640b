"""Folders named after splits and labels to samples."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from covid.data.index import MAX_LISTED, SPLIT_NAMES, Index, Sample, require_known, some, walk
from covid.edge.images import image_endings
from covid.errors import DataError


class Folders:
    """Images under ROOT/SPLIT/LABEL/, or under ROOT/LABEL/ (all of them `test`)."""

    def __init__(self, root: Path):
        self.root = root

    def index(self, labels: Sequence[str], seed: int) -> Index:
        """See `covid.data.source.Source`. Folders have a split, so `seed` decides nothing."""
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
        seen: set[str] = set()
        for place, split in places:
            for folder in sorted(place.iterdir()):
                if not folder.is_dir() or folder.name.startswith("."):
                    continue
                label = _label_of_folder(folder.name, labels)
                seen.add(label)
                images = []
                for name in sorted(walk(folder)):
                    ending = os.path.splitext(name)[1].lower()
                    if ending in image_endings():
                        images.append(name)
                    else:
                        others[ending or name] += 1
                if not images:
                    raise DataError(f"{folder}: holds no images; fill it or remove the folder.")
                for name in images:
                    path = folder / name
                    samples.append(Sample(path, path.relative_to(root).as_posix(), label, split))
        if not samples:
            raise DataError(
                f"{root}: holds no images; expected {root}/train/{labels[0]}/image.png and so on, "
                f"or {root}/manifest.csv."
            )
        require_known(f"{root}: the folders", seen, labels)
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


def _label_of_folder(name: str, labels: Sequence[str]) -> str:
    """The label whose name is the folder's, capitals aside where that leaves one."""
    alike = [label for label in labels if label.lower() == name.lower()]
    return name if name in labels or len(alike) != 1 else alike[0]
