"""What others call their images; which images are evaluated is held by tests/test_evaluate.py."""

import pytest

from covid.data.predictor import parse_labels
from covid.errors import ConfigError
from tests.conftest import LABELS


def test_their_names_map_to_ours_or_to_nothing() -> None:
    given = ["tuberculosis=pneumonia", " no finding = normal ", "nodule="]
    assert parse_labels(given, LABELS) == {
        "tuberculosis": "pneumonia", "no finding": "normal", "nodule": "",
    }  # fmt: skip


@pytest.mark.parametrize(("label", "sentence"), [
    ("tuberculosis", "must look like THEIRS=OURS"),
    ("=covid", "must look like THEIRS=OURS"),
    ("tuberculosis=flu", "flu is none of covid, normal, pneumonia"),
])  # fmt: skip
def test_what_maps_nothing_is_refused(label: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_labels([label], LABELS)


def test_a_name_that_is_mapped_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="tuberculosis is covid too"):
        parse_labels(["tuberculosis=covid", "tuberculosis=normal"], LABELS)
