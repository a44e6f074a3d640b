"""The project's scripts, called as a user calls them."""

import pytest

from benchmarks.commands import call
from covid.errors import UserError


def test_a_script_that_fails_is_named_with_its_exit_code() -> None:
    with pytest.raises(UserError, match="^evaluate.py ended with exit code 2;"):
        call("evaluate.py", "--no-such-option")


def test_one_that_ends_well_is_shown_as_it_was_called(capfd: pytest.CaptureFixture[str]) -> None:
    call("evaluate.py", "--help")
    assert "$ python evaluate.py --help" in capfd.readouterr().out
