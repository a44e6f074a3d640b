"""The training benchmark's two sides do the same work, on a handful of small images."""

from pathlib import Path

import pytest

from benchmarks.training import Row, run_side, settings_of, usual_loop
from covid.config import load_config
from tests.conftest import MakeImages

TINY = ("data.image_size=32", "batch_size=4", "precision=no")


@pytest.fixture
def settings(make_images: MakeImages, tmp_path: Path) -> dict[str, object]:
    return settings_of(Row("resnet18", "head", 1, 1.0), make_images(), tmp_path, *TINY)


@pytest.mark.usefixtures("one_process")
def test_the_usual_loop_trains_and_judges(settings: dict[str, object]) -> None:
    config = load_config(Path(str(settings["config"])), settings["set"])  # type: ignore[arg-type]
    accuracy = usual_loop(Path(config.data.roots[0]), config, workers=0)
    assert accuracy in [correct / 6 for correct in range(7)]  # of six validation images


def test_our_side_says_how_long_it_took_and_what_it_held(settings: dict[str, object]) -> None:
    ours = run_side("ours", settings)
    assert ours["seconds"] > 0 and ours["megabytes"] > 0 and len(ours["history"]) == 1
