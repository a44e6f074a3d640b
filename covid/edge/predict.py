"""Many image files to one row each, decoding in threads while the network computes."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from covid.edge.images import image_endings
from covid.edge.labels import LabelSpace
from covid.edge.novelty import Seen, reasons
from covid.errors import DataError, ImageError

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Outputs(NamedTuple):
    """What a graph gives for some images, in float32."""

    logits: Floats  # [images, classes]
    probabilities: Floats  # [images, classes]
    evidence: Floats | None = None  # [images, classes, height, width]; None: it has no such output
    evidence_rest: Floats | None = None  # [images, classes]; with evidence's sum it is the logits
    novelty: Floats | None = None  # [images]; None: it has no such output


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image file, or why it says nothing."""

    path: Path
    probabilities: dict[str, float]  # class -> 0..1; empty where the file cannot be read
    labels: tuple[str, ...]  # the classes decided to be true, implied ones included
    error: str | None = None  # one sentence
    # class -> what each place of the image adds to its logit, float32 [height, width], and what
    # the logit is without any place; empty where the file does not say
    evidence: dict[str, Floats] = field(default_factory=dict)
    evidence_rest: dict[str, float] = field(default_factory=dict)
    # how far the image is from those of training, about 1 for one of them; None: nobody knows
    novelty: float | None = None
    # why the image is not one that the network can know, by `covid.edge.novelty`'s names: empty
    # where it can, and where the file does not say
    unfamiliar: tuple[str, ...] = ()
    refused: bool = False  # there is no decision, whatever the probabilities


def find_images(sources: Iterable[Path]) -> tuple[list[Path], int]:
    """The images that `sources` name, files as they are, folders recursively in sorted order.

    Beside them, how many files in folders were left out for their ending. Links to folders
    are not followed, so that none leads in a circle; hidden files are left out uncounted.
    Raises DataError where a source is missing, a folder holds no image or cannot be listed.
    """
    paths: list[Path] = []
    other = 0
    for source in sources:
        if source.is_dir():
            files = list(_files(source))
            images = [path for path in files if path.suffix.lower() in image_endings()]
            if not images:
                raise DataError(
                    f"{source}: holds no image ({len(files)} other files); "
                    f"name a folder of PNG, JPEG, TIFF or DICOM files."
                )
            paths += images
            other += len(files) - len(images)
        elif source.exists():
            paths.append(source)
        else:
            raise DataError(f"{source}: there is no such file or folder.")
    return paths, other


def _files(folder: Path) -> Iterator[Path]:
    def unlisted(error: OSError) -> None:  # os.walk would go on without the folder's images
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}).") from error

    for parent, folders, files in os.walk(folder, onerror=unlisted):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def predict_files(
    paths: Iterable[Path],
    read: Callable[[Path], Seen],
    infer: Callable[[Pixels], Outputs],
    space: LabelSpace,
    *,
    decoders: int,
    batch_size: int,
    novelty_threshold: float | None = None,
) -> Iterator[Prediction]:
    """One prediction per path, in order, as soon as its batch is done.

    `read` gives an image or raises ImageError; `infer` takes uint8 `[n, size, size]`,
    n up to `batch_size`. `decoders` threads read up to
    three batches ahead, however many paths there are. Without `novelty_threshold` none is
    unfamiliar.
    """
    with ThreadPoolExecutor(decoders) as pool:
        ahead = _read_ahead(pool, iter(paths), read, decoders + 2 * batch_size)
        try:
            while batch := list(islice(ahead, batch_size)):
                yield from _predict_batch(batch, infer, space, novelty_threshold)
        finally:  # a caller that stops early does not wait for the images left
            pool.shutdown(wait=False, cancel_futures=True)


def _read_ahead(
    pool: ThreadPoolExecutor, paths: Iterator[Path], read: Callable[[Path], Seen], depth: int
) -> Iterator[tuple[Path, Seen | str]]:
    """Every path with its image, or the sentence that says why there are none."""

    def attempt(path: Path) -> Seen | str:
        try:
            return read(path)
        except ImageError as error:
            return str(error)  # not the error, which would hold on to the half-decoded image

    waiting: deque[tuple[Path, Future[Seen | str]]] = deque()
    for path in islice(paths, depth):
        waiting.append((path, pool.submit(attempt, path)))
    while waiting:
        done, future = waiting.popleft()
        seen = future.result()
        for path in islice(paths, 1):
            waiting.append((path, pool.submit(attempt, path)))
        yield done, seen


def _predict_batch(
    batch: Sequence[tuple[Path, Seen | str]],
    infer: Callable[[Pixels], Outputs],
    space: LabelSpace,
    novelty_threshold: float | None,
) -> Iterator[Prediction]:
    readable = [seen.pixels for _, seen in batch if not isinstance(seen, str)]
    answered = _answered(infer(np.stack(readable)), space) if readable else iter(())
    for path, seen in batch:
        if isinstance(seen, str):
            yield Prediction(path, {}, (), seen)
            continue
        prediction = replace(next(answered), path=path)
        if prediction.novelty is not None and novelty_threshold is not None:
            why = reasons(seen.doubts, prediction.novelty, novelty_threshold)
            prediction = replace(prediction, unfamiliar=why)
        yield prediction


def _answered(outputs: Outputs, space: LabelSpace) -> Iterator[Prediction]:
    """What is said of each image, as yet without its path."""
    evidence, rest = outputs.evidence, outputs.evidence_rest
    for place, decided in enumerate(space.decide(outputs.probabilities)):
        prediction = Prediction(
            Path(),
            dict(zip(space.classes, outputs.probabilities[place].tolist(), strict=True)),
            tuple(space.names(decided)),
        )
        if evidence is not None and rest is not None:
            prediction = replace(
                prediction,
                evidence=dict(zip(space.classes, evidence[place], strict=True)),
                evidence_rest=dict(zip(space.classes, rest[place].tolist(), strict=True)),
            )
        if outputs.novelty is not None:
            prediction = replace(prediction, novelty=float(outputs.novelty[place]))
        yield prediction
