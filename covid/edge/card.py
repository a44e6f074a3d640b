"""What must travel with a network: one field of JSON at the end of its ONNX file.

An ONNX file is a protobuf message: fields one after the other, each with its number and its
length. The card is one more entry of field 14, `metadata_props`, with the key `covid`, written
after everything else. So any ONNX tool can read it, and this module needs no protobuf library
to find it, nor to know that every byte before it is as it was when the file was checked.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from covid.edge.labels import LabelSpace, Task
from covid.errors import ModelError

FORMAT = 1  # raised where an older reader would misunderstand
KEY = b"covid"
METADATA_PROPS = 14  # ModelProto, as onnx.proto numbers its fields
HIGHEST_FIELD = 26  # of ModelProto, so far: `functions` is 25
LENGTH_DELIMITED, VARINT = 2, 0  # protobuf's wire types, the two that a ModelProto uses
RESIZE = "pillow-bilinear-antialias"  # what covid.edge.images.resize does
RESIZE_IN_GRAPH = "onnx-linear-antialias"  # the file takes images of any size
INTENDED_USE = "For learning and research, not for diagnosis."
LONGEST = 1 << 20  # bytes of a card; a real one has some two thousand
CHUNK = 1 << 20  # bytes in memory at once while a file is summed up
LARGEST_SIZE = 4096  # pixels of an image's side; training takes up to 2048


@dataclass(frozen=True)
class Card:
    """What a network is, and what its numbers mean."""

    arch: str
    space: LabelSpace
    image_size: int
    resize: str
    mean: float  # of grey levels on a scale of 0..1, like the next
    std: float
    precision: str  # fp32 or int8
    trained_on: str
    metrics: Mapping[str, Any]  # on validation, as this very file reached them
    source_sha256: str  # of best.safetensors
    versions: Mapping[str, str]

    def attach(self, content: bytes) -> bytes:
        """An ONNX file's bytes with this card as their last field."""
        fields = {
            "format": FORMAT,
            "arch": self.arch,
            "task": self.space.task,
            "classes": list(self.space.classes),
            "labels": {key: list(true) for key, true in self.space.labels.items()},
            "implies": {name: list(others) for name, others in self.space.implies.items()},
            "thresholds": None if self.space.thresholds is None else list(self.space.thresholds),
            "image_size": self.image_size,
            "resize": self.resize,
            "mean": self.mean,
            "std": self.std,
            "precision": self.precision,
            "trained_on": self.trained_on,
            "metrics": dict(self.metrics),
            "source_sha256": self.source_sha256,
            "content_sha256": hashlib.sha256(content).hexdigest(),
            "versions": dict(self.versions),
            "intended_use": INTENDED_USE,
        }
        fields["card_sha256"] = _card_sha256(fields)
        entry = _field(1, KEY) + _field(2, _dump(fields))
        return content + _field(METADATA_PROPS, entry)


def read_card(path: Path) -> Card:
    """The card of an ONNX file, once the file's bytes are known to be those it was made for.

    Raises ModelError, one sentence: no such file, no ONNX file, one cut short, one without a
    card or with a newer one, one with a byte changed, or a card that makes no sense.
    """
    try:
        with path.open("rb") as file:
            start, text = _find_card(path, file)
            fields = _parse(path, text)
            file.seek(0)
            said = fields.pop("card_sha256", None), fields.get("content_sha256")
            if (_card_sha256(fields), _sha256(file, start)) != said:
                raise ModelError(
                    f"{path}: is damaged, its checksum is another than when it was exported; "
                    f"copy it again, or export it anew."
                )
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file; export.py writes one.") from None
    except IsADirectoryError:
        raise ModelError(f"{path}: is a folder, not an ONNX file.") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}).") from None
    try:
        return _card(fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]}" if error.args else type(error).__name__
        raise ModelError(
            f"{path}: its `covid` metadata makes no sense ({what}); export it anew."
        ) from None


def _find_card(path: Path, file: BinaryIO) -> tuple[int, bytes]:
    """Where the card's field starts, and its JSON: the last field of the file."""
    last = None
    for last in _fields(path, file):  # noqa: B007 (only the last one matters)
        pass
    if last is not None and last[1] == METADATA_PROPS and last[3] <= LONGEST:
        start, _, inside, length = last
        file.seek(inside)
        entry = file.read(length)
        prefix = _field(1, KEY)
        if entry.startswith(prefix) and entry[len(prefix) : len(prefix) + 1] == b"\x12":
            value_length, place = _varint_in(entry, len(prefix) + 1)
            if place + value_length == length:
                return start, entry[place:]
    raise ModelError(
        f"{path}: has no `covid` metadata at its end, so its classes and sizes are unknown; "
        f"use a file that export.py wrote."
    )


def _fields(path: Path, file: BinaryIO) -> Iterator[tuple[int, int, int, int]]:
    """A protobuf message's fields: where each starts, its number, where its content, how long."""
    size = os.fstat(file.fileno()).st_size
    not_onnx = ModelError(f"{path}: is not an ONNX file.")
    if size == 0:
        raise ModelError(f"{path}: is empty (0 bytes).")
    place = 0
    while place < size:
        start = place
        file.seek(place)
        head = file.read(20)  # a tag and a length: at most ten bytes each
        try:
            tag, used = _varint_in(head, 0)
            value, used = _varint_in(head, used)
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


def _cut_short(path: Path) -> ModelError:
    return ModelError(f"{path}: is cut short; copy it again, or export it anew.")


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError:
        raise ModelError(f"{path}: its `covid` metadata is not JSON; export it anew.") from None
    except RecursionError:
        raise ModelError(f"{path}: its `covid` metadata is nested too deeply.") from None
    written = fields.get("format") if isinstance(fields, dict) else None
    if not isinstance(written, int) or written < 1:
        raise ModelError(f"{path}: its `covid` metadata has no format; export it anew.")
    if written > FORMAT:
        raise ModelError(
            f"{path}: was written by a newer version (format {written}, and this one reads "
            f"{FORMAT}); update this program."
        )
    return dict(fields)


def _card(fields: Mapping[str, Any]) -> Card:
    """A card from plain values. Raises KeyError, TypeError or ValueError that says what is odd."""
    task: Task = fields["task"]
    if task not in ("multilabel", "single_label"):
        raise ValueError("task")
    classes = _names(fields["classes"], "classes")
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise ValueError("classes")
    labels = {key: _names(true, "labels") for key, true in fields["labels"].items()}
    implies = {key: _names(others, "implies") for key, others in fields["implies"].items()}
    named = {name for names in (*labels.values(), *implies.values(), implies) for name in names}
    if not named <= set(classes):
        raise ValueError("labels or implies name no class")
    thresholds = fields["thresholds"]
    if (thresholds is None) != (task == "single_label"):
        raise ValueError("thresholds")
    if thresholds is not None:
        thresholds = tuple(_number(value, "thresholds") for value in thresholds)
        if len(thresholds) != len(classes) or not all(0 <= value <= 1 for value in thresholds):
            raise ValueError("thresholds")
    size, resize = fields["image_size"], fields["resize"]
    if not isinstance(size, int) or not 2 <= size <= LARGEST_SIZE:
        raise ValueError("image_size")
    if resize not in (RESIZE, RESIZE_IN_GRAPH):
        raise ValueError("resize")
    std = _number(fields["std"], "std")
    if std <= 0:
        raise ValueError("std")
    if fields["precision"] not in ("fp32", "int8"):
        raise ValueError("precision")
    for name in ("arch", "trained_on", "source_sha256"):
        if not isinstance(fields[name], str):
            raise TypeError(name)
    return Card(
        arch=fields["arch"],
        space=LabelSpace(task, classes, labels, implies, thresholds),
        image_size=size,
        resize=resize,
        mean=_number(fields["mean"], "mean"),
        std=std,
        precision=fields["precision"],
        trained_on=fields["trained_on"],
        metrics=dict(fields["metrics"]),
        source_sha256=fields["source_sha256"],
        versions=dict(fields["versions"]),
    )


def _names(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise TypeError(key)
    return tuple(value)


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(key)
    return float(value)


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _varint_in(content: bytes, place: int) -> tuple[int, int]:
    """The number at `place`, and the place after it. Raises IndexError where it does not end."""
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _dump(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()


def _card_sha256(fields: Mapping[str, Any]) -> str:
    """Of the card itself without this key, so that no threshold and no name changes unseen."""
    return hashlib.sha256(_dump(fields)).hexdigest()


def _sha256(file: BinaryIO, length: int) -> str:
    """Of the next `length` bytes, never many of them in memory."""
    digest = hashlib.sha256()
    while length:
        chunk = file.read(min(CHUNK, length))
        if not chunk:
            break
        digest.update(chunk)
        length -= len(chunk)
    return digest.hexdigest()
