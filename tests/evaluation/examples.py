"""Evaluations to test on: made up, some of them as odd as they can be."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from covid.edge.labels import LabelSpace

MULTILABEL = LabelSpace.from_labels(
    "multilabel",
    {"covid": ["covid", "pneumonia"], "normal": ["normal"], "pneumonia": ["pneumonia"]},
)
SINGLE_LABEL = LabelSpace.from_labels(
    "single_label", {name: [name] for name in ("covid", "normal", "pneumonia")}
)
SPACES = pytest.mark.parametrize("space", [MULTILABEL, SINGLE_LABEL], ids=lambda space: space.task)
Evaluated = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], list[str | None]]


def evaluated(space: LabelSpace, images: int = 200, seed: int = 0, noise: float = 0.3) -> Evaluated:
    """Probabilities that lean towards the target, the target, and patients of some images each."""
    generator = np.random.default_rng(seed)
    targets = space.encode(generator.choice(list(space.labels), images)) == 1
    scores = np.clip(0.25 + 0.5 * targets + generator.normal(0, noise, targets.shape), 0.001, 0.999)
    if space.task == "single_label":
        scores /= scores.sum(axis=1, keepdims=True)
    patients: list[str | None] = [f"p{n}" for n in generator.integers(0, images // 2 + 1, images)]
    return scores.astype(np.float32), targets, patients


@st.composite
def any_evaluation(draw: st.DrawFn) -> tuple[LabelSpace, Evaluated]:
    """Few images, so that classes which nobody bears and ties are common."""
    space = draw(st.sampled_from([MULTILABEL, SINGLE_LABEL]))
    keys = draw(st.lists(st.sampled_from(list(space.labels)), min_size=1, max_size=12))
    tenths = st.lists(st.integers(0, 10), min_size=3, max_size=3)
    rows = [draw(tenths) for _ in keys]
    patients: list[str | None] = [draw(st.sampled_from([None, "a", "b", "c"])) for _ in keys]
    probabilities = np.array(rows, dtype=np.float32) / np.float32(10)
    return space, (probabilities, space.encode(keys) == 1, patients)


@st.composite
def any_doubts(draw: st.DrawFn) -> tuple[LabelSpace, Evaluated, npt.NDArray[np.bool_]]:
    """The same, and which targets are known: at least one; of single labels whole images are."""
    space, (probabilities, targets, patients) = draw(any_evaluation())
    images, classes = targets.shape
    shape = (images, 1 if space.task == "single_label" else classes)
    known = np.broadcast_to(draw(arrays.arrays(np.bool_, shape)), targets.shape).copy()
    known[0] |= not known.any()
    return space, (probabilities, targets, patients), known
