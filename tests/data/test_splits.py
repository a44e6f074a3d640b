"""Splits by patient: nobody in two, every class in each, shares as promised."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from covid.data.splits import hold_out, split_by_patient
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


# Holding patients out -----------------------------------------------------------------------

several = st.lists(
    st.tuples(st.lists(st.sampled_from(LABELS), min_size=1, max_size=3, unique=True),
              st.none() | st.integers(0, 30).map(str)), min_size=1, max_size=120,
)  # fmt: skip


@given(several, st.integers(0, 5))
def test_a_patient_is_held_out_whole_or_not_at_all(
    rows: list[tuple[list[str], str | None]], seed: int
) -> None:
    held = hold_out([row[0] for row in rows], [row[1] for row in rows], 1 / 8, seed)
    sides = defaultdict(set)
    for (_, patient), is_held in zip(rows, held, strict=True):
        if patient is not None:
            sides[patient].add(is_held)
    assert all(len(side) == 1 for side in sides.values())


@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=120), st.integers(0, 5))
def test_of_every_label_the_share_of_its_patients_is_held_out(
    labels: list[str], seed: int
) -> None:
    held = hold_out([[label] for label in labels], [None] * len(labels), 1 / 8, seed)
    for label, count in Counter(labels).items():
        kept = sum(is_held for name, is_held in zip(labels, held, strict=True) if name == label)
        # One of two or more at least, and never the only one.
        assert kept == (max(1, round(count / 8)) if count > 1 else 0)


def test_a_rare_label_s_patients_count_for_the_frequent_ones() -> None:
    labels = [["covid", "pneumonia"]] * 16 + [["pneumonia"]] * 16
    held = hold_out(labels, [None] * 32, 1 / 8, seed=0)
    assert (sum(held[:16]), sum(held[16:])) == (2, 2)


def test_a_seed_holds_the_same_patients_out_and_another_others() -> None:
    labels = [["covid"]] * 40
    first = hold_out(labels, [None] * 40, 1 / 8, seed=1)
    assert first == hold_out(labels, [None] * 40, 1 / 8, seed=1)
    assert first != hold_out(labels, [None] * 40, 1 / 8, seed=2)
