"""What a network could learn instead of the disease: the source, the age, what metadata shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from covid.data.baseline import (
    MIN_PATIENTS,
    Baseline,
    Suspicion,
    measure_baseline,
    measure_source_baseline,
)  # fmt: skip
from covid.data.by_class import Bools, Group, Known, class_table, group_by_class, read_known
from covid.data.index import Index
from covid.project import command

# Of a label's images against the rest by age alone: the share of pairs of which age says which is
# which, counting equal ages half. From 0.8 on discrimination counts as excellent (Hosmer and
# Lemeshow, Applied Logistic Regression, 2000, section 5.2.4). By chance, of MIN_PATIENTS patients
# against many, it is 0.5 with a standard deviation of 0.09 (Mann and Whitney 1947).
SUSPICIOUS_AUROC = 0.8
MAX_NAMED = 3  # labels, or sources of one, that a sentence names
# Images of a label for each of its sources. Fewer, where there are several, say nothing: in a
# column that holds each image's address every label has sources of its own.
MIN_IMAGES_PER_SOURCE = 10


@dataclass(frozen=True)
class AgeGap:
    """A label whose images can be told from the rest by age alone."""

    label: str
    median: float  # age in years, of the label's images
    rest: float  # the same of images that lack it
    auroc: float  # from SUSPICIOUS_AUROC to 1, whichever side is older


@dataclass(frozen=True)
class OwnSources:
    """Labels all of whose images come from sources that no other image comes from."""

    sources: dict[str, list[str]]  # label -> its sources
    all_known: bool  # whether the source of every other image is known


@dataclass(frozen=True)
class Shortcuts:
    """What is known by class, and how far it gives the label away."""

    by_class: dict[str, Group]
    metadata: Baseline
    source: Baseline
    age_gaps: list[AgeGap]  # the widest first
    own: OwnSources

    def lines(self) -> list[str]:
        """For the terminal: a table where it says more than counts, then a line per baseline."""
        table = class_table(self.by_class)
        return [*([f"\n{table}\n"] if table else []), self.metadata.line(), self.source.line()]

    def warnings(self) -> list[str]:
        """One sentence per cause: what gives one label away several times is said once."""
        sentences = []
        metadata, source = self.metadata.suspicion(), self.source.suspicion()
        named = metadata
        if self.own.sources:
            clause = _own_sources_clause(self.own)
            if metadata and (metadata.label is None or metadata.label in self.own.sources):
                clause, metadata = f"{clause}, and {metadata.clause}", None
            sentences.append(
                f"{clause}: no figure on this set can tell the disease from the source; evaluate "
                f"on images of another hospital with {command('evaluate')} --data FOLDER."
            )
        elif source and metadata and metadata.label == source.label:
            joined = f"{source.clause}, and {metadata.clause}"
            sentences.append(f"{joined}: {metadata.consequence}")
            metadata = None
        elif source:
            sentences.append(f"{source.clause}: {source.consequence}")
        if metadata:
            sentences.append(f"{metadata.clause}: {metadata.consequence}")
        gaps = [gap for gap in self.age_gaps if not _names_age(named, gap.label)]
        if gaps:
            sentences.append(_age_sentence(gaps))
        return sentences

    def to_json(self) -> dict[str, Any]:
        """For data_audit.json, at its top."""
        return {
            "by_class": {label: group.to_json() for label, group in self.by_class.items()},
            "metadata_baseline": self.metadata.to_json(),
            "source_baseline": self.source.to_json(),
        }


def find_shortcuts(
    index: Index, indices: Sequence[int], labels: Mapping[str, Sequence[str]]
) -> Shortcuts:
    """Looks at the samples at `indices`; `labels` are `data.labels`.

    No pixels are read. 100,000 images take some two seconds.
    """
    known = read_known(index, indices, list(labels))
    classes = with_classes(known, labels)
    return Shortcuts(
        group_by_class(known),
        measure_baseline(index, indices),
        measure_source_baseline(index, indices),
        find_age_gaps(classes),
        find_own_sources(classes),
    )


def with_classes(known: Known, labels: Mapping[str, Sequence[str]]) -> Known:
    """With the classes that are no keys: bacteria and virus may both be pneumonia."""
    named = dict.fromkeys(name for true in labels.values() for name in true if name not in labels)
    columns = {
        name: [place for place, key in enumerate(known.labels) if name in labels[key]]
        for name in named
    }
    if not columns:
        return known
    bears = [known.bears[:, places].any(axis=1) for places in columns.values()]
    lacks = [known.lacks[:, places].all(axis=1) for places in columns.values()]
    return replace(
        known,
        labels=(*known.labels, *columns),
        bears=np.column_stack([known.bears, *bears]),
        lacks=np.column_stack([known.lacks, *lacks]),
    )


def find_age_gaps(known: Known) -> list[AgeGap]:
    """The labels that age alone tells from the rest with more than SUSPICIOUS_AUROC.

    Of labels and rests with MIN_PATIENTS patients of known age each; of two labels that are each
    other's rest, the first.
    """
    gaps: list[AgeGap] = []
    sides: set[bytes] = set()
    for label, bears, lacks in zip(known.labels, known.bears.T, known.lacks.T, strict=True):
        aged = ~np.isnan(known.ages)
        if min(_patients(known, side & aged) for side in (bears, lacks)) < MIN_PATIENTS:
            continue
        ages, rest = known.ages[bears & aged], np.sort(known.ages[lacks & aged])
        below = np.searchsorted(rest, ages, "left") + np.searchsorted(rest, ages, "right")
        auroc = float(below.mean() / 2 / len(rest))
        auroc = max(auroc, 1 - auroc)
        if auroc > SUSPICIOUS_AUROC and bears.tobytes() not in sides:
            sides.add(lacks.tobytes())
            gaps.append(AgeGap(label, float(np.median(ages)), float(np.median(rest)), auroc))
    return sorted(gaps, key=lambda gap: -gap.auroc)


def find_own_sources(known: Known) -> OwnSources:
    """The labels whose images' sources are all known, and none of any other image.

    Capitals do not tell sources apart, nor does a doubt make an image another.
    """
    names, places = known.words["source"]
    folded = np.array([name.lower() for name in names], dtype=str)
    own: dict[str, list[str]] = {}
    all_known = True
    for label, bears in zip(known.labels, known.bears.T, strict=True):
        here, elsewhere = np.unique(places[bears]), np.unique(places[~bears])
        sources = sorted({names[i] for i in here})
        if not sources or "" in sources or not len(elsewhere):
            continue
        if np.isin(folded[here], folded[elsewhere]).any():
            continue
        if 1 < len(sources) and bears.sum() < MIN_IMAGES_PER_SOURCE * len(sources):
            continue
        own[label] = sources
        all_known = all_known and "" not in {names[i] for i in elsewhere}
    return OwnSources(own, all_known)


def _patients(known: Known, images: Bools) -> int:
    """Patients among `images`, of which one whose patient is not known is a patient of its own."""
    patients = known.patients[images]
    return len(np.unique(patients[patients >= 0])) + int((patients < 0).sum())


def _names_age(suspicion: Suspicion | None, label: str) -> bool:
    """Whether a sentence says already that age gives this label away."""
    return bool(suspicion and suspicion.label in (None, label) and "age" in suspicion.columns)


def _own_sources_clause(own: OwnSources) -> str:
    no_other = f"no other image {'comes' if own.all_known else 'is known to come'}"
    if len(own.sources) == 1:
        ((label, sources),) = own.sources.items()
        return f"every image of {label} comes from {_some(sources, 'or')}, from which {no_other}"
    each = [f"{label} from {_some(sources, 'or')}" for label, sources in own.sources.items()]
    return f"labels come from sources of their own ({_some(each, 'and')}), from which {no_other}"


def _age_sentence(gaps: Sequence[AgeGap]) -> str:
    each = [
        f"{gap.label} (median {gap.median:.3g} years, the rest {gap.rest:.3g}; AUROC of age alone "
        f"{gap.auroc:.2f})"
        for gap in gaps
    ]
    return (
        f"ages tell {_some(each, 'and')} from the rest: a network can see age in an image and "
        f"learn that instead of the disease."
    )


def _some(names: Sequence[str], word: str) -> str:
    """The first MAX_NAMED, the last after `word`, and how many more there are."""
    shown = list(names[:MAX_NAMED])
    if len(names) > MAX_NAMED:
        shown.append(f"{len(names) - MAX_NAMED} more")
    return f" {word} ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)
