"""Files asked on other processors; one of them emulated here, where QEMU is installed."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from benchmarks import processors
from benchmarks.processors import HERE, PROCESSORS, Answers, Processor, compare, near_a_threshold
from covid.errors import ConfigError, ModelError
from covid.export.golden import prove_int8
from covid.export.int8 import Prepared, quantise
from covid.export.rounding import FULL, SAFE
from tests.edge.networks import CARD
from tests.export.networks import SIZE, random_images, saturating_network

HASWELL = next(each for each in PROCESSORS if each.cpu == "Haswell")
emulated = pytest.mark.skipif(
    shutil.which("qemu-x86_64-static") is None,
    reason="QEMU's user emulation is not installed (apt-get install qemu-user-static)",
)


def write_int8(folder: Path, model: onnx.ModelProto) -> Path:
    golden = prove_int8(model, SIZE).golden
    card = replace(CARD, image_size=SIZE, precision="int8", golden=golden)
    path = folder / "model.int8.onnx"
    path.write_bytes(card.attach(model.SerializeToString()))
    return path


@pytest.fixture(scope="module")
def saturating() -> Prepared:
    return saturating_network()


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{place}.png" for place in range(8)]
    for path, pixels in zip(paths, random_images(8, 3 * SIZE)[:, 0].numpy(), strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def ask(model: Path, images: list[Path], processor: Processor) -> Answers:
    command = processor.command(None)
    assert command is not None
    (result,) = compare("small", model, images, {processor: command})
    return result


@emulated
def test_full_8_bit_weights_are_right_without_vnni_by_precise_products(
    saturating: Prepared, images: list[Path], tmp_path: Path
) -> None:
    model = write_int8(tmp_path, quantise(saturating, saturating.round(FULL)))
    result = ask(model, images, HASWELL)
    assert (result.arithmetic, result.same_pixels, result.far) == ("precise", True, 0)
    assert result.holds and result.difference <= 0.03


@emulated
def test_safe_weights_are_right_without_vnni_as_they_are(
    saturating: Prepared, images: list[Path], tmp_path: Path
) -> None:
    model = write_int8(tmp_path, quantise(saturating, saturating.round(SAFE)))
    result = ask(model, images, HASWELL)
    assert (result.arithmetic, result.holds) == ("plain", True)


def test_this_machine_is_right_whichever_kind_it_is(
    saturating: Prepared, images: list[Path], tmp_path: Path
) -> None:
    model = write_int8(tmp_path, quantise(saturating, saturating.round(FULL)))
    result = ask(model, images, HERE)
    assert result.arithmetic in ("plain", "precise") and result.holds


RIGHT = Answers("small", "int8", HERE, None, "plain", True, 0.02, 1, 0, 8)


@pytest.mark.parametrize("wrong", [
    {"difference": 0.04}, {"same_pixels": False}, {"far": 1}, {"difference": float("nan")},
], ids=str)  # fmt: skip
def test_answers_that_are_wrong_do_not_hold(wrong: dict[str, float]) -> None:
    assert RIGHT.holds and not replace(RIGHT, **wrong).holds  # type: ignore[arg-type]


def test_a_file_that_is_refused_gives_no_wrong_answer() -> None:
    refused = Answers("small", "int8", HERE, "one sentence")
    assert refused.holds and "refused" in refused.row()


def test_an_image_is_near_a_threshold_where_0_03_would_decide() -> None:
    probabilities = np.array([[0.52, 0.9], [0.54, 0.9], [0.1, 0.69]], dtype=np.float32)
    assert near_a_threshold(probabilities, (0.5, 0.7)).tolist() == [True, False, True]


def test_without_thresholds_the_two_likeliest_are_compared() -> None:
    probabilities = np.array([[0.52, 0.48, 0.0], [0.6, 0.3, 0.1]], dtype=np.float32)
    assert near_a_threshold(probabilities, None).tolist() == [True, False]


def test_an_emulator_that_is_not_there_leaves_its_processor_out() -> None:
    assert Processor("none", "qemu-of-nobody", "abacus").command(None) is None


def test_a_folder_without_python_for_arm_is_refused(tmp_path: Path) -> None:
    arm = replace(PROCESSORS[-1], emulator="aarch64-sh")
    with pytest.MonkeyPatch.context() as patch:
        (tmp_path / "aarch64-sh").symlink_to("/bin/sh")
        patch.setenv("PATH", str(tmp_path))
        assert arm.command(None) is None
        with pytest.raises(ConfigError, match="holds no usr/bin/python3.11"):
            arm.command(tmp_path)


def test_a_python_that_fails_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot run it"):
        processors.ask(["/bin/false"], tmp_path / "model.onnx", [])
