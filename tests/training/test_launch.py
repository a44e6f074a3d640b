"""Launching: the precision that is asked for or fits, and threads for every process."""

import platform
from pathlib import Path

import pytest
import torch
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType

from covid.errors import LaunchError
from covid.project import command
from covid.training.launch import (
    choose_precision,
    partner_is_gone,
    start_accelerator,
)
from tests.conftest import free_port, run_script

pytestmark = pytest.mark.usefixtures("one_process")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCELERATE_MIXED_PRECISION", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_auto_is_bf16_where_the_processor_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert choose_precision("auto", cpu=True) == "bf16"


def test_auto_is_fp32_on_other_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert choose_precision("auto", cpu=True) == "no"


@pytest.mark.parametrize(("able", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_cuda_is_bf16_from_ampere_and_fp16_before(
    monkeypatch: pytest.MonkeyPatch, able: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able)
    assert choose_precision("auto", cpu=False) == expected


def test_the_launcher_wins_over_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    assert choose_precision("auto", cpu=True) == "bf16"


def test_a_config_that_names_one_wins_over_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert choose_precision("no", cpu=True) == "no"


def test_half_precision_on_a_processor_is_refused() -> None:
    with pytest.raises(LaunchError, match="fp16 needs a GPU"):
        choose_precision("fp16", cpu=True)


def test_a_launcher_s_fp8_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")
    with pytest.raises(LaunchError, match="the launcher asks for fp8"):
        choose_precision("auto", cpu=True)


def test_processes_that_do_not_find_each_other_are_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 1)
    monkeypatch.setattr("covid.training.launch._environment_count", lambda *names: 2)
    with pytest.raises(LaunchError, match="The launcher started 2 processes, .* sees only 1"):
        start_accelerator()


# As torch 2.14 words them, of processes of which one was killed or stopped answering.
LOST = (
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer "
    "[127.0.0.1]:14234. This is typically caused by a remote worker crashing.",
    "[/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting "
    "4000ms for recv operation to complete",
)
# And of two that could not reach each other, or that were given an interface that is not there.
NEVER_MET = (
    "Gloo connectFullMesh failed with [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:152] "
    "timed out connecting: SO_ERROR: Connection refused, remote=[127.0.0.1]:49588$0",
    "Gloo connectFullMesh failed with [/pytorch/third_party/gloo/gloo/transport/tcp/pair.h:311] "
    "Connect timeout [none]",
    "[enforce fail at /pytorch/third_party/gloo/gloo/transport/tcp/device.cc:84] ifa != nullptr. "
    "Unable to find address for: nonsense0",
)


@pytest.mark.parametrize("message", LOST)
def test_a_connection_that_was_lost_says_that_the_partner_is_gone(message: str) -> None:
    assert partner_is_gone(RuntimeError(message))


@pytest.mark.parametrize("message", NEVER_MET)
def test_a_connection_that_never_was_does_not_say_that_the_partner_is_gone(message: str) -> None:
    assert not partner_is_gone(RuntimeError(message))


def test_a_master_that_is_not_there_is_no_partner_that_is_gone() -> None:
    error = torch.distributed.DistNetworkError("The client socket has timed out after 6000ms")
    assert not partner_is_gone(error)


def test_processes_that_cannot_reach_each_other_are_told_why(tmp_path: Path) -> None:
    script = tmp_path / "start.py"
    script.write_text(
        "from covid.errors import LaunchError\n"
        "from covid.training.launch import start_accelerator\n"
        "try:\n    start_accelerator()\n"
        "except LaunchError as error:\n    print(error)\n"
    )
    environment = {"GLOO_SOCKET_IFNAME": "nonsense0", "PYTHONPATH": ".", "ACCELERATE_USE_CPU": "1"}
    done = run_script("-m", "torch.distributed.run", "--nproc_per_node=2",
                      f"--master_port={free_port()}", script, environment=environment)  # fmt: skip
    assert "The 2 processes of this run do not find each other" in done.stdout, done.stderr
    assert "Unable to find address for: nonsense0" in done.stdout


# New pages in the later ones of steps that each free as many as they take.
NEW_PAGES = """
import resource, sys
import torch
from covid.training.launch import start_accelerator

if "accelerator" in sys.argv:
    start_accelerator()
for step in range(16):
    if step == 8:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(100_000_000, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_a_step_freed_is_there_for_the_next() -> None:
    anew, kept = (int(run_script("-c", NEW_PAGES, word).stdout) for word in ("", "accelerator"))
    assert kept < anew / 2


def test_an_unknown_tracker_is_named_with_those_that_there_are() -> None:
    with pytest.raises(LaunchError, match="tracker: 'tensorbord' is not one of all, .*tensorboard"):
        start_accelerator(tracker="tensorbord")


def test_a_tracker_that_is_not_installed_is_not_left_out_in_silence() -> None:
    installed = {"all", *map(str, get_available_trackers())}
    absent = [str(each) for each in LoggerType if str(each) not in installed]
    if not absent:
        pytest.skip("every tracker is installed here")
    with pytest.raises(LaunchError, match=f"tracker: {absent[0]} is not installed"):
        start_accelerator(tracker=absent[0])


def test_a_clone_s_scripts_are_started_by_their_files() -> None:
    assert command("evaluate") == "python evaluate.py"
    assert command("train", "accelerate launch") == "accelerate launch train.py"
