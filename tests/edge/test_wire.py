"""Protobuf's fields, against those that protobuf's own library writes."""

from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covid.edge.wire import LENGTH_DELIMITED, VARINT, read_fields, read_message, write_field
from covid.errors import ModelError

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def fields_of(path: Path, content: bytes) -> list[tuple[int, bytes]]:
    path.write_bytes(content)
    with path.open("rb") as file:
        return [
            (number, content[inside : inside + length])
            for _, number, inside, length in read_fields(path, file)
        ]


@same_folder
@given(st.text(max_size=300), st.text(max_size=300))
def test_fields_are_those_that_protobuf_wrote(tmp_path: Path, producer: str, text: str) -> None:
    model = onnx.ModelProto(ir_version=10, producer_name=producer, doc_string=text)
    fields = fields_of(tmp_path / "model", model.SerializeToString())
    assert fields == [(1, b""), (2, producer.encode()), (6, text.encode())]


@given(st.binary(max_size=40_000))
def test_protobuf_reads_what_is_written(content: bytes) -> None:
    entry = write_field(1, b"key") + write_field(2, content.hex().encode())
    model = onnx.load_from_string(b"\x08\x0a" + write_field(14, entry))
    assert (model.metadata_props[0].key, model.metadata_props[0].value) == ("key", content.hex())


@given(st.text(max_size=300), st.integers(0, 2**40), st.floats(width=32, allow_nan=False))
def test_a_message_inside_is_read_as_protobuf_wrote_it(name: str, dim: int, value: float) -> None:
    tensor = onnx.TensorProto(name=name, dims=[dim])
    attribute = onnx.AttributeProto(name="a", f=value, t=tensor)  # a float32 is of four bytes
    content = attribute.SerializeToString()
    fields = {
        number: (start, end) for number, _, start, end in read_message(content, 0, len(content))
    }
    inside = list(read_message(content, *fields[5]))
    texts = {n: content[start:end] for n, kind, start, end in inside if kind == LENGTH_DELIMITED}
    assert texts == {8: name.encode()}
    assert [value for _, kind, value, _ in inside if kind == VARINT] == [dim]


@pytest.mark.parametrize("content", [b"\x0a\x05abc", b"\x0a", b"\xff\xff", b"\x0b\x00", b"\x25a"])
def test_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        list(read_message(content, 0, len(content)))


def test_a_length_beyond_the_file_is_a_file_cut_short(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is cut short"):
        fields_of(tmp_path / "model", b"\x08\x0a\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f")


def test_a_number_without_an_end_is_a_file_cut_short(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is cut short"):
        fields_of(tmp_path / "model", b"\x08\x0a" + b"\xff" * 100)


def test_a_file_of_nothing_but_tiny_fields_is_refused_soon(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not an ONNX file"):
        fields_of(tmp_path / "model", b"\x08\x0a" * 1_000_000)
