"""Patients as clusters, and the spread between them."""

import numpy as np
import pytest

from covid.evaluation.clusters import covariance_of_sums, number_patients, who


def test_images_of_one_patient_share_a_number() -> None:
    assert number_patients(["a", "b", "a"]).tolist() == [0, 1, 0]


def test_images_without_a_patient_are_alone() -> None:
    assert number_patients([None, "a", None]).tolist() == [0, 1, 2]


def test_the_spread_is_that_of_clusters() -> None:
    scores = np.array([[1.0], [1.0], [-2.0]])  # two clusters: 2 and -2
    assert covariance_of_sums(scores, np.array([5, 5, 9])) == pytest.approx(2 * (4 + 4))


def test_one_cluster_has_no_spread() -> None:
    with pytest.raises(ValueError, match="one cluster"):
        covariance_of_sums(np.ones((3, 1)), np.zeros(3, dtype=np.intp))


@pytest.mark.parametrize(("patients", "words"), [
    (["a", "a", "b"], "2 patients"), (["a"], "1 patient"), ([None, None], "2 images"),
    (["a", None], "2 patients"),
])  # fmt: skip
def test_clusters_are_named_after_what_they_are(patients: list[str | None], words: str) -> None:
    assert who(patients) == words
