"""What is wrong with a config, in one sentence that names the key."""

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def sentence(detail: ErrorDetails, config: type[BaseModel]) -> str:
    """pydantic's finding about a `config` in our words, with the key's full name."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    # pydantic puts the names of alternatives among the keys; ours are all in the model tree.
    parts = [str(part) for part in detail["loc"]]
    if parts[0] in ("loss", "optimizer", "scheduler") and len(parts) > 2:
        parts = [parts[0], *parts[2:]]
    if parts[:2] == ["data", "augment"] and len(parts) > 3:
        parts = [*parts[:3], *parts[4:]]
    if parts[:2] == ["model", "trainable"]:
        return "model.trainable: must be all, head, or a list of module names such as [layer4.1]"
    if parts[:2] == ["data", "root"]:
        return "data.root: must be a folder, a list of folders, or phantom"
    if parts[:2] == ["loss", "positive_weight"]:
        return (
            "loss.positive_weight: must be balanced, a number above 0 for each class by its name, "
            "such as {covid: 5}, or a list with one for each"
        )
    if parts[:2] == ["data", "labels"] and len(parts) > 3:
        parts = parts[:3]
    if parts[-1] == "[key]":
        return "data.labels: every key and label must be text; put it in quotes"
    key, given = ".".join(parts), detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(key, detail["loc"], config)
    if kind == "missing":
        return f"{key}: is missing"
    if kind == "union_tag_not_found":
        return f"{key}.name: is missing"
    if kind == "union_tag_invalid":
        allowed = str(context["expected_tags"]).replace("'", "")
        return f"{key}.name: {given.get('name')!r} is not one of {allowed}"
    if kind == "string_pattern_mismatch":
        return f"{key}: {given!r} may hold letters, digits, '.', '_' and '-' only"
    if kind == "too_short":
        return f"{key}: must not be empty"
    if kind == "model_type":
        return f"{key}: must be keys and values, not {given!r:.60}"
    example = "[{name: flip}]" if key == "data.augment" else "[covid, pneumonia]"
    message = detail["msg"].replace("Input should be", "must be").replace("'", "")
    for long, short in (
        ("a valid boolean", "true or false"),
        ("a valid integer", "a whole number"),
        ("a valid number", "a number"),
        ("a valid string", "text"),
        ("a valid tuple", f"a list, such as {example}"),
        ("a valid dictionary or object to extract fields from", "keys and values"),
        ("a valid dictionary", "keys and values"),
    ):
        message = message.replace(long, short)
    return f"{key}: {message}, not {given!r:.60}"


def _unknown_key(key: str, path: Sequence[str | int], config: type[BaseModel]) -> str:
    allowed = _fields(path[:-1], config)
    close = difflib.get_close_matches(str(path[-1]), allowed, n=1)
    hint = f"; did you mean {close[0]}" if close else f"; allowed are {', '.join(allowed)}"
    return f"{key}: is not a known key{hint if allowed else ''}"


def _fields(path: Sequence[str | int], config: type[BaseModel]) -> list[str]:
    """The keys that the section at `path` may hold; `path` names which of several kinds it is."""
    kind: Any = config
    for part in path:
        if hasattr(kind, "model_fields"):
            kind = kind.model_fields[part].annotation
        else:
            kind = next((s for s in _sections(kind) if part in get_args(_tag(s))), kind)
    return list(getattr(kind, "model_fields", ()))


def _sections(kind: Any) -> list[type[BaseModel]]:
    """The sections that a type such as `tuple[Flip | Affine, ...]` is made of."""
    if hasattr(kind, "model_fields"):
        return [kind]
    return [section for part in get_args(kind) for section in _sections(part)]


def _tag(section: type[BaseModel]) -> Any:
    return section.model_fields["name"].annotation
