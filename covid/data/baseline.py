"""How well metadata alone, or the source, predicts the label: shortcuts a network could learn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from covid.data.by_class import Bools, Floats, read_keys
from covid.data.index import Index, Sample
from covid.edge.columns import age_in_years
from covid.edge.images import Header, read_header
from covid.edge.labels import read_cell
from covid.errors import ImageError

FOLDS = 5
# Patients of every class, fewer of whom say nothing. With ten of each of two classes the balanced
# accuracy of a guess has a standard deviation of 0.11: chance hardly reaches SUSPICIOUS_ACCURACY.
MIN_PATIENTS = 10
SUSPICIOUS_ACCURACY = 0.8  # balanced, in all or of one class; above it a network can cheat
MAX_IMAGES = 5_000  # images evaluated, so that a large set takes seconds too
MAX_VALUES = 20  # of a column, the most frequent: words that stand there once say nothing of others
MAX_NAMED_COLUMNS = 3  # columns that a sentence names

Strings = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Score:
    """Balanced accuracy, cross-validated."""

    overall: float
    per_class: dict[str, float]  # class against the rest

    @classmethod
    def of(cls, targets: Strings, predicted: Strings) -> "Score":
        """`targets` and `predicted` are labels `[images]`."""
        from sklearn.metrics import balanced_accuracy_score

        per_class = {
            str(name): float(balanced_accuracy_score(targets == name, predicted == name))
            for name in np.unique(targets)
        }
        return cls(float(balanced_accuracy_score(targets, predicted)), per_class)

    def to_json(self) -> dict[str, Any]:
        return {"balanced_accuracy": self.overall, "per_class": self.per_class}


@dataclass(frozen=True)
class Suspicion:
    """What a baseline predicts so well that a network can cheat."""

    label: str | None  # this label against the rest; None where it is all labels
    clause: str  # a sentence's first half, with the figure
    columns: tuple[str, ...]  # that the clause names
    consequence: str  # the other half


@dataclass(frozen=True)
class Baseline:
    """How well metadata alone, or the source alone, predicts the label."""

    of: Literal["metadata", "source"]
    images: int
    chance: float
    by_patient: bool  # whether images of one patient were kept together; else none is known
    by_label: bool  # whether each label was predicted against the rest: some images bear several
    together: Score | None  # of all columns; None where `note` says why
    alone: dict[str, Score]  # of each column in which images differ, where there are several
    note: str | None = None

    def line(self) -> str:
        """One line for the terminal."""
        if self.together is None:
            return f"{self.of} alone: not evaluated, {self.note}"
        columns = ", ".join(self.alone)
        in_brackets = "; ".join(part for part in (columns, self.note) if part)
        what = "each label against the rest" if self.by_label else "the label"
        how = "patient" if self.by_patient else "image, as no patient is known"
        return (
            f"{self.of} alone{f' ({in_brackets})' if in_brackets else ''} predicts {what} with "
            f"{'mean ' if self.by_label else ''}balanced accuracy {self.together.overall:.2f}, "
            f"chance is {self.chance:.2f} (cross-validated by {how})"
        )

    def suspicion(self) -> Suspicion | None:
        """Where a network can cheat: about all labels, or about the easiest of some."""
        if self.together is None:
            return None
        label, figure, chance = None, self.together.overall, self.chance
        scores = {column: score.overall for column, score in self.alone.items()}
        what = "labels, each against the rest," if self.by_label else "the label"
        mean = "mean " if self.by_label else ""
        if figure <= SUSPICIOUS_ACCURACY:
            per_class = self.together.per_class
            label = max(per_class, key=lambda name: per_class[name])
            figure, chance, what, mean = per_class[label], 0.5, f"{label} against the rest", ""
            if figure <= SUSPICIOUS_ACCURACY:
                return None
            scores = {column: score.per_class[label] for column, score in self.alone.items()}
        best = sorted(scores, key=lambda column: -scores[column])[:MAX_NAMED_COLUMNS]
        clause = (
            f"{self.of} alone predicts {what} with a {mean}balanced accuracy of {figure:.2f} "
            f"(chance is {chance:.2f})"
        )
        if best:
            clause += ", most of all by " + ", ".join(
                f"{column} ({scores[column]:.2f} alone)" for column in best
            )
        leave = "these leave" if best else "a source leaves"
        consequence = (
            f"a network can cheat by whatever {leave} in the pixels, so good figures on this set "
            f"need not mean that it sees the disease."
        )
        return Suspicion(label, clause, tuple(best), consequence)

    def warnings(self) -> list[str]:
        """A sentence where a network can cheat."""
        suspicion = self.suspicion()
        return [f"{suspicion.clause}: {suspicion.consequence}"] if suspicion else []

    def to_json(self) -> dict[str, Any]:
        """For data_audit.json."""
        evaluated = Score.to_json(self.together) if self.together else {"balanced_accuracy": None}
        columns = {column: score.to_json() for column, score in self.alone.items()}
        return {
            "images": self.images,
            "cross_validated_by": "patient" if self.by_patient else "image",
            "chance": self.chance,
            **evaluated,
            **({"columns": columns} if self.of == "metadata" else {}),
            "note": self.note,
        }


def measure_baseline(index: Index, indices: Sequence[int]) -> Baseline:
    """How well a shallow tree predicts labels from format, mode, size, view, sex and age.

    `indices` are those of the samples evaluated. Where a cell names several labels or doubts
    one, each label is predicted against the rest, without the images that doubt it, and their
    mean is what is said of all; labels of fewer than MIN_PATIENTS patients are left out.

    A file's header is read, not its picture, and not even that where the manifest has `format`,
    `mode`, `width` and `height`: those of the original file. Images whose header cannot be
    read are left out. Above MAX_IMAGES images, every n-th is evaluated.
    """
    chosen = _every_nth(index, indices)
    headers = [_header(sample) for sample in chosen]
    samples = [sample for sample, header in zip(chosen, headers, strict=True) if header]
    features = _features(samples, [header for header in headers if header])
    return _measure("metadata", samples, features, by_label=_several(index, indices))


def measure_source_baseline(index: Index, indices: Sequence[int]) -> Baseline:
    """The same from `source` alone; not evaluated where no source is known, or all are one.

    An empty cell is a source like others, once another is known.
    """
    samples = _every_nth(index, indices)
    every = {index.samples[i].columns.get("source", "").strip() for i in indices}
    reason = None
    if not any(every):
        reason = "no source is known"
    elif len({source.lower() for source in every}) == 1:
        reason = f"every image comes from {min(every)}"
    features = {"source": _one_hot([sample.columns.get("source", "") for sample in samples])}
    return _measure("source", samples, features, by_label=_several(index, indices), reason=reason)


def _every_nth(index: Index, indices: Sequence[int]) -> list[Sample]:
    return [index.samples[i] for i in indices[:: max(1, -(-len(indices) // MAX_IMAGES))]]


def _several(index: Index, indices: Sequence[int]) -> bool:
    """Whether any cell names several labels, or doubts one."""
    cells = {index.samples[i].label for i in indices}
    return any(list(read_cell(cell).values()) != [True] for cell in cells)


def _measure(
    of: Literal["metadata", "source"],
    samples: Sequence[Sample],
    features: Mapping[str, Floats],
    *,
    by_label: bool,
    reason: str | None = None,
) -> Baseline:
    """`reason` says why nothing is to be evaluated, where that is known already."""
    by_patient = any(sample.patient for sample in samples)
    # An image without a patient is one of its own; a space keeps its name from being a patient's.
    patients = np.array([sample.patient or f" {sample.name}" for sample in samples], dtype=str)
    keys = [list(read_cell(sample.label)) for sample in samples]
    classes = sorted({key for several in keys for key in several})
    bears, lacks = read_keys([sample.label for sample in samples], classes)
    enough = [
        all(len(set(patients[side])) >= MIN_PATIENTS for side in ((b, no) if by_label else (b,)))
        for b, no in zip(bears.T, lacks.T, strict=True)
    ]
    few = [label for label, is_enough in zip(classes, enough, strict=True) if not is_enough]
    note = None
    if few:
        what = "patients" if by_patient else "images"
        side = "with or without" if by_label else "of"
        note = f"fewer than {MIN_PATIENTS} {what} {side} {', '.join(few)}"
    chance = 0.5 if by_label else 1 / max(1, len(classes))
    if by_label:
        classes = [label for label in classes if label not in few]
        bears, lacks = bears[:, enough], lacks[:, enough]
        reason = reason or (None if classes else note)
    elif few or len(classes) < 2:
        reason = reason or note or "there is one class"
    baseline = partial(Baseline, of, len(samples), chance, by_patient, by_label)
    if reason:
        return baseline(None, {}, reason)
    if not features:
        nothing = "no column in which images differ"
        score = Score(chance, dict.fromkeys(classes, 0.5))
        return baseline(score, {}, f"{nothing}; {note}" if note else nothing)

    def evaluate(columns: Floats) -> Score:
        if by_label:
            return _evaluate_each(columns, classes, bears, lacks, patients)
        return _evaluate_all(columns, np.array([key for (key,) in keys], dtype=str), patients)

    together = evaluate(np.hstack(list(features.values())))
    several = features if of == "metadata" else {}
    return baseline(together, {name: evaluate(column) for name, column in several.items()}, note)


def _evaluate_all(columns: Floats, labels: Strings, patients: Strings) -> Score:
    """Balanced accuracy of one tree that says which of all labels an image bears."""
    # Imported here, as below: it takes a second, which sets too small for this need not pay.
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return Score.of(labels, cross_val_predict(_tree(), columns, labels, groups=patients, cv=folds))


def _evaluate_each(
    columns: Floats, labels: Sequence[str], bears: Bools, lacks: Bools, patients: Strings
) -> Score:
    """The mean balanced accuracy of one tree per label that says whether an image bears it."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GroupKFold, cross_val_predict

    # Not stratified: of some thousands of patients that takes a second for each label.
    folds = GroupKFold(FOLDS, shuffle=True, random_state=0)
    per_class = {}
    for label, does, does_not in zip(labels, bears.T, lacks.T, strict=True):
        asked = does | does_not
        predicted = cross_val_predict(
            _tree(), columns[asked], does[asked], groups=patients[asked], cv=folds
        )
        per_class[label] = float(balanced_accuracy_score(does[asked], predicted))
    return Score(float(np.mean(list(per_class.values()))), per_class)


def _tree() -> Any:  # scikit-learn publishes no types
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(
        max_depth=5, min_samples_leaf=5, class_weight="balanced", random_state=0
    )


def _header(sample: Sample) -> Header | None:
    """The original file's format, mode and size: the manifest's, or else this file's."""
    columns = sample.columns
    try:
        size = int(columns["width"]), int(columns["height"])
        if columns["format"] and columns["mode"] and min(size) > 0:
            return Header(columns["format"], columns["mode"], *size)
    except (KeyError, ValueError):  # no such column, or no number in it
        pass
    try:
        return read_header(sample.path)
    except ImageError:
        return None


def _features(samples: Sequence[Sample], headers: Sequence[Header]) -> dict[str, Floats]:
    """column -> numbers `[images, n]`; only those columns in which images differ.

    An empty cell is a value like others: where it stands in one class only, the classes come
    from different sources.
    """
    sizes = [(header.width, header.height, header.width / header.height) for header in headers]
    features = {
        "format": _one_hot([header.format for header in headers]),
        "mode": _one_hot([header.mode for header in headers]),
        "size": np.array(sizes, dtype=np.float64).reshape(-1, 3),
    }
    makers: Mapping[str, Callable[[Sequence[str]], Floats]] = {
        "view": _one_hot, "sex": _one_hot, "age": _ages,
    }  # fmt: skip
    for name, make in makers.items():
        features[name] = make([sample.columns.get(name, "") for sample in samples])
    return {name: column for name, column in features.items() if (column != column[:1]).any()}


def _one_hot(values: Sequence[str]) -> Floats:
    """`[images, values]`: 1 where an image has one of the MAX_VALUES most frequent."""
    cells = np.array([value.strip().lower() for value in values], dtype=str)
    names, counts = np.unique(cells, return_counts=True)
    frequent = names[np.argsort(-counts, kind="stable")[:MAX_VALUES]]
    columns: Floats = (cells[:, None] == frequent).astype(np.float64)
    return columns


def _ages(values: Sequence[str]) -> Floats:
    """`[images, 1]`: in years, -1 where there is none."""
    ages = [age_in_years(value) for value in values]
    return np.array([[-1.0 if age is None else age] for age in ages])
