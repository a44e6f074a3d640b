"""The card: what is written is read, and no file that changed on its way is believed."""

import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covid.edge.card import (
    INTENDED_USE,
    MAX_CARD_BYTES,
    RESIZE_IN_GRAPH,
    Card,
    read_card,
    read_content,
)
from covid.edge.images import PREPROCESSING_VERSION
from covid.errors import ModelError
from tests.edge.networks import CARD, brightness_graph, single_label_card, write_network
from tests.edge.test_operating_point import PLATT, POINT, TEMPERATURE

GRAPH = brightness_graph()
WHOLE = CARD.attach(GRAPH)

# One example overwrites the file of the one before, so sharing the folder is safe.
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_card(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: "), message
    return message


def refused(folder: Path, content: bytes) -> str:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return refusal(path)


def entry(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field, written as onnx's own protobuf library does."""
    size, length = b"", len(content)
    while length > 127:
        size += bytes([length % 128 + 128])
        length //= 128
    return bytes([number * 8 + 2]) + size + bytes([length]) + content


def forged(change: Callable[[dict[str, Any]], object] | None = None, text: bytes = b"") -> bytes:
    """A file whose card was changed by somebody who knows how to make its checksum fit."""
    if not text:
        properties = {one.key: one.value for one in onnx.load_from_string(WHOLE).metadata_props}
        fields = json.loads(properties["covid"])
        del fields["card_sha256"]
        if change:
            change(fields)
        text = json.dumps(fields).encode()
    body = text[:-1]
    sealed = body + b', "card_sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"}'
    return GRAPH + entry(14, entry(1, b"covid") + entry(2, sealed))


TWO_CLASSES = single_label_card().space.with_thresholds({"infected": 0.2, "normal": 0.8})
CHOSEN = replace(  # a card that says where its thresholds and its recalibration come from
    CARD, space=CARD.space.with_thresholds(POINT.thresholds), operating_point=POINT,
    calibration=PLATT,
)  # fmt: skip


@pytest.mark.parametrize("card", [
    CARD, single_label_card(), replace(CARD, precision="int8"), CHOSEN,
    single_label_card(space=TWO_CLASSES, calibration=TEMPERATURE),
])  # fmt: skip
def test_what_is_attached_is_read(tmp_path: Path, card: Card) -> None:
    assert read_card(write_network(tmp_path, card)) == card


def test_a_file_that_resizes_itself_has_a_card_too(tmp_path: Path) -> None:
    card = replace(CARD, resize=RESIZE_IN_GRAPH)
    assert read_card(write_network(tmp_path, card)).resize == RESIZE_IN_GRAPH


# The length of a text of 15,744 bytes ends in the byte that is `{`: it must not pass for JSON.
@pytest.mark.parametrize("size", [0, 100, 14_000, 14_500, 15_000, 15_200, 60_000])
def test_cards_of_any_length_are_found(tmp_path: Path, size: int) -> None:
    card = replace(CARD, trained_on="x" * (size + 1))
    assert read_card(write_network(tmp_path, card)) == card


def test_onnx_s_own_library_reads_the_card(tmp_path: Path) -> None:
    model = onnx.load(write_network(tmp_path))
    onnx.checker.check_model(model, full_check=True)
    fields = json.loads(model.metadata_props[-1].value)
    assert (model.metadata_props[-1].key, fields["classes"]) == ("covid", list(CARD.space.classes))


def test_the_card_has_every_key_of_the_contract() -> None:
    fields = json.loads(onnx.load_from_string(WHOLE).metadata_props[-1].value)
    assert list(fields) == [
        "format", "arch", "task", "classes", "labels", "implies", "thresholds", "operating_point",
        "calibration", "image_size", "resize", "greys", "evidence_scale", "novelty_threshold",
        "mean", "std", "precision", "trained_on", "trained_on_sha256", "metrics", "golden",
        "source_sha256", "versions", "intended_use", "content_sha256", "card_sha256",
    ]  # fmt: skip
    assert (fields["format"], fields["intended_use"]) == (2, INTENDED_USE)
    assert fields["content_sha256"] == hashlib.sha256(GRAPH).hexdigest()


def test_other_properties_before_the_card_do_not_hide_it(tmp_path: Path) -> None:
    graph = GRAPH + entry(14, entry(1, b"author") + entry(2, b"somebody"))
    assert read_card(write_network(tmp_path, graph=graph)) == CARD


def test_synthetic_images_are_known_by_their_name() -> None:
    assert replace(CARD, trained_on="SYNTHETIC phantom radiographs").synthetic
    assert not CARD.synthetic


def test_a_forged_card_without_a_change_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(forged())  # else the forgeries below show nothing
    assert read_card(tmp_path / "model.onnx") == CARD


# Not one of our files -----------------------------------------------------------------------


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "there is no such file; export.py writes one" in refusal(tmp_path / "model.onnx")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder or a device, not an ONNX file" in refusal(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a folder or a device" in refusal(tmp_path / "pipe")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "is empty (0 bytes)" in refused(tmp_path, b"")


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n" + bytes(50), b"PK\x03\x04" + bytes(50), b"{}", b"\x08", b"\xff" * 40,
     bytes(40), b"path,label\n", b"\x08\x0a" * 20_000],
)  # fmt: skip
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "is not an ONNX file" in refused(tmp_path, content)


def test_an_onnx_file_without_a_card_is_refused(tmp_path: Path) -> None:
    assert "has no `covid` metadata at its end" in refused(tmp_path, GRAPH)


def test_a_card_that_is_not_the_last_field_is_refused(tmp_path: Path) -> None:
    content = WHOLE + entry(14, entry(1, b"author") + entry(2, b"somebody"))
    assert "has no `covid` metadata at its end" in refused(tmp_path, content)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, forged(lambda fields: fields.update(format=3)))
    assert "was written by a newer version (format 3, and this one reads 2)" in message


def format_1(fields: dict[str, Any]) -> None:
    """As it was before golden answers."""
    fields["format"] = 1
    del fields["golden"]


def test_a_card_of_format_1_has_no_golden_answers(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(forged(format_1))
    assert read_card(tmp_path / "model.onnx") == replace(CARD, golden=None)


def test_a_card_of_format_2_without_golden_answers_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, forged(lambda fields: fields.pop("golden")))
    assert "its `covid` metadata makes no sense (golden)" in message


def test_golden_answers_of_an_unknown_formula_are_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, forged(lambda fields: fields["golden"].update(formula="noise")))
    assert "makes no sense (golden: an unknown formula)" in message


# Damage -------------------------------------------------------------------------------------


@same_folder
@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, length: int) -> None:
    refused(tmp_path, WHOLE[:length])


def test_a_file_cut_within_a_field_says_so(tmp_path: Path) -> None:
    assert "is cut short" in refused(tmp_path, WHOLE[:-1])
    assert "is cut short" in refused(tmp_path, GRAPH[:-1])


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    chance = random.Random(0)
    for _ in range(600):
        content = bytearray(WHOLE)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        refused(tmp_path, bytes(content))


def test_a_changed_weight_is_damage(tmp_path: Path) -> None:
    content = WHOLE.replace(b"weight", b"height")
    assert "is damaged, its checksum is another" in refused(tmp_path, content)


def test_a_changed_threshold_is_damage(tmp_path: Path) -> None:
    content = WHOLE.replace(b'"thresholds": [0.5', b'"thresholds": [0.1')
    assert content != WHOLE
    assert "is damaged, its checksum is another" in refused(tmp_path, content)


def test_a_byte_behind_the_card_is_noticed(tmp_path: Path) -> None:
    refused(tmp_path, WHOLE + b"\0")


# Thresholds and recalibration ---------------------------------------------------------------


def without_choices(fields: dict[str, Any]) -> None:
    """As it was before anything could be chosen."""
    del fields["operating_point"], fields["calibration"]


def test_a_card_from_before_thresholds_were_chosen_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(forged(without_choices))
    assert read_card(tmp_path / "model.onnx") == CARD


@pytest.mark.parametrize("thresholds", [[0.5, 0.4], [1.5, -0.5], [0.5], [0.2, 0.3, 0.5], "ab"])
def test_thresholds_of_two_classes_add_up_to_1(tmp_path: Path, thresholds: object) -> None:
    path = write_network(tmp_path, single_label_card(space=TWO_CLASSES))
    fields = json.loads(onnx.load(path).metadata_props[-1].value)
    del fields["card_sha256"]
    text = json.dumps(fields | {"thresholds": thresholds}).encode()
    assert "makes no sense (thresholds)" in refused(tmp_path, forged(text=text))


def test_an_operating_point_of_other_thresholds_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, forged(partial(dict.update, operating_point=POINT.fields())))
    assert "makes no sense (operating_point: other thresholds)" in message


def test_softmax_is_not_recalibrated_class_by_class(tmp_path: Path) -> None:
    platt = replace(PLATT, scale=(1.0, 2.0), shift=(0.0, 0.0))
    message = refused(tmp_path, single_label_card(calibration=platt).attach(GRAPH))
    assert "single_label takes temperature" in message


def test_the_bytes_before_the_card_are_the_graph(tmp_path: Path) -> None:
    assert read_content(write_network(tmp_path, CHOSEN)) == GRAPH


# Greys --------------------------------------------------------------------------------------


def test_a_file_says_the_greys_of_this_version(tmp_path: Path) -> None:
    assert read_card(write_network(tmp_path)).greys == PREPROCESSING_VERSION


def test_a_file_that_says_nothing_of_greys_learnt_from_those_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(forged(lambda fields: fields.pop("greys")))
    assert read_card(tmp_path / "model.onnx").greys == 1


@pytest.mark.parametrize("greys", [0, 3, "x", "2", 2.0, True, None, [2]])
def test_greys_of_another_kind_are_refused(tmp_path: Path, greys: object) -> None:
    message = refused(tmp_path, forged(lambda fields: fields.update(greys=greys)))
    assert f"({greys!r}, and this version knows 1 and 2); update this program" in message


# Malice -------------------------------------------------------------------------------------

ODD: dict[str, list[Any]] = {
    "task": ["", None, ["multilabel"], "regression"],
    "classes": [[], ["a"], ["a", "a"], "covid", [1, 2], None, ["covid", "normal", ""],
                ["covid", "normal", "pneumonia\x1b[2J"], ["covid", "normal", "a\nb"], {}],
    "labels": [{}, [], {"covid": ["tuberculosis"]}, {"covid": "covid"}, {"": []}, None],
    "implies": [{"tuberculosis": ["covid"]}, {"covid": ["x"]}, {"covid": 1}, [], 3],
    "thresholds": [None, [], [0.5], [0.5, 0.5, 2], [0.5, 0.5, -1], [0.5, 0.5, "0.5"], "abc", 0.5,
                   [0.5, 0.5, True], [0.5, 0.5, 10**400], {}],
    "image_size": [0, 1, -8, 10**9, 10**400, 8.0, True, "8", None, [8]],
    "resize": ["nearest", None, ["pillow-bilinear-antialias"], 3],
    "mean": ["0.5", None, True, 10**400, []],
    "std": [0, -1, "1", None, 10**400],
    "precision": ["fp64", None, ["fp32"], 8],
    "arch": [None, 18, "", "a\x1b[2J"],
    "trained_on": [None, ["x"], ""],
    "metrics": [None, 5, "abc"],
    "versions": [None, 5, "abc"],
    "source_sha256": [None, 0],
    "operating_point": [[], "0.5", {}, {"thresholds": {"covid": 0.5}}, 5],
    "calibration": [[], "platt", {}, {"method": "platt", "scale": [1], "shift": [0]}, 5],
}  # fmt: skip


@pytest.mark.parametrize("key", ODD)
def test_a_card_that_makes_no_sense_is_refused(tmp_path: Path, key: str) -> None:
    for value in ODD[key]:
        message = refused(tmp_path, forged(partial(dict.update, **{key: value})))
        assert "its `covid` metadata makes no sense" in message, value


@pytest.mark.parametrize("key", sorted(ODD.keys() - {"operating_point", "calibration"}))
def test_a_card_without_one_of_its_keys_is_refused(tmp_path: Path, key: str) -> None:
    message = refused(tmp_path, forged(lambda fields: fields.pop(key)))
    assert f"its `covid` metadata makes no sense ({key})" in message


def test_a_key_may_carry_no_label_unless_each_image_has_one(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(forged(partial(dict.update, labels={"covid": ["covid"], "none": []})))
    assert read_card(path).space.labels["none"] == ()
    single: dict[str, Any] = {"labels": {"none": []}, "task": "single_label", "thresholds": None}
    assert "makes no sense (labels)" in refused(tmp_path, forged(partial(dict.update, **single)))


def test_thresholds_of_a_task_without_any_are_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, forged(lambda fields: fields.update(task="single_label")))
    assert "makes no sense (thresholds)" in message


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: str) -> None:
    whole = onnx.load_from_string(WHOLE).metadata_props[-1].value
    text = whole[: whole.index(', "card_sha256"')].replace('"std": 0.25', f'"std": {value}') + "}"
    message = refused(tmp_path, forged(text=text.encode()))
    assert "its `covid` metadata makes no sense (std)" in message


@pytest.mark.parametrize("format", [0, -1, None, True, "1", 1.0, [1]])
def test_a_card_without_a_format_is_refused(tmp_path: Path, format: object) -> None:
    message = refused(tmp_path, forged(lambda fields: fields.update(format=format)))
    assert "its `covid` metadata has no format" in message


@pytest.mark.parametrize(
    "text", [b'{"format": 1', b'{"a" 1}', b'{"\xff": 1}', b'{"a": ' + b"1" * 9999 + b"}"]
)
def test_a_card_that_is_no_json_is_refused(tmp_path: Path, text: bytes) -> None:
    content = GRAPH + entry(14, entry(1, b"covid") + entry(2, text))
    assert "its `covid` metadata is not JSON" in refused(tmp_path, content)


def test_a_card_nested_without_end_is_refused(tmp_path: Path) -> None:
    text = b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    content = GRAPH + entry(14, entry(1, b"covid") + entry(2, text))
    assert "its `covid` metadata is nested too deeply" in refused(tmp_path, content)


def test_metadata_too_large_for_a_card_is_not_read(tmp_path: Path) -> None:
    content = GRAPH + entry(
        14, entry(1, b"covid") + entry(2, b'{"' + b" " * MAX_CARD_BYTES + b'": 1}')
    )
    assert "has no `covid` metadata" in refused(tmp_path, content)


def test_an_escaped_half_character_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, forged(lambda fields: fields.update(arch="\ud800")))
    assert "makes no sense (arch)" in message


@same_folder
@given(st.binary(max_size=300))
def test_any_bytes_after_a_sound_start_are_refused(tmp_path: Path, tail: bytes) -> None:
    refused(tmp_path, GRAPH + tail)


@pytest.mark.parametrize("file", ["weights.bin", "../weights.bin", "/etc/passwd"])
def test_weights_in_another_file_are_refused(tmp_path: Path, file: str) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(12))
    message = refused(tmp_path, CARD.attach(brightness_graph(external=file)))
    assert "keeps weights in another file" in message


@pytest.mark.parametrize("padding", range(1, 8))
def test_weights_in_another_file_are_found_however_their_key_is_spelt(
    tmp_path: Path, padding: int
) -> None:
    spelt = b"\x0a" + b"\x88" + b"\x80" * (padding - 1) + b"\x00location"
    content = CARD.attach(GRAPH + entry(6, spelt))
    assert "keeps weights in another file" in refused(tmp_path, content)


def test_weights_in_another_file_are_found_across_two_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = CARD.attach(brightness_graph(external="weights.bin"))
    for chunk in (13, 64, 101):
        monkeypatch.setattr("covid.edge.card.CHUNK_BYTES", chunk)
        assert "keeps weights in another file" in refused(tmp_path, content)


def test_a_node_called_location_is_no_other_file(tmp_path: Path) -> None:
    graph = GRAPH.replace(b"brightness", b"mylocation")
    assert read_card(write_network(tmp_path, graph=graph)) == CARD
