"""Runs in forked processes that can be killed, and what became of them.

Each is a fork of a process that has imported everything: a start costs milliseconds, so that
most moments at which it can be killed lie in its work. That process itself must not compute with
torch: the threads that it starts then do not survive a fork.
"""

import contextlib
import os
import random
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import export
import train

PROJECT = Path(__file__).resolve().parent.parent
CONFIG = PROJECT / "configs/resnet18_multilabel.yaml"
# The smallest run that has everything: a frozen part, an average, a checkpoint every step.
SETTINGS = (
    "model.weights=none", "model.until=layer2", "model.trainable=[layer2.1]",
    "model.hidden_units=8", "model.dropout=0.5", "data.image_size=32", "epochs=3",
    "batch_size=4", "precision=no", "ema=0.9", "checkpoint_minutes=1e-9",
)  # fmt: skip


@dataclass(frozen=True)
class Broken:
    """One row of the table: what was broken, how often, and how often something was lost."""

    what: str
    times: int
    lost: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """What every row works with: a folder of its own, images, and an uninterrupted run."""

    folder: Path
    images: Path
    whole: Path
    chance: random.Random


def start(work: Callable[[], int], log: Path) -> int:
    """Runs `work` in a forked process, what it prints going to `log`; returns its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(written, 1)
        os.dup2(written, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        code = work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 70
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def finish(process: int) -> int:
    """Waits for a process; its exit code, negative where a signal ended it."""
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def ended(process: int) -> int | None:
    """The exit code of a process, or None while it runs."""
    finished, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if finished else None


def gone(process: int) -> bool:
    """Whether a child has ended; its exit code stays to be asked for."""
    status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return status == "Z"


def children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(number) for number in listed]


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " | ".join(lines[-3:])


def count_lost(work: Callable[[], list[str]], log: Path) -> tuple[int, tuple[str, ...]]:
    """How many sentences `work` returns of what was lost, in a forked process; and they."""

    def counting() -> int:
        sentences = work()
        print("\n".join(sentences))
        return min(len(sentences), 125)  # an exit code holds no more

    code = finish(start(counting, log))
    return abs(code), tuple(log.read_text(errors="replace").splitlines()[-10:]) if code else ()


def training(images: Path, output: Path, cache: Path) -> Callable[[], int]:
    """`train.py`'s main, resuming what is there."""

    def work() -> int:
        resume = ["--resume"] if (output / "config.yaml").exists() else []
        places = (f"data.root={images}", f"data.cache_dir={cache}")
        chosen = [part for value in (*SETTINGS, *places) for part in ("--set", value)]
        sys.argv = ["train.py", "--config", str(CONFIG), "--output", str(output), *chosen, *resume]
        return train.main()

    return work


def exporting(run: Path, output: Path) -> Callable[[], int]:
    def work() -> int:
        sys.argv = ["export.py", str(run), "--output", str(output)]
        return export.main()

    return work
