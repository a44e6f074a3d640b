"""How a script ends: one sentence for what a user can mend, nothing where nobody reads."""

import subprocess
import sys

import pytest

from covid.errors import ConfigError, exit_code
from tests.conftest import PROJECT

# A script whose reader goes after its first line, as `head` does.
SCRIPT = """
import sys
from covid.errors import exit_code

def work():
    for line in range(100_000):
        print(line)
    return 0

sys.exit(exit_code(work, "Interrupted."))
"""


def test_a_reader_that_goes_away_ends_a_script_quietly() -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=PROJECT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None and running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    with running.stderr:
        assert (running.stderr.read(), running.wait(60)) == ("", 141)


def test_a_script_whose_stdout_was_closed_from_the_start_is_done_all_the_same() -> None:
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", SCRIPT]
    done = subprocess.run(closed, cwd=PROJECT, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_pipe_that_is_not_stdout_keeps_its_traceback() -> None:
    def work() -> int:
        raise BrokenPipeError("another process is gone")

    with pytest.raises(BrokenPipeError, match="another process"):
        exit_code(work, "Interrupted.")


def test_a_mistake_is_a_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise ConfigError("epochs: must be\n at least 1")

    assert exit_code(work, "Interrupted.") == 2
    assert capsys.readouterr().err == "Error: epochs: must be at least 1\n"
