"""Synthetic chest radiographs with labels, so that a machine without any data can try the tool.

A picture starts as a map of how much the rays were attenuated (`phantom_chest.py`); a film's curve,
its noise and markers follow.
"""

import csv
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from covid.data.phantom_chest import attenuation, regions
from covid.data.phantom_shapes import (
    SIDES,
    Field,
    Patient,
    Shot,
    enlarge,
    stream,
)
from covid.errors import DataError, StorageError

SYNTHETIC = "SYNTHETIC phantom radiographs"
CLASSES = ("covid", "normal", "pneumonia", "infected")
RARE, RARE_SHARE = "covid", 0.1  # what is rare in the study, and its share of the images
HELD_OUT = 0.15  # share of a class's images in validation, and in test
COLUMNS = ("path", "label", "split", "patient", "view", "sex", "age", "source", "mask", "lesion")
MASKS, LESIONS = "masks", "lesions"  # folders of pictures that are white where there is one
FINEST = 512  # px; anatomy has no finer detail, a larger picture enlarges it and adds fine noise


def _film(attenuated: Field, shot: Shot) -> npt.NDArray[np.uint8]:
    """Fewer quanta behind denser tissue, so more noise there; then a film's S-shaped curve."""
    random = stream("film", *shot.seeds)
    noise = random.standard_normal(attenuated.shape, dtype=np.float32)
    noisy = attenuated + np.float32(shot.noise) * noise * np.exp(np.float32(0.8) * attenuated)
    exposed = np.float32(shot.gain) * np.maximum(noisy, np.float32(0.004))
    # The display's black and white.
    low, high = random.uniform([2, 225], [16, 255]).astype(np.float32)
    film = high - (high - low) * np.exp(-(exposed ** np.float32(shot.gamma)))
    pixels: npt.NDArray[np.uint8] = film.astype(np.uint8)
    return pixels


def _words(words: str, height: int) -> Image.Image:
    """Words in Pillow's own bitmap font, which is the same everywhere, scaled to a height."""
    font = ImageFont.load_default_imagefont()
    left, top, right, bottom = (round(edge) for edge in font.getbbox(words))
    image = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), words, fill=255, font=font)
    width = max(1, round(image.width * height / image.height))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _annotate(image: Image.Image, shot: Shot) -> None:
    """Collimation, a side marker, and on every picture the word that says what it is."""
    random, size = stream("marks", *shot.seeds), image.width
    if random.random() < 0.35:  # a collimator's blades leave a black frame
        inward = random.uniform(0.0, 0.05, (4, 2)) * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        corners = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + inward) * size
        blades = Image.new("L", image.size, 255)
        ImageDraw.Draw(blades).polygon(corners.ravel().tolist(), fill=0)
        image.paste(round(random.uniform(0, 12)), mask=blades)
    side, seen = random.choice(SIDES), random.random() < 0.6
    if seen:  # the patient's left is on the right
        letter = _words("L" if side > 0 else "R", max(5, round(0.06 * size)))
        x, y = np.round(random.uniform([0.05, 0.04], [0.1, 0.12]) * size).astype(int).tolist()
        image.paste(240, (size - x - letter.width if side > 0 else x, y), mask=letter)
    word, margin = _words("SYNTHETIC", max(4, round(0.034 * size))), max(2, round(0.012 * size))
    left = margin if random.random() < 0.5 else size - margin - word.width
    top = size - margin - word.height
    plate = (left - 1, top - 1, left + word.width, top + word.height)
    ImageDraw.Draw(image).rectangle(plate, fill=14)  # so that it can be read on any tissue
    image.paste(125, (left, top), mask=word)


def _check(keys: Sequence[str]) -> None:
    for key in keys:
        if key not in CLASSES:
            raise DataError(
                f"{key}: no such radiographs can be rendered, only {', '.join(CLASSES)}; for other "
                "classes data.root must name a folder with your own images."
            )


def render_image(
    key: str, patient_seed: int, image_seed: int, size: int = 256
) -> npt.NDArray[np.uint8]:
    """One radiograph of a patient with `key`, one of `CLASSES`: uint8 `[size, size]`.

    `patient_seed` fixes the anatomy and where a disease sits, `image_seed` the pose, the exposure
    and the noise; both are 0 or more. The same arguments give the same picture.
    """
    _check([key])
    patient = Patient(patient_seed)
    shot = Shot(patient, image_seed)
    attenuated = enlarge(attenuation(key, patient, shot, min(size, FINEST)), size)
    film = Image.fromarray(_film(attenuated, shot))
    film = film.filter(ImageFilter.BoxBlur(shot.blur * size))
    _annotate(film, shot)
    return np.asarray(film, dtype=np.uint8)


def render_masks(
    key: str, patient_seed: int, image_seed: int, size: int = 256
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Where `render_image` of the same arguments shows lung, and where disease: `[size, size]`."""
    _check([key])
    patient = Patient(patient_seed)
    lungs, lesion = regions(key, patient, Shot(patient, image_seed), min(size, FINEST))
    lungs, lesion = (
        np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.NEAREST))
        for part in (lungs, lesion)
    )
    return lungs, lesion


@dataclass(frozen=True)
class Picture:
    """One image of a set, before it is rendered."""

    key: str
    split: str
    number: int  # of the patient
    image: int  # of the patient's images

    @property
    def name(self) -> str:
        return f"{self.split}/{self.key}/phantom-{self.number:06d}-{self.image}.png"


def _plan(keys: Sequence[str], images: int, random: np.random.Generator) -> list[Picture]:
    """Who has which images, and where they go; patient numbers say nothing of class or split."""
    rare = round(RARE_SHARE * images) if RARE in keys and len(keys) > 1 else 0
    others = [key for key in keys if not (rare and key == RARE)]
    counts = {key: (images - rare + k) // len(others) for k, key in enumerate(others)}
    patients: list[tuple[str, str, int]] = []
    for key in keys:
        count = max(3, counts.get(key, rare))  # at least one per split
        held_out = max(1, round(HELD_OUT * count))
        shares = {"train": count - 2 * held_out, "validation": held_out, "test": held_out}
        for split, left in shares.items():
            while left > 0:
                patients.append((key, split, min(left, int(random.integers(1, 5)))))
                left -= patients[-1][2]
    numbers = random.permutation(len(patients)).tolist()
    return [
        Picture(key, split, number, image)
        for number, (key, split, count) in zip(numbers, patients, strict=True)
        for image in range(count)
    ]


def _render(picture: Picture, folder: Path, size: int, seed: int) -> dict[str, str]:
    """Writes one image and its masks; returns its row of the manifest."""
    patient = Patient(100_000 * seed + picture.number)  # other seeds give other patients
    pixels = render_image(picture.key, patient.seed, picture.image, size)
    Image.fromarray(pixels).save(folder / picture.name, compress_level=1)
    masks = dict.fromkeys((MASKS, LESIONS), "")
    drawn = render_masks(picture.key, patient.seed, picture.image, size)
    for place, mask in zip(masks, drawn, strict=True):
        if mask.any():  # who is healthy has no lesion
            masks[place] = f"{place}/{picture.name}"
            Image.fromarray(mask).save(folder / masks[place], compress_level=1)
    view = Shot(patient, picture.image).view
    values = (picture.name, picture.key, picture.split, f"phantom-{picture.number:06d}", view,
              patient.sex, str(patient.age), SYNTHETIC.split()[0], *masks.values())  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _write_set(
    folder: Path, plan: Sequence[Picture], size: int, seed: int,
    progress: Callable[[int, int], None] | None,
) -> None:  # fmt: skip
    for parent in {(folder / picture.name).parent for picture in plan}:
        parent.mkdir(parents=True, exist_ok=True)
        for masks in (MASKS, LESIONS):
            (folder / masks / parent.relative_to(folder)).mkdir(parents=True, exist_ok=True)
    rows = []
    # Threads, since Pillow and numpy let go of the interpreter while they calculate.
    pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))
    try:
        for row in pool.map(lambda picture: _render(picture, folder, size, seed), plan):
            rows.append(row)
            if progress:
                progress(len(rows), len(plan))
    finally:
        pool.shutdown(cancel_futures=True)  # interrupted: do not render the rest first
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["path"]))


def render_set(
    folder: Path,
    keys: Sequence[str],
    *,
    images: int = 600,
    size: int = 256,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes `folder/{train,validation,test}/KEY/*.png` and `folder/manifest.csv`.

    Beside them `folder/masks/`, where lung is seen, and `folder/lesions/`, under the same names.

    A set that is there is left alone. It appears complete or not at all, and of two processes
    that render it at once both succeed. Each patient has 1 to 4 images, in one split; a tenth of
    the images is covid where there is another key, the others share the rest equally. There are
    `images` of them, more only where a key would have fewer than one per split.
    Raises DataError for a key that is not one of `CLASSES`, StorageError for a full disk.
    """
    _check(keys)
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return folder
    plan = _plan(list(dict.fromkeys(keys)), images, stream("plan", seed))
    partial = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")  # beside it: one file system
    try:
        _write_set(partial, plan, size, seed, progress)
        if not manifest.is_file():
            os.replace(partial, folder)
    except OSError as error:
        if not manifest.is_file():  # else another process was faster between the last two lines
            raise StorageError(f"{folder}: cannot be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder
