"""Small runs for tests: starting, interrupting and comparing them, and errors."""

import contextlib
import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file

import evaluate as evaluate_script
import train as train_script
from tests.conftest import PROJECT, clean_environment

CONFIG = Path("configs/resnet18_multilabel.yaml")
# The smallest run there is: 12 images of 32 pixels, four of them a batch, the first half of a
# network from scratch, in fp32. Whole, its checkpoints alone take half of the time.
SMALL = (
    "model.weights=none", "model.until=layer2", "model.dropout=0.5", "model.hidden_units=8",
    "data.image_size=32", "epochs=2", "batch_size=4", "precision=no",
)  # fmt: skip
LAUNCH = ("accelerate.commands.launch",)  # a module, and what else it takes
LONG = ("epochs=4", "checkpoint_minutes=1e-9")  # a checkpoint every step


def arguments(root: Path, output: Path, *settings: str, config: Path = CONFIG) -> list[str]:
    """The command line of a run; a small one unless `config` names another than CONFIG."""
    small = SMALL if config == CONFIG else ()
    places = (f"data.root={root}", f"data.cache_dir={output.parent / 'cache'}")
    chosen = [part for value in (*small, *places, *settings) for part in ("--set", value)]
    return ["--config", str(config), "--output", str(output), *chosen]


def train(
    root: Path,
    output: Path,
    *settings: str,
    flags: tuple[str, ...] = (),
    config: Path = CONFIG,
) -> subprocess.CompletedProcess[str]:
    """train.py's `main` in this process, which has imported torch already."""
    command = [*arguments(root, output, *settings, config=config), *flags]
    return called(train_script.main, "train.py", *command)


def evaluate(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """evaluate.py's `main` in this process."""
    return called(evaluate_script.main, "evaluate.py", *command)


def called(
    main: Callable[[], int], name: str, *command: str | Path
) -> subprocess.CompletedProcess[str]:
    """What a script's `main` gives and prints for a command line."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    precision = matmul.fp32_precision, conv.fp32_precision
    line = [name, *map(str, command)]
    printed, complained = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(complained),
    ):
        patch.setattr(sys, "argv", line)
        code = main()
    matmul.fp32_precision, conv.fp32_precision = precision  # which evaluate.py sets for good
    for number, handler in kept.items():
        signal.signal(number, handler)
    return subprocess.CompletedProcess(line, code, printed.getvalue(), complained.getvalue())


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "best.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def interrupt(
    root: Path, output: Path, number: int, *settings: str, seen: str = "*"
) -> tuple[int, str]:
    """Sends a signal once a checkpoint (`seen`) is there; returns the exit code and stdout."""
    command = [sys.executable, "train.py", *arguments(root, output, *settings)]
    process = subprocess.Popen(command, cwd=PROJECT, env=clean_environment(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    while process.poll() is None and not list(output.glob(f"checkpoints/{seen}.checkpoint")):
        time.sleep(0.01)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=120)
    return process.returncode, printed


def refused(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def features_kept(cache: Path) -> int:
    """Rows of features whose checksum is written."""
    return sum(
        int(np.count_nonzero(np.fromfile(path, dtype=np.uint32)))
        for path in cache.glob("features-*.checksums")
    )
