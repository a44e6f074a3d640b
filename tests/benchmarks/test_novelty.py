"""The kinds of images that files are asked about, and the figures that come of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.novelty import auroc, own_images, photographs, squares_of
from covid.errors import DataError


def test_auroc_counts_pairs_and_ties_half() -> None:
    two, three, one = (np.array(each, np.float32) for each in ([2, 3], [0, 1, 2], [1]))
    assert auroc(two, one) == 1 and auroc(one, two) == 0
    assert auroc(one, three) == 0.5


def test_scikit_learn_s_photographs_are_there() -> None:
    assert {path.name for path in photographs([])} >= {"china.jpg", "flower.jpg"}


def test_a_photograph_gives_itself_and_seven_squares(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert squares_of([tmp_path / "a.png"], 16).shape == (8, 16, 16)


def test_a_run_without_test_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no test images"):
        own_images(tmp_path, tmp_path)
