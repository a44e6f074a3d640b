"""How many processors this process may use: fewer than the machine has, often."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_processors() -> int:
    """The smallest of the machine's processors, this process's affinity and its cgroup's quota."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        count = min(count, len(os.sched_getaffinity(0)))
    quota = _cgroup_quota(CGROUP)
    return max(1, min(count, quota)) if quota else count


def _cgroup_quota(folder: Path) -> int | None:
    """Whole processors that a container was given, by cgroup version 2, then 1; None: no limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (quota.isdigit() and period.isdigit()) or int(period) == 0:  # `max`, or -1
        return None
    return max(1, int(quota) // int(period))
