"""An exported file as a predictor, by the way that predict.py takes: no PyTorch anywhere."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from covid.data.cache import Original, open_images
from covid.data.index import MAX_LISTED, Index
from covid.data.predictor import Predictions, Predictor
from covid.data.samples import rows_for_file
from covid.edge import load
from covid.edge.images import read_grey, resize
from covid.edge.model import Model
from covid.edge.novelty import Seen
from covid.edge.predict import Outputs, predict_files
from covid.errors import DataError
from covid.evaluation.sites.report import grey_statistics


def open_file(path: Path) -> Predictor:
    """What is evaluated of an ONNX file. Raises what `covid.edge.load` does."""
    model = load(path, spinning=False)  # images are decoded meanwhile
    card = model.card

    def bar(indices: list[int], what: str) -> "tqdm[Any]":
        return tqdm(total=len(indices), desc=what, unit=" images", leave=False, delay=1,
                    disable=None)  # fmt: skip

    def read(index: Index, indices: list[int], split: str) -> dict[int, Original]:
        with bar(indices, f"reading {split} images") as progress:
            images = open_images(index, card.image_size, None, card.greys)
            return images.scan(indices, progress.update).originals

    def predict_images(index: Index, indices: list[int], split: str) -> Predictions:
        files = [index.samples[i].path for i in indices]
        originals: dict[Path, Original] = {}
        greys: dict[Path, npt.NDArray[np.float64]] = {}

        def read_once(file: Path) -> Seen:
            grey = read_grey(file, greys=card.greys)
            originals[file] = Original.of(grey)
            pixels = resize(grey, card.image_size)
            greys[file] = grey_statistics(pixels[np.newaxis])[0]
            return Seen(pixels)

        logits: list[npt.NDArray[np.float32]] = []

        def infer(images: npt.NDArray[np.uint8]) -> Outputs:
            outputs = model.run(images)
            logits.append(outputs.logits)
            return outputs

        predictions = []
        with bar(indices, f"evaluating {split}") as progress:
            for prediction in predict_files(
                files, read_once, infer, card.space, decoders=model.decoders,
                batch_size=model.batch_size,
            ):  # fmt: skip
                predictions.append(prediction)
                progress.update()
        unreadable = [prediction.error for prediction in predictions if prediction.error]
        if unreadable:
            rest = len(unreadable) - MAX_LISTED
            more = f" (and {rest} more)" if rest > 0 else ""
            raise DataError(
                f"{len(unreadable)} of {len(indices)} images cannot be read: "
                f"{' '.join(unreadable[:MAX_LISTED])}{more} Repair or remove them."
            )
        return Predictions(
            {i: originals[file] for i, file in zip(indices, files, strict=True)},
            np.array([list(each.probabilities.values()) for each in predictions], dtype=np.float32),
            np.concatenate(logits),
            lambda wanted: np.stack([model.read(index.samples[i].path) for i in wanted]),
            {},
            [],
            np.stack([greys[file] for file in files]),
            maps=None if card.evidence_scale is None else partial(maps_of, model, index),
        )

    def answer(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        starts = range(0, len(images), model.batch_size)
        return np.concatenate(
            [model.run(images[start : start + model.batch_size]).logits for start in starts]
        )

    return Predictor(
        name=path.name,
        folder=path.parent,
        space=card.space.naming_classes(),
        about={
            "model": path.name,
            "precision": card.precision,
            "source_sha256": card.source_sha256,
            "trained_on": card.trained_on,
            "trained_on_sha256": card.trained_on_sha256,
        },
        trained_on=rows_for_file(path, card.trained_on_sha256),
        open_own=None,
        lateral_known=False,  # a file does not say
        read=read,
        predict=predict_images,
        main_process_first=nullcontext,
        is_main_process=True,
        operating_point=card.operating_point,
        recalibration=card.calibration,
        is_recalibrated=True,  # in the graph
        recipe_sha256=None,
        answer=answer,
        features=None,
        run=None,
    )


def maps_of(model: Model, index: Index, indices: list[int]) -> npt.NDArray[np.float32]:
    """`Predictions.maps` of a file, by the file itself."""
    parts = []
    for start in range(0, len(indices), model.batch_size):
        some = indices[start : start + model.batch_size]
        outputs = model.run(np.stack([model.read(index.samples[i].path) for i in some]))
        assert outputs.evidence is not None  # `load` has seen that the graph gives it
        parts.append(outputs.evidence)
    return np.concatenate(parts)
