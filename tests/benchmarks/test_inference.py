"""The inference benchmark finds its subjects, and refuses what is none in a sentence."""

from pathlib import Path

import pytest

from benchmarks.inference import TARGETS, find_subject
from covid.errors import ModelError
from covid.model.architectures import ARCHITECTURES


def test_every_network_has_its_targets() -> None:
    assert set(TARGETS) == set(ARCHITECTURES)


def test_a_run_without_an_export_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no export; make one with python export.py"):
        find_subject(tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="is not an ONNX file"):
        find_subject(tmp_path / "model.onnx")
