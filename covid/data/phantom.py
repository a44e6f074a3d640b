"""Synthetic chest radiographs with labels, so that a machine without any data can try the tool.

A picture starts as a map of how much the rays were weakened. Shapes in body coordinates (x from
the midline towards the patient's left, which is the picture's right; y from the picture's top; 1
is its width) are placed by a pose; tissue and bone add to the map, air takes away. Disease takes
air out of the lungs and touches nothing else. A film's curve, its noise and markers follow.
"""

import csv
import math
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from covid.errors import DataError, StorageError

SYNTHETIC = "SYNTHETIC phantom radiographs"
CLASSES = ("covid", "normal", "pneumonia", "infected")
RARE, RARE_SHARE = "covid", 0.1  # what is rare in the study, and its share of the images
HELD_OUT = 0.15  # share of a class's images in validation, and in test
COLUMNS = ("path", "label", "split", "patient", "view", "sex", "age", "source")
FINEST = 512  # px; anatomy has no finer detail, a larger picture enlarges it and adds fine noise
SIDES = (-1, 1)  # the patient's right, then the left

Field = npt.NDArray[np.float32]  # [grid, grid]
Points = npt.NDArray[np.float64]  # [..., points, 2]: x, y

# Half the width of the average rib cage (second row) at heights from apex to base (first row).
CAGE = np.array(
    [[0.07, 0.10, 0.15, 0.22, 0.32, 0.45, 0.60, 0.78, 1.00],
     [0.11, 0.18, 0.245, 0.29, 0.328, 0.36, 0.38, 0.39, 0.385]]
)  # fmt: skip


def _random(part: str, *seeds: int) -> np.random.Generator:
    """One stream a part, so that what one part draws never moves another."""
    return np.random.default_rng([zlib.crc32(part.encode()), *seeds])


class Patient:
    """What all images of one patient share."""

    def __init__(self, seed: int):
        random = _random("patient", seed)
        self.seed = seed
        self.sex = "F" if random.random() < 0.5 else "M"
        self.age = int(random.integers(18, 90))
        self.width = random.uniform(0.9, 1.06)  # of the rib cage, 1 is the average
        self.habitus = random.uniform(0, 1)  # slim to heavy
        self.heart = random.uniform(0.82, 1.18)  # its width, 1 is the average
        self.knob = 0.034 + 0.0002 * (self.age - 50) + random.normal(0, 0.003)  # of the aorta
        right = random.uniform(0.66, 0.72)
        self.domes = {-1: right, 1: right + random.uniform(0.012, 0.04)}  # of the diaphragm
        self.slope = random.uniform(0.11, 0.18)  # how far a rib falls from spine to side
        self.spacing = random.uniform(0.064, 0.072)  # between ribs

    def cage(self, y: Any) -> Any:
        """Half the width of the rib cage at heights `y`."""
        return np.interp(y, *CAGE) * self.width

    def hilum(self, side: int) -> tuple[float, float]:
        return side * 0.08, 0.42 if side < 0 else 0.40  # the left one stands higher


class Shot:
    """How one image was taken: never a matter of its class."""

    def __init__(self, patient: Patient, seed: int):
        random = _random("shot", patient.seed, seed)
        supine = random.random() < 0.4
        self.seeds = patient.seed, seed
        self.view = "AP" if supine else "PA"
        self.breath = random.uniform(0.84, 0.98) if supine else random.uniform(0.9, 1.04)
        self.rotation = random.normal(0, 0.035)  # radians
        self.scale = random.uniform(0.92, 1.18)
        self.shift = random.normal(0, 0.025, 2)
        self.gain = random.uniform(1.2, 2.0)  # exposure
        self.gamma = random.uniform(1.0, 1.6)  # contrast
        self.noise = random.uniform(0.006, 0.022)  # of the weakening, behind thin tissue
        self.blur = random.uniform(0.0, 0.003)

    def dome(self, patient: Patient, side: int) -> float:
        """Where the dome of the hemidiaphragm stands in this breath."""
        return 0.08 + (patient.domes[side] - 0.08) * self.breath


class Pose:
    """Where the body lies on a picture of `grid` pixels a side."""

    def __init__(self, shot: Shot, grid: int):
        self.grid, self.scale = grid, shot.scale
        cosine, sine = math.cos(shot.rotation), math.sin(shot.rotation)
        self.turn = shot.scale * np.array([[cosine, -sine], [sine, cosine]])
        self.shift = shot.shift + 0.5
        pixels = (np.arange(grid) + 0.5) / grid
        back = np.linalg.inv(self.turn)
        across, down = pixels[None, :] - self.shift[0], pixels[:, None] - self.shift[1]
        x, y = back @ np.stack(np.broadcast_arrays(across, down)).reshape(2, -1)
        self.x: Field = x.reshape(grid, grid).astype(np.float32)  # of the body, under each pixel
        self.y: Field = y.reshape(grid, grid).astype(np.float32) + np.float32(0.5)

    def place(self, points: Points) -> Points:
        """Body coordinates to shares of the picture."""
        placed: Points = (points - [0, 0.5]) @ self.turn.T + self.shift
        return placed


class Layer:
    """Shapes that do not add up where they overlap, drawn at twice the grid to smooth edges."""

    def __init__(self, pose: Pose):
        self.pose, self.side = pose, 2 * pose.grid
        self.image = Image.new("L", (self.side, self.side))
        self.draw = ImageDraw.Draw(self.image)

    def area(self, points: Points, value: float = 1.0) -> None:
        pixels = self.pose.place(points) * self.side
        self.draw.polygon(pixels.ravel().tolist(), fill=round(255 * value))

    def band(self, points: Points, width: float, value: float = 1.0) -> None:
        """A strip along `points`."""
        along = np.gradient(points, axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        across *= width / 2 / np.linalg.norm(across, axis=1, keepdims=True)
        self.area(np.concatenate([points + across, (points - across)[::-1]]), value)

    def lines(self, points: Points, width: float, value: float = 1.0) -> None:
        """A line, or several; fainter where they would be thinner than a pixel."""
        pixels = width * self.side * self.pose.scale
        ink = round(255 * value * min(1.0, pixels))
        placed = self.pose.place(points) * self.side
        for flat in placed.reshape(-1, points.shape[-2] * 2).tolist():
            self.draw.line(flat, fill=ink, width=max(1, round(pixels)))

    def field(self, blur: float) -> Field:
        """What was drawn, 0 to 1, blurred by `blur` (of the picture's width)."""
        grid = self.pose.grid
        image = self.image.reduce(2)
        small = min(grid, max(24, round(4 / blur)))  # a wide blur is the same on a smaller picture
        if small < grid:
            image = image.resize((small, small), Image.Resampling.BOX)
            image = image.filter(ImageFilter.GaussianBlur(blur * small))
        else:
            image = image.filter(ImageFilter.BoxBlur(1.7 * blur * small))  # same deviation
        return _enlarge(np.asarray(image, dtype=np.float32) / np.float32(255), grid)


def _enlarge(field: Field, size: int) -> Field:
    if field.shape == (size, size):
        return field
    enlarged = Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(enlarged, dtype=np.float32)


def _texture(random: np.random.Generator, cells: int, grid: int) -> Field:
    """Smooth random hills, `cells` across the picture, mean 0 and deviation about 0.8."""
    return _enlarge(random.standard_normal((cells, cells), dtype=np.float32), grid)


def _rise(values: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def _curve(points: Sequence[tuple[float, float]], closed: bool = False) -> Points:
    """A smooth curve through `points`: Catmull and Rom's cubic, 8 steps between two points."""
    given = np.array(points, dtype=np.float64)
    first, last = (given[-1:], given[:2]) if closed else (given[:1], given[-1:])
    padded = np.concatenate([first, given, last])
    before, start, stop, after = (padded[k : len(padded) - 3 + k, None] for k in range(4))
    t = np.arange(8)[None, :, None] / 8
    cubic = 3 * (start - stop) + after - before
    square = 2 * before - 5 * start + 4 * stop - after
    curve: Points = (start + t / 2 * (stop - before + t * (square + t * cubic))).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, given[-1:]])


def _ellipse(x: float, y: float, wide: float, high: float) -> Points:
    angle = np.arange(24) * (2 * np.pi / 24)
    return np.stack([x + wide * np.cos(angle), y + high * np.sin(angle)], axis=1)


def _tree(
    random: np.random.Generator, root: Sequence[float], angles: Points, reach: float, levels: int
) -> Iterator[Points]:
    """A tree that forks on its way out, a level at a time: `[branches, points, 2]`."""
    starts = np.tile(np.array(root), (len(angles), 1))
    for _ in range(levels):
        bends = np.cumsum(random.normal(0, 0.15, (len(angles), 5)), axis=1) + angles[:, None]
        steps = reach * random.uniform(0.6, 1.3, (len(angles), 1)) / 5
        moves = np.stack([np.cos(bends) * steps, np.sin(bends) * steps], axis=2).cumsum(axis=1)
        branches = np.concatenate([starts[:, None], starts[:, None] + moves], axis=1)
        yield branches
        angles = (bends[:, -1] + random.uniform(0.2, 0.65, (2, len(angles))) * [[-1], [1]]).ravel()
        starts = np.tile(branches[:, -1], (2, 1))
        reach *= 0.8


def _lungs(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """Where there is lung, and how much of the body's thickness it takes: 0 to 1."""
    layer = Layer(pose)
    for side in SIDES:
        dome = shot.dome(patient, side)
        heights = np.linspace(0.12, dome, 7)
        points = [*zip(patient.cage(heights) - 0.008, heights, strict=True)]
        points += [(patient.cage(dome + 0.08) - 0.012, dome + 0.085)]  # the costophrenic angle
        floor = [(0.30, 0.022), (0.20, 0.0), (0.12, 0.01), (0.05, 0.045)]
        points += [(x * patient.width, dome + y) for x, y in floor]
        points += [(0.045, 0.5), (0.05, 0.3), (0.055, 0.17), (0.085, 0.1), (0.125, 0.082)]
        layer.area(_curve(points, closed=True) * [side, 1])
    return layer.field(0.0025) * (0.55 + 0.45 * _rise(layer.field(0.035), 0.3, 1.0))


def _body(patient: Patient, pose: Pose) -> Field:
    """Soft tissue without lungs: arms, and a torso that is thicker inside and below."""
    layer = Layer(pose)
    flank = 0.435 * patient.width + 0.05 * patient.habitus
    lift = _random("arms", patient.seed).uniform(0.03, 0.14)  # how far the arms stand off
    arm = _curve([(0.41, 0.17), (0.49 + lift, 0.42), (0.53 + 2 * lift, 0.8), (0.5, 1.3)])
    torso = _curve([(0.085, -0.3), (0.088, -0.03), (0.13, 0.02), (0.28, 0.06), (0.40, 0.095),
                    (0.47, 0.16), (flank + 0.01, 0.36), (flank, 0.6), (flank, 1.3)])  # fmt: skip
    for side in SIDES:
        layer.band(arm * [side, 1], 0.13 + 0.03 * patient.habitus)
    layer.area(np.concatenate([torso, (torso * [-1, 1])[::-1]]))
    middle = 0.36 * layer.field(0.05) + 0.24 * _rise(pose.y, 0.6, 0.95) - 0.25 * pose.x**2
    return layer.field(0.003) * (0.42 + 0.14 * patient.habitus + middle)


def _ribs(patient: Patient, pose: Pose) -> Field:
    """Ribs, in the back and more faintly in front, where they cross those."""
    behind, before = Layer(pose), Layer(pose)
    t = np.linspace(0, 1, 20)
    for number in range(11):
        start, fall = 0.06 + number * patient.spacing, patient.slope * (0.45 + 0.08 * number)
        y = start - 0.03 * np.sin(np.pi * t**0.8) * (1 - t) + fall * t**1.9
        x = 0.03 + (patient.cage(y) - 0.03) * np.sin(np.pi / 2 * t) ** 0.9
        low = y[-1] + (0.05 + 0.11 * min(1.0, number / 5)) * t
        inward = patient.cage(low) * (1 - 0.62 * t**1.7)
        for side in SIDES:
            back = np.stack([side * x, y], axis=1)
            behind.band(back, 0.026, 0.66)
            behind.lines(back + [0, 0.0115], 0.004, 1.0)  # the thick lower edge
            behind.lines(back - [0, 0.0115], 0.003, 0.85)
            before.band(np.stack([side * inward, low], axis=1), 0.03, 0.9)
    fading = _rise(np.abs(pose.x), 0.07, 0.36)  # towards the breastbone they become cartilage
    return 0.10 * behind.field(0.0025) + 0.055 * before.field(0.004) * fading


def _bones(patient: Patient, pose: Pose) -> Field:
    """Spine, clavicles, shoulder blades and arms."""
    layer = Layer(pose)
    tip = _random("bones", patient.seed).uniform(0.06, 0.12)  # how high the shoulders are
    blade = [(0.40, 0.155), (0.315, 0.19), (0.31, 0.3), (0.36, 0.47), (0.385, 0.44), (0.43, 0.22)]
    collar = _curve([(0.025, 0.19), (0.11, 0.155), (0.22, tip + 0.035), (0.40, tip + 0.01)])
    for side in SIDES:
        layer.area(_curve(blade, closed=True) * [side, 1], 0.36)
        layer.lines(_curve(blade[1:4]) * [side, 1], 0.006, 0.55)
        layer.band(_curve([(0.455, 0.19), (0.53, 0.45), (0.6, 0.9)]) * [side, 1], 0.045, 0.7)
        layer.area(_ellipse(side * 0.445, 0.17, 0.045, 0.05), 0.8)
        layer.band(collar * [side, 1], 0.027, 0.8)
        layer.lines(collar * [side, 1] + [0, 0.012], 0.004, 1.0)
    for y in np.arange(-0.08, 1.2, 0.056):  # a vertebra each
        layer.area(_ellipse(0, y, 0.04, 0.0235), 0.7)
        layer.area(_ellipse(0, y + 0.012, 0.008, 0.015), 0.95)
        for side in SIDES:
            layer.area(_ellipse(side * 0.026, y - 0.004, 0.008, 0.009), 0.95)
    return 0.16 * layer.field(0.003)


def _mediastinum(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """Where heart and great vessels fill the middle: 0 to 1."""
    layer = Layer(pose)
    floor = max(shot.dome(patient, side) for side in SIDES) + 0.035
    wide = patient.heart * (1.13 if shot.view == "AP" else 0.98)  # far from the film: larger
    layer.area(_curve([(-0.065, -0.1), (-0.058, 0.1), (-0.068, 0.25), (-0.07, 0.42), (-0.06, 1.1),
                       (0.06, 1.1), (0.085, 0.45), (0.07, 0.36), (0.06, 0.1), (0.07, -0.1)],
                      closed=True), 0.86)  # fmt: skip
    layer.area(_ellipse(0.058, 0.27, patient.knob, patient.knob), 0.92)
    heart = [(-0.05, -0.33), (-0.075, -0.2), (-0.1 * wide, -0.11), (-0.06, 0.02), (0.08, 0.04),
             (0.2 * wide, -0.01), (0.205 * wide, -0.07), (0.155 * wide, -0.16), (0.095, -0.25),
             (0.06, -0.33)]  # fmt: skip
    layer.area(_curve([(x, floor + y) for x, y in heart], closed=True), 0.94)
    return layer.field(0.005)


def _gas(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """The airways, and the stomach's bubble under the left dome, flat below."""
    layer, random = Layer(pose), _random("gas", patient.seed)
    carina = (random.normal(0.004, 0.006), 0.325)
    layer.band(_curve([(0, -0.1), carina]), 0.032, 0.4)
    for side in SIDES:
        hilum = patient.hilum(side)
        layer.band(_curve([carina, (side * 0.045, hilum[1] - 0.03), hilum]), 0.02, 0.3)
    top, wide, high = shot.dome(patient, 1) + 0.02, *random.uniform([0.04, 0.03], [0.085, 0.06])
    bubble = _ellipse(random.uniform(0.14, 0.22), top + high, wide, high)
    level = top + high * random.uniform(1.2, 2.0)
    layer.area(np.minimum(bubble, [1.0, level]), random.uniform(0.3, 0.9))
    return layer.field(0.005)


def _vessels(patient: Patient, pose: Pose) -> Field:
    """Pulmonary vessels, from the hila outward ever thinner."""
    layer, random = Layer(pose), _random("vessels", patient.seed)
    trees = []
    for side in SIDES:
        spread = np.linspace(-1.4, 1.45, 11) + random.normal(0, 0.12, 11)
        angles = spread if side > 0 else np.pi - spread
        trees.append(list(_tree(random, patient.hilum(side), angles, 0.095, 4)))
    for level in (3, 2, 1, 0):  # thick ones on top
        for tree in trees:
            layer.lines(tree[level], 0.0095 * 0.7**level, 0.9 * 0.78**level)
    for side in SIDES:
        layer.area(_ellipse(*patient.hilum(side), 0.024, 0.038), 0.7)
    return layer.field(0.003)


def _distractors(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """What brightens a picture without being disease, in every class alike."""
    soft, sharp = Layer(pose), Layer(pose)
    random, here = _random("extras", patient.seed), _random("extras", *shot.seeds)
    if patient.sex == "F":
        low, wide, value = random.uniform([0.66, 0.12, 0.3], [0.82, 0.17, 1.0])
        for side in SIDES:
            x = side * 0.235 + random.normal(0, 0.012)
            soft.area(_ellipse(x, low - 0.13, wide, 0.14), value)
    if random.random() < 0.12:  # a benign nodule
        spot = random.choice(SIDES) * random.uniform(0.13, 0.28), random.uniform(0.2, 0.6)
        sharp.area(_ellipse(*spot, *random.uniform(0.008, 0.014, 2)), 0.4)
    if here.random() < 0.2:  # a thin line of collapsed lung
        side, y = here.choice(SIDES), here.uniform(0.5, 0.64)
        line = [(side * 0.12, y + 0.02), (side * 0.2, y), (side * 0.28, y + 0.03)]
        sharp.lines(_curve(line), 0.005, 0.4)
    if here.random() < 0.35:  # electrodes and their leads
        for _ in range(here.integers(2, 5)):
            x, y = here.choice(SIDES) * here.uniform(0.12, 0.36), here.uniform(0.15, 0.75)
            bends = x + here.normal(0, [0.08, 0.15])
            lead = [(x, y), (bends[0], y + 0.12), (bends[1], y + 0.3), (here.normal(0, 0.3), 1.15)]
            sharp.lines(_curve(lead), 0.004, 0.5)
            sharp.area(_ellipse(x, y, 0.016, 0.016), 0.5)
            sharp.area(_ellipse(x, y, 0.008, 0.008), 1.0)
    if here.random() < 0.2:  # a central line
        sharp.lines(_curve([(-0.2, 0.05), (-0.1, 0.16), (-0.05, 0.22), (-0.055, 0.42)]), 0.005, 0.6)
    veil = 0.05 * _texture(here, 4, pose.grid)  # folds, clothing, an uneven grid
    return veil + 0.13 * soft.field(0.012) + 0.3 * sharp.field(0.002)


def _pneumonia(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """One or two soft-edged lobar opacities with air bronchograms: 0 clear to 1 airless."""
    random = _random("pneumonia", patient.seed)
    strength = random.uniform(0.25, 0.8) * _random("pneumonia", *shot.seeds).uniform(0.85, 1.15)
    opacity, airways = np.zeros_like(pose.x), Layer(pose)
    edge, grain = _texture(random, 12, pose.grid), _texture(random, 40, pose.grid)
    for _ in range(1 + int(random.random() < 0.3)):
        side = int(random.choice(SIDES))
        zone = random.choice([0.3, 0.6, 0.85], p=[0.3, 0.3, 0.4])
        height = 0.12 + (shot.dome(patient, side) - 0.12) * zone
        centre = side * patient.cage(height) * random.uniform(0.42, 0.68), height
        wide, high = random.uniform([0.065, 0.06], [0.125, 0.11])
        away = ((pose.x - centre[0]) / wide) ** 2 + ((pose.y - centre[1]) / high) ** 2
        opacity = np.maximum(opacity, _rise(1.3 - away + 0.45 * edge, 0.0, 1.5))
        hilum = patient.hilum(side)
        towards = math.atan2(centre[1] - hilum[1], centre[0] - hilum[0])
        reach = 0.5 * math.dist(centre, hilum) + 0.02
        fan = towards + np.array([-0.35, 0.0, 0.35])
        for level, branches in enumerate(_tree(random, hilum, fan, reach, 4)):
            airways.lines(branches, 0.009 * 0.8**level)
    mottled = np.clip(0.88 + 0.14 * grain, 0, 1.2) - 0.4 * airways.field(0.004)
    return np.clip(strength * opacity * mottled, 0, 0.95)


def _covid(patient: Patient, shot: Shot, pose: Pose) -> Field:
    """Patches of ground glass on both sides, at the rim of lower and middle zones: 0 to 1."""
    random = _random("covid", patient.seed)
    strength = random.uniform(0.3, 0.6) * _random("covid", *shot.seeds).uniform(0.85, 1.15)
    edge, net = _texture(random, 18, pose.grid), _texture(random, 64, pose.grid)
    patches = np.zeros_like(pose.x)
    for side in SIDES:
        for _ in range(random.integers(4, 8)):
            height = 0.12 + (shot.dome(patient, side) - 0.12) * random.uniform(0.4, 1.0)
            centre = side * patient.cage(height) * random.uniform(0.68, 0.95)
            wide, high = random.uniform([0.035, 0.035], [0.07, 0.085])
            away = ((pose.x - centre) / wide) ** 2 + ((pose.y - height) / high) ** 2
            patches += 0.6 * _rise(1.2 - away + 0.6 * edge, 0.0, 2.0)
    return np.clip(strength * np.minimum(patches, 1) * (0.85 + 0.25 * net), 0, 0.9)


def _opacity(key: str, patient: Patient, shot: Shot, pose: Pose) -> Field | float:
    if key == "infected":  # one folder for both, mostly pneumonia
        key = "covid" if _random("infected", patient.seed).random() < 0.2 else "pneumonia"
    if key == "normal":
        return 0.0
    return (_covid if key == "covid" else _pneumonia)(patient, shot, pose)


def _weakening(key: str, patient: Patient, shot: Shot, grid: int) -> Field:
    """How much the rays were weakened on their way: 0 in free air, about 1 in the abdomen."""
    pose = Pose(shot, grid)
    lungs, body = _lungs(patient, shot, pose), _body(patient, pose)
    filled = _mediastinum(patient, shot, pose)
    random = _random("lungs", *shot.seeds)
    haze = max(0.0, 1.02 - shot.breath) * random.uniform(0, 3.5)  # a shallow breath: hazy bases
    air = lungs * (1 - filled) * (1 - haze * _rise(pose.y, 0.38, shot.dome(patient, -1) + 0.03))
    air *= 1 - _opacity(key, patient, shot, pose)
    lace = 0.02 * _texture(random, 90, grid)  # vessels and septa too small to be seen one by one
    marks = (0.19 * _vessels(patient, pose) + lace) * air
    added = _ribs(patient, pose) + _bones(patient, pose) + _distractors(patient, shot, pose)
    added += marks + 0.10 * filled * np.minimum(1, 2 * lungs)
    weakened = body * (1 - 0.72 * air - 0.42 * _gas(patient, shot, pose))
    return np.asarray(weakened + _rise(body, 0.0, 0.3) * added, dtype=np.float32)


def _film(weakened: Field, shot: Shot) -> npt.NDArray[np.uint8]:
    """Fewer quanta behind denser tissue, so more noise there; then a film's S-shaped curve."""
    random = _random("film", *shot.seeds)
    noise = random.standard_normal(weakened.shape, dtype=np.float32)
    noisy = weakened + np.float32(shot.noise) * noise * np.exp(np.float32(0.8) * weakened)
    exposed = np.float32(shot.gain) * np.maximum(noisy, np.float32(0.004))
    low, high = np.float32(random.uniform([2, 225], [16, 255]))  # the display's black and white
    return (high - (high - low) * np.exp(-(exposed ** np.float32(shot.gamma)))).astype(np.uint8)


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
    random, size = _random("marks", *shot.seeds), image.width
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
    weakened = _enlarge(_weakening(key, patient, shot, min(size, FINEST)), size)
    film = Image.fromarray(_film(weakened, shot))
    film = film.filter(ImageFilter.BoxBlur(shot.blur * size))
    _annotate(film, shot)
    return np.asarray(film, dtype=np.uint8)


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
        count = max(3, counts.get(key, rare))  # one a split at least
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
    """Writes one image; returns its row of the manifest."""
    patient = Patient(100_000 * seed + picture.number)  # other seeds give other patients
    pixels = render_image(picture.key, patient.seed, picture.image, size)
    Image.fromarray(pixels).save(folder / picture.name, compress_level=1)
    view = Shot(patient, picture.image).view
    values = (picture.name, picture.key, picture.split, f"phantom-{picture.number:06d}",
              view, patient.sex, str(patient.age), SYNTHETIC.split()[0])  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _write_set(
    folder: Path, plan: Sequence[Picture], size: int, seed: int,
    progress: Callable[[int, int], None] | None,
) -> None:  # fmt: skip
    for parent in {(folder / picture.name).parent for picture in plan}:
        parent.mkdir(parents=True, exist_ok=True)
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

    A set that is there is left alone. It appears complete or not at all, and of two processes
    that render it at once both succeed. Each patient has 1 to 4 images, in one split; a tenth of
    the images is covid where there is another key, the others share the rest equally. There are
    `images` of them, more only where a key would have less than one a split.
    Raises DataError for a key that is not one of `CLASSES`, StorageError for a full disk.
    """
    _check(keys)
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return folder
    plan = _plan(list(dict.fromkeys(keys)), images, _random("plan", seed))
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
