"""The two constants by which a file recalibrates its logits, read and replaced in its bytes.

In `logit = calibration_scale * z + calibration_shift` they are float32 `[classes]`, which lie in an
ONNX file as plain bytes of a known length. So other numbers can take their place without the onnx
package, and every other byte stays as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from covid.edge.wire import LENGTH_DELIMITED, VARINT, read_message
from covid.errors import ModelError

Floats = npt.NDArray[np.float32]

SCALE, SHIFT = "calibration_scale", "calibration_shift"
# As onnx.proto numbers them: where a graph lies in a ModelProto, constants in a GraphProto, and in
# a TensorProto its shape, type, name, and its numbers in two forms that are the same bytes.
GRAPH, INITIALIZER = 7, 5
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA = 1, 2, 4, 8, 9
FLOAT = 1  # TensorProto.DataType
LITTLE_ENDIAN = np.dtype("<f4")  # as protobuf writes float32, on every machine


@dataclass(frozen=True)
class Constants:
    """A file's bytes before its card, and where in them the two constants lie."""

    content: bytes
    scale_start: int
    shift_start: int
    classes: int

    @property
    def scale(self) -> Floats:
        return self._read(self.scale_start)

    @property
    def shift(self) -> Floats:
        return self._read(self.shift_start)

    def _read(self, start: int) -> Floats:
        values = np.frombuffer(self.content, LITTLE_ENDIAN, self.classes, start)
        return values.astype(np.float32)

    def replaced(self, scale: Sequence[float], shift: Sequence[float]) -> bytes:
        """The same bytes with other numbers, one a class, in these two places and nowhere else."""
        content = bytearray(self.content)
        for start, values in ((self.scale_start, scale), (self.shift_start, shift)):
            numbers = np.array(values, dtype=LITTLE_ENDIAN)
            if numbers.shape != (self.classes,):
                raise ValueError(f"{numbers.shape} numbers for {self.classes} classes")
            content[start : start + numbers.nbytes] = numbers.tobytes()
        return bytes(content)


def find_constants(path: Path, content: bytes, classes: int) -> Constants:
    """The two constants of `content`, the bytes of an ONNX file, which `path` names in errors.

    Raises ModelError where one of them is not there, or is not float32 `[classes]`.
    """
    places: dict[str, int] = {}
    try:
        for start, end in _tensors(content):
            tensor = _Tensor.of(content, start, end)
            if tensor.name in (SCALE.encode(), SHIFT.encode()):
                name = tensor.name.decode()
                if name in places or not tensor.holds(classes):
                    raise ValueError(name)
                places[name] = tensor.data_start
        return Constants(content, places[SCALE], places[SHIFT], classes)
    except (KeyError, ValueError):  # one is missing, or not what it should be
        raise ModelError(
            f"{path}: has no {SCALE} and {SHIFT} of {classes} numbers in its graph, so it cannot "
            f"be recalibrated; export it anew."
        ) from None


@dataclass(frozen=True)
class _Tensor:
    """What a TensorProto says, as far as it matters here."""

    name: bytes
    dims: tuple[int, ...]
    data_type: int
    data_start: int
    data_length: int

    @classmethod
    def of(cls, content: bytes, start: int, end: int) -> "_Tensor":
        name, dims, data_type, data = b"", list[int](), 0, (0, 0)  # as protobuf's defaults
        for number, kind, first, last in read_message(content, start, end):
            if kind == VARINT:
                dims += [first] if number == DIMS else []
                data_type = first if number == DATA_TYPE else data_type
            elif kind == LENGTH_DELIMITED:
                if number == NAME:
                    name = content[first:last]
                elif number in (FLOAT_DATA, RAW_DATA) and last > first:
                    data = (first, last - first)
        return cls(name, tuple(dims), data_type, *data)

    def holds(self, classes: int) -> bool:
        """Whether it is float32 `[classes]`."""
        size = classes * LITTLE_ENDIAN.itemsize
        return (self.dims, self.data_type, self.data_length) == ((classes,), FLOAT, size)


def _tensors(content: bytes) -> Iterator[tuple[int, int]]:
    """Where each constant of the graph lies in the file."""
    for number, kind, start, end in read_message(content, 0, len(content)):
        if (number, kind) == (GRAPH, LENGTH_DELIMITED):
            for inner, inner_kind, first, last in read_message(content, start, end):
                if (inner, inner_kind) == (INITIALIZER, LENGTH_DELIMITED):
                    yield first, last
