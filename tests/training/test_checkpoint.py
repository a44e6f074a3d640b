"""Checkpoints: whole or not there, damaged ones passed over, all that decides the next step."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from covid.errors import RunError
from covid.training.checkpoint import (
    MAX_LOST_SECONDS,
    Checkpoints,
    Progress,
    list_checkpoints,
    load_checkpoint,
)
from covid.training.run import EpochRecord
from tests.conftest import free_port, run_script

pytestmark = pytest.mark.usefixtures("one_process", "signals_as_before")


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def make(folder: Path, minutes: float = 10) -> tuple[Checkpoints, nn.Module, Progress]:
    network = nn.Linear(3, 2)
    checkpoints = Checkpoints(Accelerator(cpu=True), folder, minutes)
    checkpoints.begin_stage({"network": network, "averaged": None})
    return checkpoints, network, Progress(warnings=["one"])


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    checkpoints, network, progress = make(tmp_path)
    progress.count(images=4, loss=0.5, correct=3, seconds=1.0)
    checkpoints.save(progress)
    others, other_network, other = make(tmp_path)
    others.load(other)
    others.begin_stage({"network": other_network})
    assert other == progress
    assert torch.equal(other_network.state_dict()["weight"], network.state_dict()["weight"])


def test_the_random_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    checkpoints, _, progress = make(tmp_path)
    checkpoints.save(progress)
    expected = torch.rand(3)
    checkpoints.load(progress)
    checkpoints.begin_stage({})
    assert torch.equal(torch.rand(3), expected)


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    checkpoints, _, progress = make(tmp_path)
    for _ in range(4):
        progress.count(images=1, loss=0.0, correct=0, seconds=0.0)
        checkpoints.save(progress)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "epoch-0000-step-000003.checkpoint", "epoch-0000-step-000004.checkpoint",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_one_is_named_and_the_one_before_it_used(tmp_path: Path, damage: str) -> None:
    checkpoints, _, progress = make(tmp_path)
    for _ in range(2):
        progress.count(images=1, loss=0.0, correct=0, seconds=0.0)
        checkpoints.save(progress)
    newest = list_checkpoints(tmp_path)[-1]
    content = bytearray(newest.read_bytes())
    content[100] ^= 1
    newest.write_bytes({"cut": bytes(content[:50]), "flip": bytes(content), "empty": b""}[damage])
    state, damaged = load_checkpoint(tmp_path)
    assert state is not None and state["progress"]["step"] == 1
    assert newest.name in damaged[0]


def test_only_damaged_ones_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "epoch-0000-step-000001.checkpoint").write_bytes(b"x")
    with pytest.raises(RunError, match="every checkpoint is damaged"):
        load_checkpoint(tmp_path)


def test_without_a_checkpoint_training_starts_and_says_so(tmp_path: Path) -> None:
    checkpoints, _, progress = make(tmp_path)
    assert "starts from the beginning" in checkpoints.load(progress)[0]


def test_none_is_due_before_its_minutes_have_passed(tmp_path: Path) -> None:
    assert not make(tmp_path, minutes=10)[0].due()


def test_one_is_due_when_its_minutes_have_passed(tmp_path: Path) -> None:
    assert make(tmp_path, minutes=1e-9)[0].due()


def test_after_an_epoch_one_is_due_when_some_seconds_of_work_would_be_lost(tmp_path: Path) -> None:
    checkpoints = make(tmp_path, minutes=10)[0]
    assert not checkpoints.due(epoch_ended=True)
    checkpoints.saved_at -= MAX_LOST_SECONDS
    assert checkpoints.due(epoch_ended=True) and not checkpoints.due()


def test_a_signal_makes_one_due_and_is_remembered(tmp_path: Path) -> None:
    checkpoints = make(tmp_path)[0]
    signal.raise_signal(signal.SIGTERM)
    assert checkpoints.due() and checkpoints.signal == signal.SIGTERM


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    make(tmp_path)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(SystemExit) as caught:
        signal.raise_signal(signal.SIGINT)
    assert caught.value.code == 130


# Rank 0 gets a signal after it has told the other that it has none; both print what they decide.
MEANWHILE = """
import signal, sys
from pathlib import Path
from accelerate import Accelerator
from covid.training.checkpoint import Checkpoints

accelerator = Accelerator(cpu=True)
checkpoints = Checkpoints(accelerator, Path("unused"), minutes=10)
checkpoints.begin_stage({})
gather = accelerator.gather

def interrupted_gather(tensor):
    accelerator.gather = gather
    if accelerator.is_main_process:
        signal.raise_signal(signal.SIGTERM)
    return gather(tensor)

accelerator.gather = interrupted_gather
seen = [(checkpoints.due(), int(checkpoints.signal)) for _ in range(3)]
sys.stdout.write(f"{seen}\\n")
"""


def test_a_signal_that_comes_while_processes_confer_is_seen_by_all_at_the_next_step(
    tmp_path: Path,
) -> None:
    script = tmp_path / "meanwhile.py"
    script.write_text(MEANWHILE)
    environment = {"ACCELERATE_USE_CPU": "1", "PYTHONPATH": "."}
    done = run_script("-m", "torch.distributed.run", "--nproc_per_node=2",
                      f"--master_port={free_port()}", script, environment=environment)  # fmt: skip
    agreed = [(False, 0), (True, int(signal.SIGTERM)), (True, int(signal.SIGTERM))]
    assert done.stdout.splitlines() == [str(agreed)] * 2, done.stderr


def record(epoch: int) -> EpochRecord:
    return {"epoch": epoch}


def test_of_equal_epochs_the_earlier_is_the_best() -> None:
    progress = Progress()
    assert progress.finish_epoch(record(1), 0.5)
    assert not progress.finish_epoch(record(2), 0.5)
    assert progress.best_epoch == 1


def test_a_larger_merit_is_better() -> None:
    progress = Progress()
    progress.finish_epoch(record(1), -0.5)
    assert progress.finish_epoch(record(2), -0.4)


def test_an_epoch_without_merit_is_kept_until_one_has_some() -> None:
    progress = Progress()
    better = [progress.finish_epoch(record(1), merit) for merit in (None, None, -9, None)]
    assert better == [True, False, True, False]


def test_a_warning_is_noted_once() -> None:
    progress = Progress()
    assert progress.warn("odd") and not progress.warn("odd")
    assert progress.warnings == ["odd"]
