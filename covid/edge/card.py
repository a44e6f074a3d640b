"""What must travel with a network: one field of JSON at the end of its ONNX file.

An ONNX file is a protobuf message: fields one after the other, each with its number and its
length. The card is one more entry of field 14, `metadata_props`, with the key `covid`, written
after everything else. So any ONNX tool can read it, and this module needs no protobuf library
to find it, nor to know that every byte before it is as it was when the file was checked.
"""

import hashlib
import json
import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from covid.edge.golden import Golden
from covid.edge.images import GREYS, PREPROCESSING_VERSION
from covid.edge.labels import LabelSpace, Task, are_complementary
from covid.edge.operating_point import OperatingPoint, Recalibration, misfit
from covid.edge.wire import read_fields, write_field
from covid.errors import ModelError

FORMAT = 2  # 1 had no golden answers; raised where an older reader would misunderstand
KEY = b"covid"
METADATA_PROPS = 14  # ModelProto, as onnx.proto numbers its fields
RESIZE = "pillow-bilinear-antialias"  # what covid.edge.images.resize does
RESIZE_IN_GRAPH = "onnx-linear-antialias"  # the file takes images of any size
INTENDED_USE = "For learning and research, not for diagnosis."
MAX_CARD_BYTES = 1 << 20  # bytes of a card; a real one has some two thousand
CHUNK_BYTES = 1 << 20  # bytes in memory at once while a file is summed up
MAX_SIZE = 4096  # pixels of an image's side; training takes up to 2048

# Tensors that live in other files name them under this key, wherever in the graph they are.
# Before a string protobuf puts its length, here 8, which may be spelt out with empty digits.
EXTERNAL = b"location"
LENGTH_BEFORE = re.compile(rb"\x08\Z|\x88\x80*\x00\Z")
MAX_LENGTH_BYTES = 10  # bytes that a length can have at most


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
    golden: Golden | None = None  # None in files of format 1 only
    trained_on_sha256: str | None = None  # of the run's samples.csv
    greys: int = PREPROCESSING_VERSION  # which of images.GREYS it learnt from; 1 where not written
    operating_point: OperatingPoint | None = None  # None: nobody chose the thresholds
    calibration: Recalibration | None = None  # what the graph does to logits; None: nothing
    # What of a logit at one place of a map is much, on validation; None: the graph has no maps
    evidence_scale: float | None = None
    # Novelty from which on an image is unfamiliar; None: the graph does not say how novel one is
    novelty_threshold: float | None = None

    @property
    def synthetic(self) -> bool:
        """Whether the network learnt from rendered images, and says nothing of real ones."""
        return "SYNTHETIC" in self.trained_on

    def fields(self) -> dict[str, Any]:
        """As plain values, but for the digest of a file's bytes."""
        return {
            "format": FORMAT,
            "arch": self.arch,
            "task": self.space.task,
            "classes": list(self.space.classes),
            "labels": {key: list(true) for key, true in self.space.labels.items()},
            "implies": {name: list(others) for name, others in self.space.implies.items()},
            "thresholds": None if self.space.thresholds is None else list(self.space.thresholds),
            "operating_point": self.operating_point and self.operating_point.fields(),
            "calibration": self.calibration and self.calibration.fields(),
            "image_size": self.image_size,
            "resize": self.resize,
            "greys": self.greys,
            "evidence_scale": self.evidence_scale,
            "novelty_threshold": self.novelty_threshold,
            "mean": self.mean,
            "std": self.std,
            "precision": self.precision,
            "trained_on": self.trained_on,
            "trained_on_sha256": self.trained_on_sha256,
            "metrics": dict(self.metrics),
            "golden": self.golden and self.golden.fields(),
            "source_sha256": self.source_sha256,
            "versions": dict(self.versions),
            "intended_use": INTENDED_USE,
        }

    def attach(self, content: bytes) -> bytes:
        """An ONNX file's bytes with this card as their last field; `golden` must be known."""
        assert self.golden is not None, "a file proves itself where it runs"
        fields = self.fields() | {"content_sha256": hashlib.sha256(content).hexdigest()}
        text = json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()
        entry = write_field(1, KEY) + write_field(2, text[:-1] + _seal(text[:-1]))
        return content + write_field(METADATA_PROPS, entry)


def read_card(path: Path) -> Card:
    """The card of an ONNX file, once the file's bytes are known to be those it was made for.

    Raises ModelError, one sentence: no such file, no ONNX file, one cut short, one without a
    card or with a newer one, one with a byte changed, one that keeps weights in other files, or
    a card that makes no sense. (Checksums find accidents; whoever means harm can compute them,
    so nothing in a card is believed that is not checked.)
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe could wait forever
            raise ModelError(f"{path}: is a folder or a device, not an ONNX file.")
        with path.open("rb") as file:
            start, text = _find_card(path, file)
            fields = _parse(path, text)
            file.seek(0)
            content_sha256, external = _hash_content(file, start)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file; export.py writes one.") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}).") from None
    body = text[: -len(_seal(b""))]
    if text != body + _seal(body) or fields.get("content_sha256") != content_sha256:
        raise ModelError(
            f"{path}: is damaged, its checksum is another than when it was exported; "
            f"copy it again, or export it anew."
        )
    if external:
        raise ModelError(f"{path}: keeps weights in another file, which is not read; export anew.")
    greys = fields.setdefault("greys", 1)
    if type(greys) is not int or greys not in GREYS:
        known = " and ".join(map(str, GREYS))
        raise ModelError(
            f"{path}: wants images made grey in a newer way ({greys!r}, and this version knows "
            f"{known}); update this program."
        )
    try:
        return _card(fields)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{error.args[0]}" if error.args else type(error).__name__
        raise ModelError(
            f"{path}: its `covid` metadata makes no sense ({what}); export it anew."
        ) from None


def read_content(path: Path) -> bytes:
    """All bytes of a file before its card, once `read_card` has found them sound."""
    with path.open("rb") as file:
        start, _ = _find_card(path, file)
        file.seek(0)
        return file.read(start)


def _find_card(path: Path, file: BinaryIO) -> tuple[int, bytes]:
    """Where the card's field starts, and its JSON: the last field of the file."""
    start, number, inside, length = deque(read_fields(path, file), maxlen=1)[0]
    if number == METADATA_PROPS and length <= MAX_CARD_BYTES:
        file.seek(inside)
        entry = file.read(length)
        text = entry[entry.find(b'{"') :]  # what stands before it cannot hold these two
        if entry == write_field(1, KEY) + write_field(2, text):
            return start, text
    raise ModelError(
        f"{path}: has no `covid` metadata at its end, so its classes and sizes are unknown; "
        f"use a file that export.py wrote."
    )


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError:
        raise ModelError(f"{path}: its `covid` metadata is not JSON; export it anew.") from None
    except RecursionError:
        raise ModelError(f"{path}: its `covid` metadata is nested too deeply.") from None
    written = fields.get("format") if isinstance(fields, dict) else None
    if isinstance(written, bool) or not isinstance(written, int) or written < 1:
        raise ModelError(f"{path}: its `covid` metadata has no format; export it anew.")
    if written > FORMAT:
        raise ModelError(
            f"{path}: was written by a newer version (format {written}, and this one reads "
            f"{FORMAT}); update this program."
        )
    return dict(fields)


def _card(fields: Mapping[str, Any]) -> Card:
    """A card from plain values. Raises KeyError, TypeError or ValueError that names the mistake."""
    task: Task = fields["task"]
    if task not in ("multilabel", "single_label"):
        raise ValueError("task")
    classes = _names(fields["classes"], "classes")
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise ValueError("classes")
    labels = {
        key: () if true == [] and task == "multilabel" else _names(true, "labels")
        for key, true in fields["labels"].items()
    }
    _names(list(labels), "labels")
    implies = {key: _names(others, "implies") for key, others in fields["implies"].items()}
    named = {name for names in (*labels.values(), *implies.values(), implies) for name in names}
    if not named <= set(classes):
        raise ValueError("labels or implies name no class")
    space = LabelSpace(task, classes, labels, implies, _thresholds(fields, task, len(classes)))
    point, calibration = _chosen(fields, space)
    size, resize = fields["image_size"], fields["resize"]
    if not isinstance(size, int) or not 2 <= size <= MAX_SIZE:
        raise ValueError("image_size")
    if resize not in (RESIZE, RESIZE_IN_GRAPH):
        raise ValueError("resize")
    std = _number(fields["std"], "std")
    if std <= 0:
        raise ValueError("std")
    if fields["precision"] not in ("fp32", "int8"):
        raise ValueError("precision")
    for name in ("arch", "trained_on", "source_sha256"):
        _names([fields[name]], name)
    trained_on_sha256 = fields.get("trained_on_sha256")
    if trained_on_sha256 is not None:
        _names([trained_on_sha256], "trained_on_sha256")
    golden = None
    if fields["format"] > 1:
        golden = Golden.from_fields(fields["golden"], len(classes))
    return Card(
        arch=fields["arch"],
        space=space,
        image_size=size,
        resize=resize,
        mean=_number(fields["mean"], "mean"),
        std=std,
        precision=fields["precision"],
        trained_on=fields["trained_on"],
        metrics=dict(fields["metrics"]),
        source_sha256=fields["source_sha256"],
        versions=dict(fields["versions"]),
        golden=golden,
        trained_on_sha256=trained_on_sha256,
        greys=fields["greys"],
        operating_point=point,
        calibration=calibration,
        evidence_scale=_positive(fields, "evidence_scale"),
        novelty_threshold=_positive(fields, "novelty_threshold"),
    )


def _positive(fields: Mapping[str, Any], key: str) -> float | None:
    """Above zero; None where the file's graph does not give this, or is from before it did."""
    number = fields.get(key)
    if number is not None and _number(number, key) <= 0:
        raise ValueError(key)
    return number


def _thresholds(fields: Mapping[str, Any], task: Task, classes: int) -> tuple[float, ...] | None:
    """One a class; of `single_label` none, or two that add up to 1."""
    thresholds = fields["thresholds"]
    if thresholds is None:
        if task == "multilabel":
            raise ValueError("thresholds")
        return None
    numbers = tuple(_number(value, "thresholds") for value in thresholds)
    if len(numbers) != classes or not all(0 <= value <= 1 for value in numbers):
        raise ValueError("thresholds")
    if task == "single_label" and not are_complementary(numbers):
        raise ValueError("thresholds")
    return numbers


def _chosen(
    fields: Mapping[str, Any], space: LabelSpace
) -> tuple[OperatingPoint | None, Recalibration | None]:
    """What chose the card's thresholds, which must be the same numbers, and the recalibration."""
    point, calibration = fields.get("operating_point"), fields.get("calibration")
    chosen = None if point is None else OperatingPoint.from_fields(point)
    if chosen and space.with_thresholds(chosen.thresholds).thresholds != space.thresholds:
        raise ValueError("operating_point: other thresholds")
    recalibration = None
    if calibration is not None:
        recalibration = Recalibration.from_fields(calibration, len(space.classes))
    reason = misfit(space, chosen, recalibration)
    if reason:
        raise ValueError(reason)
    return chosen, recalibration


def _names(value: Any, key: str) -> tuple[str, ...]:
    """Raises TypeError unless these are names that can be shown: no line break, no escape code."""
    if not isinstance(value, list) or not value:
        raise TypeError(key)
    if not all(isinstance(name, str) and name and name.isprintable() for name in value):
        raise TypeError(key)
    return tuple(value)


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(key)
    return float(value)


def _seal(body: bytes) -> bytes:
    """The end of a card: a checksum of the JSON before it, so that no threshold changes unseen."""
    return b', "card_sha256": "%s"}' % hashlib.sha256(body).hexdigest().encode()


def _hash_content(file: BinaryIO, length: int) -> tuple[str, bool]:
    """The next bytes' SHA-256 and whether they name other files; never many in memory."""
    digest, external, before = hashlib.sha256(), False, b""
    while length:
        chunk = file.read(min(CHUNK_BYTES, length))
        if not chunk:
            break
        digest.update(chunk)
        length -= len(chunk)
        window = before + chunk
        external = external or _names_a_file(window)
        before = window[-MAX_LENGTH_BYTES - len(EXTERNAL) :]
    return digest.hexdigest(), external


def _names_a_file(content: bytes) -> bool:
    place = content.find(EXTERNAL)
    while place >= 0:
        if LENGTH_BEFORE.search(content[max(0, place - MAX_LENGTH_BYTES) : place]):
            return True
        place = content.find(EXTERNAL, place + 1)
    return False
