"""Whether a network cheats: changed images are put to it, and what it answers is written down."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from covid.assessment.border_probe import probe_scores
from covid.assessment.changes import (
    ACROSS,
    WITHIN,
    Change,
    draw_partners,
    hidings,
    masked_hidings,
    others,
    swaps,
)
from covid.data.cache import CHUNK_IMAGES
from covid.data.index import Index, targets_of
from covid.data.masks import mask_file, read_lungs
from covid.data.occlusion import Pixels, border
from covid.data.predictor import Predictions, Predictor
from covid.data.samples import digest, rows_of
from covid.data.source import data_name, is_synthetic
from covid.evaluation.operating.calibration import recalibrated
from covid.evaluation.report import write_json
from covid.evaluation.shortcuts.figures import (
    WHOLE,
    Evaluated,
    auroc_figures,
    border_weight,
    followed,
    share_changed,
)
from covid.evaluation.shortcuts.plot import plot_shortcuts
from covid.evaluation.shortcuts.verdict import verdict

SHORTCUTS, PICTURE = "shortcuts.json", "shortcuts.png"
Numbers = npt.NDArray[np.float32]  # [images, …]
PROBED = "border only, grey"


def examine(
    predictor: Predictor, index: Index, predictions: Predictions, folder: Path, *, own: bool
) -> dict[str, Any]:
    """Writes shortcuts.json and shortcuts.png into `folder`; returns what the first holds.

    `predictions` are of the whole images; `own` says that these are the run's own.
    The predictor is one network. Raises DataError for a mask that cannot be read.
    """
    assert predictor.answer is not None  # see `open_trained`
    indices = list(predictions.originals)
    point, space = predictor.operating_point, predictor.space
    evaluated = Evaluated(
        space if point is None else space.with_thresholds(point.thresholds),
        targets_of(space, index)[indices],
        [index.samples[i].patient for i in indices],
    )

    def read(places: list[int]) -> Pixels:
        return predictions.read_images([indices[n] for n in places])

    size = read([0]).shape[-1]
    # The same for all images: a grey of its own would tell of each.
    grey = round(float(predictions.greys[:, 0].mean()))
    everywhere = list(range(len(indices)))
    masked = [n for n in everywhere if mask_file(index, index.samples[indices[n]], "mask")]
    swapped, partners = draw_partners(evaluated.targets, evaluated.patients, space.classes)
    plain = {**hidings(size, grey), **others()}
    of_mask = masked_hidings(
        size, grey, lambda places: read_lungs(index, [indices[n] for n in places], size)
    )
    exchanged = swaps(partners, read)
    probed = {} if predictor.features is None else {PROBED: plain[PROBED]}
    work = (len(plain) + len(probed)) * len(indices)
    work += len(of_mask) * len(masked) + len(exchanged) * len(swapped)
    bar = tqdm(total=work, desc="looking for shortcuts", unit=" images", leave=False, delay=1,
               disable=None)  # fmt: skip

    def likely(logits: Mapping[str, Numbers]) -> dict[str, Numbers]:
        step = predictor.recalibration_to_come
        return {name: recalibrated(space, each, step) for name, each in logits.items()}

    with bar:
        put = partial(_put, read, bar.update)
        answers = likely(put(predictor.answer, plain, everywhere))
        by_mask = likely(put(predictor.answer, of_mask, masked))
        composites = likely(put(predictor.answer, exchanged, swapped))
        features = {}
        if predictor.features is not None:
            features = put(predictor.features, probed, everywhere)
    whole = likely({WHOLE: predictions.logits})[WHOLE]
    report = {
        **predictor.about,
        "title": f"{predictor.name} on {data_name(index)}",
        "data": data_name(index),
        "synthetic": is_synthetic(index),
        "samples_sha256": digest(rows_of(index, predictions.originals)),
        # Without its samples.csv nobody knows which images a network was trained on.
        "own_images": True if own else None if predictor.trained_on is None else False,
        "images": len(indices),
        "patients": len(set(evaluated.patients) - {None}) or None,
        "classes": list(space.classes),
        "evaluated": evaluated.enough(),
        "grey": grey,
        "tests": _tests(evaluated, whole, answers),
        "masks": _tests(evaluated.take(masked), whole[masked], by_mask) if masked else None,
        "swap": _swap(evaluated, whole, swapped, partners, composites) if swapped else None,
        "probe": _probe(evaluated, features[PROBED]) if features else None,
    }
    report["verdict"] = verdict(report)
    write_json(folder / SHORTCUTS, report)
    both = [n for n in masked if n in set(swapped)]
    example = [_richest_border(read, both or masked or swapped or everywhere)]
    changes = {**plain, **(of_mask if masked else {}), **exchanged}
    pictures = {name: change(read(example), example)[0] for name, change in changes.items()}
    plot_shortcuts(folder / PICTURE, report, {WHOLE: read(example)[0], **pictures})
    return report


def _richest_border(read: Callable[[list[int]], Pixels], places: list[int]) -> int:
    """Of the first CHUNK_IMAGES of `places`, the one whose border has the most varied greys.

    In a picture of all changes an even border would look as if it had been hidden already.
    """
    few = places[:CHUNK_IMAGES]
    images = read(few)
    return few[int(images[:, border(images.shape[-1])].astype(np.float64).var(axis=1).argmax())]


def _put(
    read: Callable[[list[int]], Pixels],
    advance: Callable[[int], object],
    function: Callable[[Pixels], Numbers],
    changes: Mapping[str, Change],
    places: Sequence[int],
) -> dict[str, Numbers]:
    """What `function` gives for the images at `places`, in each change: `[places, …]`."""
    parts: dict[str, list[Numbers]] = {name: [] for name in changes}
    for start in range(0, len(places), CHUNK_IMAGES):
        chunk = list(places[start : start + CHUNK_IMAGES])
        images = read(chunk)
        for name, change in changes.items():
            parts[name].append(function(np.ascontiguousarray(change(images, chunk))))
            advance(len(chunk))
    return {name: np.concatenate(each) for name, each in parts.items() if each}


def _tests(evaluated: Evaluated, whole: Numbers, answers: Mapping[str, Numbers]) -> dict[str, Any]:
    """name -> `auroc` by class, and the share of images whose decision is `changed`."""
    figures = auroc_figures(evaluated, {WHOLE: whole, **answers}, WHOLE)
    return {
        name: {
            "auroc": figures[name],
            "changed": share_changed(evaluated, whole, each) if name != WHOLE else None,
        }
        for name, each in {WHOLE: whole, **answers}.items()
    }


def _swap(
    evaluated: Evaluated,
    whole: Numbers,
    places: list[int],
    partners: Mapping[str, Sequence[int]],
    answers: Mapping[str, Numbers],
) -> dict[str, Any]:
    """AUROC of the centre's label in both kinds of border, and whose label a decision follows.

    `answers` are of composites whose centres stand at `places`.
    """
    centres = evaluated.take(places)
    within = answers[WITHIN]
    across = within.copy()
    shares: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for column, name in enumerate(evaluated.space.classes):
        there = answers.get(f"{ACROSS}{name}")
        if there is None:
            continue
        across[:, column] = there[:, column]
        # Decided with all classes of these composites, since one may imply another.
        shares[name] = followed(centres, within, there)[name]
        lent = [[partners[kind][n] for n in places] for kind in (WITHIN, f"{ACROSS}{name}")]
        weights[name] = border_weight(
            centres,
            np.stack([within[:, column], there[:, column]]),
            np.stack([whole[places, column]] * 2),
            np.stack([whole[each, column] for each in lent]),
        )
    figures = auroc_figures(centres, {WITHIN: within, ACROSS.strip(): across}, WITHIN)
    return {"images": len(places), "auroc": figures, "followed": shares, "border_weight": weights}


def _probe(evaluated: Evaluated, features: Numbers) -> dict[str, Any] | None:
    """AUROC of the probe for each class with enough patients; None where there is none."""
    chosen = np.flatnonzero(evaluated.enough())
    scores = np.full(evaluated.targets.shape, 0.5)
    for column in chosen:
        scores[:, column] = probe_scores(features, evaluated.targets[:, column], evaluated.patients)
    figures = auroc_figures(evaluated, {"probe": scores})["probe"]
    names = [evaluated.space.classes[column] for column in chosen]
    return {name: figures[name] for name in names} or None
