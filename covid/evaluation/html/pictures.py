"""Pictures inside report.html: as data, small enough that the whole file can be sent by mail."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from covid.evaluation.html.elements import Markup, absent, element
from covid.evaluation.page import DOTS_PER_INCH

# Bytes of all pictures together: base64 makes four bytes of three, so that these take 2.5 MB and
# leave half a MB of the report's three for its words.
MAX_BYTES = 1_900_000
KEPT_BYTES = 150_000  # a picture up to this size stays to the bit: most but photographs are smaller
# Width in pixels and JPEG quality, tried one after the other until all pictures fit together: the
# first is wider than a desk's page shows at two pixels a point, the last still shows its words.
STEPS = ((2000, 88), (1600, 80), (1200, 72), (900, 60), (600, 50))
POINTS_PER_INCH = 96  # CSS pixels
NARROW = 560  # CSS pixels that a picture keeps on a telephone, where it scrolls: words stay legible


@dataclass(frozen=True)
class Picture:
    """A picture as an `<img>` can hold it."""

    uri: str  # data:image/png;base64,…
    width: int  # of the picture as it was drawn, in pixels, as the next
    height: int

    def shown(self, alternative: str, caption: str) -> Markup:
        """A `<figure>`; `alternative` says in words what it shows."""
        width = round(self.width * POINTS_PER_INCH / DOTS_PER_INCH)
        image = element(
            "img", src=Markup(self.uri), alt=alternative, width=width,
            height=round(self.height * POINTS_PER_INCH / DOTS_PER_INCH),
            style=f"min-width: min({width}px, {NARROW}px)",
        )  # fmt: skip
        box = element(
            "div", image, class_="scroll", role="region", tabindex=0, aria_label=caption
        )
        return element("figure", box, element("figcaption", caption))


def embed(pictures: Mapping[str, bytes], max_bytes: int = MAX_BYTES) -> dict[str, Picture]:
    """Pictures by name as data, together at most some `max_bytes` before base64.

    Of each, the smaller of a PNG of 256 colours and a JPEG; one that is small stays as it is.
    What is no picture is left out.
    """
    opened = {name: image for name, content in pictures.items() if (image := _open(content))}
    encoded = {name: ("png", pictures[name]) for name in opened}
    large = [name for name in opened if len(pictures[name]) > KEPT_BYTES]
    kinds: dict[str, Sequence[str]] = dict.fromkeys(large, ("png", "jpeg"))
    for width, quality in STEPS:
        for name in large:
            encoded[name] = _smallest(opened[name], width, quality, kinds[name])
            kinds[name] = encoded[name][:1]  # which of the two is smaller is no other later
        if sum(len(content) for _, content in encoded.values()) <= max_bytes:
            break
    return {
        name: Picture(
            f"data:image/{kind};base64,{base64.b64encode(content).decode()}", *opened[name].size
        )
        for name, (kind, content) in encoded.items()
    }


def shown(
    pictures: Mapping[str, Picture], name: str, alternative: str, caption: str
) -> Markup:
    """The picture, or a sentence where there is none of that name."""
    if name not in pictures:
        return absent(f"There is no {name} beside this report.")
    return pictures[name].shown(alternative, caption)


def _open(content: bytes) -> Image.Image | None:
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG",))
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # as Pillow has it
        return None
    white = Image.new("RGB", image.size, "white")
    white.paste(image.convert("RGBA"), mask=image.convert("RGBA").getchannel("A"))
    return white


def _smallest(
    image: Image.Image, width: int, quality: int, kinds: Sequence[str]
) -> tuple[str, bytes]:
    if image.width > width:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    encoded = {}
    if "png" in kinds:
        palette = image.quantize(256, dither=Image.Dither.NONE)
        encoded["png"] = _encoded(palette, format="PNG", optimize=True)
    if "jpeg" in kinds:
        encoded["jpeg"] = _encoded(image, format="JPEG", quality=quality, optimize=True)
    return min(encoded.items(), key=lambda item: len(item[1]))


def _encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()
