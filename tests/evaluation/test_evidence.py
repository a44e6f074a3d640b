"""Where evidence lies: shares by hand, chance as 1, and what counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from covid.evaluation.evidence import Placed, evidence_table, placement

CLASSES = ("covid", "normal")
LEFT = np.array([[[1.0, 0.0], [1.0, 0.0]]])  # the mask covers the left half


def of(*maps: list[list[float]], covered: np.ndarray = LEFT) -> Placed:
    """One image, a map for each class."""
    return Placed.of(np.array([maps], dtype=np.float32), covered)


def test_what_speaks_against_a_class_has_no_share() -> None:
    placed = of([[3, 1], [-9, 0]], [[0, 1], [-1, -1]])
    assert placed.share.tolist() == [[0.75, 0.0]]
    assert placed.hit.tolist() == [[1.0, 0.0]]
    assert (placed.area.tolist(), placed.inside.tolist()) == ([0.5], [0.5])


def test_a_place_at_the_edge_counts_by_what_the_mask_covers_of_it() -> None:
    placed = of([[1, 1], [0, 0]], covered=np.array([[[0.6, 0.2], [0, 0]]]))
    assert placed.share[0, 0] == pytest.approx(0.4)
    assert placed.inside[0] == 0.25


def test_a_map_without_anything_for_the_class_is_undefined() -> None:
    assert np.isnan(of([[-1, 0], [0, 0]]).share).all()


def test_an_empty_mask_is_none() -> None:
    placed = of([[1, 1], [1, 1]], covered=np.zeros((1, 2, 2)))
    assert np.isnan(placed.share).all() and np.isnan(placed.area).all()


@given(arrays.arrays(np.int64, (3, 4, 5), elements=st.integers(0, 9)), st.floats(0.01, 100))
def test_evidence_that_is_even_has_the_ratio_of_chance(
    covered: "np.ndarray", level: float
) -> None:
    covered = covered / 9  # of each place
    placed = Placed.of(np.full((3, 2, 4, 5), level, dtype=np.float32), covered)
    figures = placement(placed, np.ones((3, 2), dtype=bool), CLASSES, [None] * 3)
    masked = (covered.sum(axis=(1, 2)) > 0).sum()
    assert (figures is None) == (masked == 0)
    if figures is not None:
        assert figures["ratio"]["value"] == pytest.approx(1, abs=1e-6)
        assert figures["images"] == masked


def several() -> tuple[Placed, np.ndarray]:
    """Forty images: covid's evidence is on the left, normal's on the right."""
    random = np.random.default_rng(0)
    maps = random.uniform(0, 1, (40, 2, 2, 2)).astype(np.float32)
    maps[:, 0, :, 0] += 2
    maps[:, 1, :, 1] += 2
    decisions = np.zeros((40, 2), dtype=bool)
    decisions[np.arange(30), np.arange(30) % 2] = True
    return Placed.of(maps, np.repeat(LEFT, 40, axis=0)), decisions


def test_only_classes_that_were_decided_count() -> None:
    figures = placement(*several(), CLASSES, [None] * 40)
    assert figures is not None
    assert (figures["images"], figures["left_out"]) == (30, 10)
    assert figures["per_class"]["covid"]["ratio"]["value"] > 1.5
    assert figures["per_class"]["normal"]["ratio"]["value"] < 0.5
    assert figures["per_class"]["covid"]["pointing"]["value"] == 1
    assert figures["ratio"]["low"] < figures["ratio"]["value"] < figures["ratio"]["high"]


def test_images_of_one_patient_widen_the_interval() -> None:
    placed, decisions = several()
    decisions[:] = [True, False]
    placed.share[:] = np.repeat(np.random.default_rng(1).uniform(0, 1, 5), 8)[:, None]
    patients = [f"p{image // 8}" for image in range(40)]
    alone, together = (placement(placed, decisions, CLASSES, who) for who in
                       ([None] * 40, patients))  # fmt: skip
    assert alone is not None and together is not None
    widths = [each["ratio"]["high"] - each["ratio"]["low"] for each in (alone, together)]
    assert widths[1] > 1.5 * widths[0]
    assert together["patients"] == 5


def test_several_networks_are_averaged_image_by_image() -> None:
    one, two = of([[1, 0], [0, 0]], [[1, 0], [0, 0]]), of([[0, 1], [0, 0]], [[1, 0], [0, 0]])
    assert Placed.averaged([one, two]).share.tolist() == [[0.5, 1.0]]


def test_the_terminal_has_a_row_for_each_mask_and_network() -> None:
    figures = placement(*several(), CLASSES, [None] * 40)
    assert figures is not None
    whole = {**figures, "shuffled": figures, "lesion": None, "shuffled_lesion": None}
    text = evidence_table(whole, 90)
    assert "in the lungs" in text and "weights shuffled" in text and "lesion" not in text
    assert evidence_table(None, 90) == ""
