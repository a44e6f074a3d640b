"""Where images come from: a folder, or rendered ones that say so."""

from pathlib import Path

import pytest

from covid.config import PROJECT, Config, load_config
from covid.data.index import load_index
from covid.data.phantom import render_set
from covid.data.source import data_name, is_synthetic, open_source
from covid.errors import DataError
from tests.conftest import LABELS, MakeImages


def config(cache: Path, root: str | Path) -> Config:
    settings = [f"data.root={root}", f"data.cache_dir={cache}", "data.image_size=32"]
    return load_config(PROJECT / "configs/resnet18_multilabel.yaml", settings)


def test_a_folder_is_read(make_images: MakeImages, tmp_path: Path) -> None:
    index = open_source(config(tmp_path, make_images()), advice="")
    assert (data_name(index), is_synthetic(index)) == ("images", False)


def test_a_missing_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder .*absent; .*, or make some$"):
        open_source(config(tmp_path, tmp_path / "absent"), advice="make some")


def test_rendered_images_say_so_under_any_name(tmp_path: Path) -> None:
    root = render_set(tmp_path / "clinic", LABELS, images=30, size=32)
    index = load_index(root, LABELS)
    assert is_synthetic(index) and "SYNTHETIC" in data_name(index)
