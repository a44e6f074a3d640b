"""Which images are compared with which, and files that are not of the same images."""

from dataclasses import replace

import numpy as np
import pytest

from covid.errors import DataError
from covid.evaluation.comparison.pairing import paired
from covid.evaluation.prediction_file import PredictionFile
from tests.evaluation.predictions import two_files

FIRST, SECOND = two_files()
NAMES = ("one.csv", "other.csv")


def test_images_are_matched_by_name_in_any_order() -> None:
    pair = paired(FIRST.take(range(10, 60)), SECOND.take(range(29, -1, -1)), NAMES)
    assert pair.first.names == pair.second.names == FIRST.names[10:30]
    assert pair.left_out == (30, 10)
    assert np.array_equal(pair.second.probabilities, SECOND.probabilities[10:30])


def test_a_patient_is_known_where_either_file_knows() -> None:
    half = (*FIRST.patients[:30], *[None] * 30)
    other = (*[None] * 30, *FIRST.patients[30:])
    pair = paired(replace(FIRST, patients=half), replace(SECOND, patients=other), NAMES)
    assert pair.patients == FIRST.patients


def test_targets_that_neither_knows_are_the_same() -> None:
    targets = FIRST.targets.copy()
    targets[3, 1] = np.nan
    pair = paired(replace(FIRST, targets=targets), replace(SECOND, targets=targets), NAMES)
    assert len(pair.patients) == 60


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(SECOND, classes=("covid", "normal", "tuberculosis")),
         "other.csv: its classes are covid, normal, tuberculosis, and those of one.csv covid, "),
        (replace(SECOND, names=tuple(f"x/{name}" for name in SECOND.names)),
         "other.csv: no image of it is in one.csv too (the first are x/test/000.png and test/"),
        (replace(SECOND, cells=("any", "normal", *SECOND.cells[2:])),
         "other.csv: test/001.png is labelled normal there and any in one.csv"),
        (replace(SECOND, targets=1 - SECOND.targets),
         "other.csv: the target covid of test/000.png is another than in one.csv"),
        (replace(SECOND, targets=np.full((60, 3), np.nan, dtype=np.float32)),
         "other.csv: the target covid of test/000.png is another than in one.csv"),
        (replace(SECOND, patients=("nobody", *SECOND.patients[1:])),
         "other.csv: test/000.png is of patient nobody there and of p"),
    ],
)  # fmt: skip
def test_files_that_are_not_of_the_same_images_are_refused(
    other: PredictionFile, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        paired(FIRST, other, NAMES)
    assert str(caught.value).startswith(said)


def test_images_of_which_nothing_is_known_are_refused() -> None:
    unknown = np.full((60, 3), np.nan, dtype=np.float32)
    with pytest.raises(DataError, match="there is nothing to compare by"):
        paired(replace(FIRST, targets=unknown), replace(SECOND, targets=unknown), NAMES)
