"""Sites beside each other, as a user of evaluate.py asks for them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_image
from tests.runs import evaluate, refused


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sites")
    for site, brightness in (("north", 100), ("south", 140)):
        for label, step in (("covid", -20), ("normal", 0), ("pneumonia", 20)):
            for number in range(3):
                path = folder / site / label / f"{number}.png"
                write_image(path, seed=brightness * 100 + step + number, brightness=brightness)
    return [folder / "north", folder / "south"]


@pytest.fixture(scope="module")
def compared(
    evaluated: Path, sites: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run after two sites were laid beside its test split."""
    run = shutil.copytree(evaluated, tmp_path_factory.mktemp("compared") / "run")
    done = evaluate(run, "--data", sites[0], "--data", sites[1])
    assert done.returncode == 0, done.stderr
    (run / "stdout.txt").write_text(done.stdout)
    return run


def test_the_own_images_come_first(compared: Path) -> None:
    report = json.loads((compared / "evaluation/test/external.json").read_text())
    assert [(site["name"], site["own"]) for site in report["sites"]] == [
        ("clinic, test", True), ("north, test", False), ("south, test", False),
    ]  # fmt: skip


def test_two_sites_are_not_pooled(compared: Path) -> None:
    report = json.loads((compared / "evaluation/test/external.json").read_text())
    assert report["pooled"] is None and "fewer than three sites" in report["pooled_reason"]


def test_the_forest_plot_is_a_picture(compared: Path) -> None:
    with Image.open(compared / "evaluation/test/external.png") as picture:
        assert np.asarray(picture).std() > 0


def test_each_site_has_its_own_files_and_a_row_on_the_terminal(compared: Path) -> None:
    for name in ("north", "south"):
        assert (compared / f"evaluation/{name}-test/report.html").is_file()
        assert f"{name}, test" in (compared / "stdout.txt").read_text()


def test_the_report_of_the_own_images_takes_the_sites_in(evaluated: Path, compared: Path) -> None:
    before, after = (
        (run / "evaluation/test/report.html").read_text() for run in (evaluated, compared)
    )
    assert ("south, test" in before, "south, test" in after) == (False, True)


def test_an_earlier_comparison_stays_in_a_later_report(compared: Path) -> None:
    assert evaluate(compared).returncode == 0
    assert "south, test" in (compared / "evaluation/test/report.html").read_text()


def test_several_folders_after_one_data_are_one_site(run: Path, sites: list[Path]) -> None:
    assert evaluate(run, "--data", *sites).returncode == 0
    metrics = json.loads((run / "evaluation/north+south-test/metrics.json").read_text())
    assert metrics["images"] == 18


def test_two_sites_of_one_name_are_refused(run: Path, sites: list[Path], tmp_path: Path) -> None:
    shutil.copytree(sites[0], tmp_path / "other/north")
    done = evaluate(run, "--data", sites[0], "--data", tmp_path / "other/north")
    refused(done, "two sites are called north")


def test_a_label_of_one_site_need_not_be_another_s(
    run: Path, sites: list[Path], tmp_path: Path
) -> None:
    shutil.copytree(sites[1], tmp_path / "east")
    (tmp_path / "east/pneumonia").rename(tmp_path / "east/flu")
    both = ("--data", sites[0], "--data", tmp_path / "east")
    assert evaluate(run, *both, "--label", "flu=pneumonia").returncode == 0
    refused(evaluate(run, *both, "--label", "cold=pneumonia"), "cold, which no image bears")


def test_own_images_at_other_thresholds_do_not_stand_beside_sites(
    compared: Path, sites: list[Path], tmp_path: Path
) -> None:
    run = shutil.copytree(compared, tmp_path / "run")
    metrics = json.loads((run / "evaluation/test/metrics.json").read_text())
    metrics["operating_point"] = {"rule": "another"}
    (run / "evaluation/test/metrics.json").write_text(json.dumps(metrics))
    done = evaluate(run, "--data", sites[0], "--data", sites[1])
    assert "the own images" in done.stdout and "are left out" in done.stdout
    report = json.loads((run / "evaluation/test/external.json").read_text())
    assert [site["own"] for site in report["sites"]] == [False, False]
