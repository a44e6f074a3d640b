"""Which images two prediction files have in common, once it is known that they are the same."""

from dataclasses import dataclass

import numpy as np

from covid.errors import DataError
from covid.evaluation.prediction_file import PredictionFile


@dataclass(frozen=True)
class Pair:
    """Two files with the same images in the order of their names, labelled alike."""

    first: PredictionFile
    second: PredictionFile
    patients: tuple[str | None, ...]  # [images], from whichever file knows
    left_out: tuple[int, int]  # images that the first or the second alone has


def paired(first: PredictionFile, second: PredictionFile, names: tuple[str, str]) -> Pair:
    """Both with the images that both have; `names` are what a sentence calls the files.

    Raises DataError where there is none, where classes, labels or patients are not the same, or
    where nothing is known of any image.
    """
    if first.classes != second.classes:
        raise DataError(
            f"{names[1]}: its classes are {', '.join(second.classes)}, and those of {names[0]} "
            f"{', '.join(first.classes)}; compare networks of the same classes."
        )
    places = [{name: n for n, name in enumerate(file.names)} for file in (first, second)]
    common = sorted(places[0].keys() & places[1].keys())
    if not common:
        raise DataError(
            f"{names[1]}: no image of it is in {names[0]} too (the first are {second.names[0]} and "
            f"{first.names[0]}); compare evaluations of the same images."
        )
    left_out = (len(first.names) - len(common), len(second.names) - len(common))
    first, second = (file.take([place[name] for name in common])
                     for file, place in zip((first, second), places, strict=True))  # fmt: skip
    for n, name in enumerate(common):
        if first.cells[n] != second.cells[n]:
            raise DataError(
                f"{names[1]}: {name} is labelled {second.cells[n]} there and {first.cells[n]} in "
                f"{names[0]}; compare evaluations by the same labels."
            )
    agree = (first.targets == second.targets) | (np.isnan(first.targets + second.targets)
             & (np.isnan(first.targets) == np.isnan(second.targets)))  # fmt: skip
    if not agree.all():
        image, column = np.argwhere(~agree)[0].tolist()
        raise DataError(
            f"{names[1]}: the target {first.classes[column]} of {common[image]} is another than in "
            f"{names[0]}; compare networks to which the labels mean the same."
        )
    if not first.answers.known.any():
        raise DataError(f"{names[0]}: of no image that {names[1]} has too is any label known; "
                        f"there is nothing to compare by.")  # fmt: skip
    return Pair(first, second, _patients(first, second, names), left_out)


def _patients(
    first: PredictionFile, second: PredictionFile, names: tuple[str, str]
) -> tuple[str | None, ...]:
    """Of each image, from whichever file knows."""
    for name, own, other in zip(first.names, first.patients, second.patients, strict=True):
        if own is not None and other is not None and own != other:
            raise DataError(
                f"{names[1]}: {name} is of patient {other} there and of {own} in {names[0]}; "
                f"compare evaluations of the same data."
            )
    pairs = zip(first.patients, second.patients, strict=True)
    return tuple(own or other for own, other in pairs)
