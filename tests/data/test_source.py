"""Where images come from: folders, rendered ones that say so, and what somebody adds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid.config import Config, load_config
from covid.data.cache import Images
from covid.data.index import Index, Sample, join, patients_in_two_splits
from covid.data.phantom import render_set
from covid.data.source import data_name, is_synthetic, load_index, open_source
from covid.errors import DataError
from covid.project import PROJECT
from tests.conftest import LABELS, MakeImages, write_image


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


def clinics(tmp_path: Path) -> list[Path]:
    """Two manifests that both have a file a.png of a patient P1, in different splits."""
    roots = []
    for number, (name, split) in enumerate((("east", "train"), ("west", "test"))):
        root = tmp_path / name
        write_image(root / "a.png", seed=number)
        manifest = f"path,label,split,patient\na.png,normal,{split},P1\n"
        (root / "manifest.csv").write_text(manifest)
        roots.append(root)
    return roots


def test_images_of_several_roots_are_told_apart_by_their_roots_name(tmp_path: Path) -> None:
    index = load_index(clinics(tmp_path), LABELS)
    assert [sample.name for sample in index.samples] == ["east/a.png", "west/a.png"]
    assert index.name == "east+west"


def test_a_patients_number_means_another_patient_in_another_root(tmp_path: Path) -> None:
    assert patients_in_two_splits(load_index(clinics(tmp_path), LABELS).samples) == []


def test_two_roots_of_one_name_are_refused(tmp_path: Path) -> None:
    first = clinics(tmp_path / "first")[0]
    second = clinics(tmp_path / "second")[0]
    with pytest.raises(DataError, match="data.root: two folders are called east"):
        load_index([first, second], LABELS)


def test_a_config_may_name_several_roots(tmp_path: Path) -> None:
    east, west = clinics(tmp_path)
    index = open_source(config(tmp_path, f"[{east}, {west}]"), advice="")
    assert index.counts() == {"train": {"normal": 1}, "test": {"normal": 1}}


class Arrays:
    """A kind of collection that the package does not know: NumPy files, all of one label."""

    def __init__(self, root: Path):
        self.root = root

    def index(self) -> Index:
        samples = [
            Sample(path, path.name, "covid", "train", read=read_array)
            for path in sorted(self.root.glob("*.npy"))
        ]
        return Index((self.root,), tuple(samples), ())


def read_array(path: Path) -> Image.Image:
    return Image.fromarray(np.load(path))


def test_another_source_is_a_class_with_one_method(tmp_path: Path) -> None:
    pixels = (np.arange(32 * 32) % 251).astype(np.uint8).reshape(32, 32)
    np.save(tmp_path / "a.npy", pixels)
    images = Images(join([Arrays(tmp_path).index()]), 32, tmp_path / "cache")
    assert (images.read([0])[0] == pixels).all()
