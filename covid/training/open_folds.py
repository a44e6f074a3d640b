"""The folds of a cross-validation as one predictor: each image by the network that held it out."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from covid.config import load_config
from covid.data.cache import Original
from covid.data.folds import HELD_OUT, Fold
from covid.data.index import Index, some
from covid.data.predictor import Maps, Predictions, Predictor
from covid.data.samples import Row, read_rows, written_name
from covid.errors import RunError
from covid.evaluation.operating.file import read_operating_point
from covid.project import command
from covid.training.open_run import open_run
from covid.training.run import changed_keys, newest_folds, runs_folder, status

Floats = npt.NDArray[np.float32]
Greys = npt.NDArray[np.float64]

FOLDS = "folds"  # what --split calls the held-out images of all folds together


def open_folds(folder: Path | None) -> Predictor:
    """All folds of a run, or one that `folder` is itself; None: of the run whose folds are newest.

    Its own images are those that a fold held out, as the split FOLDS. Raises RunError where there
    is no fold, one is missing or of other images or another config than the rest.
    """
    folder = folder or newest_folds(runs_folder())
    folds = fold_folders(folder)
    held_out = held_out_rows(folder, folds)
    predictors = {fold: open_run(path) for fold, path in folds.items()}
    first = next(iter(predictors.values()))
    point, recalibration = read_operating_point(folder, first.space, first.recipe_sha256)
    of_image = {(row.path, row.content): fold for fold in folds for row in held_out[fold]}
    of_content = {row.content: fold for fold in folds for row in held_out[fold]}

    def predict(index: Index, indices: list[int], split: str) -> Predictions:
        # By content, since the images may have moved; copies of one picture by their names too.
        seen = first.read(index, indices, "held-out")
        chosen = {
            i: of_image.get(
                (written_name(index.samples[i]), original.content),
                of_content.get(original.content),
            )
            for i, original in seen.items()
        }
        by_fold: dict[Fold, Predictions] = {}
        answers: dict[int, tuple[Fold, Original, Floats, Floats, Greys]] = {}
        warnings: list[str] = []
        for fold, predictor in predictors.items():
            # One that cannot be read, or is not as it was, goes to all of them: they say so.
            own = [i for i in indices if chosen.get(i) in (None, fold)]
            given = by_fold[fold] = predictor.predict(index, own, str(fold))
            rows = zip(given.originals.items(), given.probabilities, given.logits, given.greys,
                       strict=True)  # fmt: skip
            answers |= {i: (fold, original, p, z, greys) for (i, original), p, z, greys in rows}
            warnings += [each for each in given.warnings if each not in warnings]
            read_images = given.read_images  # whoever reads them gets the same pixels
        order = sorted(answers)

        def maps(of_fold: Mapping[Fold, Maps], wanted: list[int]) -> Floats:
            """Each image's by the network that held it out."""
            asked = {fold: [i for i in wanted if answers[i][0] == fold] for fold in of_fold}
            rows = {
                i: row for fold, own in asked.items() if own
                for i, row in zip(own, of_fold[fold](own), strict=True)
            }  # fmt: skip
            return np.stack([rows[i] for i in wanted])

        def shuffled(seed: int, some: list[int]) -> Maps:
            return partial(maps, {
                fold: given.shuffled_maps(seed, some)
                for fold, given in by_fold.items() if given.shuffled_maps is not None
            })  # fmt: skip

        own_maps = {fold: given.maps for fold, given in by_fold.items() if given.maps is not None}
        return Predictions(
            {i: answers[i][1] for i in order},
            np.stack([answers[i][2] for i in order]),
            np.stack([answers[i][3] for i in order]),
            read_images,
            {"unreadable": len(indices) - len(order)},
            warnings,
            np.stack([answers[i][4] for i in order]),
            folds=[answers[i][0].name for i in order] if len(folds) > 1 else None,
            maps=partial(maps, own_maps) if own_maps else None,
            shuffled_maps=shuffled if own_maps else None,
        )

    return Predictor(
        name=first.name,
        folder=folder,
        space=first.space,
        about={
            "run": first.name,
            "networks": [
                {"fold": fold.name, **predictor.about}
                for fold, predictor in predictors.items()
            ],
        },
        trained_on=[
            *(replace(row, split=FOLDS) for fold in folds for row in held_out[fold]),
            # Of one fold alone the others are images that it knows; of all they are its own.
            *(row for row in first.trained_on or []
              if row.split == "test" or (len(folds) == 1 and row.split != HELD_OUT)),
        ],
        open_own=first.open_own,
        lateral_known=first.lateral_known,
        read=first.read,
        predict=predict,
        main_process_first=first.main_process_first,
        is_main_process=first.is_main_process,
        operating_point=point,
        recalibration=recalibration,
        is_recalibrated=False,
        recipe_sha256=first.recipe_sha256,
        answer=None,
        features=None,
        run=next(iter(folds.values())),
    )


def fold_folders(folder: Path) -> dict[Fold, Path]:
    """The folders of all folds of one cross-validation, in order; `folder` itself may be a fold."""
    own = Fold.of_folder(folder.resolve().name)
    if own is not None and status(folder) == "finished":
        return {own: folder}
    there: dict[Fold, Path] = {}
    with suppress(OSError):
        for path in folder.iterdir():
            fold = Fold.of_folder(path.name)
            if fold is not None and status(path) == "finished":
                there[fold] = path
    numbers = sorted({fold.folds for fold in there})
    train = f"{command('train', 'accelerate launch')} --config CONFIG --fold"
    if not numbers:
        raise RunError(f"{folder}: holds no folds; train them with `{train} 1/5` and so on.")
    if len(numbers) > 1:
        raise RunError(
            f"{folder}: holds folds of {' and of '.join(map(str, numbers))}; move all but those of "
            f"one cross-validation elsewhere."
        )
    every = [Fold(number, numbers[0]) for number in range(1, numbers[0] + 1)]
    absent = [fold for fold in every if fold not in there]
    if absent:
        raise RunError(
            f"{folder}: {some([str(fold) for fold in absent])}: not there, or not finished; train "
            f"with `{train} {absent[0].number}/{absent[0].folds}`."
        )
    return {fold: there[fold] for fold in every}


def held_out_rows(folder: Path, folds: Mapping[Fold, Path]) -> dict[Fold, list[Row]]:
    """The images that each fold held out, once it is known that they belong together.

    Raises RunError unless all folds were trained with one config on one set of images, of which
    each is held out once.
    """
    anew = "train all folds anew, with one config and one set of images"
    every: dict[Fold, list[Row]] = {}
    for fold, path in folds.items():
        rows = every[fold] = read_rows(path) or []
        if not any(row.split == HELD_OUT for row in rows):
            raise RunError(f"{path}: was not trained with --fold, its samples.csv holds out none.")
    first = next(iter(folds))
    images = {_identity(row) for row in every[first]}
    held_out = {fold: [r for r in rows if r.split == HELD_OUT] for fold, rows in every.items()}
    for fold, path in folds.items():
        changed = changed_keys(
            load_config(folds[first] / "config.yaml"), load_config(path / "config.yaml")
        )
        if changed:
            raise RunError(f"{path}: was trained with another {', '.join(changed)}; {anew}.")
        if {_identity(row) for row in every[fold]} != images:
            raise RunError(f"{path}: was trained on other images than {first}; {anew}.")
    times = Counter(_identity(row) for rows in held_out.values() for row in rows)
    due = {_identity(row) for row in every[first] if row.split != "test"}
    others = [row[0] for row in due if times[row] != 1] if len(folds) > 1 else []
    if others:
        raise RunError(
            f"{folder}: {len(others):,} images ({some(sorted(others))}) are not held out by one "
            f"fold and one only; {anew}."
        )
    return held_out


def _identity(row: Row) -> tuple[str, ...]:
    return row.path, row.content, row.label, row.patient
