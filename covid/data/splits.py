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
    groups = _by_patient(patients)
    images = Counter(labels)
    generator = np.random.default_rng([seed, len(labels)])
    # A patient with several classes is dealt with its rarest, where it matters most.
    rarest = {
        group: min((labels[i] for i in indices), key=lambda label: (images[label], label))
        for group, indices in groups.items()
    }
    assigned = [""] * len(labels)
    for label in sorted(images, key=lambda label: (images[label], label)):
        dealt = {split: sum(labels[r] == label for r in range(len(labels)) if assigned[r] == split)
                 for split in SPLITS}  # fmt: skip
        members = sorted(group for group in groups if rarest[group] == label)
        for position in generator.permutation(len(members)):
            indices = groups[members[position]]
            split = _neediest(dealt, images[label])
            dealt[split] += sum(labels[i] == label for i in indices)
            for i in indices:
                assigned[i] = split
    return assigned


def hold_out(
    labels: Sequence[Sequence[str]], patients: Sequence[str | None], share: float, seed: int
) -> list[bool]:
    """Which images to hold out: all images of about `share` (0..1) of the patients.

    `labels` are an image's, one or several. Each label's patients are shuffled, rare labels
    first, and its share of them is held out, counting those that a rarer label held out before:
    at least one of two. An image without a patient is a patient of its own.
    """
    groups = _by_patient(patients)
    bearing: dict[str, set[str]] = defaultdict(set)
    for group, indices in groups.items():
        for i in indices:
            for label in labels[i]:
                bearing[label].add(group)
    generator = np.random.default_rng([seed, len(labels)])
    held, decided = set[str](), set[str]()
    for label in sorted(bearing, key=lambda label: (len(bearing[label]), label)):
        total = len(bearing[label])
        wanted = max(round(share * total), int(total > 1)) - len(held & bearing[label])
        open_to = sorted(bearing[label] - decided)
        chosen = generator.permutation(len(open_to))[: max(wanted, 0)]
        held |= {open_to[position] for position in chosen}
        decided |= bearing[label]
    return [group in held for group in _group_of_each(patients)]


def _by_patient(patients: Sequence[str | None]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(_group_of_each(patients)):
        groups[group].append(i)
    return groups


def _group_of_each(patients: Sequence[str | None]) -> list[str]:
    return [f"p{patient}" if patient is not None else f"i{i}" for i, patient in enumerate(patients)]


def _neediest(dealt: Mapping[str, int], total: int) -> str:
    """An empty split first, then the one furthest below its share of `total` images."""
    wanted = dict(zip(SPLITS, SHARES, strict=True))
    return min(SPLITS, key=lambda split: (dealt[split] > 0, dealt[split] - wanted[split] * total))
