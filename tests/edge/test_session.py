"""onnxruntime's session: opened as it was asked for, or an error in one sentence."""

from pathlib import Path

import pytest

from covid.edge.session import CPU, PROVIDER_OPTIONS, brief, open_session
from covid.errors import ConfigError, ModelError
from tests.edge.networks import write_network


def open_(path: Path, *providers: str, threads: int = 1, precise: bool = False) -> object:
    return open_session(
        path, list(providers) or [CPU], threads=threads, low_memory=False, spinning=False,
        precise=precise,
    )  # fmt: skip


@pytest.mark.parametrize("precise", [False, True])
def test_either_arithmetic_can_be_opened(tmp_path: Path, precise: bool) -> None:
    session = open_(write_network(tmp_path), precise=precise)
    assert session.get_providers() == [CPU]  # type: ignore[attr-defined]


def test_a_file_that_is_no_graph_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="model.onnx: onnxruntime cannot open it") as caught:
        open_(tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)


def test_a_provider_that_is_not_installed_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="provider Abacus: .*which has .*CPUExecutionProvider"):
        open_(write_network(tmp_path), "Abacus")


def test_openvino_is_told_to_compute_in_float32() -> None:
    assert PROVIDER_OPTIONS["OpenVINOExecutionProvider"]["precision"] == "FP32"


@pytest.mark.parametrize(("error", "told"), [
    (ValueError("first line\nsecond line"), "first line"),
    (ValueError(""), "ValueError"),
    (ValueError("x" * 1000), "x" * 200),
], ids=["lines", "nothing", "long"])  # fmt: skip
def test_what_the_runtime_says_is_made_short(error: Exception, told: str) -> None:
    assert brief(error) == told
