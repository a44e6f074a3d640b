"""Resampling: what is drawn, of what, and that names and order make no difference."""

import numpy as np
import pytest

from covid.evaluation import bootstrap
from covid.evaluation.bootstrap import cluster_images, draw_weights, interval

CONTENT = np.array([[0.5, 1], [0.2, 0], [0.5, 1], [0.9, 0], [0.2, 0]])


def test_images_of_one_patient_are_one_cluster_and_others_their_own() -> None:
    cluster = cluster_images(["b", "a", None, "b", None], CONTENT)
    assert cluster[0] == cluster[3]
    assert len(set(cluster.tolist())) == 4 and cluster.max() == 3


def test_names_of_patients_make_no_difference() -> None:
    first = cluster_images(["b", "a", None, "b", None], CONTENT)
    second = cluster_images(["x", None, "z", "x", "y"], CONTENT)
    assert first.tolist() == second.tolist()


def test_clusters_are_numbered_by_what_they_hold() -> None:
    patients, order = ["b", "a", None, "b", None], [4, 2, 0, 3, 1]
    first = cluster_images(patients, CONTENT)
    second = cluster_images([patients[n] for n in order], CONTENT[order])
    for number in range(4):
        held = CONTENT[first == number].tolist()
        assert sorted(held) == sorted(CONTENT[order][second == number].tolist())


def test_a_resample_draws_as_many_clusters_as_there_are() -> None:
    cluster = np.array([0, 1, 2, 2, 3])
    for weights in draw_weights(cluster, 50, seed=0):
        assert (weights[:, [0, 1, 2, 4]].sum(axis=1) == 4).all()


def test_images_of_one_cluster_come_along_together() -> None:
    weights = np.concatenate(list(draw_weights(np.array([0, 1, 1, 2]), 50, seed=0)))
    assert (weights[:, 1] == weights[:, 2]).all() and len(set(weights[:, 1])) > 2


def test_every_cluster_is_as_probable_as_any_other() -> None:
    weights = np.concatenate(list(draw_weights(np.arange(5), 4000, seed=0)))
    # 20,000 draws of probability 1/5: five standard deviations of a cluster's mean are 0.07.
    assert weights.mean(axis=0) == pytest.approx([1] * 5, abs=0.07)


def test_how_many_are_drawn_at_once_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = list(draw_weights(np.arange(7), 20, seed=0))
    monkeypatch.setattr(bootstrap, "CELLS", 21)
    in_parts = list(draw_weights(np.arange(7), 20, seed=0))
    assert (len(at_once), len(in_parts)) == (1, 7)
    assert np.array_equal(np.concatenate(in_parts), at_once[0])


def test_the_interval_leaves_out_what_is_no_number() -> None:
    assert interval(np.array([np.nan, 1, np.nan, 1])) == (1, 1)


def test_nothing_but_missing_numbers_has_no_interval() -> None:
    assert interval(np.array([np.nan, np.nan])) is None
