"""Config files to one tree of plain values: YAML, `base:` files, `--set`.

A config file may name a `base:` file (beside it, or a path from it) and say only what differs.
`--set KEY=VALUE` goes over both. Mappings are merged key by key, with two exceptions: labels
are replaced as a whole, and so is a loss, optimizer or scheduler whose `name` changes, because
the parameters of one mean nothing to another. What `--set` names is replaced too.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from covid.errors import ConfigError

MAX_CONFIG_BYTES = 1_000_000  # a real one has about a thousand
# Keys whose values are paths, and the words that such a value may be instead.
PATH_KEYS = {"data.root": ("phantom",), "data.cache_dir": (), "model.weights": ("imagenet", "none")}


class _Loader(yaml.SafeLoader):
    """YAML with the scalars of version 1.2: `no`, `on` and `off` are words, 1e-3 is a number.

    Aliases and repeated keys are refused: the first can blow up, the second hides a mistake.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} stands there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_RESOLVERS = {
    "tag:yaml.org,2002:bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "tag:yaml.org,2002:int": (r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$"
        r"|^\.(?:nan|NaN|NAN)$",
        "-+.0123456789",
    ),
    "tag:yaml.org,2002:null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
}


def _use_version_1_2() -> None:
    _Loader.yaml_implicit_resolvers = {}
    for tag, (pattern, first) in _RESOLVERS.items():
        _Loader.add_implicit_resolver(tag, re.compile(pattern), list(first))


_use_version_1_2()


def read_tree(path: Path, settings: Sequence[str]) -> dict[str, Any]:
    """The values of a config file, its bases under it and `settings` (`KEY=VALUE`) over it.

    Relative paths in `settings` become absolute, from the working directory.
    Raises ConfigError: one sentence that names the file, the line where known, and the key.
    """
    overlay, whole = _settings_tree(settings)
    return merge(_read_with_bases(path, ()), overlay, whole)


def _read_with_bases(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    real = path.resolve()
    if real in seen:
        raise ConfigError(f"{path}: base: leads back to this very file; break the circle.")
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: is over 1 MB, which no config is; name another file.")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such config; {_others(path)}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from None
    tree = parse_yaml(text, str(path))
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(f"{path}: base: must be the name of a config file.")
    return merge(_read_with_bases(path.parent / base, (*seen, real)), tree, {"data.labels"})


def _others(path: Path) -> str:
    names = sorted(other.name for other in path.parent.glob("*.yaml"))
    close = difflib.get_close_matches(path.name, names, n=3)
    if not names:
        return "the project's repository has some under configs/"
    return f"{path.parent} holds {', '.join(close or names)}"


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """Keys and values from text; `source` is what an error names."""
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 (derived from SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or "characters that YAML does not allow"
        raise ConfigError(f"{source}:{line} is not valid YAML: {problem}.") from None
    except (RecursionError, ValueError) as error:  # thousands of brackets; a number of 5,000 digits
        raise ConfigError(f"{source}: cannot be understood ({type(error).__name__}).") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise ConfigError(f"{source}: must hold keys and values, such as `epochs: 10`.")
    return tree


def _settings_tree(settings: Sequence[str]) -> tuple[dict[str, Any], set[str]]:
    """What `--set` says as a tree, and the keys that it names, whose values it gives whole."""
    tree: dict[str, Any] = {}
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        keys = dotted.split(".")
        if not equals or not all(keys):
            raise ConfigError(f"--set {setting}: must look like KEY=VALUE, such as epochs=2.")
        value = parse_yaml(f"value: {text}", f"--set {setting}").get("value")
        words = PATH_KEYS.get(dotted)
        if words is not None and isinstance(value, list):
            value = [_absolute(item, words) for item in value]
        elif words is not None:
            value = _absolute(value, words)
        branch = tree
        for key in keys[:-1]:
            branch = branch.setdefault(key, {})
            if not isinstance(branch, dict):
                raise ConfigError(f"--set {setting}: {dotted} is set twice, in two shapes.")
        branch[keys[-1]] = value
    return tree, {setting.partition("=")[0] for setting in settings}


def _absolute(value: Any, words: Collection[str]) -> Any:
    """A path from the working directory on; what is one of `words`, or no text, as it is."""
    if not isinstance(value, str) or value in words:
        return value
    return str(Path(value).expanduser().absolute())


def merge(
    under: Mapping[str, Any], over: Mapping[str, Any], whole: Collection[str], path: str = ""
) -> dict[str, Any]:
    """`over` laid over `under`; the mappings at the keys in `whole` are replaced, not merged.

    So is a loss, optimizer or scheduler that gets another name.
    """
    merged = dict(under)
    for key, value in over.items():
        old, where = merged.get(key), f"{path}{key}"
        replaces = where in whole or (
            where in ("loss", "optimizer", "scheduler")
            and isinstance(old, dict)
            and isinstance(value, dict)
            and value.get("name", old.get("name")) != old.get("name")
        )
        if isinstance(old, dict) and isinstance(value, dict) and not replaces:
            merged[key] = merge(old, value, whole, f"{where}.")
        else:
            merged[key] = value
    return merged


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted key and the value of each leaf: of what in a tree is no mapping."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The tree whose `leaves` these are."""
    tree: dict[str, Any] = {}
    for dotted, value in flat.items():
        *parents, last = dotted.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = value
    return tree
