"""Images to training, validation and test, where no split is given: by patient."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

SPLITS = ("train", "validation", "test")
SHARES = (0.7, 0.15, 0.15)  # of the images: the usual proportions


def split_by_patient(
    labels: Sequence[str], patients: Sequence[str | None], seed: int
) -> list[str]:
    """A split for each image: no patient in two, the classes' shares alike, about 70/15/15.

    Each class's patients are shuffled and dealt to the split that is furthest below its share,
    rare classes first. A class of at least three patients (one of whom has no other class)
    gets an image in each split. An image without a patient is a patient of its own.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for i, patient in enumerate(patients):
        groups[f"p{patient}" if patient is not None else f"i{i}"].append(i)
    images = Counter(labels)
    generator = np.random.default_rng([seed, len(labels)])
    # A patient with several classes is dealt with its rarest, where it matters most.
    rarest = {
        group: min((labels[i] for i in indices), key=lambda label: (images[label], label))
        for group, indices in groups.items()
    }
    members: dict[str, list[str]] = defaultdict(list)
    for group in sorted(groups):
        members[rarest[group]].append(group)
    assigned = [""] * len(labels)
    dealt = {label: dict.fromkeys(SPLITS, 0) for label in images}  # images, by label and split
    for label in sorted(members, key=lambda label: (images[label], label)):
        for position in generator.permutation(len(members[label])):
            indices = groups[members[label][position]]
            split = _neediest(dealt[label], images[label])
            for i in indices:
                assigned[i] = split
                dealt[labels[i]][split] += 1
    return assigned


def _neediest(dealt: Mapping[str, int], total: int) -> str:
    """An empty split first, then the one furthest below its share of `total` images."""
    wanted = dict(zip(SPLITS, SHARES, strict=True))
    return min(SPLITS, key=lambda split: (dealt[split] > 0, dealt[split] - wanted[split] * total))
