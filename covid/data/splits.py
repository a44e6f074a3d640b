"""Images to training, validation and test, where no split is given: by patient."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from covid.data.index import UNSPLIT, Index
from covid.edge.labels import read_cell, write_cell

SPLITS = ("train", "validation", "test")
SHARES = dict(zip(SPLITS, (0.7, 0.15, 0.15), strict=True))  # of the images: the usual proportions


def draw_splits(index: Index, seed: int) -> Index:
    """The index with a split for every image that has none, by patient."""
    unsplit = [sample for sample in index.samples if sample.split == UNSPLIT]
    drawn = iter(
        split_by_patient(
            [sample.label for sample in unsplit], [sample.patient for sample in unsplit], seed
        )
    )
    return index.with_splits(
        next(drawn) if sample.split == UNSPLIT else sample.split for sample in index.samples
    )


def split_by_patient(
    labels: Sequence[str], patients: Sequence[str | None], seed: int
) -> list[str]:
    """A split for each image, about 70/15/15: see `deal`."""
    return deal(labels, patients, SHARES, seed)


def deal(
    labels: Sequence[str],
    patients: Sequence[str | None],
    shares: Mapping[str, float],
    seed: int,
) -> list[str]:
    """A name of `shares` for each image: no patient under two, the classes' shares alike.

    `shares` add up to 1. `labels` are cells; a label in doubt is a class of its own here. Each
    class's patients are shuffled and dealt to the name that is furthest below its share, rare
    classes first, a patient of several with its rarest, while the images of all its classes are
    counted: after the iterative stratification of Sechidis et al. 2011, "On the stratification of
    multi-label data". A class of at least as many patients as there are names, whose rarest it
    is, gets an image under each. An image without a patient is a patient of its own.
    """
    groups = _by_patient(patients)
    classes = [[write_cell({key: sure}) for key, sure in read_cell(cell).items()]
               for cell in labels]  # fmt: skip
    images = Counter(label for several in classes for label in several)
    generator = np.random.default_rng([seed, len(labels)])
    members: dict[str, list[str]] = defaultdict(list)
    for group, indices in groups.items():
        of_group = {label for i in indices for label in classes[i]}
        members[min(of_group, key=lambda label: (images[label], label))].append(group)
    assigned = [""] * len(labels)
    dealt = {label: dict.fromkeys(shares, 0) for label in images}
    for label in sorted(images, key=lambda label: (images[label], label)):
        ordered = sorted(members[label])
        for position in generator.permutation(len(ordered)):
            name = _neediest(dealt[label], images[label], shares)
            for i in groups[ordered[position]]:
                assigned[i] = name
                for each in classes[i]:
                    dealt[each][name] += 1
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


def _neediest(dealt: Mapping[str, int], total: int, shares: Mapping[str, float]) -> str:
    """An empty one first, then the one furthest below its share of `total` images."""
    return min(shares, key=lambda name: (dealt[name] > 0, dealt[name] - shares[name] * total))
