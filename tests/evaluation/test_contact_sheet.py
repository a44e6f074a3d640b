"""Contact sheets: every picture and word is there, whole, and nothing lies over another."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid.errors import StorageError
from covid.evaluation.contact_sheet import (
    FAINT,
    SIDE,
    SMALL,
    SheetRow,
    contact_sheet,
    draw_contact_sheet,
)


def rows(
    count: int, drawings: int, words: str = "as it is", label: str = "normal"
) -> list[SheetRow]:
    """Each picture of a grey level of its own: 10, 11, 12 and so on."""
    level = iter(range(10, 250))
    return [
        SheetRow(label, flat(next(level)), [(flat(next(level)), words) for _ in range(drawings)])
        for _ in range(count)
    ]


def flat(level: int) -> np.ndarray:
    return np.full((32, 32), level, dtype=np.uint8)


@pytest.mark.parametrize(("count", "drawings"), [(8, 4), (7, 2), (1, 4), (8, 0), (3, 0)])
@pytest.mark.parametrize("words", ["flip", ", ".join(["shift 0.10 -0.02"] * 30)])
def test_every_picture_is_there_in_full(count: int, drawings: int, words: str) -> None:
    names = [f"epoch {number}" for number in range(drawings)]
    sheet = np.asarray(contact_sheet(rows(count, drawings, words), names, "Heading", "line"))
    areas = np.bincount(sheet.ravel(), minlength=256)
    # Letters' soft edges have some of these greys too, a few hundred pixels of each.
    shown = areas[10 : 10 + count * (1 + drawings)]
    assert (shown >= SIDE**2).all() and (shown < SIDE**2 * 1.1).all()


def test_rows_stand_as_far_apart_as_their_words_take() -> None:
    short, long = "flip", ", ".join(["shift 0.10 -0.02"] * 4)  # one line and four
    few, more = (contact_sheet(rows(8, 4, words), ["e"] * 4, "", "") for words in (short, long))
    # Four rows in a block, two lines more each: a label has room for two anyway.
    assert more.height >= few.height + 4 * 2 * SMALL
    levels = np.bincount(np.asarray(more)[:, :].ravel(), minlength=256)
    assert levels[FAINT] > 3 * np.bincount(np.asarray(few).ravel(), minlength=256)[FAINT]


def test_long_labels_and_lines_stay_on_the_page() -> None:
    long = "tuberculosis-with-a-name-that-does-not-end" * 10
    sheet = np.asarray(contact_sheet(rows(8, 4, long, long), ["epoch"] * 4, "Heading", long))
    assert (sheet[:, -20:] == 255).all() and (sheet[-20:] == 255).all()


def test_it_is_a_grey_png_and_nothing_else_is_left(tmp_path: Path) -> None:
    draw_contact_sheet(tmp_path / "a.png", rows(2, 1), ["epoch 1"], "Heading", "line")
    with Image.open(tmp_path / "a.png") as image:
        assert (image.format, image.mode) == ("PNG", "L")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        draw_contact_sheet(tmp_path / "file" / "a.png", rows(1, 0), [], "Heading", "line")
