"""Protobuf's wire format, the little of it that finds the fields of an ONNX file.

A message is fields one after the other: a tag (the field's number and what kind of content it
has), then, for content of any length, how long it is.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from covid.errors import ModelError

HIGHEST_FIELD = 26  # of onnx.proto's ModelProto, so far: `functions` is 25
MAX_FIELDS = 10_000  # of a file; a real one has some ten
LENGTH_DELIMITED, VARINT = 2, 0  # the two kinds of content that a ModelProto has
FIXED_BYTES = {1: 8, 5: 4}  # two more that messages inside it have, always of one length


def read_fields(path: Path, file: BinaryIO) -> Iterator[tuple[int, int, int, int]]:
    """A protobuf message's fields: where each starts, its number, where its content, how long.

    At least one; raises ModelError where the file is empty, cut short, or no ONNX file.
    """
    size = os.fstat(file.fileno()).st_size
    not_onnx = ModelError(f"{path}: is not an ONNX file.")
    if size == 0:
        raise ModelError(f"{path}: is empty (0 bytes).")
    place = fields = 0
    while place < size:
        start = place
        fields += 1
        if fields > MAX_FIELDS:  # else a file of nothing but tiny fields takes minutes
            raise not_onnx
        file.seek(place)
        head = file.read(20)  # a tag and a length: at most ten bytes each
        try:
            tag, used = _read_varint(head, 0)
            value, used = _read_varint(head, used)
        except IndexError:
            raise _cut_short(path) if start else not_onnx from None
        number, kind = tag >> 3, tag & 7
        # The first field is the format's version, a varint: onnx.proto's field 1.
        if not 1 <= number <= HIGHEST_FIELD or kind not in (VARINT, LENGTH_DELIMITED):
            raise not_onnx
        if start == 0 and tag != 1 << 3:
            raise not_onnx
        length = value if kind == LENGTH_DELIMITED else 0
        place = start + used + length
        if place > size:
            raise _cut_short(path)
        yield start, number, start + used, length


def read_message(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message that lies in `content[start:end]`, as they come.

    Each is its number, its kind, and where its content starts and ends; for a VARINT the number
    itself and where it ends. Raises ValueError where this is no message.
    """
    place = start
    try:
        while place < end:
            tag, place = _read_varint(content, place)
            number, kind = tag >> 3, tag & 7
            if kind == VARINT:
                value, place = _read_varint(content, place)
                yield number, kind, value, place
                continue
            if kind == LENGTH_DELIMITED:
                length, place = _read_varint(content, place)
            else:
                length = FIXED_BYTES[kind]
            if place + length > end:
                raise ValueError("a field is longer than its message")
            yield number, kind, place, place + length
            place += length
    except (IndexError, KeyError):
        raise ValueError("no protobuf message") from None


def _cut_short(path: Path) -> ModelError:
    return ModelError(f"{path}: is cut short; copy it again, or export it anew.")


def write_field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits per byte, the lowest first; the eighth says that more follow."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _read_varint(content: bytes, place: int) -> tuple[int, int]:
    """The number at `place`, and the place after it. Raises IndexError where it does not end."""
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
