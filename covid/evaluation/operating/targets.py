"""What thresholds should reach, as `--target` says it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from covid.edge.labels import LabelSpace
from covid.errors import ConfigError
from covid.evaluation.operating.thresholds import Share


@dataclass(frozen=True)
class Target:
    """What a class should reach: `figure` at least `value`."""

    figure: Share
    value: float  # above 0 and below 1

    def __str__(self) -> str:
        return f"{self.figure}={self.value!r}"


def parse_targets(texts: Sequence[str], space: LabelSpace) -> dict[str, Target]:
    """Each `--target`, `[CLASS:]FIGURE=VALUE`, to the target of each class that has one.

    One without a class is for all; a class's own wins over it. For two classes of `single_label`,
    which have one threshold, it is for the first class. Raises ConfigError.
    """
    general: dict[str, Target] = {}  # under the empty name, with the text
    own: dict[str, Target] = {}
    for text in texts:
        name, target = _parse_target(text, space)
        known = own if name else general
        if known.setdefault(name, target) != target:
            whose = f"{name} has" if name else "all classes have"
            raise ConfigError(
                f"--target {text}: {whose} {known[name]} already, and one threshold reaches one "
                f"target; leave one out."
            )
    if not texts or space.task == "multilabel":
        every = {name: general[""] for name in space.classes} if general else {}
        return every | {name: own[name] for name in space.classes if name in own}
    if len(space.classes) > 2:
        raise ConfigError(
            f"--target: single_label takes the most probable of {len(space.classes)} classes and "
            f"has no threshold to choose; leave --target out, or train a multilabel network."
        )
    wanted = ({space.classes[0]: general[""]} if general else {}) | own
    if len(wanted) > 1:
        both = " and ".join(f"{name}:{target}" for name, target in wanted.items())
        raise ConfigError(
            f"--target: two classes of single_label share one threshold, so {both} cannot both be "
            f"chosen; leave one out."
        )
    return wanted


def _parse_target(text: str, space: LabelSpace) -> tuple[str, Target]:
    """The class, empty for all, and its target."""
    # A class's name may hold a colon itself: what follows the last one is the figure.
    parts = re.fullmatch(r"(?:(.*):)?([^:=]*)=([^=]*)", text.strip(), flags=re.DOTALL)
    try:
        value = float(parts[3]) if parts else None
    except ValueError:
        value = None
    if parts is None or value is None:
        raise ConfigError(
            f"--target {text}: must look like sensitivity=0.95, or {space.classes[0]}:"
            f"sensitivity=0.95 for one class."
        )
    name, figure = parts[1], parts[2].strip()
    if name is not None and (name := name.strip()) not in space.classes:
        raise ConfigError(f"--target {text}: {name} is none of {', '.join(space.classes)}.")
    if figure not in get_args(Share):
        raise ConfigError(
            f"--target {text}: {figure} is none of {', '.join(get_args(Share))}, which a threshold "
            f"can be chosen for."
        )
    if not 0 < value < 1:
        percent = f"; write {value / 100:g} for {value:g} %" if 1 < value < 100 else ""
        raise ConfigError(
            f"--target {text}: {parts[3].strip()} must be above 0 and below 1{percent}."
        )
    return name or "", Target("sensitivity" if figure == "sensitivity" else "specificity", value)
