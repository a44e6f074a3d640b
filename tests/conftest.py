"""Small images on disk, and the scripts as a user starts them."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from accelerate.state import AcceleratorState, GradientState
from hypothesis import settings
from PIL import Image

# A test says what is true, not how long it takes; and a failure must come again when asked.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

PROJECT = Path(__file__).resolve().parent.parent
LABELS = ("covid", "normal", "pneumonia")
MakeImages = Callable[..., Path]


def pytest_configure() -> None:
    """Gives each of several test processes, and all that it starts, a processor of its own.

    Else each training uses all of them, and threads wait for each other more than they compute.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {usable[int(worker.removeprefix("gw")) % len(usable)]})


def write_image(path: Path, seed: int, brightness: int = 128, size: int = 40) -> None:
    """Noise around a brightness: enough to tell classes apart, and no two images alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    pixels = generator.normal(brightness, 25, (size, size)).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def write_split_images(root: Path, labels: Sequence[str], counts: Mapping[str, int]) -> Path:
    """ROOT/SPLIT/LABEL/*.png, no two alike; `counts` is split -> images of each label."""
    seed = 0
    for split, images in counts.items():
        for place, label in enumerate(labels):
            for number in range(images):
                seed += 1
                path = root / split / label / f"{label}-{number}.png"
                write_image(path, seed, brightness=60 + 60 * (place % 4))
    return root


@pytest.fixture
def make_images(tmp_path: Path) -> MakeImages:
    """Makes ROOT/SPLIT/LABEL/*.png; `counts` is split -> images of each label."""

    def make(
        labels: tuple[str, ...] = LABELS,
        counts: Mapping[str, int] | None = None,
        name: str = "images",
    ) -> Path:
        return write_split_images(
            tmp_path / name, labels, counts or {"train": 4, "validation": 2, "test": 2}
        )

    return make


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training images, four of each of LABELS, and half as many of the other splits."""
    counts = {"train": 4, "validation": 2, "test": 2}
    return write_split_images(tmp_path_factory.mktemp("images"), LABELS, counts)


@pytest.fixture
def one_process() -> None:
    """Accelerate keeps its state for the life of a process: a test that starts it starts anew."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def run_script(
    *command: str | Path, timeout: float = 300, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `python SCRIPT …`, or a module with `-m`, in the project's folder."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=PROJECT,
        env={**clean_environment(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def clean_environment() -> dict[str, str]:
    """This process's variables without those that a launcher sets or that limit threads."""
    launcher = ("ACCELERATE_", "LOCAL_", "RANK", "WORLD_SIZE", "MASTER_", "OMP_")
    return {key: value for key, value in os.environ.items() if not key.startswith(launcher)}


def free_port() -> int:
    """A port that nobody listens at, so that launchers that run side by side do not meet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
