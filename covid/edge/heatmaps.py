"""Pictures of what each place of a radiograph adds to a logit, one file an image."""

from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from covid.edge.contours import Contour, contours
from covid.edge.files import replacing
from covid.edge.formatters import printable
from covid.edge.images import read_grey
from covid.edge.labels import SEPARATOR, LabelSpace
from covid.edge.model import Model
from covid.edge.overlay import legend, overlay
from covid.edge.predict import Prediction
from covid.errors import ConfigError, ModelError, StorageError

# Of the image's shorter side: a letter's height, a gap.
LETTER, GAP = 0.036, 0.02
MIN_LETTER, MIN_GAP = 11, 4  # pixels: less cannot be read
LEADING = 1.4  # line height over a letter's
BAR = 7  # letters' heights: how wide the bar of colours is
ROWS = 4  # lines of text below a panel, at most
STACKED = 2  # width over height beyond which panels stand below each other
# The longer side over the shorter beyond which an image is drawn square, which is how a network
# gets it too: no radiograph is near it (`covid.edge.novelty`), and a strip shows nothing.
MAX_SHAPE = 8
SQUARED = 512  # pixels of such a square's side
PAPER, INK = (255, 255, 255), (0, 0, 0)


class Heatmaps:
    """Writes a picture of each image into one folder, as predictions come in."""

    def __init__(self, model: Model, paths: Sequence[Path], folder: Path, shown: str | None):
        """`shown` is the class to show; None: those decided, or else the most probable one.

        Raises ModelError where the file has no maps, ConfigError for a class that it has not, and
        where a picture would take the place of an image, StorageError where `folder`, which is
        made here, cannot be.
        """
        card = model.card
        if card.evidence_scale is None:
            raise ModelError(
                f"{model.path}: has no maps for --heatmaps: its head does not read a feature map, "
                f"or it was exported before there were any; export it anew, or leave it out."
            )
        if shown is not None and shown not in card.space.classes:
            raise ConfigError(
                f"--class {shown}: is none of the classes of {model.path}, which are "
                f"{', '.join(card.space.classes)}."
            )
        self.card, self.scale, self.shown = card, card.evidence_scale, shown
        self.folder, self.names = folder, picture_names(paths)
        images = {path.resolve() for path in paths}
        for name in self.names.values():
            if (folder / name).resolve() in images:
                raise ConfigError(
                    f"--heatmaps {folder}: its {name} is one of the images and would be replaced; "
                    f"name another folder."
                )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"--heatmaps {folder}: cannot be made ({error.strerror}); name another place."
            ) from error

    def write(self, prediction: Prediction) -> None:
        """Raises StorageError. There is no picture of an image that could not be read."""
        if prediction.error:
            return
        likely = prediction.probabilities
        most_probable = max(likely, key=lambda name: likely[name])
        classes = [self.shown] if self.shown else prediction.labels or [most_probable]
        grey = read_grey(prediction.path, greys=self.card.greys)  # at its own size
        picture = draw_picture(grey, prediction, classes, self.card.space, self.scale)
        with replacing(self.folder / self.names[prediction.path]) as beside:
            picture.save(beside, compress_level=1)  # a third of the time, for a tenth more bytes


def draw_picture(
    grey: Image.Image,
    prediction: Prediction,
    classes: Sequence[str],
    space: LabelSpace,
    scale: float,
) -> Image.Image:
    """The radiograph, and beside it the map of each of `classes`, at the image's own size.

    Below it its name, what was decided, and whether the network can know it; below each map the
    class, its probability and threshold, what its logit is made of, what the colours stand for and
    what the lines hold. Wide images stand below each other, and a strip is drawn square.
    """
    shown, notes = grey, _noted(prediction)
    if max(grey.size) > MAX_SHAPE * min(grey.size):
        shown = grey.resize((SQUARED, SQUARED), reducing_gap=3.0)
        notes.append(f"{grey.width} by {grey.height} pixels, drawn square")
    panels = [(shown.convert("RGB"), notes)]
    for name in classes:
        evidence = prediction.evidence[name]
        lines = contours(evidence, scale)
        drawn = Image.fromarray(overlay(np.asarray(shown), evidence, scale, lines))
        # The third line is left to what the colours stand for.
        panels.append((drawn, [*_said(prediction, name, space), "", _held(lines)]))
    side = min(shown.size)
    letter, gap = max(MIN_LETTER, round(side * LETTER)), max(MIN_GAP, round(side * GAP))
    font, line = ImageFont.load_default(letter), round(letter * LEADING)
    bounds = f"-{scale:.2g} against", f"for +{scale:.2g} of the logit a place"
    bar = BAR * letter
    around = [round(font.getlength(text)) for text in bounds]
    wide = gap + max(
        shown.width, bar + sum(around) + letter,
        *(round(font.getlength(text)) for _, texts in panels for text in texts),
    )  # fmt: skip
    below = gap + shown.height + gap
    high = below + ROWS * line
    across, down = (1, len(panels)) if shown.width > STACKED * shown.height else (len(panels), 1)
    page = Image.new("RGB", (wide * across + gap, high * down + gap), PAPER)
    writer = ImageDraw.Draw(page)
    for number, (panel, texts) in enumerate(panels):
        left, top = gap + number % across * wide, number // across * high
        page.paste(panel, (left, top + gap))
        for row, text in enumerate(texts):
            writer.text((left, top + below + row * line), text, fill=INK, font=font)
        if number:
            third, middle = top + below + 2 * line, left + around[0] + letter // 2
            writer.text((left, third), bounds[0], fill=INK, font=font)
            colours = Image.fromarray(legend(bar, letter))
            page.paste(colours, (middle, third + (line - letter) // 2))
            writer.text((middle + bar + letter // 2, third), bounds[1], fill=INK, font=font)
    return page


def _noted(prediction: Prediction) -> list[str]:
    """The image's name, what was decided, and why the network cannot know it, where it cannot."""
    nothing = "refused" if prediction.refused else "nothing"
    why = SEPARATOR.join(prediction.unfamiliar)
    return [
        printable(prediction.path.name),
        f"decided: {SEPARATOR.join(prediction.labels) or nothing}",
        *([f"unfamiliar: {why}"] if why else ()),
    ]


def _held(lines: Sequence[Contour]) -> str:
    if not lines:
        return "too little for lines"
    held = " and ".join(f"{contour.held:.0%}" for contour in lines)
    return f"line{'s hold' if len(lines) > 1 else ' holds'} {held} of what is for it"


def _said(prediction: Prediction, name: str, space: LabelSpace) -> list[str]:
    """A class's probability and threshold, and its logit as the sum that it is."""
    thresholds = dict(zip(space.classes, space.thresholds or (), strict=False))
    rule = f"threshold {thresholds[name]:.3f}" if name in thresholds else "the largest decides"
    evidence, rest = prediction.evidence[name], prediction.evidence_rest[name]
    parts = evidence[evidence > 0].sum(), evidence[evidence < 0].sum()
    return [
        f"{name}: {prediction.probabilities[name]:.3f} ({rule})",
        f"logit {sum(parts) + rest:+.2f}: {parts[0]:+.2f} for, {parts[1]:+.2f} against, "
        f"{rest:+.2f} from no place",
    ]


def picture_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A name for each image's picture, all different: `a.png` for `a.jpg` or `folder/a.jpg`.

    Where two would have one name, the folders that tell them apart come before it, `x-a.png`, and
    where that is not enough a number after it.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    stems: dict[str, set[Path]] = {}
    for path in paths:
        stems.setdefault(path.stem.lower(), set()).add(path)
    for path in dict.fromkeys(paths):
        alike = stems[path.stem.lower()]
        depth = max((_apart(path, other) for other in alike if other != path), default=1)
        parts = [*path.parts[-depth:-1], path.stem]
        whole = name = "-".join(part.strip("/\\:") for part in parts)
        number = 1
        while f"{name}.png".lower() in taken:  # names that differ in their endings alone
            number += 1
            name = f"{whole}-{number}"
        taken.add(f"{name}.png".lower())
        names[path] = f"{name}.png"
    return names


def _apart(one: PurePath, other: PurePath) -> int:
    """How many of the last parts of two paths it takes to tell them apart; 1 by their endings."""
    parts = zip(reversed(one.parts[:-1]), reversed(other.parts[:-1]), strict=False)
    same = 0
    for mine, theirs in parts:
        if mine != theirs:
            return same + 2
        same += 1
    longer = len(one.parts) - 1 > same
    return same + 2 if longer else 1
