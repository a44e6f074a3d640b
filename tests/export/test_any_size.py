"""The graph that resizes by itself: the same answers, whatever an image's size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from covid.export.any_size import TOLERANCE, any_size_graph, check_any_size
from covid.export.evidence import add_evidence
from tests.export.conftest import Small
from tests.export.networks import SIZE

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def graph(small: Small) -> onnx.ModelProto:
    return any_size_graph(small.model, SIZE)


@pytest.fixture(scope="module")
def session(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return opened(graph)


def opened(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def striped(height: int, width: int) -> Pixels:
    """A slope that a resize keeps, under stripes of one pixel that only averaging takes away."""
    slope = np.add.outer(np.linspace(50, 120, height), np.linspace(0, 70, width))
    return (slope + 50 * (np.arange(width) % 2)).astype(np.uint8)


def test_the_input_is_one_grey_image_of_any_height_and_width(graph: onnx.ModelProto) -> None:
    (given,) = graph.graph.input
    assert [axis.dim_value or axis.dim_param for axis in given.type.tensor_type.shape.dim] == [
        1, "height", "width",
    ]  # fmt: skip


def test_an_image_of_the_network_s_size_is_left_as_it_is(
    small: Small, session: onnxruntime.InferenceSession
) -> None:
    pixels = small.reference.pixels([0])
    actual = session.run(["logit"], {"image": pixels})[0]
    plain = opened(small.model).run(["logit"], {"image": pixels[:, np.newaxis]})[0]
    np.testing.assert_allclose(actual, plain, atol=1e-5)  # the same sums in fp32


@given(height=st.integers(SIZE // 2, 8 * SIZE), width=st.integers(SIZE // 2, 8 * SIZE))
def test_any_size_has_the_answer_of_the_image_resized_by_pillow(
    small: Small, session: onnxruntime.InferenceSession, height: int, width: int
) -> None:
    pixels = striped(height, width)
    resized = Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    plain = session.run(["probability"], {"image": np.asarray(resized)[np.newaxis]})[0]
    actual = session.run(["probability"], {"image": pixels[np.newaxis]})[0]
    assert np.abs(actual - plain).max() <= TOLERANCE


def test_the_graph_that_is_given_is_left_as_it_was(small: Small) -> None:
    before = small.model.SerializeToString()
    any_size_graph(small.model, SIZE)
    assert small.model.SerializeToString() == before


def evaluated_against(
    small: Small, probabilities: npt.NDArray[np.float32], path: Path
) -> dict[str, bool]:
    path.write_bytes(any_size_graph(small.model, SIZE).SerializeToString())
    reference = replace(small.reference, probabilities=probabilities)
    return {check.name: check.holds for check in check_any_size(path, reference)["checks"]}


def test_the_network_s_own_answers_hold(small: Small, tmp_path: Path) -> None:
    held = evaluated_against(small, small.reference.probabilities, tmp_path / "a.onnx")
    assert held == {"probabilities": True, "decisions": True, "evidence": True}


def test_its_maps_add_up_to_its_logits(small: Small) -> None:
    session = opened(any_size_graph(add_evidence(small.model), SIZE))
    names = ["logit", "evidence", "evidence_rest"]
    logit, evidence, rest = session.run(names, {"image": striped(50, 90)[np.newaxis]})
    assert evidence.shape[2] * evidence.shape[3] > 1
    np.testing.assert_allclose(evidence.sum((2, 3)) + rest, logit, atol=1e-4)


def test_a_probability_that_is_farther_off_than_the_tolerance_is_told(
    small: Small, tmp_path: Path
) -> None:
    other = small.reference.probabilities.copy()
    other[0, 0] = (other[0, 0] + 2 * TOLERANCE) % 1
    assert not evaluated_against(small, other, tmp_path / "a.onnx")["probabilities"]


def test_a_decision_that_turns_far_from_its_threshold_is_told(small: Small, tmp_path: Path) -> None:
    other = 1 - small.reference.probabilities
    assert not evaluated_against(small, other, tmp_path / "a.onnx")["decisions"]


def test_an_answer_that_is_no_number_is_infinitely_far(small: Small, tmp_path: Path) -> None:
    broken = onnx.ModelProto.FromString(small.model.SerializeToString())
    bias = next(one for one in broken.graph.initializer if one.name.endswith("head.3.bias"))
    values = np.full(onnx.numpy_helper.to_array(bias).shape, np.nan, dtype=np.float32)
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    path = tmp_path / "a.onnx"
    path.write_bytes(any_size_graph(broken, SIZE).SerializeToString())
    assert check_any_size(path, small.reference)["largest_difference"] == np.inf
