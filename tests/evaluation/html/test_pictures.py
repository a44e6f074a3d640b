"""Pictures in report.html: small, whole, and nothing but pictures."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from covid.evaluation.html.pictures import KEPT_BYTES, embed, shown
from tests.evaluation.report_page import Page


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def noise(side: int) -> bytes:
    """What compresses worst."""
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return png(Image.fromarray(values))


SMALL = png(Image.new("RGB", (30, 15), "white"))


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_small_picture_stays_to_the_bit() -> None:
    uri = embed({"a.png": SMALL})["a.png"].uri
    assert base64.b64decode(uri.removeprefix("data:image/png;base64,")) == SMALL


def test_large_pictures_are_made_smaller_until_they_fit_together() -> None:
    pictures = {"a.png": noise(340), "b.png": noise(280), "c.png": SMALL}
    assert len(pictures["b.png"]) > KEPT_BYTES
    embedded = embed(pictures, max_bytes=110_000)
    assert list(embedded) == list(pictures)
    assert sum(len(base64.b64decode(p.uri.partition(",")[2])) for p in embedded.values()) <= 110_000
    assert decoded(embedded["a.png"].uri).size == (340, 340)


def test_a_drawing_of_few_colours_stays_a_png_and_looks_the_same() -> None:
    drawing = Image.new("RGB", (600, 600), "white")
    rng = np.random.default_rng(0)
    for place in range(600 * 40):
        drawing.putpixel((int(rng.integers(600)), place % 600), (11, 122, 117))
    content = png(drawing)
    uri = embed({"a.png": content + b" " * KEPT_BYTES})["a.png"].uri
    assert uri.startswith("data:image/png")
    assert np.array_equal(np.array(decoded(uri).convert("RGB")), np.array(drawing))


@pytest.mark.parametrize("content", [b"", b"no picture", noise(200)[:5000]])
def test_what_is_no_whole_picture_is_left_out_and_said(content: bytes) -> None:
    embedded = embed({"a.png": content})
    assert embedded == {}
    assert "There is no a.png" in shown(embedded, "a.png", "", "")


def test_a_picture_has_words_for_those_who_do_not_see_it_and_its_size() -> None:
    page = Page(shown(embed({"a.png": SMALL}), "a.png", 'two "bars"', "Bars."))
    image = page.all("img")[0]
    assert (image["alt"], image["width"], image["height"]) == ('two "bars"', "19", "10")
    assert not page.mistakes and page.text == "Bars."
