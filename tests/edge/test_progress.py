"""The bar: right lengths, on terminals only, and gone when it is wiped out."""

import io

import pytest

from covid.edge.progress import MAX_WITHOUT_BAR, Progress, draw_bar


class Terminal(io.StringIO):
    """A stream that says it is one, and the line that would stand there."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def line(self) -> str:
        shown = ""
        for part in self.getvalue().split("\r"):
            shown = part + shown[len(part) :]
        return shown.rstrip()


@pytest.mark.parametrize(
    ("share", "expected"), [(0, "░░░░"), (0.1, "░░░░"), (0.5, "██░░"), (0.9, "████"), (1, "████")]
)
def test_a_bar_is_as_full_as_its_share(share: float, expected: str) -> None:
    assert draw_bar(share, 4, "utf-8") == expected


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", None, "no such encoding"])
def test_a_bar_is_plain_where_there_are_no_blocks(encoding: str | None) -> None:
    assert draw_bar(0.5, 4, encoding) == "##.."


def test_a_terminal_shows_how_far_it_is() -> None:
    terminal = Terminal()
    bar = Progress(20, terminal)
    bar.draw(3)
    bar.draw(10)
    assert terminal.line() == "██████████░░░░░░░░░░ 10 of 20"


def test_nothing_is_left_of_a_bar_that_was_wiped_out() -> None:
    terminal = Terminal()
    bar = Progress(20, terminal)
    bar.draw(3)
    bar.clear()
    assert terminal.line() == ""


def test_a_shorter_bar_leaves_nothing_of_a_longer_one() -> None:
    terminal = Terminal()
    bar = Progress(1000, terminal)
    bar.draw(1000)
    bar.draw(1)
    assert terminal.line() == "░░░░░░░░░░░░░░░░░░░░ 1 of 1000"


def test_a_bar_never_breaks_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "15")
    terminal = Terminal()
    Progress(1000, terminal).draw(1000)
    assert len(terminal.line()) == 14


def test_a_few_images_need_no_bar() -> None:
    terminal = Terminal()
    Progress(MAX_WITHOUT_BAR, terminal).draw(1)
    assert terminal.getvalue() == ""


def test_what_is_no_terminal_gets_no_bar() -> None:
    stream = io.StringIO()
    bar = Progress(100, stream)
    bar.draw(1)
    bar.clear()
    assert stream.getvalue() == ""
