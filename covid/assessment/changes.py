"""The changed copies of an evaluation's images that a test of shortcuts puts to a network."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from covid.data import occlusion
from covid.data.occlusion import Pixels
from covid.evaluation.answers import Targets
from covid.evaluation.clusters import number_patients

# Images uint8 [n, size, size] and their places among all images, to changed ones of that shape.
Change = Callable[[Pixels, list[int]], Pixels]
WITHIN, ACROSS = "within", "across "  # the second is followed by the class
SEED = 0


def hidings(size: int, grey: int) -> dict[str, Change]:
    """Lungs hidden, only lungs, border only, each filled with `grey` and with black."""
    inside, frame = occlusion.ellipse(size), occlusion.border(size)
    hidden = {"lungs hidden": inside, "only lungs": ~inside, "border only": ~frame}
    return {
        f"{name}, {fill}": _of_images(partial(occlusion.filled, region=region, level=level))
        for name, region in hidden.items()
        for fill, level in (("grey", grey), ("black", 0))
    }


def masked_hidings(
    size: int, grey: int, masks: Callable[[list[int]], npt.NDArray[np.bool_]]
) -> dict[str, Change]:
    """Lungs hidden and only lungs, by `masks` of some places, bool `[n, size, size]`."""

    def change(images: Pixels, places: list[int], *, hide: bool, level: int) -> Pixels:
        lungs = masks(places)
        return occlusion.filled(images, lungs if hide else ~lungs, level)

    return {
        f"{name} by mask, {fill}": partial(change, hide=hide, level=level)
        for name, hide in (("lungs hidden", True), ("only lungs", False))
        for fill, level in (("grey", grey), ("black", 0))
    }


def others() -> dict[str, Change]:
    """Patches shuffled, a thumbnail, one marker on all, other greys."""

    def shuffled(images: Pixels, places: list[int]) -> Pixels:
        return occlusion.shuffled(images, np.random.default_rng([SEED, *places[:1]]))

    return {
        "patches shuffled": shuffled,
        "thumbnail": _of_images(occlusion.thumbnail),
        "same marker": _of_images(occlusion.marked),
        "equalised": _of_images(occlusion.equalised),
        "inverted": _of_images(occlusion.inverted),
        "gamma 0.5": _of_images(partial(occlusion.gamma, power=0.5)),
        "gamma 2": _of_images(partial(occlusion.gamma, power=2.0)),
    }


def swaps(
    partners: Mapping[str, Sequence[int]], read: Callable[[list[int]], Pixels]
) -> dict[str, Change]:
    """The centre of each image in the border of its partner; `read` gives images by place."""

    def change(images: Pixels, places: list[int], *, of: Sequence[int]) -> Pixels:
        return occlusion.swapped(images, read([of[n] for n in places]))

    return {name: partial(change, of=of) for name, of in partners.items()}


def draw_partners(
    targets: Targets, patients: Sequence[str | None], classes: Sequence[str]
) -> tuple[list[int], dict[str, list[int]]]:
    """Which images can be swapped, and for all images whose border each is given.

    `within` is an image with the same labels, `across CLASS` one with the other label of the class,
    for each class that has both; always another patient's, drawn by chance. An image that lacks one
    of these is not among the first, and its partner is itself.
    """
    random = np.random.default_rng(SEED)
    cluster = number_patients(patients)
    filled = np.nan_to_num(targets.astype(np.float64), nan=-1.0)
    both = [column for column in range(len(classes))
            if {0.0, 1.0} <= set(filled[:, column].tolist())]  # fmt: skip
    kinds = [WITHIN, *(f"{ACROSS}{classes[column]}" for column in both)]
    partners = {kind: list(range(len(targets))) for kind in kinds}
    places = []
    for place in range(len(targets)):
        elsewhere = cluster != cluster[place]
        candidates = [elsewhere & (filled == filled[place]).all(axis=1)]
        for column in both:
            own = filled[place, column]
            # Where its own label is not known, any will do: it counts in no figure of the class.
            candidates.append(elsewhere & ((filled[:, column] == 1 - own) | (own < 0)))
        drawn = [np.flatnonzero(each) for each in candidates]
        if all(len(each) for each in drawn):
            places.append(place)
            for kind, each in zip(kinds, drawn, strict=True):
                partners[kind][place] = int(random.choice(each))
    return places, partners


def _of_images(change: Callable[[Pixels], Pixels]) -> Change:
    """A change that is the same wherever an image stands."""
    return lambda images, places: change(images)
