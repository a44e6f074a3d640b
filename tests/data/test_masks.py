"""Masks beside images: where they lie, what is white, what of a place they cover."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from covid.data.index import Index, Sample
from covid.data.masks import covered, mask_file, read_lungs, read_mask
from covid.data.source import load_index
from covid.errors import DataError
from tests.conftest import write_image


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


def index_of(root: Path, mask: str = "masks/a.png") -> Index:
    write_image(root / "a.png", 1)
    write_image(root / "b.png", 2)
    rows = ["path,label,split,patient,mask", f"a.png,normal,test,A,{mask}", "b.png,normal,test,B,"]
    (root / "manifest.csv").write_text("\n".join(rows))
    return load_index(root, ["normal"])


def write_mask(path: Path, *, lung: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((40, 40), dtype=np.uint8)
    pixels[:20] = lung
    Image.fromarray(pixels).save(path)


def test_lungs_are_where_a_mask_is_white_at_the_size_that_is_wanted(tmp_path: Path) -> None:
    write_mask(tmp_path / "masks/a.png")
    (mask,) = read_lungs(index_of(tmp_path), [0], 10)
    assert mask.shape == (10, 10) and mask[:5].all() and not mask[5:].any()


def test_a_mask_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png.*names it as a mask"):
        read_lungs(index_of(tmp_path), [0], 10)


def test_a_mask_without_white_is_no_mask(tmp_path: Path) -> None:
    write_mask(tmp_path / "masks/a.png", lung=100)
    with pytest.raises(DataError, match="shows no lung"):
        read_lungs(index_of(tmp_path), [0], 10)
