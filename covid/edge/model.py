"""An ONNX file and its card: from an image file to probabilities and decisions."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from covid.edge.card import RESIZE, Card, read_card
from covid.edge.images import read_image
from covid.edge.memory import available_memory
from covid.edge.predict import Prediction, find_images, predict_files
from covid.edge.processors import usable_processors
from covid.errors import ImageError, ModelError

if TYPE_CHECKING:
    import onnxruntime

# Larger batches were not faster on 2 cores, and rows appear a batch at a time.
LARGEST_BATCH = 8
# Bytes a pixel of input that the hungriest network holds at once: VGG-16's first two
# convolutions in float, 64 channels each, and as much again for the runtime's own copies.
BYTES_PER_PIXEL = 64 * 4 * 2 * 2
OUTPUTS = ("logit", "probability")
SHARE = 0.25  # of the memory that is left: others use the machine too


class Outputs(NamedTuple):
    logits: npt.NDArray[np.float32]  # [images, classes]
    probabilities: npt.NDArray[np.float32]  # [images, classes]


def load(path: str | Path, *, threads: int | None = None, low_memory: bool = False) -> "Model":
    """Opens an ONNX file that export.py wrote.

    `threads` None: as many as this process may use, by affinity and cgroup quota. `low_memory`
    takes one image at a time and gives memory back after each. Raises ModelError.
    """
    # Imported here: training shares this folder's preprocessing and needs no runtime.
    import onnxruntime

    path = Path(path)
    card = read_card(path)
    if card.resize != RESIZE:
        raise ModelError(
            f"{path}: resizes inside the graph, for programs without this package; "
            f"use the model.onnx beside it here."
        )
    threads = threads or usable_processors()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = not low_memory
    options.enable_mem_pattern = not low_memory
    options.log_severity_level = 3  # errors only; they are raised as well
    # Spinning threads would take the cores from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no class of their own above Exception
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelError(f"{path}: onnxruntime cannot open it ({reason}).") from error
    _check_graph(path, session, card)
    return Model(session, card, threads, 1 if low_memory else _batch_size(card.image_size))


class Model:
    """A network that runs without PyTorch. Made by `load`."""

    def __init__(
        self, session: "onnxruntime.InferenceSession", card: Card, threads: int, batch_size: int
    ):
        self.session = session
        self.card = card
        self.threads = threads
        self.batch_size = batch_size

    def __call__(
        self, source: str | Path | Iterable[str | Path]
    ) -> Prediction | Iterator[Prediction]:
        """One image file gives its Prediction; a folder or a list gives a stream of them.

        A file that cannot be read raises ImageError when it is alone; in a stream its
        Prediction has an `error`, and the others go on.
        """
        if isinstance(source, str | Path):
            if not Path(source).is_dir():
                only = next(self.predict([Path(source)]))
                if only.error:
                    raise ImageError(only.error)
                return only
            source = [source]
        return self.predict(find_images(map(Path, source))[0])

    def predict(self, paths: Iterable[Path]) -> Iterator[Prediction]:
        """A Prediction a file, in order."""
        return predict_files(
            paths,
            self.read,
            lambda images: self.run(images).probabilities,
            self.card.space,
            decoders=self.threads,
            batch_size=self.batch_size,
        )

    def read(self, path: Path) -> npt.NDArray[np.uint8]:
        """A file as the network sees it: uint8 `[size, size]`. Raises ImageError."""
        return read_image(path, self.card.image_size)

    def run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        """uint8 `[n, size, size]` to logits and probabilities, float32 `[n, classes]` each."""
        feed = {"image": images[:, np.newaxis]}
        logits, probabilities = self.session.run(OUTPUTS, feed)
        return Outputs(np.asarray(logits), np.asarray(probabilities))


def _batch_size(image_size: int) -> int:
    memory = available_memory()
    if memory is None:
        return 1
    fitting = int(memory * SHARE / (image_size**2 * BYTES_PER_PIXEL))
    return max(1, min(LARGEST_BATCH, fitting))


def _check_graph(path: Path, session: "onnxruntime.InferenceSession", card: Card) -> None:
    """Raises ModelError unless the graph takes and gives what the card says."""
    inputs = [(one.name, one.type, one.shape) for one in session.get_inputs()]
    outputs = [(one.name, one.type, one.shape) for one in session.get_outputs()]
    every = [shape for _, _, shape in (*inputs, *outputs)]
    if any(not shape or not isinstance(shape[0], str) for shape in every):
        raise ModelError(
            f"{path}: its graph takes batches of one size only ({every[0]}); export it anew."
        )
    wanted = [("image", "tensor(uint8)", [1, card.image_size, card.image_size])]
    given = [(name, "tensor(float)", [len(card.space.classes)]) for name in OUTPUTS]
    for found, right in ((inputs, wanted), (outputs, given)):
        if [(name, kind, shape[1:]) for name, kind, shape in found] != right:
            raise ModelError(
                f"{path}: its graph has {found} where its `covid` metadata promises {right}; "
                f"export it anew."
            )
