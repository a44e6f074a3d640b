"""Masks beside images: where they lie, what is white, what of a place they cover."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from covid.data.index import Index, Sample
from covid.data.masks import covered, mask_file, read_mask


def test_a_mask_lies_below_its_image_s_own_root() -> None:
    roots = (Path("/data/a"), Path("/data/b"))
    sample = Sample(roots[1] / "x/1.png", "b/x/1.png", "normal", "test", None, {"mask": "m\\1.png"})
    assert mask_file(Index(roots, (sample,), ()), sample, "mask") == Path("/data/b/m/1.png")


def test_an_empty_cell_and_an_absent_column_name_no_mask() -> None:
    sample = Sample(Path("/a/1.png"), "1.png", "normal", "test", None, {"mask": " "})
    index = Index((Path("/a"),), (sample,), ())
    assert mask_file(index, sample, "mask") is mask_file(index, sample, "lesion") is None


@pytest.mark.parametrize("mode", ["1", "L"])
def test_white_is_inside(tmp_path: Path, mode: str) -> None:
    mask = Image.new("L", (4, 2))
    mask.putpixel((3, 0), 255)
    mask.convert(mode).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]


def test_a_place_is_covered_by_its_share_of_white_pixels() -> None:
    mask = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=bool)
    np.testing.assert_allclose(covered(mask, 1, 1), [[4 / 9]])
    np.testing.assert_allclose(covered(mask, 1, 2), [[2 / 3, 2 / 9]])  # the middle column is shared


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers())
def test_the_area_stays_whatever_the_sizes(h: int, w: int, rows: int, cols: int, seed: int) -> None:
    mask = np.random.default_rng(abs(seed)).random((h, w)) < 0.5
    assert covered(mask, rows, cols).mean() == pytest.approx(mask.mean())
