"""The benchmark of scale: what it makes is read as it should be, and each measurement works."""

from pathlib import Path

import pytest

from benchmarks.scale import LABELS, add_image, config_of, make_set, side
from covid.data.source import open_source
from covid.edge.labels import read_cell

IMAGES = 320  # each of fifteen labels has twenty, and some images have two


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale")
    make_set(folder / "images", IMAGES)
    return folder


def test_the_set_has_every_label_and_images_with_several(folder: Path) -> None:
    index = open_source(config_of(folder), advice="")
    cells = [read_cell(sample.label) for sample in index.samples]
    assert {label for cell in cells for label in cell} == set(LABELS)
    assert max(map(len, cells)) == 2 and len(cells) == IMAGES


@pytest.mark.usefixtures("one_process")
def test_the_cache_serves_all_but_one_new_image(folder: Path) -> None:
    decoded = [side("parts", folder)["decoded"], side("whole", folder)["decoded"]]
    add_image(folder / "images", IMAGES)
    decoded.append(side("parts", folder)["decoded"])
    assert decoded == [IMAGES, 0, 1]


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("which", ["parts", "whole"])
def test_each_measurement_says_how_long_it_took_and_what_it_held(folder: Path, which: str) -> None:
    measured = side(which, folder)
    assert 0 < measured["seconds"]["split"] < measured["seconds"]["all"]
    assert measured["megabytes"] > 0
