"""Other constants and another card in a file's bytes: it answers what it says, or is not there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.edge.card import Card, read_card, read_content
from covid.edge.constants import Constants, find_constants
from covid.edge.operating_point import Recalibration
from covid.errors import ModelError
from covid.export.recalibrated_file import compose, write_recalibrated
from tests.edge.networks import CARD, SIZE, XRAY3, brightness_graph, golden_of
from tests.edge.test_operating_point import ON, PLATT, TEMPERATURE

GRAPH = brightness_graph(calibrated=True)
SOUND = replace(CARD, golden=golden_of(GRAPH, SIZE))
COOLER = replace(TEMPERATURE, scale=(0.5,) * 3, shift=(0.0,) * 3)
scale = st.tuples(*[st.floats(0.125, 8, width=32)] * 3)
shift = st.tuples(*[st.floats(-4, 4, width=32)] * 3)
steps = st.builds(Recalibration, st.just("platt"), scale, shift, st.just(ON))


def constants() -> Constants:
    return find_constants(Path("model.onnx"), GRAPH, 3)


def after(step: Recalibration) -> Constants:
    content = constants().replaced(step.scale, step.shift)
    return find_constants(Path("model.onnx"), content, 3)


@given(steps, steps, st.tuples(*[st.floats(-20, 20, width=32)] * 3))
def test_two_recalibrations_in_one_are_one_after_the_other(
    first: Recalibration, second: Recalibration, logits: tuple[float, ...]
) -> None:
    row = np.array([logits], dtype=np.float32)
    together = compose(after(first), second).apply(row)
    np.testing.assert_allclose(together, second.apply(first.apply(row)), rtol=1e-4, atol=1e-3)


def test_two_temperatures_are_one_and_anything_else_is_lines() -> None:
    assert compose(after(COOLER), COOLER) == replace(COOLER, scale=(0.25,) * 3)
    assert compose(after(PLATT), COOLER).method == compose(after(COOLER), PLATT).method == "platt"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_gives_the_golden_answers_that_its_new_card_has(
    tmp_path: Path, precision: str
) -> None:
    card, path = replace(SOUND, precision=precision), tmp_path / "new.onnx"
    written = write_recalibrated(path, constants(), card, PLATT)
    assert read_card(path) == written and written.golden is not None and card.golden is not None
    mapped = np.array(card.golden.logits) * PLATT.scale + PLATT.shift
    np.testing.assert_allclose(written.golden.logits, mapped, atol=1e-6)
    largest = max(1.0, np.abs(mapped).max())
    tolerance = card.golden.tolerance if precision == "int8" else 1e-3 * largest
    assert written.golden.tolerance == pytest.approx(tolerance)


def test_a_card_alone_leaves_the_content(tmp_path: Path) -> None:
    card: Card = replace(SOUND, space=CARD.space.with_thresholds(dict.fromkeys(XRAY3, 0.25)))
    assert write_recalibrated(tmp_path / "new.onnx", constants(), card, None) == card
    assert read_content(tmp_path / "new.onnx") == GRAPH


def test_a_file_that_answers_otherwise_is_not_left(tmp_path: Path) -> None:
    path = tmp_path / "new.onnx"
    path.write_bytes(b"older")
    assert SOUND.golden is not None
    rows = tuple(tuple(value + 1 for value in row) for row in SOUND.golden.logits)
    wrong = replace(SOUND, golden=replace(SOUND.golden, logits=rows))
    with pytest.raises(ModelError, match=r"new\.onnx: this machine computes other answers"):
        write_recalibrated(path, constants(), wrong, PLATT)
    assert [each.name for each in tmp_path.iterdir()] == ["new.onnx"]
    assert path.read_bytes() == b"older"
