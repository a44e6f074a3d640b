"""A page that a picture is drawn on: measured in inches, with text that fits and never overlaps."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from covid.edge.files import replacing

DOTS_PER_INCH = 150
INK, FAINT = "#1f2a37", "#66727f"  # of text that is read first, and of text that explains it
MARGIN = 0.35  # inches around every picture
SMALL, NORMAL, LARGE = 8.0, 9.5, 13.0  # points
LEADING = 1.35  # line height over font size
CAPITAL = 0.73  # height of a capital over font size, in matplotlib's own DejaVu Sans


class Page:
    """A figure measured in inches from its top left corner, opened by a heading."""

    def __init__(self, width: float, height: float, heading: str, title: str, line: str):
        """`height` is that of the content below `top`; a long title makes the page higher."""
        inner = width - 2 * MARGIN
        below = "\n".join(fit(part, inner, NORMAL, 3) for part in (title, line) if part)
        self.top = MARGIN + 0.5 + (below.count("\n") + 1) * NORMAL * LEADING / 72
        self.width, self.height = width, self.top + height + MARGIN
        self.figure = Figure(figsize=(width, self.height), dpi=DOTS_PER_INCH, facecolor="white")
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_axis_off()
        self.text(MARGIN, MARGIN + 0.08, heading, LARGE, weight="bold")
        self.text(MARGIN, MARGIN + 0.37, below, NORMAL, FAINT, hang=True)

    def text(
        self, x: float, y: float, text: str, size: float = SMALL, color: str = INK,
        hang: bool = False, **more: Any,
    ) -> None:  # fmt: skip
        """Lines centred on `y`, or hanging from a first line there; dollar signs stay as they are.

        Each line is set on its baseline: matplotlib's own centring moves words with descenders.
        """
        lines, high = text.split("\n"), size * LEADING / 72
        first = y + CAPITAL / 2 * size / 72 - (0 if hang else (len(lines) - 1) / 2 * high)
        for place, line in enumerate(lines):
            self.axes.text(
                x, first + place * high, line, fontsize=size, color=color, va="baseline",
                parse_math=False, **more,
            )  # fmt: skip

    def box(self, x: float, y: float, width: float, height: float, color: Any, **more: Any) -> None:
        """A filled rectangle; `x`, `y` is its top left corner."""
        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, **more))

    def inset(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes of their own, for curves."""
        fractions = (x / self.width, 1 - (y + height) / self.height,
                     width / self.width, height / self.height)  # fmt: skip
        return self.figure.add_axes(fractions)

    def finish(self) -> Figure:
        """The figure; images and patches must not have moved the page's scale."""
        self.axes.set(xlim=(0, self.width), ylim=(self.height, 0), aspect="auto")
        return self.figure


@cache
def text_width(text: str, size: float) -> float:
    """Inches that the widest line takes; only `NORMAL` and larger text may be bold."""
    font = FontProperties(size=size, weight="bold" if size >= NORMAL else "normal")
    return max(
        text_to_path.get_text_width_height_descent(line, font, False)[0] / 72
        for line in text.split("\n")
    )


@cache
def fit(text: str, width: float, size: float, lines: int = 1) -> str:
    """`text` on at most `lines` lines of `width` inches; what is too long loses its middle."""
    pieces = re.findall(r".+?(?:[\s_+,/-]+|$)", text)  # each ends where a line may
    done: list[str] = []
    while len(done) < lines - 1 and pieces and text_width("".join(pieces).strip(), size) > width:
        count = 1
        while text_width("".join(pieces[: count + 1]).strip(), size) <= width:
            count += 1
        done.append(_shorten("".join(pieces[:count]).strip(), width, size))
        pieces = pieces[count:]
    rest = "".join(pieces).strip()
    return "\n".join([*done, _shorten(rest, width, size)] if rest else done)


def _shorten(line: str, width: float, size: float) -> str:
    """The start and the end of a line that is too wide: names often differ only there."""
    short, keep = line, len(line)
    while text_width(short, size) > width and keep:
        keep -= 1
        short = line[: (keep + 1) // 2] + "…" + line[len(line) - keep // 2 :]
    return short


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG, whole or not at all. Raises StorageError."""
    with replacing(path) as beside:
        figure.savefig(beside, dpi=DOTS_PER_INCH, format="png")
