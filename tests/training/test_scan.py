"""The scan before training: what it says of images besides what the whole program shows."""

from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator

from covid.config import Config, load_config
from covid.data.cache import Images
from covid.data.folders import Folders
from covid.data.index import Index
from covid.project import PROJECT
from covid.training.scan import TrainingData, scan

SIZE = 64
LABELS = ("covid", "normal", "pneumonia")


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(PROJECT / "configs/resnet18_multilabel.yaml", [f"data.image_size={SIZE}"])


def scanned(index: Index, config: Config) -> TrainingData:
    return scan(Accelerator(cpu=True), index, Images(index, SIZE, None), config)


def test_dicom_headers_are_surveyed_once_and_lateral_views_kept_in_the_audit(
    tmp_path: Path, config: Config
) -> None:
    files = pytest.importorskip("tests.edge.dicom_files")
    draw = np.random.default_rng(0)
    for split in ("train", "validation"):
        for label in LABELS:
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(2):
                values = draw.integers(0, 4096, (SIZE, SIZE), dtype=np.uint16)
                files.dicom(
                    tmp_path / split / label / f"{number}.dcm", values,
                    ViewPosition="LL" if number else "PA", BurnedInAnnotation="YES",
                )  # fmt: skip
    data = scanned(Folders(tmp_path).index(), config)
    assert sum("12 of 12 DICOM images are said to have" in each for each in data.warnings) == 1
    assert not any("lateral" in sentence for sentence in data.warnings)
    assert data.audit["lateral_views"] == 3  # of the training images
