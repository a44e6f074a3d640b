"""How much memory this process may still take: less than the machine has, often."""

from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that the machine, or its cgroup's limit, has left; None where neither is known."""
    known = [limit for limit in (_machine(MEMINFO), _cgroup(CGROUP)) if limit is not None]
    return min(known) if known else None


def _machine(meminfo: Path) -> int | None:
    """Linux's estimate of what can be had without swapping; other systems have no such file."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, amount = line.partition(":")
        kibibytes = amount.split()[:1]
        if name == "MemAvailable" and kibibytes and kibibytes[0].isdigit():
            return int(kibibytes[0]) * 1024
    return None


def _cgroup(folder: Path) -> int | None:
    """What a container's limit leaves, by cgroup version 2, then 1; None: no limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            texts = [(folder / name).read_text().strip() for name in (limit, used)]
        except OSError:
            continue
        if all(text.isdigit() for text in texts):  # version 2 says `max` where there is none
            return max(0, int(texts[0]) - int(texts[1]))
    return None
