"""onnxruntime's session: the only module that opens one for users."""

from pathlib import Path
from typing import TYPE_CHECKING

from covid.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
# What a provider must be told so that float stays float. OpenVINO computes in bf16 by default
# where the processor can, which moves a probability by 0.02.
PROVIDER_OPTIONS = {
    "OpenVINOExecutionProvider": {"device_type": "CPU", "precision": "FP32"},
}


def open_session(
    path: Path,
    providers: list[str],
    *,
    threads: int,
    low_memory: bool,
    spinning: bool,
    precise: bool,
) -> "onnxruntime.InferenceSession":
    """A session of the file at `path`, on the first of `providers`; what that lacks on the next.

    `precise` has 8-bit products added in 32 bits where the processor would add them in 16
    (onnxruntime's `session.x64quantprecision`; without effect where none would). Raises
    ModelError where the file cannot be opened, ConfigError for a provider that is not there.
    """
    try:  # imported here: training shares this folder's preprocessing and needs no runtime
        import onnxruntime
    except ModuleNotFoundError:
        raise ModelError("onnxruntime is not installed: pip install onnxruntime") from None

    installed = onnxruntime.get_available_providers()
    for name in providers:
        if name not in installed:
            raise ConfigError(
                f"provider {name}: is not in this onnxruntime, which has {', '.join(installed)}."
            )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = not low_memory
    options.enable_mem_pattern = not low_memory
    options.log_severity_level = 4  # errors are raised as well, and said once is enough
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    # Between two answers nothing spins: others get the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.x64quantprecision", str(int(precise)))
    try:
        session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=[(name, PROVIDER_OPTIONS.get(name, {})) for name in providers],
        )
    except Exception as error:  # onnxruntime's errors have no class of their own above Exception
        raise ModelError(f"{path}: onnxruntime cannot open it ({brief(error)}).") from error
    used = session.get_providers()[0]
    if used != providers[0]:  # onnxruntime goes on with another where a provider fails to start
        raise ConfigError(f"provider {providers[0]}: cannot start here; {used} would take over.")
    return session


def brief(error: Exception) -> str:
    """What onnxruntime says in many lines, in one."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
