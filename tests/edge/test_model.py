"""An ONNX file as a function: what it computes, how it fits this machine, what it refuses."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

import covid.edge
from covid.edge import memory
from covid.edge.card import METADATA_PROPS, RESIZE_IN_GRAPH, Card
from covid.edge.model import MAX_BATCH, open_proven
from covid.edge.predict import Prediction
from covid.edge.wire import write_field
from covid.errors import ConfigError, DataError, ImageError, ModelError
from tests.edge.networks import (
    CARD,
    SIZE,
    TOLERANCE,
    brightness_graph,
    evidence_graph,
    golden_of,
    novelty_graph,
    single_label_card,
    write_network,
)

KIBIBYTE, GIBIBYTE = 1 << 10, 1 << 30


def grey(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 30), level).save(path)
    return path


def sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_from_string(brightness_graph())
    change(model)
    return bytes(model.SerializeToString())


# What it computes ---------------------------------------------------------------------------


def test_an_image_file_gives_what_the_network_computes_of_its_pixels(tmp_path: Path) -> None:
    answer = covid.edge.load(write_network(tmp_path))(grey(tmp_path / "a.png", 204))
    assert isinstance(answer, Prediction)
    assert answer.probabilities == pytest.approx(
        {"covid": sigmoid(2.4), "normal": sigmoid(-2.4), "pneumonia": sigmoid(-1)}, abs=1e-6
    )


def test_implied_labels_hold(tmp_path: Path) -> None:
    answer = covid.edge.load(write_network(tmp_path))(grey(tmp_path / "a.png", 255))
    assert isinstance(answer, Prediction)
    assert answer.labels == ("covid", "pneumonia")  # though its own probability is 0.27


def test_decisions_use_the_thresholds_of_the_file(tmp_path: Path) -> None:
    space = replace(CARD.space, thresholds=(0.99, 0.5, 0.25))
    model = covid.edge.load(write_network(tmp_path, replace(CARD, space=space)))
    answer = model(grey(tmp_path / "a.png", 255))
    assert isinstance(answer, Prediction)
    assert answer.labels == ("pneumonia",)


def test_a_single_label_is_the_likeliest(tmp_path: Path) -> None:
    graph = brightness_graph((1.0, -1.0), (0.0, 0.0), last="Softmax")
    card = single_label_card(golden=golden_of(graph, SIZE))
    model = covid.edge.load(write_network(tmp_path, card, graph))
    answer = model(grey(tmp_path / "a.png", 51))
    assert isinstance(answer, Prediction)
    assert answer.labels == ("infected",)
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_pixels_give_logits_and_probabilities_of_every_image(tmp_path: Path) -> None:
    model = covid.edge.load(write_network(tmp_path))
    images = np.stack([np.full((SIZE, SIZE), level, np.uint8) for level in (0, 51, 255)])
    outputs = model.run(images)
    np.testing.assert_allclose(outputs.logits[:, 0], [-4, -2.4, 4], atol=1e-5)
    np.testing.assert_allclose(outputs.probabilities, 1 / (1 + np.exp(-outputs.logits)), atol=1e-6)


def test_a_list_gives_a_stream_in_its_order(tmp_path: Path) -> None:
    paths = [grey(tmp_path / f"{level}.png", level) for level in (200, 30, 120)]
    answer = covid.edge.load(write_network(tmp_path))([str(path) for path in paths])
    assert not isinstance(answer, Prediction)
    assert [prediction.path for prediction in answer] == paths


def test_a_folder_gives_a_stream_of_its_images(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    paths = [grey(folder / name, 9) for name in ("b.png", "a/c.png")]
    answer = covid.edge.load(write_network(tmp_path))(folder)
    assert not isinstance(answer, Prediction)
    assert sorted(prediction.path for prediction in answer) == sorted(paths)


def test_an_unreadable_image_alone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="a.png: is not an image"):
        covid.edge.load(write_network(tmp_path))(tmp_path / "a.png")


def test_an_unreadable_image_in_a_list_has_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    good = grey(tmp_path / "good.png", 9)
    answer = covid.edge.load(write_network(tmp_path))([tmp_path / "bad.png", good])
    assert not isinstance(answer, Prediction)
    first, second = answer
    assert (first.labels, first.probabilities, second.error) == ((), {}, None)
    assert "is not an image" in (first.error or "")


def test_a_missing_file_in_a_list_is_an_error_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        covid.edge.load(write_network(tmp_path))([tmp_path / "missing.png"])


# How it fits this machine -------------------------------------------------------------------


def remaining(monkeypatch: pytest.MonkeyPatch, folder: Path, size: int | None) -> None:
    """As if the machine had so many bytes left."""
    meminfo = folder / "meminfo"
    meminfo.write_text("" if size is None else f"MemAvailable: {size // KIBIBYTE} kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "CGROUP", folder)


@pytest.mark.parametrize(
    ("left", "expected"), [(None, 1), (0, 1), (GIBIBYTE, 4), (64 * GIBIBYTE, MAX_BATCH)]
)
def test_batches_fit_into_the_memory_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int | None, expected: int
) -> None:
    remaining(monkeypatch, tmp_path, left)
    graph = brightness_graph(size=256)
    card = replace(CARD, image_size=256, golden=golden_of(graph, 256))
    path = write_network(tmp_path, card, graph)
    assert covid.edge.load(path).batch_size == expected


def test_low_memory_is_one_image_at_a_time(tmp_path: Path) -> None:
    model = covid.edge.load(write_network(tmp_path), low_memory=True)
    assert (model.batch_size, model.decoders) == (1, 1)


@pytest.mark.parametrize("low_memory", [False, True])
def test_low_memory_keeps_no_arena(tmp_path: Path, low_memory: bool) -> None:
    model = covid.edge.load(write_network(tmp_path), low_memory=low_memory)
    assert model.session.get_session_options().enable_cpu_mem_arena is not low_memory


def test_threads_can_be_chosen(tmp_path: Path) -> None:
    model = covid.edge.load(write_network(tmp_path), threads=3)
    assert model.session.get_session_options().intra_op_num_threads == 3
    assert (model.threads, model.decoders) == (3, 3)


@pytest.mark.parametrize("spinning", [False, True])
def test_threads_spin_unless_told_otherwise(tmp_path: Path, spinning: bool) -> None:
    path = write_network(tmp_path)
    model = covid.edge.load(path) if spinning else covid.edge.load(path, spinning=False)
    options = model.session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == str(int(spinning))


def test_threads_never_spin_between_answers(tmp_path: Path) -> None:
    options = covid.edge.load(write_network(tmp_path)).session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


@pytest.mark.parametrize("threads", [0, -1, 10**9])
def test_a_number_of_threads_that_cannot_be_is_refused(tmp_path: Path, threads: int) -> None:
    with pytest.raises(ConfigError, match="threads: must be between 1 and 1024"):
        covid.edge.load(write_network(tmp_path), threads=threads)


# Golden answers -----------------------------------------------------------------------------


def near(by: float) -> Card:
    """CARD with golden logits that are off by so much."""
    assert CARD.golden is not None
    logits = tuple(tuple(value + by for value in row) for row in CARD.golden.logits)
    return replace(CARD, golden=replace(CARD.golden, logits=logits))


def test_a_file_that_gives_its_golden_answers_runs_as_it_is(tmp_path: Path) -> None:
    assert covid.edge.load(write_network(tmp_path, near(TOLERANCE / 2))).arithmetic == "plain"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_that_gives_other_answers_here_is_refused(tmp_path: Path, precision: str) -> None:
    card = replace(near(2 * TOLERANCE), precision=precision)
    message = refusal(write_network(tmp_path, card))
    assert "this machine computes other answers than the file was made with" in message
    assert ("(precise)" in message) == (precision == "int8")  # float has one way only


def write_format_1(folder: Path) -> Path:
    """A file from before golden answers."""
    path = write_network(folder)
    model = onnx.load(path)
    fields = json.loads(model.metadata_props[-1].value)
    fields["format"] = 1
    del fields["golden"], fields["card_sha256"]
    text = json.dumps(fields)[:-1]
    sealed = text + f', "card_sha256": "{hashlib.sha256(text.encode()).hexdigest()}"}}'
    entry = write_field(1, b"covid") + write_field(2, sealed.encode())
    path.write_bytes(brightness_graph() + write_field(METADATA_PROPS, entry))
    return path


def test_a_file_of_format_1_opens_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="is of format 1, without golden answers.*export it anew"):
        model = covid.edge.load(write_format_1(tmp_path))
    assert model.arithmetic == "unproven"


class Emulated:
    """A session that gives the answers it was given for PATTERNS: other hardware."""

    def __init__(self, logits: Sequence[Sequence[float]]):
        self.logits = iter(logits)

    def run(self, names: Sequence[str], feed: Mapping[str, Any], /) -> Sequence[Any]:
        logits = np.array([next(self.logits)], dtype=np.float32)
        return logits, 1 / (1 + np.exp(-logits))


def hardware(plain: float, precise: float) -> Callable[[bool], Emulated]:
    """Opens sessions whose logits are off by so much."""

    def open_(is_precise: bool) -> Emulated:
        golden = near(precise if is_precise else plain).golden
        assert golden is not None
        return Emulated(golden.logits)

    return open_


def test_where_plain_products_are_wrong_the_precise_ones_are_taken(tmp_path: Path) -> None:
    card = replace(CARD, precision="int8")
    _, arithmetic = open_proven(tmp_path, card, hardware(plain=0.5, precise=0))
    assert arithmetic == "precise"


def test_precise_products_are_not_taken_where_plain_ones_are_right(tmp_path: Path) -> None:
    card = replace(CARD, precision="int8")
    _, arithmetic = open_proven(tmp_path, card, hardware(plain=0, precise=0))
    assert arithmetic == "plain"


def test_where_both_are_wrong_the_file_is_refused(tmp_path: Path) -> None:
    card = replace(CARD, precision="int8")
    with pytest.raises(ModelError, match=r"differs by 0\.5 \(plain\) and 0\.25 \(precise\)"):
        open_proven(tmp_path, card, hardware(plain=0.5, precise=0.25))


# Execution providers ------------------------------------------------------------------------


def test_a_provider_can_be_named(tmp_path: Path) -> None:
    model = covid.edge.load(write_network(tmp_path), providers=["CPUExecutionProvider"])
    assert model.session.get_providers() == ["CPUExecutionProvider"]


def test_providers_are_a_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='such as \\["CPUExecutionProvider"\\]'):
        covid.edge.load(write_network(tmp_path), providers="CPUExecutionProvider")


def test_pixels_are_of_the_version_that_the_file_learnt_from(tmp_path: Path) -> None:
    values = np.full((SIZE, SIZE, 20), 4095, np.uint16).reshape(SIZE * 4, SIZE * 5)
    values[0, 0] = 65535  # hot: one in 1,280
    Image.fromarray(values).save(tmp_path / "hot.png")
    brightest = [
        covid.edge.load(write_network(tmp_path, replace(CARD, greys=greys)))
        .read(tmp_path / "hot.png")[-1, -1]
        for greys in (1, 2)
    ]
    assert brightest == [15, 255]


def test_a_provider_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="provider Abacus: is not in this onnxruntime, which has"):
        covid.edge.load(write_network(tmp_path), providers=["Abacus"])


# What it refuses ----------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        covid.edge.load(path)
    return str(caught.value)


def test_a_file_that_resizes_itself_is_for_others(tmp_path: Path) -> None:
    path = write_network(tmp_path, replace(CARD, resize=RESIZE_IN_GRAPH))
    assert "resizes inside the graph" in refusal(path)


def test_a_graph_of_one_batch_size_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path, graph=brightness_graph(batch=1))
    assert "takes batches of one size only" in refusal(path)


def test_a_graph_of_another_image_size_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path, graph=brightness_graph(size=SIZE + 1))
    assert "where its `covid` metadata promises" in refusal(path)


def test_a_graph_of_other_classes_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path, graph=brightness_graph((1.0, 2.0), (0.0, 0.0)))
    assert "where its `covid` metadata promises" in refusal(path)


def test_a_graph_that_takes_floats_is_refused(tmp_path: Path) -> None:
    def take_floats(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT

    assert "tensor(float)" in refusal(write_network(tmp_path, graph=changed(take_floats)))


def test_a_graph_without_a_logit_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path, graph=changed(lambda model: model.graph.output.pop(0)))
    assert "where its `covid` metadata promises" in refusal(path)


def test_an_operator_that_nobody_knows_is_one_sentence(tmp_path: Path) -> None:
    def invent(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "Diagnose"

    assert "onnxruntime cannot open it" in refusal(write_network(tmp_path, graph=changed(invent)))


def test_a_graph_of_nonsense_is_one_sentence(tmp_path: Path) -> None:
    assert "onnxruntime cannot open it" in refusal(write_network(tmp_path, graph=b"\x08\x0a"))


def test_a_graph_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    graph = brightness_graph(biases=(float("nan"), 0, 0))
    assert "gives probabilities beyond 0 and 1" in refusal(write_network(tmp_path, graph=graph))


def test_a_graph_without_a_sigmoid_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path, graph=brightness_graph((800, 0, 0), (0, 0, 0), last="Identity"))
    assert "gives probabilities beyond 0 and 1" in refusal(path)


def test_no_numbers_for_one_image_only_are_refused_when_they_come(tmp_path: Path) -> None:
    def divide_by_itself(model: onnx.ModelProto) -> None:
        """Brightness over brightness: 1, and no number where an image is black."""
        ratio = helper.make_node("Div", ["brightness", "brightness"], ["ratio"])
        place = next(i for i, one in enumerate(model.graph.node) if one.op_type == "Gemm")
        model.graph.node[place].input[0] = "ratio"
        model.graph.node.insert(place, ratio)

    graph = changed(divide_by_itself)
    path = write_network(tmp_path, replace(CARD, golden=golden_of(graph, SIZE)), graph)
    model = covid.edge.load(path)
    with pytest.raises(ModelError, match="gives probabilities beyond 0 and 1"):
        model.run(np.zeros((1, SIZE, SIZE), np.uint8))


def test_a_graph_whose_batch_is_frozen_inside_is_refused(tmp_path: Path) -> None:
    def freeze(model: onnx.ModelProto) -> None:
        shape = numpy_helper.from_array(np.array([1, 3], dtype=np.int64), "shape")
        insert(model, shape, helper.make_node("Reshape", ["logit", "shape"], ["inserted"]))

    path = write_network(tmp_path, graph=changed(freeze))
    assert "takes batches of one size only ([1, 3])" in refusal(path)


def test_a_graph_that_answers_for_the_first_image_only_is_refused_when_it_shows(
    tmp_path: Path,
) -> None:
    def drop(model: onnx.ModelProto) -> None:
        for name, value in (("start", 0), ("end", 1), ("axis", 0)):
            constant = numpy_helper.from_array(np.array([value], dtype=np.int64), name)
            model.graph.initializer.append(constant)
        first = helper.make_node("Slice", ["logit", "start", "end", "axis"], ["inserted"])
        insert(model, None, first)

    model = covid.edge.load(write_network(tmp_path, graph=changed(drop)))
    with pytest.raises(ModelError, match=r"gives \(1, 3\) probabilities where \(2, 3\) are due"):
        model.run(np.zeros((2, SIZE, SIZE), np.uint8))


def insert(model: onnx.ModelProto, constant: onnx.TensorProto | None, node: onnx.NodeProto) -> None:
    """Puts a node between the logit and what makes it a probability."""
    if constant is not None:
        model.graph.initializer.append(constant)
    model.graph.node[-1].input[0] = "inserted"
    model.graph.node.insert(len(model.graph.node) - 1, node)


def test_what_onnxruntime_refuses_to_compute_is_one_sentence(tmp_path: Path) -> None:
    model = covid.edge.load(write_network(tmp_path))
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime cannot run it \("):
        model.run(np.zeros((1, SIZE + 1, SIZE), np.uint8))


def test_without_onnxruntime_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install onnxruntime" in refusal(write_network(tmp_path))


def test_a_file_with_maps_gives_them_class_by_class(tmp_path: Path) -> None:
    grey(tmp_path / "a.png", 90)
    card = replace(CARD, evidence_scale=0.5)
    prediction = covid.edge.load(write_network(tmp_path, card, evidence_graph()))(
        tmp_path / "a.png"
    )
    assert isinstance(prediction, Prediction)
    assert {name: map_.shape for name, map_ in prediction.evidence.items()} == dict.fromkeys(
        CARD.space.classes, (2, 2)
    )
    assert set(prediction.evidence_rest) == set(CARD.space.classes)


def test_a_file_from_before_maps_has_none(tmp_path: Path) -> None:
    grey(tmp_path / "a.png", 90)
    prediction = covid.edge.load(write_network(tmp_path))(tmp_path / "a.png")
    assert isinstance(prediction, Prediction)
    assert prediction.evidence == {} and prediction.evidence_rest == {}


def test_a_card_that_promises_maps_of_a_graph_without_them_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path, replace(CARD, evidence_scale=0.5))
    with pytest.raises(ModelError, match="speaks of maps that its graph does not give"):
        covid.edge.load(path)


NOVEL = replace(CARD, novelty_threshold=0.5)


def halves(path: Path, level: int) -> Path:
    """Half black, half `level`: no image of one grey."""
    values = np.zeros((40, 40), np.uint8)
    values[:20] = level
    Image.fromarray(values).save(path)
    return path


def test_a_file_says_how_novel_an_image_is(tmp_path: Path) -> None:
    model = covid.edge.load(write_network(tmp_path, NOVEL, novelty_graph()))
    prediction = model(halves(tmp_path / "a.png", 200))
    assert isinstance(prediction, Prediction)
    assert prediction.novelty == pytest.approx(200 / 510, abs=0.01)
    assert prediction.unfamiliar == ()


def test_an_image_beyond_the_card_s_threshold_is_unfamiliar(tmp_path: Path) -> None:
    model = covid.edge.load(write_network(tmp_path, NOVEL, novelty_graph()))
    prediction = model(grey(tmp_path / "a.png", 200))
    assert isinstance(prediction, Prediction)
    assert prediction.unfamiliar == ("greys", "novelty")


def test_a_file_from_before_novelty_doubts_nothing(tmp_path: Path) -> None:
    prediction = covid.edge.load(write_network(tmp_path))(grey(tmp_path / "a.png", 200))
    assert isinstance(prediction, Prediction)
    assert prediction.novelty is None and prediction.unfamiliar == ()


def test_a_card_that_promises_novelty_of_a_graph_without_it_is_refused(tmp_path: Path) -> None:
    assert "metadata promises" in refusal(write_network(tmp_path, NOVEL))


def test_a_graph_with_novelty_and_no_threshold_is_refused(tmp_path: Path) -> None:
    assert "metadata promises" in refusal(write_network(tmp_path, CARD, novelty_graph()))
