"""How well metadata alone predicts the label: shortcuts that a network could learn."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from covid.data.index import Index, Sample
from covid.edge.images import Header, read_header
from covid.errors import ImageError

FOLDS = 5
# Patients of every class, fewer of whom say nothing. With ten of each of two classes the balanced
# accuracy of a guess has a standard deviation of 0.11: chance hardly reaches SUSPICIOUS_ACCURACY.
MIN_PATIENTS = 10
SUSPICIOUS_ACCURACY = 0.8  # balanced, in all or of one class; above it a network can cheat
MAX_IMAGES = 5_000  # images evaluated, so that a large set takes seconds too
MAX_VALUES = 20  # of a column, the most frequent: words that stand there once say nothing of others
MAX_NAMED_COLUMNS = 3  # columns that a sentence names

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Balanced accuracy, cross-validated."""

    overall: float
    per_class: dict[str, float]  # class against the rest

    @classmethod
    def of(cls, targets: npt.NDArray[np.str_], predicted: npt.NDArray[np.str_]) -> "Score":
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
class Baseline:
    """How well metadata alone predicts the label."""

    images: int
    chance: float
    by_patient: bool  # whether images of one patient were kept together; else none is known
    together: Score | None  # of all columns; None where `note` says why
    alone: dict[str, Score]  # of each column in which images differ
    note: str | None = None

    def line(self) -> str:
        """One line for the terminal."""
        if self.together is None:
            return f"metadata alone: not evaluated, {self.note}"
        how = "patient" if self.by_patient else "image, as no patient is known"
        return (
            f"metadata alone ({', '.join(self.alone) or self.note}) predicts the label with "
            f"balanced accuracy {self.together.overall:.2f}, chance is {self.chance:.2f} "
            f"(cross-validated by {how})"
        )

    def warnings(self) -> list[str]:
        """A sentence where a network can cheat: about all classes, or about some of them."""
        if self.together is None:
            return []
        per_class = self.together.per_class
        given_away = [name for name, score in per_class.items() if score > SUSPICIOUS_ACCURACY]
        if self.together.overall > SUSPICIOUS_ACCURACY:
            what, figure, chance = "the label", self.together.overall, self.chance
            scores = {column: score.overall for column, score in self.alone.items()}
        elif given_away:
            easiest = max(given_away, key=lambda name: per_class[name])
            what, figure, chance = f"{easiest} against the rest", per_class[easiest], 0.5
            scores = {column: score.per_class[easiest] for column, score in self.alone.items()}
        else:
            return []
        best = sorted(scores, key=lambda column: -scores[column])[:MAX_NAMED_COLUMNS]
        return [
            f"metadata alone predicts {what} with a balanced accuracy of {figure:.2f} (chance is "
            f"{chance:.2f}), most of all by "
            + ", ".join(f"{column} ({scores[column]:.2f} alone)" for column in best)
            + ": a network can cheat by whatever these leave in the pixels, so good figures on "
            "this set need not mean that it sees the disease."
        ]

    def to_json(self) -> dict[str, Any]:
        """For data_audit.json."""
        evaluated = Score.to_json(self.together) if self.together else {"balanced_accuracy": None}
        return {
            "images": self.images,
            "cross_validated_by": "patient" if self.by_patient else "image",
            "chance": self.chance,
            **evaluated,
            "columns": {column: score.to_json() for column, score in self.alone.items()},
            "note": self.note,
        }


def measure_baseline(index: Index, indices: Sequence[int]) -> Baseline:
    """How well a shallow tree predicts labels from format, mode, size, view, sex and age.

    `indices` are those of the samples evaluated.

    A file's header is read, not its picture, and not even that where the manifest has `format`,
    `mode`, `width` and `height`: those of the original file. Images whose header cannot be
    read are left out. Above MAX_IMAGES images, every n-th is evaluated.
    """
    chosen = [index.samples[i] for i in indices[:: max(1, -(-len(indices) // MAX_IMAGES))]]
    headers = [_header(sample) for sample in chosen]
    samples = [sample for sample, header in zip(chosen, headers, strict=True) if header]
    known = [header for header in headers if header]
    labels = np.array([sample.label for sample in samples], dtype=str)
    by_patient = any(sample.patient for sample in samples)
    # An image without a patient is one of its own; a space keeps its name from being a patient's.
    patients = np.array([sample.patient or f" {sample.name}" for sample in samples], dtype=str)
    classes = sorted({sample.label for sample in samples})
    chance = 1 / max(1, len(classes))
    few = [label for label in classes if len(set(patients[labels == label])) < MIN_PATIENTS]
    if few or len(classes) < 2:
        what = "patients" if by_patient else "images"
        note = (
            f"fewer than {MIN_PATIENTS} {what} of {', '.join(few)}" if few else "there is one class"
        )
        return Baseline(len(samples), chance, by_patient, None, {}, note)
    features = _features(samples, known)
    if not features:
        score = Score(chance, dict.fromkeys(classes, 0.5))
        note = "no column in which images differ"
        return Baseline(len(samples), chance, by_patient, score, {}, note)

    # Imported here because they take a second, which sets too small for this need not pay.
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    def evaluate(columns: Floats) -> Score:
        tree = DecisionTreeClassifier(
            max_depth=5, min_samples_leaf=5, class_weight="balanced", random_state=0
        )
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
        predicted = cross_val_predict(tree, columns, labels, groups=patients, cv=folds)
        return Score.of(labels, predicted)

    together = evaluate(np.hstack(list(features.values())))
    alone = {name: evaluate(columns) for name, columns in features.items()}
    return Baseline(len(samples), chance, by_patient, together, alone)


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
    """`[images, 1]`: the first number of each cell ("045Y" is 45), -1 where there is none."""
    matches = [re.search(r"\d+(\.\d+)?", value) for value in values]
    return np.array([[float(match.group()) if match else -1.0] for match in matches])
