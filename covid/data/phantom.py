"""Synthetic chest radiographs with labels, so that a machine without any data can try the tool.

A picture starts as a map of how much the X-rays were weakened: shapes in body coordinates (x
from the midline towards the patient's left, which is the picture's right; y from the top of the
picture; 1 is its width) are placed by a pose and add to tissue or take air away. A film's curve,
noise and markers follow. Disease takes air out of the lungs and touches nothing else.
"""

import csv
import math
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from covid.errors import DataError, StorageError

SYNTHETIC = "SYNTHETIC phantom radiographs"
CLASSES = ("covid", "normal", "pneumonia", "infected")
RARE, RARE_SHARE = "covid", 0.1  # what is rare in the study, and its share of the images
HELD_OUT = 0.15  # of a class's images, for validation and once more for test
COLUMNS = ("path", "label", "split", "patient", "view", "sex", "age", "source")
FINEST = 512  # px; anatomy has no finer detail, larger pictures enlarge it under their own noise
SIDES = (-1, 1)  # the patient's right lung, then the left

# Half the width of the rib cage (second row) at heights (first row): apex to base.
CAGE = np.array(
    [[0.07, 0.10, 0.15, 0.22, 0.32, 0.45, 0.60, 0.78, 1.00],
     [0.10, 0.17, 0.235, 0.285, 0.325, 0.36, 0.38, 0.39, 0.385]]
)  # fmt: skip

Field = npt.NDArray[np.float32]  # [grid, grid]
Points = npt.NDArray[np.float64]  # [points, 2]: x, y


@dataclass(frozen=True)
class Patient:
    """What all images of one patient share."""

    seed: int
    sex: str
    age: int
    width: float  # of the rib cage, 1 is the average
    habitus: float  # 0 slim to 1 heavy
    heart: float  # its width, 1 is the average
    domes: tuple[float, float]  # heights of the right and left hemidiaphragm
    slope: float  # how far a posterior rib falls from the spine to the side
    spacing: float  # between ribs


@dataclass(frozen=True)
class Shot:
    """How one image was taken: never a matter of its class."""

    view: str
    depth: float  # of the breath, 1 is full
    rotation: float  # radians
    scale: float
    shift: tuple[float, float]
    gain: float  # exposure
    gamma: float  # contrast
    noise: float
    blur: float


def _generator(part: str, *seeds: int) -> np.random.Generator:
    """One stream a part, so that what one part draws never moves another."""
    return np.random.default_rng([zlib.crc32(part.encode()), *seeds])


def _patient(seed: int) -> Patient:
    random = _generator("patient", seed)
    right = random.uniform(0.66, 0.73)
    return Patient(
        seed=seed,
        sex=str(random.choice(["F", "M"])),
        age=int(random.integers(18, 90)),
        width=random.uniform(0.9, 1.06),
        habitus=random.uniform(0, 1),
        heart=random.uniform(0.85, 1.2),
        domes=(right, right + random.uniform(0.012, 0.04)),
        slope=random.uniform(0.09, 0.17),
        spacing=random.uniform(0.064, 0.074),
    )


def _shot(patient: Patient, image_seed: int) -> Shot:
    random = _generator("shot", patient.seed, image_seed)
    supine = random.random() < 0.4
    return Shot(
        view="AP" if supine else "PA",
        depth=random.uniform(0.82, 0.97) if supine else random.uniform(0.9, 1.04),
        rotation=random.normal(0, 0.035),
        scale=random.uniform(0.84, 1.12),
        shift=(random.normal(0, 0.03), random.normal(0, 0.03)),
        gain=random.uniform(1.15, 2.0),
        gamma=random.uniform(1.0, 1.6),
        noise=random.uniform(0.006, 0.022),
        blur=random.uniform(0.0, 0.0035),
    )


class Pose:
    """Where the body lies on the picture."""

    def __init__(self, shot: Shot, grid: int):
        self.grid = grid
        cosine, sine = math.cos(shot.rotation), math.sin(shot.rotation)
        self.turn = shot.scale * np.array([[cosine, -sine], [sine, cosine]])
        self.shift = np.array(shot.shift) + 0.5

    def place(self, points: Points) -> Points:
        """Body coordinates to shares of the picture."""
        placed: Points = (points - [0, 0.5]) @ self.turn.T + self.shift
        return placed

    def coordinates(self) -> tuple[Field, Field]:
        """x and y of the body under each pixel."""
        pixels = (np.arange(self.grid) + 0.5) / self.grid
        back = np.linalg.inv(self.turn)
        across, down = pixels[None, :] - self.shift[0], pixels[:, None] - self.shift[1]
        x = back[0, 0] * across + back[0, 1] * down
        y = back[1, 0] * across + back[1, 1] * down + 0.5
        return x.astype(np.float32), y.astype(np.float32)


class Layer:
    """Shapes of one kind, drawn at twice the grid and reduced, which smooths their edges."""

    def __init__(self, pose: Pose):
        self.pose = pose
        self.side = 2 * pose.grid
        self.image = Image.new("L", (self.side, self.side))
        self.draw = ImageDraw.Draw(self.image)

    def area(self, points: Points, value: float = 1.0) -> None:
        pixels = self.pose.place(points) * self.side
        self.draw.polygon(pixels.ravel().tolist(), fill=round(255 * value))

    def band(self, points: Points, width: float | Points, value: float = 1.0) -> None:
        """A strip along `points`, whose width may change along it."""
        along = np.gradient(points, axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        across *= np.reshape(width, (-1, 1)) / 2 / np.linalg.norm(across, axis=1, keepdims=True)
        self.area(np.concatenate([points + across, (points - across)[::-1]]), value)

    def line(self, points: Points, width: float, value: float = 1.0) -> None:
        """A line; where it would be thinner than a pixel, a fainter one."""
        pixels = width * self.side * self.pose.turn[0, 0]
        ink = round(255 * value * min(1.0, pixels))
        flat = (self.pose.place(points) * self.side).ravel().tolist()
        self.draw.line(flat, fill=ink, width=max(1, round(pixels)), joint="curve")

    def field(self, blur: float = 0.0) -> Field:
        """What was drawn, 0 to 1, blurred by `blur` (of the picture's width)."""
        grid = self.pose.grid
        # A wide blur is the same on a smaller picture, and much cheaper.
        small = min(grid, max(24, round(3 / blur))) if blur else grid
        image = self.image.reduce(2)
        if small < grid:
            image = image.resize((small, small), Image.Resampling.BOX)
        if blur:
            image = image.filter(ImageFilter.GaussianBlur(blur * small))
        return _enlarge(np.asarray(image, dtype=np.float32) / np.float32(255), grid)


def _enlarge(field: Field, size: int) -> Field:
    if field.shape == (size, size):
        return field
    enlarged = Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(enlarged, dtype=np.float32)


def _texture(random: np.random.Generator, cells: int, grid: int) -> Field:
    """Smooth random hills, `cells` across the picture, mean 0 and deviation about 0.8."""
    return _enlarge(random.standard_normal((cells, cells), dtype=np.float32), grid)


def _curve(points: Sequence[tuple[float, float]], closed: bool = False, steps: int = 8) -> Points:
    """A smooth curve through `points` (Catmull and Rom's cubic)."""
    given = np.array(points, dtype=np.float64)
    ends = (given[-1:], given[:2]) if closed else (given[:1], given[-1:])
    padded = np.concatenate([ends[0], given, ends[1]])
    before, start, stop, after = (
        padded[k : len(padded) - 3 + k, None, :] for k in range(4)
    )
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    parts = start + t / 2 * (
        stop - before
        + t * (2 * before - 5 * start + 4 * stop - after
               + t * (3 * (start - stop) + after - before))
    )  # fmt: skip
    curve: Points = parts.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, given[-1:]])


def _ellipse(x: float, y: float, wide: float, high: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack([x + wide * np.cos(angle), y + high * np.sin(angle)], axis=1)


def _cage(patient: Patient, y: npt.ArrayLike) -> Points:
    """Half the width of the rib cage at heights `y`."""
    return np.interp(np.asarray(y), *CAGE) * patient.width


def _rise(values: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    risen: Field = t * t * (3 - 2 * t)
    return risen


def _dome(patient: Patient, shot: Shot, side: int) -> float:
    """The height at which the hemidiaphragm's dome stands in this breath."""
    full = patient.domes[0 if side < 0 else 1]
    return 0.08 + (full - 0.08) * shot.depth


# ---------------------------------------------------------------- anatomy


def _lung_outline(patient: Patient, shot: Shot, side: int) -> Points:
    dome = _dome(patient, shot, side)
    heights = np.linspace(0.12, dome, 7)
    lateral = list(zip(_cage(patient, heights) - 0.008, heights, strict=True))
    angle = (float(_cage(patient, dome + 0.08)) - 0.01, dome + 0.085)  # costophrenic
    floor = [(0.30, dome + 0.022), (0.20, dome), (0.12, dome + 0.01), (0.05, dome + 0.045)]
    medial = [(0.045, 0.5), (0.05, 0.3), (0.055, 0.17)]
    apex = [(0.09, 0.095), (0.135, 0.08)]
    points = [*lateral, angle, *((x * patient.width, y) for x, y in floor), *medial, *apex]
    return _curve([(side * x, y) for x, y in points], closed=True, steps=6)


def _heart_outline(patient: Patient, shot: Shot) -> Points:
    floor = max(_dome(patient, shot, -1), _dome(patient, shot, 1)) + 0.035
    wide = patient.heart * (1.13 if shot.view == "AP" else 0.98)  # nearer the tube: larger
    top = floor - 0.33
    points = [(-0.05, top), (-0.075, top + 0.13), (-0.10 * wide, top + 0.22), (-0.06, floor + 0.02),
              (0.08, floor + 0.04), (0.2 * wide, floor - 0.01), (0.205 * wide, floor - 0.07),
              (0.155 * wide, floor - 0.16), (0.095, floor - 0.25), (0.06, top)]  # fmt: skip
    return _curve(points, closed=True)


def _ribs(patient: Patient, side: int) -> Iterator[tuple[Points, Points]]:
    """The posterior and the anterior part of each rib on one side, from the spine outward."""
    t = np.linspace(0, 1, 22)
    for number in range(11):
        start = 0.065 + number * patient.spacing
        fall = patient.slope * (0.45 + 0.08 * number)
        y = start - 0.03 * np.sin(np.pi * t**0.8) * (1 - t) + fall * t**1.9
        x = 0.035 + (_cage(patient, y) - 0.035) * np.sin(np.pi / 2 * t) ** 0.9
        behind = np.stack([side * x, y], axis=1)
        low = y[-1] + (0.05 + 0.11 * min(1.0, number / 5)) * t
        inward = _cage(patient, low) * (1 - 0.62 * t**1.7)
        yield behind, np.stack([side * inward, low], axis=1)


def _tree(
    random: np.random.Generator, root: tuple[float, float], angles: Points, reach: float, levels: int
) -> Iterator[tuple[int, Points]]:
    """Branches that fork on their way out: (level, points) of each, drawn a level at a time."""
    starts = np.tile(np.array(root), (len(angles), 1))
    for level in range(levels):
        bends = np.cumsum(random.normal(0, 0.13, (len(angles), 5)), axis=1) + angles[:, None]
        steps = reach * random.uniform(0.7, 1.2, (len(angles), 1)) / 5
        moves = np.stack([np.cos(bends) * steps, np.sin(bends) * steps], axis=2)
        branches = np.concatenate([starts[:, None], starts[:, None] + moves.cumsum(axis=1)], axis=1)
        yield from ((level, branch) for branch in branches)
        fork = random.uniform(0.2, 0.6, (2, len(angles))) * [[-1], [1]]
        angles = (bends[:, -1] + fork).ravel()
        starts = np.tile(branches[:, -1], (2, 1))
        reach *= 0.78


def _hilum(side: int) -> tuple[float, float]:
    return side * 0.085, 0.42 if side < 0 else 0.40  # the left one stands higher


def _vessels(patient: Patient, pose: Pose) -> Field:
    layer = Layer(pose)
    random = _generator("vessels", patient.seed)
    branches: list[tuple[int, Points]] = []
    for side in SIDES:
        spread = np.linspace(-1.35, 1.4, 9) + random.normal(0, 0.1, 9)
        angles = spread if side > 0 else np.pi - spread
        branches += _tree(random, _hilum(side), angles, 0.1, 5)
    for level, points in sorted(branches, key=lambda branch: -branch[0]):  # thick ones on top
        layer.line(points, 0.0125 * 0.66**level, 0.95 * 0.78**level)
    for side in SIDES:
        layer.area(_ellipse(*_hilum(side), 0.026, 0.04), 0.75)
    return layer.field(0.0025)


def _body(patient: Patient, pose: Pose, x: Field, y: Field) -> Field:
    """Soft tissue without the lungs: a torso, thicker at its middle and below, and arms."""
    layer = Layer(pose)
    flank = 0.435 * patient.width + 0.05 * patient.habitus
    random = _generator("arms", patient.seed)
    lift = random.uniform(0.02, 0.12)  # how far the arms stand off
    half = [(0.085, -0.3), (0.088, -0.02), (0.14, 0.025), (0.28, 0.06), (0.40, 0.09), (0.475, 0.15),
            (flank + 0.01, 0.36), (flank, 0.55), (flank, 0.8), (flank + 0.01, 1.3)]  # fmt: skip
    right = _curve([(-a, b) for a, b in half])
    layer.area(np.concatenate([right, (right * [-1, 1])[::-1]]))
    for side in SIDES:
        arm = [(0.42, 0.17), (0.50 + lift, 0.42), (0.55 + 1.6 * lift, 0.8), (0.56 + 2 * lift, 1.3)]
        layer.band(_curve([(side * a, b) for a, b in arm]), 0.15 + 0.03 * patient.habitus, 0.85)
    inner = layer.field(0.05)
    heavy = 0.08 + 0.12 * patient.habitus
    abdomen = _rise(y, 0.6, 0.95)
    return layer.field(0.003) * (0.38 + heavy + 0.34 * inner + 0.24 * abdomen - 0.25 * x * x)


def _bones(patient: Patient, pose: Pose, x: Field) -> Field:
    """Ribs, clavicles, shoulders and spine: what they add."""
    behind, before, large = Layer(pose), Layer(pose), Layer(pose)
    random = _generator("bones", patient.seed)
    for side in SIDES:
        for back, front in _ribs(patient, side):
            behind.band(back, 0.026, 0.62)
            behind.line(back + [0, 0.0115], 0.004, 1.0)  # the thick lower edge
            behind.line(back - [0, 0.0115], 0.003, 0.8)
            before.band(front, 0.028, 0.8)
            before.line(front + [0, 0.012], 0.003, 1.0)
        tip = random.uniform(0.06, 0.12)
        blade = [(0.40, 0.155), (0.315, 0.19), (0.31, 0.30), (0.36, 0.47), (0.385, 0.44), (0.43, 0.22)]
        large.area(_curve([(side * a, b) for a, b in blade], closed=True), 0.33)
        large.line(_curve([(side * a, b) for a, b in blade[1:4]]), 0.006, 0.55)
        collar = _curve([(side * a, b) for a, b in
                         [(0.025, 0.185), (0.11, 0.15), (0.22, tip + 0.035), (0.38, tip)]])  # fmt: skip
        large.band(collar, 0.026 + 0.008 * np.linspace(-1, 1, len(collar)) ** 2, 0.75)
        large.line(collar + [0, 0.012], 0.004, 1.0)
        large.area(_ellipse(side * 0.445, 0.17, 0.045, 0.05), 0.8)
        large.band(_curve([(side * 0.455, 0.19), (side * 0.52, 0.45), (side * 0.6, 0.9)]), 0.045, 0.7)
    spine = Layer(pose)
    for number in range(22):
        y = -0.08 + number * 0.056
        spine.area(_ellipse(0, y, 0.040 + 0.0004 * number, 0.0235), 0.75)
        spine.area(_ellipse(0, y + 0.012, 0.008, 0.015), 1.0)
        for side in SIDES:
            spine.area(_ellipse(side * 0.026, y - 0.004, 0.008, 0.009), 1.0)
    fading = _rise(np.abs(x), 0.07, 0.36)  # towards the breastbone ribs become cartilage
    return (
        0.085 * behind.field(0.0022) + 0.05 * before.field(0.003) * fading
        + 0.12 * large.field(0.0025) + 0.13 * spine.field(0.004)
    )  # fmt: skip


def _mediastinum(patient: Patient, shot: Shot, pose: Pose) -> tuple[Field, Field]:
    """Where heart and great vessels fill the middle (0 to 1), and where airways lighten it."""
    filled, airways = Layer(pose), Layer(pose)
    random = _generator("mediastinum", patient.seed)
    knob = random.uniform(0.026, 0.042) + 0.0002 * (patient.age - 50)
    filled.area(_curve([(-0.065, -0.1), (-0.06, 0.1), (-0.068, 0.25), (-0.07, 0.42), (-0.06, 1.1),
                        (0.06, 1.1), (0.085, 0.45), (0.07, 0.36), (0.066, 0.1), (0.07, -0.1)],
                       closed=True), 0.88)  # fmt: skip
    filled.area(_ellipse(0.058, 0.27, knob, knob), 0.93)
    filled.area(_heart_outline(patient, shot), 0.94)
    sway = random.normal(0.004, 0.006)
    carina = (sway, 0.325)
    airways.band(_curve([(0, -0.1), (sway, 0.1), carina]), 0.032, 1.0)
    airways.band(_curve([carina, (-0.045, 0.385), (-0.085, 0.42)]), 0.022, 0.8)
    airways.band(_curve([carina, (0.045, 0.375), (0.09, 0.40)]), 0.018, 0.8)
    return filled.field(0.005), airways.field(0.006)


def _abdomen_gas(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """The stomach's bubble under the left dome, flat below, and a little bowel."""
    layer = Layer(pose)
    random = _generator("gas", patient.seed)
    top = _dome(patient, shot, 1) + 0.03
    x, wide, high = random.uniform(0.13, 0.22), random.uniform(0.04, 0.085), random.uniform(0.03, 0.07)
    bubble = _ellipse(x, top + high, wide, high)
    level = top + high * random.uniform(1.2, 2.0)
    layer.area(np.minimum(bubble, [1.0, level]), random.uniform(0.4, 1.0))
    for _ in range(random.integers(0, 5)):
        spot = random.uniform(-0.3, 0.3), random.uniform(0.9, 1.05)
        layer.area(_ellipse(*spot, random.uniform(0.02, 0.05), random.uniform(0.015, 0.03)), 0.5)
    return layer.field(0.006)


def _distractors(patient: Patient, shot: Shot, image_seed: int, pose: Pose) -> Field:
    """What brightens lungs without being disease, in every class alike."""
    soft, sharp = Layer(pose), Layer(pose)
    random = _generator("distractors", patient.seed)
    if patient.sex == "F":
        low, wide = random.uniform(0.66, 0.82), random.uniform(0.12, 0.17)
        value = random.uniform(0.3, 1.0)
        for side in SIDES:
            shift = random.normal(0, 0.012)
            soft.area(_ellipse(side * 0.235 + shift, low - 0.13, wide, 0.14), value)
    if random.random() < 0.12:  # a benign nodule
        spot = random.choice(SIDES) * random.uniform(0.13, 0.28), random.uniform(0.2, 0.6)
        sharp.area(_ellipse(*spot, *([random.uniform(0.008, 0.014)] * 2)), 0.9)
    here = _generator("distractors", patient.seed, image_seed)
    if here.random() < 0.2:  # a thin line of collapsed lung
        side, y = here.choice(SIDES), here.uniform(0.5, 0.64)
        sharp.line(_curve([(side * 0.12, y + 0.02), (side * 0.2, y), (side * 0.28, y + 0.03)]), 0.005)
    veil = 0.05 * _texture(here, 4, pose.grid)  # folds, clothing, an uneven grid
    return veil + 0.13 * soft.field(0.012) + 0.12 * sharp.field(0.003)


def _devices(patient: Patient, image_seed: int, pose: Pose) -> Field:
    """Electrodes with their leads, a central line, a tube: on some, sick or not."""
    layer = Layer(pose)
    random = _generator("devices", patient.seed, image_seed)
    if random.random() < 0.35:
        for _ in range(random.integers(2, 5)):
            x, y = random.choice(SIDES) * random.uniform(0.12, 0.36), random.uniform(0.15, 0.75)
            ends = [(x, y), (x + random.normal(0, 0.08), y + 0.12),
                    (x + random.normal(0, 0.15), y + 0.3), (random.normal(0, 0.3), 1.15)]
            layer.line(_curve(ends), 0.004, 0.5)
            layer.area(_ellipse(x, y, 0.016, 0.016), 0.5)
            layer.area(_ellipse(x, y, 0.008, 0.008), 1.0)
    if random.random() < 0.15:
        layer.line(_curve([(-0.2, 0.05), (-0.1, 0.16), (-0.05, 0.22), (-0.055, 0.42)]), 0.005, 0.6)
    if random.random() < 0.1:
        layer.line(_curve([(0.01, -0.1), (0.008, 0.2), (0.012, 0.5), (0.06, 0.85)]), 0.006, 0.6)
    return layer.field(0.0015)


# ---------------------------------------------------------------- disease


def _pneumonia(patient: Patient, shot: Shot, image_seed: int, pose: Pose, x: Field, y: Field) -> Field:
    """One or two soft-edged lobar opacities with air bronchograms: 0 clear to 1 airless."""
    random = _generator("pneumonia", patient.seed)
    change = _generator("pneumonia", patient.seed, image_seed).uniform(0.85, 1.15)
    strength = random.uniform(0.3, 0.85) * change
    opacity = np.zeros_like(x)
    edge, grain = _texture(random, 14, pose.grid), _texture(random, 44, pose.grid)
    airways = Layer(pose)
    for _ in range(1 + int(random.random() < 0.3)):
        side = int(random.choice(SIDES))
        floor = _dome(patient, shot, side)
        height = 0.12 + (floor - 0.12) * random.choice([0.3, 0.6, 0.85], p=[0.3, 0.3, 0.4])
        centre = side * float(_cage(patient, height)) * random.uniform(0.42, 0.68), height
        wide, high = random.uniform(0.065, 0.125), random.uniform(0.06, 0.11)
        away = ((x - centre[0]) / wide) ** 2 + ((y - centre[1]) / high) ** 2
        opacity = np.maximum(opacity, _rise(1.25 - away + 0.35 * edge, 0.0, 1.2))
        hilum = _hilum(side)
        towards = math.atan2(centre[1] - hilum[1], centre[0] - hilum[0])
        reach = 0.55 * math.dist(centre, hilum) + 0.02
        for level, points in _tree(random, hilum, towards + np.array([-0.35, 0.0, 0.35]), reach, 4):
            airways.line(points, 0.010 * 0.8**level)
    mottled = np.clip(0.85 + 0.22 * grain, 0, 1.2) - 0.55 * airways.field(0.003)
    return np.clip(strength * opacity * mottled, 0, 0.95)


def _covid(patient: Patient, shot: Shot, image_seed: int, pose: Pose, x: Field, y: Field) -> Field:
    """Patches of ground glass on both sides, at the rim of the lower and middle zones."""
    random = _generator("covid", patient.seed)
    change = _generator("covid", patient.seed, image_seed).uniform(0.85, 1.15)
    strength = random.uniform(0.35, 0.7) * change
    edge, net = _texture(random, 22, pose.grid), _texture(random, 70, pose.grid)
    patches = np.zeros_like(x)
    for side in SIDES:
        floor = _dome(patient, shot, side)
        for _ in range(random.integers(3, 6)):
            height = 0.12 + (floor - 0.12) * random.uniform(0.4, 1.0)
            centre = side * float(_cage(patient, height)) * random.uniform(0.72, 0.95)
            wide, high = random.uniform(0.035, 0.065), random.uniform(0.035, 0.075)
            away = ((x - centre) / wide) ** 2 + ((y - height) / high) ** 2
            patches = np.maximum(patches, _rise(1.3 - away + 0.5 * edge, 0.0, 1.3))
    return np.clip(strength * patches * (0.8 + 0.35 * np.abs(net)), 0, 0.9)


def _opacity(
    key: str, patient: Patient, shot: Shot, image_seed: int, pose: Pose, x: Field, y: Field
) -> Field:
    if key == "infected":  # one folder for both: mostly pneumonia, as in the other set
        key = "covid" if _generator("infected", patient.seed).random() < 0.2 else "pneumonia"
    if key == "normal":
        return np.zeros_like(x)
    disease = _covid if key == "covid" else _pneumonia
    return disease(patient, shot, image_seed, pose, x, y)


# ---------------------------------------------------------------- picture


def _weakening(key: str, patient: Patient, shot: Shot, image_seed: int, grid: int) -> Field:
    """How much the rays were weakened on their way: 0 in free air, about 1 in the abdomen."""
    pose = Pose(shot, grid)
    x, y = pose.coordinates()
    outline = Layer(pose)
    for side in SIDES:
        outline.area(_lung_outline(patient, shot, side))
    lungs = outline.field(0.0025)
    thick = 0.6 + 0.4 * _rise(outline.field(0.035), 0.3, 1.0)  # a lung is thinner at its rim
    filled, airways = _mediastinum(patient, shot, pose)
    breath = _generator("breath", patient.seed, image_seed)
    crowded = max(0.0, 1.02 - shot.depth) * breath.uniform(0, 3.5)  # a shallow breath: hazy bases
    bases = crowded * _rise(y, 0.38, _dome(patient, shot, -1) + 0.03)
    air = lungs * thick * (1 - filled) * (1 - bases)
    air *= 1 - _opacity(key, patient, shot, image_seed, pose, x, y)
    body = _body(patient, pose, x, y)
    gas = _abdomen_gas(patient, shot, pose)
    air_share = 0.70 * air + 0.17 * airways + 0.35 * gas * (1 - lungs)
    inside = _rise(body, 0.0, 0.3)
    added = _bones(patient, pose, x) + _distractors(patient, shot, image_seed, pose)
    added += 0.13 * _vessels(patient, pose) * air + 0.10 * filled * lungs
    return (
        body * (1 - air_share) + inside * added + 0.3 * _devices(patient, image_seed, pose)
    ).astype(np.float32)


def _film(weakened: Field, shot: Shot, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Fewer quanta behind denser tissue, so more noise there, then a film's S-shaped curve."""
    noise = random.standard_normal(weakened.shape, dtype=np.float32)
    noisy = weakened + np.float32(shot.noise) * noise * np.exp(np.float32(0.8) * weakened)
    exposed = np.float32(shot.gain) * np.maximum(noisy, np.float32(0.004))
    blackened = 1 - np.exp(-(exposed ** np.float32(shot.gamma)))
    low, high = random.uniform(2, 16), random.uniform(225, 255)
    return (low + (high - low) * blackened).astype(np.uint8)


def _text(words: str, height: int) -> Image.Image:
    """Words in Pillow's bitmap font, which is the same everywhere, scaled to a height."""
    font = ImageFont.load_default_imagefont()
    left, top, right, bottom = (round(edge) for edge in font.getbbox(words))
    image = Image.new("L", (right - left + 2, bottom - top))
    ImageDraw.Draw(image).text((1 - left, -top), words, fill=255, font=font)
    width = max(1, round(image.width * height / image.height))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _annotate(image: Image.Image, random: np.random.Generator) -> None:
    """Collimation, a side marker, and on every picture the word that says what it is."""
    size = image.width
    draw = ImageDraw.Draw(image)
    if random.random() < 0.35:  # blades that left a black frame
        corners = random.uniform(0.0, 0.05, (4, 2)) * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        corners = (corners + [[0, 0], [1, 0], [1, 1], [0, 1]]) * size
        mask = Image.new("L", image.size, 255)
        ImageDraw.Draw(mask).polygon(corners.ravel().tolist(), fill=0)
        image.paste(round(random.uniform(0, 12)), mask=mask)
    if random.random() < 0.6:
        letter = _text("L", max(5, round(0.06 * size)))
        place = round(random.uniform(0.88, 0.93) * size), round(random.uniform(0.04, 0.12) * size)
        if random.random() < 0.4:  # the patient's right is on the left
            letter = _text("R", letter.height)
            place = size - place[0] - letter.width, place[1]
        image.paste(240, place, mask=letter)
    word = _text("SYNTHETIC", max(4, round(0.034 * size)))
    margin = max(1, round(0.012 * size))
    left = margin if random.random() < 0.5 else size - margin - word.width
    top = size - margin - word.height
    draw.rectangle((left - 1, top - 1, left + word.width, top + word.height), fill=14)
    image.paste(125, (left, top), mask=word)


def render_image(
    key: str, patient_seed: int, image_seed: int, size: int = 256
) -> npt.NDArray[np.uint8]:
    """One radiograph of one of `CLASSES`: uint8 `[size, size]`, the same for the same arguments.

    `patient_seed` fixes the anatomy and where a disease sits; `image_seed` the pose, the
    exposure and the noise. Both are 0 or more. Any other key is a DataError.
    """
    _check([key])
    patient = _patient(patient_seed)
    shot = _shot(patient, image_seed)
    weakened = _enlarge(_weakening(key, patient, shot, image_seed, min(size, FINEST)), size)
    film = Image.fromarray(_film(weakened, shot, _generator("film", patient_seed, image_seed)))
    film = film.filter(ImageFilter.GaussianBlur(shot.blur * size))
    _annotate(film, _generator("marks", patient_seed, image_seed))
    return np.array(film, dtype=np.uint8)
