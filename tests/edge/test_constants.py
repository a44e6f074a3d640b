"""The constants of a recalibration: found and replaced in a file's bytes, as onnx reads them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from covid.edge.constants import SCALE, SHIFT, find_constants
from covid.errors import ModelError
from tests.edge.networks import brightness_graph

PATH = Path("model.onnx")
GRAPH = brightness_graph(calibrated=True)
number = st.floats(-1e6, 1e6, width=32)


def changed(**tensors: onnx.TensorProto) -> bytes:
    """GRAPH with other tensors in the place of those that are named so."""
    model = onnx.load_from_string(GRAPH)
    for constant in model.graph.initializer:
        if constant.name in tensors:
            constant.CopyFrom(tensors[constant.name])
    return bytes(model.SerializeToString())


def values_of(content: bytes) -> dict[str, list[float]]:
    constants = onnx.load_from_string(content).graph.initializer
    return {each.name: numpy_helper.to_array(each).tolist() for each in constants}


def test_both_constants_are_read() -> None:
    constants = find_constants(PATH, GRAPH, 3)
    assert (constants.scale.tolist(), constants.shift.tolist()) == ([1] * 3, [0] * 3)


@given(st.lists(number, min_size=3, max_size=3), st.lists(number, min_size=3, max_size=3))
def test_onnx_reads_what_was_written_and_all_else_as_before(
    scale: list[float], shift: list[float]
) -> None:
    content = find_constants(PATH, GRAPH, 3).replaced(scale, shift)
    assert values_of(content) == values_of(GRAPH) | {SCALE: scale, SHIFT: shift}


def test_nothing_but_the_two_constants_changes() -> None:
    constants = find_constants(PATH, GRAPH, 3)
    content = constants.replaced([2, 3, 4], [5, 6, 7])
    inside = {
        start + byte for start in (constants.scale_start, constants.shift_start)
        for byte in range(12)
    }  # fmt: skip
    differing = {place for place in range(len(GRAPH)) if GRAPH[place] != content[place]}
    assert len(content) == len(GRAPH) and differing and differing <= inside


def test_what_was_written_is_read_again() -> None:
    content = find_constants(PATH, GRAPH, 3).replaced([1.5, 2, 3], [-1, 0, 0.25])
    constants = find_constants(PATH, content, 3)
    assert (constants.scale.tolist(), constants.shift.tolist()) == ([1.5, 2, 3], [-1, 0, 0.25])


def test_numbers_kept_as_floats_instead_of_raw_bytes_are_found_too() -> None:
    tensor = onnx.helper.make_tensor(SCALE, onnx.TensorProto.FLOAT, [3], [1.5, 2.5, 3.5])
    assert tensor.float_data and not tensor.raw_data
    constants = find_constants(PATH, changed(calibration_scale=tensor), 3)
    assert constants.scale.tolist() == [1.5, 2.5, 3.5]


def test_as_many_numbers_as_classes_are_written() -> None:
    with pytest.raises(ValueError):
        find_constants(PATH, GRAPH, 3).replaced([1.0], [0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "content",
    [
        brightness_graph(),
        changed(calibration_scale=numpy_helper.from_array(np.ones(2, np.float32), SCALE)),
        changed(calibration_scale=numpy_helper.from_array(np.ones((3, 1), np.float32), SCALE)),
        changed(calibration_scale=numpy_helper.from_array(np.ones(3, np.float16), SCALE)),
        changed(calibration_scale=numpy_helper.from_array(np.ones(3, np.int32), SCALE)),
        changed(weight=numpy_helper.from_array(np.ones(3, np.float32), SCALE)),
        GRAPH[:-40],
        b"\x08\x0a\x3f",
    ],
    ids=["none", "of other length", "of other shape", "half", "whole", "twice", "cut", "no graph"],
)
def test_a_file_without_them_cannot_be_recalibrated(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"model.onnx: has no calibration_scale and calibration_"):
        find_constants(PATH, content, 3)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_the_same_sentence(content: bytes) -> None:
    with pytest.raises(ModelError, match="cannot be recalibrated"):
        find_constants(PATH, content, 3)
