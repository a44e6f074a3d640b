"""Splits by patient: nobody in two, every class in each, shares as promised."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from covid.data.splits import split_by_patient
from tests.conftest import LABELS

patients = st.lists(
    st.tuples(st.sampled_from(LABELS), st.none() | st.integers(0, 30).map(str)), min_size=1,
    max_size=120,
)  # fmt: skip


@given(patients, st.integers(0, 5))
def test_no_patient_is_split(rows: list[tuple[str, str | None]], seed: int) -> None:
    splits = split_by_patient([row[0] for row in rows], [row[1] for row in rows], seed)
    splits_of = defaultdict(set)
    for (_, patient), split in zip(rows, splits, strict=True):
        if patient is not None:
            splits_of[patient].add(split)
    assert all(len(names) == 1 for names in splits_of.values())


@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=120), st.integers(0, 5))
def test_every_label_of_three_patients_is_in_every_split(labels: list[str], seed: int) -> None:
    splits = split_by_patient(labels, [None] * len(labels), seed)
    for label, count in Counter(labels).items():
        present = {split for split, name in zip(splits, labels, strict=True) if name == label}
        assert len(present) == min(3, count)


@given(st.integers(40, 300), st.integers(0, 5))
def test_the_shares_are_seventy_fifteen_fifteen(images: int, seed: int) -> None:
    splits = Counter(split_by_patient(["normal"] * images, [None] * images, seed))
    # One image either way: shares of whole images cannot be met exactly.
    assert abs(splits["train"] - 0.7 * images) <= 1
    assert abs(splits["validation"] - 0.15 * images) <= 1


def test_the_same_seed_makes_the_same_split() -> None:
    labels = ["covid", "normal"] * 20
    first = split_by_patient(labels, [None] * 40, seed=1)
    assert first == split_by_patient(labels, [None] * 40, seed=1)


def test_another_seed_makes_another_split() -> None:
    labels = ["covid", "normal"] * 20
    first = split_by_patient(labels, [None] * 40, seed=1)
    assert first != split_by_patient(labels, [None] * 40, seed=2)


def test_the_split_of_a_seed_stays_as_it_is() -> None:
    labels = ["normal", "normal", "covid", "pneumonia"] * 5
    patients = [None, *(str(image % 13) for image in range(19))]
    splits = split_by_patient(labels, patients, seed=0)
    # Written down once: figures of earlier runs stay comparable with those of later ones.
    expected = "tr va te tr te tr tr tr tr tr tr va tr tr va te tr te tr tr"
    assert " ".join(name[:2] for name in splits) == expected
