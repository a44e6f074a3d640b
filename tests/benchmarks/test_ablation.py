"""What parts of a recipe are worth: rows that train, and tables made from what they say."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks import ablation
from covid.config import load_config
from covid.edge.images import read_grey

HEADER = (
    "path,label,probability_covid,probability_normal,probability_pneumonia,predicted,correct,"
    "target_covid,target_normal,target_pneumonia,patient,source,fold\n"
)


@pytest.mark.parametrize("name", ablation.ROWS)
def test_each_row_is_a_config_that_differs_where_it_says_so(name: str) -> None:
    config = load_config(ablation.CONFIG, ablation.ROWS[name])
    assert bool(ablation.ROWS[name]) == (config != load_config(ablation.CONFIG))


def test_a_config_is_a_row_by_its_name_as_it_stands() -> None:
    path, settings = ablation.config_and_settings("resnet18_binary_scratch")
    assert load_config(path, settings).name == "resnet18_binary_scratch"


def write_predictions(path: Path, normal: list[float], fold: str = "") -> None:
    """A healthy and an ill patient, `normal` the probability of either."""
    rows = [HEADER]
    for patient, probability in enumerate(normal):
        label, targets = (("normal", "0,1,0"), ("pneumonia", "0,0,1"))[patient]
        predicted = "normal" if probability >= 0.5 else "pneumonia"
        right = str(predicted == label).lower()
        rows.append(f"{patient}.png,{label},0,{probability},{1 - probability},{predicted},{right},"
                    f"{targets},{patient},one,{fold}\n")  # fmt: skip
    path.parent.mkdir(parents=True)
    path.write_text("".join(rows))


def write_row(folder: Path, networks: list[list[float]]) -> None:
    """A row of two networks; what each says of both patients, inside and at every site."""
    write_predictions(folder / "evaluation" / "folds" / "predictions.csv", networks[0], "1of2")
    for network, normal in zip(ablation.networks(folder, 2), networks, strict=True):
        for site in ablation.SITES:
            write_predictions(ablation.outside(network, site), normal)


def test_a_figure_of_another_hospital_is_the_mean_over_the_networks(tmp_path: Path) -> None:
    write_row(tmp_path / "recipe", [[0.9, 0.1], [0.9, 0.1]])
    write_row(tmp_path / "flip-alone", [[0.9, 0.1], [0.1, 0.9]])
    given = Namespace(output=tmp_path, rows=["recipe", "flip-alone"], folds=2)
    found = ablation.differences("flip-alone", given)["Montgomery: AUROC of normal"]
    assert (found.first, found.second, found.value) == (1, 0.5, -0.5)


def test_changed_images_keep_their_names_and_what_is_known_of_them(tmp_path: Path) -> None:
    source, place = tmp_path / "source", tmp_path / "place"
    (source / "images").mkdir(parents=True)
    grey = np.arange(100, 164, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(source / "images" / "a.png")
    (source / "manifest.csv").write_text("path,label\nimages/a.png,normal\n")
    ablation.write_changed(source, place, ImageOps.autocontrast)
    assert (place / "manifest.csv").read_text() == (source / "manifest.csv").read_text()
    stretched = ImageOps.autocontrast(Image.fromarray(grey))
    assert read_grey(place / "images" / "a.png") == stretched
