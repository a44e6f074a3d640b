"""The style of report.html: legible, and from nowhere else."""

import pytest

from covid.evaluation.html.style import CSS
from covid.evaluation.page import FAINT, INK
from covid.evaluation.plots import CORRECT, WRONG


def luminance(color: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("color", [INK, FAINT, CORRECT, WRONG])
def test_text_stands_out_from_white(color: str) -> None:
    assert color in CSS
    assert 1.05 / (luminance(color) + 0.05) >= 4.5


def test_nothing_is_fetched() -> None:
    assert "url(" not in CSS and "@import" not in CSS and "@font-face" not in CSS


def test_braces_match() -> None:
    assert CSS.count("{") == CSS.count("}") > 50
