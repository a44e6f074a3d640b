"""One Accelerator under any launcher: device, processes, threads, precision; how scripts start."""

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType, ProjectConfiguration

from covid.edge.processors import usable_processors
from covid.errors import LaunchError
from covid.project import command

Precision = Literal["no", "bf16", "fp16"]
TRIM_THRESHOLD, MOST_MAPS = -1, -4  # what glibc's mallopt calls them, in malloc.h
# gloo's source files whose errors come of a connection that was there: it was closed, or nothing
# came through it. Those that make one (connectFullMesh, device.cc) fail at the start of a run.
CONNECTION_LOST = re.compile(r"gloo/transport/\w+/(pair|unbound_buffer)\.")


def start_accelerator(
    *,
    precision: str = "no",
    gradient_accumulation: int = 1,
    compile: bool = False,
    tracker: str | None = None,
    logging_dir: Path | None = None,
) -> Accelerator:
    """The Accelerator for this process, whoever started it.

    `precision` is `auto` or one of `Precision`. Raises LaunchError where the hardware cannot
    do what is asked, where the launcher's processes do not find each other, or where `tracker` is
    not known or not installed.
    """
    if tracker is not None:
        _require_tracker(tracker)
    # Without this Accelerate takes processes on CPUs for single ones, which overwrite each other.
    cpu = not torch.accelerator.is_available() or _environment_flag("ACCELERATE_USE_CPU")
    chosen = choose_precision(precision, cpu)
    threads = max(1, usable_processors() // _environment_count("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    # `accelerate launch` sets one thread, whatever the machine has. Libraries read the first.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    if cpu:
        _keep_freed_memory()
    world = _environment_count("WORLD_SIZE")
    logs = ProjectConfiguration(logging_dir=str(logging_dir) if logging_dir else None)
    try:
        accelerator = Accelerator(
            cpu=cpu,
            mixed_precision=chosen,
            gradient_accumulation_steps=gradient_accumulation,
            dynamo_backend="inductor" if compile else None,
            log_with=tracker,
            project_config=logs,
            step_scheduler_with_optimizer=False,
        )
    except RuntimeError as error:
        if not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()):
            raise
        raise LaunchError(
            f"The {world} processes of this run do not find each other "
            f"({str(error).splitlines()[0].strip(' .')}); check the launcher's address and port, "
            f"and GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME where they are set."
        ) from error
    if world != accelerator.num_processes:
        raise LaunchError(
            f"The launcher started {world} processes, but Accelerate sees only "
            f"{accelerator.num_processes}, so they would overwrite each other's files; start them "
            f"with `{command('train', f'torchrun --nproc_per_node {world}')}`."
        )
    return accelerator


def _require_tracker(name: str) -> None:
    # Accelerate itself goes on without a tracker that is not installed.
    known = [str(each) for each in LoggerType]
    if name not in known:
        raise LaunchError(f"tracker: {name!r} is not one of {', '.join(known)}.")
    if name != "all" and name not in map(str, get_available_trackers()):
        raise LaunchError(
            f"tracker: {name} is not installed; install it with `pip install {name}`, or choose "
            f"another."
        )


def _keep_freed_memory() -> None:
    """Has malloc keep what one training step frees, for the next, instead of giving it back.

    Otherwise the kernel clears every page of every activation again in each step: a tenth of
    the time of whole networks on 2 cores, against a tenth more memory. For the whole process;
    where the C library is not glibc nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MOST_MAPS, 0)  # large blocks come from the heap too,
        mallopt(TRIM_THRESHOLD, -1)  # which never shrinks


def choose_precision(asked: str, cpu: bool) -> Precision:
    """The precision to train in. Raises LaunchError where the hardware cannot do it.

    One that is named wins; `auto` takes the launcher's bf16 or fp16 (its `no` cannot be told
    from its silence), else what the hardware multiplies fastest at sound accuracy.
    """
    launcher = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    named = launcher if asked == "auto" and launcher != "no" else asked
    if named == "fp16" and cpu:
        raise LaunchError("precision: fp16 needs a GPU; use bf16, no or auto on a CPU.")
    match named:
        case "no" | "bf16" | "fp16":
            return named
        case "auto":
            return _best_precision(cpu)
    raise LaunchError(f"precision: the launcher asks for {named}; only no, bf16 and fp16 work.")


def _best_precision(cpu: bool) -> Precision:
    if cpu:
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "no"
    if not torch.cuda.is_available():  # an accelerator of another maker
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def partner_is_gone(error: RuntimeError) -> bool:
    """Whether an error is what remains of another process of the same run.

    NCCL's errors have a class; gloo's are known by the source file that they name. An error that
    kept processes from finding each other is none: that is LaunchError's.
    """
    if isinstance(error, torch.distributed.DistBackendError):
        return True
    text = str(error)
    return bool(CONNECTION_LOST.search(text)) and "connectFullMesh" not in text


def use_full_precision() -> None:
    """Switches off what GPUs do to fp32 by default: 10 bits of mantissa (TF32)."""
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]


def loader_workers(accelerator: Accelerator, *, features: bool = False) -> int:
    """Processes that read batches beside training: none on a CPU, where the network wants it.

    None for features of frozen layers either: reading them takes less than starting a process
    every epoch, and one that is missing is computed on the device, which workers cannot use.
    """
    if accelerator.device.type == "cpu" or features:
        return 0
    # Four feed a GPU from the cache: a worker delivers some 10,000 decoded images per second.
    return min(4, usable_processors() // _environment_count("LOCAL_WORLD_SIZE", "WORLD_SIZE"))


def device_name(accelerator: Accelerator) -> str:
    """What a reader calls the device: `cpu`, or the GPU's name."""
    if accelerator.device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(accelerator.device)})"
    return str(accelerator.device.type)


def _environment_flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes")


def _environment_count(*names: str) -> int:
    for name in names:
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    return 1
