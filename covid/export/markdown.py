"""Markdown of plain values, in which no name of other people's becomes markup."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOT_STATED = "not stated"


def plain(words: Any) -> str:
    """Words as Markdown that shows just them: no tag, no link, no table's bar, one line."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode()
                    for c in str(words))  # fmt: skip
    shown = re.sub(r"([\\`*\[\]|#])", r"\\\1", shown)
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {plain(sentence)}" for sentence in sentences)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """One block, or none where there are no rows; the cells are Markdown already."""
    if not rows:
        return []
    lines = [header, ["---"] * len(header), *rows]
    return ["\n".join(f"| {' | '.join(line)} |" for line in lines)]


def figure(fields: Mapping[str, Any] | None) -> str:
    """A figure of metrics.json, {"value", "low", "high"}: 0.923 (0.874–0.962)."""
    value, low, high = ((fields or {}).get(key) for key in ("value", "low", "high"))
    if value is None:
        return "– (not determined)"
    if low is None or high is None:
        return f"{value:.3f} (no interval)"
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def count(number: int | None) -> str:
    return NOT_STATED if number is None else f"{number:,}"


def age(fields: Mapping[str, Any]) -> str:
    """The median of data_audit.json's `age`, and of how many images it is."""
    median = fields.get("median")
    return NOT_STATED if median is None else f"{median:.3g} (of {fields['known']:,})"


def counted(values: Mapping[str, int] | None) -> str:
    """`PA 84, AP 24`."""
    known = values or {}
    if not set(known) - {"unknown"}:
        return NOT_STATED
    return plain(", ".join(f"{name} {n:,}" for name, n in known.items()))


def digest(value: str | None) -> str:
    return f"`{plain(value)}`" if value else NOT_STATED
