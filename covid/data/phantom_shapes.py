"""What phantoms are drawn with: patients, how an image is taken, and shapes on a grid.

Shapes are in body coordinates: x from the midline towards the patient's left, which is the
picture's right; y from the picture's top; 1 is its width.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIDES = (-1, 1)  # the patient's right, then the left
Field = npt.NDArray[np.float32]  # [grid, grid]
Points = npt.NDArray[np.float64]  # [..., points, 2]: x, y

# Half the width of the average rib cage (second row) at heights from apex to base (first row).
CAGE = np.array(
    [[0.07, 0.10, 0.15, 0.22, 0.32, 0.45, 0.60, 0.78, 1.00],
     [0.11, 0.18, 0.245, 0.29, 0.328, 0.36, 0.38, 0.39, 0.385]]
)  # fmt: skip


def stream(part: str, *seeds: int) -> np.random.Generator:
    """One stream a part, so that what one part draws never moves another."""
    return np.random.default_rng([zlib.crc32(part.encode()), *seeds])


class Patient:
    """What all images of one patient share."""

    def __init__(self, seed: int):
        random = stream("patient", seed)
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
        random = stream("shot", patient.seed, seed)
        supine = random.random() < 0.4
        self.seeds = patient.seed, seed
        self.view = "AP" if supine else "PA"
        self.breath = random.uniform(0.84, 0.98) if supine else random.uniform(0.9, 1.04)
        self.rotation = random.normal(0, 0.035)  # radians
        self.scale = random.uniform(0.92, 1.18)
        self.shift = random.normal(0, 0.025, 2)
        self.gain = random.uniform(1.2, 2.0)  # exposure
        self.gamma = random.uniform(1.0, 1.6)  # contrast
        self.noise = random.uniform(0.006, 0.022)  # of the attenuation, behind thin tissue
        self.blur = random.uniform(0.0, 0.003)

    def dome(self, patient: Patient, side: int) -> float:
        """Where the dome of the hemidiaphragm stands in this breath."""
        return 0.08 + (patient.domes[side] - 0.08) * self.breath


class Pose:
    """Where the body lies on a picture of `grid` pixels per side."""

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
        return enlarge(np.asarray(image, dtype=np.float32) / np.float32(255), grid)


def enlarge(field: Field, size: int) -> Field:
    if field.shape == (size, size):
        return field
    enlarged = Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(enlarged, dtype=np.float32)


def texture(random: np.random.Generator, cells: int, grid: int) -> Field:
    """Smooth random hills, `cells` across the picture, mean 0 and deviation about 0.8."""
    return enlarge(random.standard_normal((cells, cells), dtype=np.float32), grid)


def rise(values: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def curve(points: Sequence[tuple[float, float]], closed: bool = False) -> Points:
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


def ellipse(x: float, y: float, wide: float, high: float) -> Points:
    angle = np.arange(24) * (2 * np.pi / 24)
    return np.stack([x + wide * np.cos(angle), y + high * np.sin(angle)], axis=1)


def tree(
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
