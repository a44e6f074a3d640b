"""HTML made of functions: whatever is not markup already is escaped, so no name can become a tag.

Names of images, labels and sources are other people's words. Only `element`, `join` and `figure`
make `Markup`; a plain string that is put into an element is text.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

DASH = "–"
# Elements that have no content and no end (HTML Standard, section 13.1.2).
VOID = frozenset({"meta", "link", "img", "br"})


class Markup(str):
    """Text that is HTML already. Joined to a string with `+` it is a string, and text, again."""


def text(words: str) -> Markup:
    """`words` as text: escaped, and what cannot be seen written out.

    Line breaks stay. A character that turns the direction of writing, or ends a file, could make
    a name look like another.
    """
    if isinstance(words, Markup):
        return words
    shown = (
        character
        if character.isprintable() or character == "\n"
        else character.encode("unicode_escape").decode()
        for character in words
    )
    return Markup(escape("".join(shown)))


def join(*parts: str) -> Markup:
    return Markup("".join(text(part) for part in parts))


def element(name: str, *children: str, **attributes: str | int | None) -> Markup:
    """`<name …>children</name>`. An attribute that is None is left out.

    `class_` is the attribute `class`; an underscore within a name is a hyphen.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def paragraph(*parts: str) -> Markup:
    return element("p", *parts)


def code(words: str) -> Markup:
    return element("code", words)


def bullets(items: Iterable[str]) -> Markup:
    """A list; nothing where there are no items."""
    rows = [element("li", item) for item in items]
    return element("ul", *rows) if rows else Markup()


def section(name: str, heading: str, *parts: str) -> Markup:
    """A section that links can name, under its heading."""
    title = element("h2", heading, id=f"{name}-heading")
    return element("section", title, *parts, id=name, aria_labelledby=f"{name}-heading")


def callout(heading: str, sentences: Sequence[str]) -> Markup:
    """A box that is not overlooked; nothing where there are no sentences."""
    if not sentences:
        return Markup()
    parts = [element("p", element("strong", heading)), bullets(sentences)]
    return element("div", *parts, class_="callout", role="note")


def absent(sentence: str) -> Markup:
    """What a section says in place of what it would hold."""
    return element("p", sentence, class_="absent")


def table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, words: Sequence[int] = ()
) -> Markup:
    """A table in a box of its own, which scrolls where the page is narrow.

    The first cell of a row names it; the others are numbers, to the right, but for the columns
    in `words`. Nothing where there are no rows.
    """
    columns = range(len(header))
    aligned = [None if place == 0 else "words" if place in words else "number" for place in columns]
    lines = []
    for row in rows:
        first, *others = row
        cells = [
            element("td", cell, class_=kind)
            for cell, kind in zip(others, aligned[1:], strict=True)
        ]
        lines.append(element("tr", element("th", first, scope="row"), *cells))
    if not lines:
        return Markup()
    heads = [
        element("th", title, scope="col", class_=kind)
        for title, kind in zip(header, aligned, strict=True)
    ]
    whole = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", element("tr", *heads)),
        element("tbody", *lines),
    )
    # A box that scrolls must be reachable by keyboard, and then needs a name.
    return element("div", whole, class_="scroll", role="region", tabindex=0, aria_label=caption)


def figure(
    fields: Mapping[str, Any] | None, *, digits: int = 3, reason: str = "not determined"
) -> Markup:
    """A figure of metrics.json, `{"value", "low", "high"}`: 0.923 (0.874–0.962).

    A dash with `reason` where it has no value; without an interval, the value says so.
    """
    value, low, high = (None if fields is None else fields.get(key)
                        for key in ("value", "low", "high"))  # fmt: skip
    if value is None:
        return join(DASH, " ", element("small", f"({reason})"))
    if low is None or high is None:
        return join(number(value, digits), " ", element("small", "(no interval)"))
    between = DASH if low >= 0 else " to "  # a dash beside a minus sign would be misread
    interval = f"({number(low, digits)}{between}{number(high, digits)})"
    return join(number(value, digits), " ", element("span", interval, class_="interval"))


def number(value: float | None, digits: int = 3) -> str:
    """A dash where there is none; a true minus sign, which a line does not break after."""
    return DASH if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def count(number_of: int | None) -> str:
    return DASH if number_of is None else f"{number_of:,}"


def plural(number_of: int, noun: str, several: str = "") -> str:
    """`1 image`, `2 images`."""
    return f"{number_of:,} {noun if number_of == 1 else several or f'{noun}s'}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
