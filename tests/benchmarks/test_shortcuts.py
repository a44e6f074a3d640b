"""The sets of the study: how often the cheat goes with the label, and what it touches."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.shortcuts import CHEATS, Experiment, Row, summary, write_set
from covid.data.phantom import render_set
from tests.evaluation.shortcuts.reports import report


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "base"
    return render_set(folder, ["normal", "pneumonia"], images=60, size=48, seed=1)


def marked(folder: Path, base: Path) -> tuple[np.ndarray, np.ndarray]:
    """Which images bear the cheat, and which are sick."""
    with (base / "manifest.csv").open() as file:
        plain = list(csv.DictReader(file))
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    differs = []
    for row in rows:
        with Image.open(base / plain[int(row["path"][:4])]["path"]) as before:
            with Image.open(folder / row["path"]) as after:
                differs.append(bool((np.asarray(before) != np.asarray(after)).any()))
    return np.array(differs), np.array([row["label"] == "pneumonia" for row in rows])


def test_at_100_percent_the_cheat_is_the_label_and_among_honest_images_it_is_not(
    base: Path, tmp_path: Path
) -> None:
    write_set(base, tmp_path, Experiment("marker", 100, 0))
    there, sick = marked(tmp_path / "own", base)
    assert (there == sick).all()
    there, sick = marked(tmp_path / "honest", base)
    assert 0.1 < (there == sick).mean() < 0.9


def test_patients_stay_in_one_split(base: Path, tmp_path: Path) -> None:
    write_set(base, tmp_path, Experiment("border", 0, 0))
    with (tmp_path / "own" / "manifest.csv").open() as file:
        pairs = {(row["patient"], row["split"]) for row in csv.DictReader(file)}
    assert len(pairs) == len({patient for patient, _ in pairs})
    assert {split for _, split in pairs} == {"train", "validation", "test"}


@pytest.mark.parametrize("cheat", ["marker", "border"])
def test_a_marker_and_a_border_leave_the_centre_alone(cheat: str) -> None:
    image = Image.new("L", (96, 96), 100)
    changed = np.asarray(CHEATS[cheat](image, True, np.random.default_rng(0)))
    assert (changed != 100).any() and (changed[24:72, 24:72] == 100).all()


def test_accused_are_counted_and_compared_with_what_is_wanted() -> None:
    honest = {"own": named(report()), "honest": named(report())}
    cheating = {"own": named(report(hidden=0.9)), "honest": named(report())}
    rows = [Row.of("marker", 0, [honest] * 3), Row.of("marker", 80, [cheating, honest])]
    clear, caught = summary(rows)
    assert (clear["value"], clear["holds"]) == (0, True)
    assert (caught["value"], caught["holds"]) == (0.5, False)


def test_fewer_than_59_honest_networks_do_not_show_that_1_in_20_is_accused_at_most() -> None:
    honest = {"own": named(report()), "honest": named(report())}
    few, enough = (summary([Row.of("marker", 0, [honest] * count)])[0] for count in (58, 59))
    assert few["details"]["high"] > 0.05 > enough["details"]["high"]


def named(made: dict) -> dict:  # type: ignore[type-arg]
    """A report whose class is the study's."""
    for test in made["tests"].values():
        test["auroc"] = {**test["auroc"], "pneumonia": test["auroc"]["covid"]}
    made["swap"]["border_weight"]["pneumonia"] = made["swap"]["border_weight"]["covid"]
    made["probe"]["pneumonia"] = made["probe"]["covid"]
    return made
