"""An ONNX file and its card: from an image file to probabilities and decisions."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from covid.edge.card import RESIZE, Card, read_card
from covid.edge.images import read_image, read_picture
from covid.edge.memory import available_memory
from covid.edge.novelty import Seen, see
from covid.edge.predict import Outputs, Prediction, find_images, predict_files
from covid.edge.processors import usable_processors
from covid.edge.session import CPU, brief, open_session
from covid.errors import ConfigError, ImageError, ModelError

if TYPE_CHECKING:
    import onnxruntime

# Larger batches were not faster on 2 cores, and rows appear one batch at a time.
MAX_BATCH = 8
# Bytes per pixel of input that the network with the largest activations holds at once: VGG-16's
# first two convolutions in float, 64 channels each, and as much again for the runtime's copies.
BYTES_PER_PIXEL = 64 * 4 * 2 * 2
MAX_THREADS = 1024
OUTPUTS = ("logit", "probability")
EVIDENCE = ("evidence", "evidence_rest")  # what files have beside whose head reads a feature map
NOVELTY = "novelty"  # what files have beside that know what their training images were like
FIELDS = {  # of Outputs, by the graph's names
    "logit": "logits", "probability": "probabilities", "evidence": "evidence",
    "evidence_rest": "evidence_rest", NOVELTY: "novelty",
}  # fmt: skip
MAX_MEMORY_SHARE = 0.25  # of the memory that is left: others use the machine too

# How a session came to its golden answers: as the processor multiplies 8-bit integers, with their
# products added in 32 bits, or not at all, for a file of format 1.
Arithmetic = Literal["plain", "precise", "unproven"]


class Runnable(Protocol):
    """What is asked of a session."""

    def run(self, names: Sequence[str], feed: Mapping[str, Any], /) -> Sequence[Any]: ...


Opened = TypeVar("Opened", bound=Runnable)


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    low_memory: bool = False,
    spinning: bool = True,
    providers: Sequence[str] | None = None,
) -> "Model":
    """Opens an ONNX file that export.py wrote, once it has given its golden answers here.

    `threads` None: as many as this process may use, by affinity and cgroup quota. `low_memory`
    takes one image at a time and gives memory back after each. `spinning` lets threads that
    wait for each other during an answer keep their processors busy: it comes sooner, and
    other programs get less; turn it off where images are decoded meanwhile. `providers` are
    onnxruntime's execution providers by name, the first one preferred (default: the CPU's).

    Raises ModelError, also where this machine computes other answers than the file's golden
    ones; ConfigError for a number of threads or a provider that cannot be. Warns (UserWarning)
    of a file of format 1, which has no golden answers.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise ConfigError(f"threads: must be between 1 and {MAX_THREADS}, not {threads}.")
    if isinstance(providers, str):
        raise ConfigError(f'providers: is a list of names, such as ["{providers}"].')
    path = Path(path)
    card = read_card(path)
    if card.resize != RESIZE:
        raise ModelError(
            f"{path}: resizes inside the graph, for programs without this package; "
            f"use the model.onnx beside it here."
        )
    threads = threads or usable_processors()
    chosen = list(providers) if providers is not None else [CPU]

    def open_(precise: bool) -> "onnxruntime.InferenceSession":
        session = open_session(
            path, chosen, threads=threads, low_memory=low_memory, spinning=spinning,
            precise=precise,
        )  # fmt: skip
        _check_graph(path, session, card)
        return session

    session, arithmetic = open_proven(path, card, open_)
    size = 1 if low_memory else _batch_size(card.image_size)
    decoders = 1 if low_memory else threads
    return Model(
        path, session, card, arithmetic, threads=threads, decoders=decoders, batch_size=size
    )


def open_proven(
    path: Path, card: Card, open_: Callable[[bool], Opened]
) -> tuple[Opened, Arithmetic]:
    """A session that gives the file's golden answers, and which arithmetic that took.

    `open_(precise)` opens one. Where the plain one answers otherwise than the file must, the
    precise one is tried; where that does too, ModelError.
    """
    golden = card.golden
    if golden is None:
        warnings.warn(
            f"{path}: is of format 1, without golden answers, so what it says is not proven on "
            f"this machine; export it anew.",
            stacklevel=3,
        )
        return open_(False), "unproven"
    differences = []
    # Only 8-bit products have a second way.
    tries: tuple[Arithmetic, ...] = (
        ("plain", "precise") if card.precision == "int8" else ("plain",)
    )
    for arithmetic in tries:
        session = open_(arithmetic == "precise")
        difference = golden.difference(
            card.image_size, partial(_logits, path, session, card)
        )
        if difference <= golden.tolerance:
            return session, arithmetic
        differences.append(f"{difference:.2g} ({arithmetic})")
    raise ModelError(
        f"{path}: this machine computes other answers than the file was made with: a golden "
        f"logit differs by {' and '.join(differences)}, where {golden.tolerance:.2g} is allowed; "
        f"use another version of onnxruntime, or another provider."
    )


class Model:
    """A network that runs without PyTorch. Made by `load`."""

    def __init__(
        self,
        path: Path,
        session: "onnxruntime.InferenceSession",
        card: Card,
        arithmetic: Arithmetic,
        *,
        threads: int,
        decoders: int,
        batch_size: int,
    ):
        self.path = path
        self.session = session
        self.card = card
        # Asked for wherever a file has it, since the runtime computes it anyway.
        given = {output.name for output in session.get_outputs()}
        self.names = tuple(name for name in FIELDS if name in given)
        self.arithmetic = arithmetic
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
            self.see,
            self.run,
            self.card.space,
            decoders=self.decoders,
            batch_size=self.batch_size,
            novelty_threshold=self.card.novelty_threshold,
        )

    def read(self, path: Path) -> npt.NDArray[np.uint8]:
        """A file as the network sees it: uint8 `[size, size]`. Raises ImageError."""
        return read_image(path, self.card.image_size, greys=self.card.greys)

    def see(self, path: Path) -> Seen:
        """The pixels that `read` gives, and what makes the file unfamiliar. Raises ImageError."""
        return see(read_picture(path, greys=self.card.greys), self.card.image_size)

    def run(self, images: npt.NDArray[np.uint8]) -> Outputs:
        """uint8 `[n, size, size]` to what the graph gives for them.

        Raises ModelError where the graph fails, or gives something else than it promises.
        """
        return _run(self.path, self.session, self.card, self.names, images)


def _run(
    path: Path,
    session: Runnable,
    card: Card,
    names: Sequence[str],
    images: npt.NDArray[np.uint8],
) -> Outputs:
    """The outputs of a session by `names`, some of FIELDS and OUTPUTS among them."""
    try:
        given = session.run(names, {"image": images[:, np.newaxis]})
    except Exception as error:  # onnxruntime's errors have no class of their own above Exception
        raise ModelError(f"{path}: onnxruntime cannot run it ({brief(error)}).") from error
    fields = {FIELDS[name]: np.asarray(value) for name, value in zip(names, given, strict=True)}
    outputs = Outputs(**fields)
    wanted = (len(images), len(card.space.classes))
    if outputs.logits.shape != wanted or outputs.probabilities.shape != wanted:
        raise ModelError(
            f"{path}: gives {outputs.probabilities.shape} probabilities where "
            f"{wanted} are due; export it anew."
        )
    if not ((outputs.probabilities >= 0) & (outputs.probabilities <= 1)).all():  # or is NaN
        raise ModelError(f"{path}: gives probabilities beyond 0 and 1; export it anew.")
    novelty = outputs.novelty
    if novelty is not None and not (novelty.shape == wanted[:1] and np.isfinite(novelty).all()):
        raise ModelError(f"{path}: gives a novelty that is no number an image; export it anew.")
    return outputs


def _logits(
    path: Path, session: Runnable, card: Card, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    return _run(path, session, card, OUTPUTS, images).logits


def _batch_size(image_size: int) -> int:
    memory = available_memory()
    if memory is None:
        return 1
    fitting = int(memory * MAX_MEMORY_SHARE / (image_size**2 * BYTES_PER_PIXEL))
    return max(1, min(MAX_BATCH, fitting))


def _check_graph(path: Path, session: "onnxruntime.InferenceSession", card: Card) -> None:
    """Raises ModelError unless the graph takes and gives what the card says."""
    inputs = [(tensor.name, tensor.type, tensor.shape) for tensor in session.get_inputs()]
    outputs = [(tensor.name, tensor.type, tensor.shape) for tensor in session.get_outputs()]
    for _, _, shape in (*inputs, *outputs):
        if not shape or not isinstance(shape[0], str):
            raise ModelError(
                f"{path}: its graph takes batches of one size only ({shape}); export it anew."
            )
    classes = len(card.space.classes)
    wanted = [("image", "tensor(uint8)", [1, card.image_size, card.image_size])]
    given = [(name, "tensor(float)", [classes]) for name in OUTPUTS]
    if card.evidence_scale is not None:
        if not {name for name, _, _ in outputs} >= set(EVIDENCE):
            raise ModelError(
                f"{path}: its `covid` metadata speaks of maps that its graph does not give; "
                f"export it anew."
            )
        places = outputs[len(OUTPUTS)][2][2:]  # however many rows and columns the map has
        given += [
            (name, "tensor(float)", [classes, *of])
            for name, of in zip(EVIDENCE, (places, []), strict=True)
        ]
    if card.novelty_threshold is not None:
        given.append((NOVELTY, "tensor(float)", []))
    for actual, expected in ((inputs, wanted), (outputs, given)):
        if [(name, kind, shape[1:]) for name, kind, shape in actual] != expected:
            raise ModelError(
                f"{path}: its graph has {actual} where its `covid` metadata promises {expected}; "
                f"export it anew."
            )
