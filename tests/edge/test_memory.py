"""Memory: the less of what the machine has left and what a container allows."""

from pathlib import Path

import pytest

from covid.edge import memory
from covid.edge.memory import available_memory

GIBIBYTE = 1 << 30
MEMINFO = "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n"


def prepare(folder: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    monkeypatch.setattr(memory, "MEMINFO", folder / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", folder)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"meminfo": MEMINFO}, 8 * GIBIBYTE),
        ({"meminfo": MEMINFO, "memory.max": "max\n", "memory.current": "5\n"}, 8 * GIBIBYTE),
        ({"meminfo": MEMINFO, "memory.max": "1000\n", "memory.current": "400\n"}, 600),
        ({"meminfo": MEMINFO, "memory.max": "1000\n", "memory.current": "1400\n"}, 0),
        (
            {
                "meminfo": MEMINFO,
                "memory/memory.limit_in_bytes": "1000\n",
                "memory/memory.usage_in_bytes": "1\n",
            },
            999,
        ),
        ({"memory.max": "1000\n", "memory.current": "400\n"}, 600),
        ({"meminfo": "MemTotal: 5 kB\n"}, None),
        ({"meminfo": "MemAvailable: many kB\n"}, None),
        ({}, None),
    ],
)
def test_the_less_of_machine_and_container_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    expected: int | None,
) -> None:
    prepare(tmp_path, files, monkeypatch)
    assert available_memory() == expected
