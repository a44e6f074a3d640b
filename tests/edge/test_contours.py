"""Lines hold what they say of the map that is drawn, and none stands around a speck."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from covid.edge.contours import DRAWN, SHARES, SMALLEST, _large, contours, inside, interpolated

SCALE = 0.1
BLOB = np.exp(-(((np.indices((10, 10)) - 4.3) / 2) ** 2).sum(axis=0)).astype(np.float32)
FINE = 480  # pixels: four times the samples of the search


def held(evidence: npt.NDArray[np.float32], level: float) -> float:
    smooth = interpolated(evidence, FINE, FINE)
    area = inside(smooth, level, DRAWN * SMALLEST * smooth.size / evidence.size)
    return float(smooth[area & (smooth > 0)].sum() / smooth[smooth > 0].sum())


def test_lines_hold_their_shares_of_the_map_that_is_drawn() -> None:
    assert [held(BLOB, line.level) for line in contours(BLOB, SCALE)] == pytest.approx(
        SHARES, abs=0.01
    )


def test_a_piece_that_just_counts_is_drawn_too() -> None:
    half = np.array([[1, 0]], np.float32)  # 50 % of it are less than SMALLEST
    for line, share in zip(contours(half, SCALE), (0.52, 0.93), strict=True):
        assert line.held == pytest.approx(share, abs=0.01)
        # A column of the search's samples, of which this map has 24, holds 0.09 of it.
        assert line.held == pytest.approx(held(half, line.level), abs=0.09 / 2)


@given(arrays(np.float32, (4, 5), elements=st.floats(-2, 2, width=32)))
def test_the_second_line_lies_around_the_first(evidence: npt.NDArray[np.float32]) -> None:
    lines = contours(evidence, SCALE)
    assert [line.level for line in lines] == sorted((x.level for x in lines), reverse=True)
    assert all(0 < line.level and 0 < line.held <= 1.000001 for line in lines)


def test_a_single_place_keeps_its_lines() -> None:
    single = np.zeros((10, 10), np.float32)
    single[5, 5] = 1
    assert [line.held for line in contours(single, SCALE)] == pytest.approx(SHARES, abs=0.02)


def test_too_little_has_no_lines() -> None:
    assert contours(BLOB, 1.01 * float(BLOB.sum())) == []
    assert len(contours(BLOB, 0.99 * float(BLOB.sum()))) == 2


def test_what_is_against_a_class_has_no_lines() -> None:
    assert contours(-BLOB, SCALE) == []


def test_beside_a_peak_nothing_is_against_the_class() -> None:
    single = np.zeros((10, 10), np.float32)
    single[5, 5] = 1
    assert interpolated(single, 200, 200).min() == 0


def test_small_pieces_and_small_holes_do_not_count() -> None:
    area = np.zeros((20, 20), np.float32)
    area[2:12, 2:12] = 1
    area[5:7, 5:7] = 0  # a hole of 4
    area[15, 15] = 1  # a piece of 1, and one that touches it by a corner alone
    area[16:18, 16:18] = 1
    kept = inside(area, 1.0, 5)
    assert kept.sum() == 100 and kept[2:12, 2:12].all()
    assert inside(area, 1.0, 4).sum() == 100  # the hole of 4 is one, so is the piece of 4


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_pieces_are_those_that_a_walk_reaches(area: npt.NDArray[np.bool_]) -> None:
    expected = np.zeros_like(area)
    for row, column in np.argwhere(area):
        piece, edge = {(row, column)}, [(row, column)]
        while edge:
            y, x = edge.pop()
            for place in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                in_range = 0 <= place[0] < area.shape[0] and 0 <= place[1] < area.shape[1]
                if in_range and area[place] and place not in piece:
                    piece.add(place)
                    edge.append(place)
        expected[row, column] = len(piece) >= 3
    np.testing.assert_array_equal(_large(area, 3), expected)
