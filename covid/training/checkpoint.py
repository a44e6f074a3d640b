"""Progress of a run, its checkpoints, and stopping in order when asked to."""

import hashlib
import io
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from covid.edge.files import write_atomically
from covid.errors import RunError
from covid.training.run import EpochRecord

KEEP_LAST_CHECKPOINTS = 2  # checkpoints: the last, and the one before it should the last be damaged
MAX_LOST_SECONDS = 5.0  # of work that may be lost; an epoch on kept features takes less than saving
# Set by launchers for their children.
LAUNCHER_VARIABLES = ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID")
DIGEST_BYTES = hashlib.sha256().digest_size  # bytes before a checkpoint's content


@dataclass
class Progress:
    """Where a run is. All of it goes into a checkpoint."""

    stage: int = 0  # the stage in hand
    epoch: int = 0  # epochs finished, of all stages
    step: int = 0  # steps of the epoch in hand that are done
    images: int = 0  # of the epoch in hand, like the next three
    loss_sum: float = 0.0
    correct: int = 0
    seconds: float = 0.0  # of training
    best_epoch: int | None = None
    best_merit: float | None = None  # larger is better; None: of no epoch yet, or not defined
    history: list[EpochRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def count(self, images: int, loss: float, correct: int, seconds: float) -> None:
        """One step more: its images, their mean loss, how many were decided wholly correct."""
        self.step += 1
        self.images += images
        self.loss_sum += loss * images
        self.correct += correct
        self.seconds += seconds

    def finish_epoch(self, record: EpochRecord, merit: float | None) -> bool:
        """One epoch more, the better the larger its `merit`; whether it is the best so far.

        Of equal epochs the earlier one is kept. An epoch without merit is only kept until
        there is one that has some.
        """
        self.history.append(record)
        self.epoch += 1
        self.step = self.images = self.correct = 0
        self.loss_sum = self.seconds = 0.0
        better = self.best_epoch is None or (
            merit is not None and (self.best_merit is None or merit > self.best_merit)
        )
        if better:
            self.best_epoch, self.best_merit = self.epoch, merit
        return better

    def warn(self, sentence: str) -> bool:
        """Notes a warning once; whether it is new."""
        if sentence in self.warnings:
            return False
        self.warnings.append(sentence)
        return True

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


class Stateful(Protocol):
    """What a checkpoint holds: networks, optimisers, schedules, averages, scalers."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


class Checkpoints:
    """A run's checkpoints: when one is due, what goes in, going on from the last.

    `begin_stage` says what goes in. From then on SIGINT and SIGTERM become a wish to stop after
    the step in hand; a second one stops at once. A launcher that is gone is such a wish too.
    Every process must call every method, since what they hold is gathered.
    """

    def __init__(self, accelerator: Accelerator, folder: Path, minutes: float):
        self.accelerator = accelerator
        self.folder = folder
        self.stateful: dict[str, Stateful] = {}
        self.loaded: dict[str, Any] | None = None  # until the stage that it is of begins
        self.seconds = minutes * 60
        self.saved_at = time.monotonic()
        self.signal = 0  # what all processes agreed to stop for, when `due` was last asked
        self.wish = 0  # the first signal that this process got, which may be newer than that
        self.launcher = (
            os.getppid() if any(name in os.environ for name in LAUNCHER_VARIABLES) else None
        )

    def begin_stage(self, stateful: Mapping[str, Stateful | None]) -> None:
        """From now on `stateful` is saved; what `load` has read of it comes back, once."""
        self.stateful = {name: part for name, part in stateful.items() if part is not None}
        if self.loaded is not None:
            for name, part in self.stateful.items():
                part.load_state_dict(self.loaded[name])
            own = self.loaded["random"][self.accelerator.process_index]
            restore_random_state(self.accelerator.device, own)
            self.loaded = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupted)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.wish:
            raise SystemExit(128 + number)
        self.wish = number

    def due(self, *, epoch_ended: bool = False) -> bool:
        """Whether any process was asked to stop, or the last checkpoint is old enough.

        After an epoch a few seconds are enough. A signal that comes in meanwhile is left to the
        next time that this is asked, so that all processes stop after the same step.
        """
        if self.launcher and self.launcher != os.getppid() and not self.wish:
            self.wish = signal.SIGTERM  # it died of one, which it does not pass on
        enough = min(self.seconds, MAX_LOST_SECONDS) if epoch_ended else self.seconds
        old = time.monotonic() - self.saved_at >= enough
        agreed = self.wish
        if self.accelerator.num_processes > 1:
            wishes = torch.tensor([[agreed, int(old)]], device=self.accelerator.device)
            agreed, old = self.accelerator.gather(wishes).amax(dim=0).tolist()
        self.signal = agreed
        return bool(agreed or old)

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint whole, then drops all but the newest two."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.stateful.items()}
        state["progress"] = progress.state_dict()
        state["random"] = self._gather(random_state(self.accelerator.device))
        if self.accelerator.is_main_process:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            content = buffer.getvalue()
            name = f"epoch-{progress.epoch:04d}-step-{progress.step:06d}.checkpoint"
            write_atomically(self.folder / name, hashlib.sha256(content).digest() + content)
            for old in list_checkpoints(self.folder)[:-KEEP_LAST_CHECKPOINTS]:
                old.unlink(missing_ok=True)
        self.saved_at = time.monotonic()

    def load(self, progress: Progress) -> list[str]:
        """Reads the newest whole checkpoint into `progress`, and the rest when its stage begins.

        Returns what the user should know. Raises RunError where none is whole, or the number of
        processes differs.
        """
        state, sentences = load_checkpoint(self.folder)
        if state is None:
            return [f"{self.folder} holds no checkpoint yet; training starts from the beginning."]
        processes = len(state["random"])
        if processes != self.accelerator.num_processes:
            raise RunError(
                f"{self.folder}: was written by {processes} processes and there are "
                f"{self.accelerator.num_processes} now; resume with as many as before."
            )
        progress.load_state_dict(state["progress"])
        self.loaded = state
        return [*sentences, f"Going on after epoch {progress.epoch}, step {progress.step}."]

    def _gather(self, own: list[torch.Tensor]) -> list[list[torch.Tensor]]:
        if self.accelerator.num_processes == 1:
            return [own]
        gathered: list[list[torch.Tensor]] = gather_object([own])
        return gathered


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole checkpoint, or None; and a sentence for each damaged one passed over.

    Raises RunError where there are checkpoints and all are damaged.
    """
    damaged: list[str] = []
    paths = list_checkpoints(folder)
    for path in reversed(paths):
        content = path.read_bytes()
        if hashlib.sha256(content[DIGEST_BYTES:]).digest() == content[:DIGEST_BYTES]:
            state: dict[str, Any] = torch.load(
                io.BytesIO(content[DIGEST_BYTES:]), map_location="cpu", weights_only=True
            )
            return state, damaged
        damaged.append(f"{path}: is damaged (its checksum differs); the one before it is used.")
    if paths:
        raise RunError(f"{folder}: every checkpoint is damaged; start anew with --overwrite.")
    return None, damaged


def list_checkpoints(folder: Path) -> list[Path]:
    """Oldest first: their names sort by epoch and step."""
    return sorted(folder.glob("epoch-*.checkpoint"))


def random_state(device: torch.device) -> list[torch.Tensor]:
    """torch's generators, from which dropout draws: the CPU's, then the GPU's where in use."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def restore_random_state(device: torch.device, states: list[torch.Tensor]) -> None:
    """Undoes `random_state`."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
