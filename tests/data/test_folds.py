"""Folds: every image held out once, whole patients, the same for every run."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from covid.data.folds import HELD_OUT, VALIDATION, Fold, deal_folds, hold_out_fold
from covid.data.index import Index, Sample, patients_in_two_splits
from covid.errors import ConfigError, DataError

rows = st.lists(
    st.tuples(
        st.sampled_from(["covid", "normal", "pneumonia", "covid|pneumonia", "covid?"]),
        st.one_of(st.none(), st.sampled_from([f"p{n}" for n in range(12)])),
        st.sampled_from(["train", "validation", "test"]),
    ),
    min_size=1,
    max_size=40,
)
folds = st.integers(2, 6).flatmap(
    lambda of: st.integers(1, of).map(lambda number: Fold(number, of))
)


def index_of(samples: list[tuple[str, str | None, str]]) -> Index:
    return Index(
        (Path("root"),),
        tuple(
            Sample(Path(f"{n}.png"), f"{n:03}.png", label, split, patient)
            for n, (label, patient, split) in enumerate(samples)
        ),
        (),
    )


def placed_by(index: Index, fold: Fold, seed: int) -> Index:
    """`hold_out_fold`, for sets in which the fold holds out anybody."""
    try:
        return hold_out_fold(index, fold, seed)
    except DataError:
        reject()


def whole(samples: list[tuple[str, str | None, str]]) -> list[tuple[str, str | None, str]]:
    """The same with no patient in test who stands elsewhere."""
    return [
        (label, f"{patient}-{split == 'test'}" if patient else None, split)
        for label, patient, split in samples
    ]


@given(rows, st.integers(2, 6), st.integers(0, 3))
def test_every_image_is_held_out_by_one_fold_and_one_only(
    samples: list[tuple[str, str | None, str]], of: int, seed: int
) -> None:
    index, held = index_of(whole(samples)), list[str]()
    for number in range(1, of + 1):
        with suppress(DataError):  # it would hold out nobody
            placed = hold_out_fold(index, Fold(number, of), seed)
            held += [sample.name for sample in placed.samples if sample.split == HELD_OUT]
    assert sorted(held) == [sample.name for sample in index.samples if sample.split != "test"]


@given(rows, folds, st.integers(0, 3))
def test_no_patient_stands_in_two_splits(
    samples: list[tuple[str, str | None, str]], fold: Fold, seed: int
) -> None:
    placed = placed_by(index_of(whole(samples)), fold, seed)
    assert patients_in_two_splits(placed.samples) == []


@given(rows, folds, st.integers(0, 3))
def test_a_set_s_own_test_split_stays_out(
    samples: list[tuple[str, str | None, str]], fold: Fold, seed: int
) -> None:
    index = index_of(whole(samples))
    placed = placed_by(index, fold, seed)
    tests = [[sample.split == "test" for sample in each.samples] for each in (index, placed)]
    assert tests[0] == tests[1]


@given(rows, folds, st.integers(0, 3))
def test_holding_out_again_changes_nothing(
    samples: list[tuple[str, str | None, str]], fold: Fold, seed: int
) -> None:
    placed = placed_by(index_of(whole(samples)), fold, seed)
    assert hold_out_fold(placed, fold, seed) == placed


def test_where_train_and_validation_met_makes_no_difference() -> None:
    cells = ["covid"] * 10 + ["normal"] * 30
    one = index_of([(cell, None, "train") for cell in cells])
    other = index_of([(cell, None, "validation") for cell in cells])
    fold = Fold(1, 5)
    assert hold_out_fold(one, fold, 0) == hold_out_fold(other, fold, 0)


def test_folds_have_equal_shares_of_every_class() -> None:
    cells = ["covid"] * 10 + ["normal"] * 55
    numbers = deal_folds(cells, [None] * len(cells), 5, 0)
    for number in range(1, 6):
        held = [cell for cell, each in zip(cells, numbers, strict=True) if each == number]
        assert (held.count("covid"), held.count("normal")) == (2, 11)


def test_another_seed_deals_otherwise() -> None:
    cells = ["covid"] * 20 + ["normal"] * 20
    assert deal_folds(cells, [None] * 40, 5, 0) != deal_folds(cells, [None] * 40, 5, 1)


def test_validation_has_its_usual_share_of_what_is_not_held_out() -> None:
    placed = hold_out_fold(index_of([("normal", None, "train")] * 500), Fold(2, 5), 0)
    assert len(placed.split("validation")) == pytest.approx(400 * VALIDATION, abs=1)


@pytest.mark.parametrize("text", ["2/5", " 2/5 "])
def test_a_fold_is_read_as_it_is_typed(text: str) -> None:
    assert Fold.parse(text) == Fold(2, 5)


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2-5", "2of5", "", "1/101", "-1/5"])
def test_what_is_no_fold_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must look like K/N"):
        Fold.parse(text)


def test_a_fold_of_nobody_is_refused() -> None:
    with pytest.raises(DataError, match="fold 5 of 5 holds out no image"):
        hold_out_fold(index_of([("normal", "p", "train"), ("normal", "q", "train")]), Fold(5, 5), 0)


@given(folds)
def test_a_folder_is_named_after_its_fold(fold: Fold) -> None:
    assert Fold.of_folder(fold.folder) == fold


@pytest.mark.parametrize("name", ["fold-1", "fold-1of5.log", "evaluation", "xfold-1of5"])
def test_another_folder_is_no_fold(name: str) -> None:
    assert Fold.of_folder(name) is None
