"""A short form of the torture's rows: a few kills and damaged files, nothing lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import Figure
from benchmarks.torture import ROWS
from tests.conftest import PROJECT

SHORT = [name for name, (_, _, few) in ROWS.items() if few]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> list[Figure]:
    """The figures of `--short`, in the order of its rows; the same damage every time."""
    figures = tmp_path_factory.mktemp("torture") / "figures.json"
    command = [sys.executable, "benchmarks/torture.py", "--short", "--seed", "1"]
    done = subprocess.run([*command, "--json", figures], cwd=PROJECT, capture_output=True)
    assert figures.exists(), done.stderr.decode()
    lost: list[Figure] = json.loads(figures.read_text())
    return lost


@pytest.mark.parametrize("place", range(len(SHORT)), ids=SHORT)
def test_what_is_broken_loses_nothing(figures: list[Figure], place: int) -> None:
    assert figures[place]["value"] == 0, figures[place]["name"]


def test_every_row_was_broken_at_least_once(figures: list[Figure]) -> None:
    assert len(figures) == len(SHORT) and all(figure["details"]["times"] > 0 for figure in figures)


def test_a_row_that_loses_something_fails_the_command(tmp_path: Path) -> None:
    code = (
        "import sys; from benchmarks import torture;"
        "torture.ROWS = {'lost': (lambda stage, times: torture.Broken('x', 1, 1), 1, 1)};"
        "sys.argv = ['torture.py', '--short']; sys.exit(torture.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True)
    assert done.returncode == 1, done.stderr.decode()
