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
from covid.errors import ConfigError, ImageError, ModelError

if TYPE_CHECKING:
    import onnxruntime

# Larger batches were not faster on 2 cores, and rows appear a batch at a time.
LARGEST_BATCH = 8
# Bytes a pixel of input that the hungriest network holds at once: VGG-16's first two
# convolutions in float, 64 channels each, and as much again for the runtime's own copies.
BYTES_PER_PIXEL = 64 * 4 * 2 * 2
MOST_THREADS = 1024
OUTPUTS = ("logit", "probability")
SHARE = 0.25  # of the memory that is left: others use the machine too


class Outputs(NamedTuple):
    logits: npt.NDArray[np.float32]  # [images, classes]
    probabilities: npt.NDArray[np.float32]  # [images, classes]


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    low_memory: bool = False,
    spinning: bool = False,
) -> "Model":
    """Opens an ONNX file that export.py wrote.

    `threads` None: as many as this process may use, by affinity and cgroup quota. `low_memory`
    takes one image at a time and gives memory back after each. `spinning` lets threads that
    wait for each other keep their processors busy: one image is answered sooner, and whatever
    else runs gets less. Raises ModelError, and ConfigError for a number of threads that cannot be.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"threads: must be between 1 and {MOST_THREADS}, not {threads}.")
    try:  # imported here: training shares this folder's preprocessing and needs no runtime
        import onnxruntime
    except ModuleNotFoundError:
        raise ModelError(
            "onnxruntime is not installed: pip install -r requirements-edge.txt"
        ) from None

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
    options.log_severity_level = 4  # errors are raised as well, and said once is enough
    # Off unless asked for: spinning threads take the cores from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no class of their own above Exception
        raise ModelError(f"{path}: onnxruntime cannot open it ({_brief(error)}).") from error
    _check_graph(path, session, card)
    if low_memory:
        return Model(path, session, card, threads=threads, decoders=1, batch_size=1)
    size = _batch_size(card.image_size)
    return Model(path, session, card, threads=threads, decoders=threads, batch_size=size)


class Model:
    """A network that runs without PyTorch. Made by `load`."""

    def __init__(
        self,
        path: Path,
        session: "onnxruntime.InferenceSession",
        card: Card,
        *,
        threads: int,
        decoders: int,
        batch_size: int,
    ):
        self.path = path
        self.session = session
        self.card = card
        self.threads = threads  # that compute
        self.decoders = decoders  # threads that read images while the session computes
        self.batch_size = batch_size

    def __call__(
        self, source: str | Path | Iterable[str | Path]
    ) -> Prediction | Iterator[Prediction]:
        """One image file gives its Prediction; a folder or a list gives a stream of them.

        A file that cannot be read raises ImageError when it is alone; in a stream its
        Prediction has an `error`, and the others go on. Raises DataError where a source is
        missing or a folder holds no image.
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
            decoders=self.decoders,
            batch_size=self.batch_size,
        )

    def read(self, path: Path) -> npt.NDArray[np.uint8]:
        """A file as the network sees it: uint8 `[size, size]`. Raises ImageError."""
        return read_image(path, self.card.image_size)

    def run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        """uint8 `[n, size, size]` to logits and probabilities, float32 `[n, classes]` each.

        Raises ModelError where the graph fails, or gives something else than that.
        """
        try:
            logits, probabilities = self.session.run(OUTPUTS, {"image": images[:, np.newaxis]})
        except Exception as error:  # as above
            reason = _brief(error)
            raise ModelError(f"{self.path}: onnxruntime cannot run it ({reason}).") from error
        outputs = Outputs(np.asarray(logits), np.asarray(probabilities))
        wanted = (len(images), len(self.card.space.classes))
        if outputs.logits.shape != wanted or outputs.probabilities.shape != wanted:
            raise ModelError(
                f"{self.path}: gives {outputs.probabilities.shape} probabilities where "
                f"{wanted} are due; export it anew."
            )
        if not ((outputs.probabilities >= 0) & (outputs.probabilities <= 1)).all():  # or is NaN
            raise ModelError(f"{self.path}: gives probabilities beyond 0 and 1; export it anew.")
        return outputs


def _brief(error: Exception) -> str:
    """What onnxruntime says in many lines, in one."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


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
    for _, _, shape in (*inputs, *outputs):
        if not shape or not isinstance(shape[0], str):
            raise ModelError(
                f"{path}: its graph takes batches of one size only ({shape}); export it anew."
            )
    wanted = [("image", "tensor(uint8)", [1, card.image_size, card.image_size])]
    given = [(name, "tensor(float)", [len(card.space.classes)]) for name in OUTPUTS]
    for found, right in ((inputs, wanted), (outputs, given)):
        if [(name, kind, shape[1:]) for name, kind, shape in found] != right:
            raise ModelError(
                f"{path}: its graph has {found} where its `covid` metadata promises {right}; "
                f"export it anew."
            )
