"""How far a command has come, as a bar on a terminal."""

import shutil
import time
from typing import TextIO

MAX_WITHOUT_BAR = 5  # images that need no bar


def draw_bar(share: float, width: int, encoding: str | None) -> str:
    """`width` characters, `share` (0..1) of them full; in `#` where `encoding` has no blocks."""
    full = round(share * width)
    try:
        "█░".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#" * full + "." * (width - full)
    return "█" * full + "░" * (width - full)


class Progress:
    """A bar that stands below what is printed, where `stream` is a terminal."""

    def __init__(self, total: int, stream: TextIO):
        self.total = total
        self.stream = stream
        self.shown = total > MAX_WITHOUT_BAR and stream.isatty()
        self.started = time.monotonic()
        self.drawn = 0  # characters that stand there now

    def draw(self, done: int) -> None:
        """Draws the bar for `done` of all, over the one before."""
        if not self.shown:
            return
        seconds = time.monotonic() - self.started
        text = f"{draw_bar(done / self.total, 20, self.stream.encoding)} {done} of {self.total}"
        if done and seconds > 1:
            left = (self.total - done) * seconds / done
            text += f", {done / seconds:.1f} images/s, {left:.0f} s left"
        # A line that reaches the last column breaks, and could not be wiped out again.
        text = text[: shutil.get_terminal_size().columns - 1]
        self.stream.write("\r" + text.ljust(self.drawn))
        self.stream.flush()
        self.drawn = len(text)

    def clear(self) -> None:
        """Wipes the bar out, so that a row can be printed in its place."""
        if self.drawn:
            self.stream.write("\r" + " " * self.drawn + "\r")
            self.stream.flush()
            self.drawn = 0
