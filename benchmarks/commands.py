"""The project's own scripts, called by a benchmark as a user calls them."""

import subprocess
import sys
from pathlib import Path

from covid.errors import UserError

PROJECT = Path(__file__).resolve().parent.parent


def call(*arguments: str) -> None:
    """`python ARGUMENTS` in the project's folder. Raises UserError where it fails."""
    print(f"\n$ python {' '.join(arguments)}", flush=True)
    code = subprocess.run([sys.executable, *arguments], cwd=PROJECT).returncode
    if code:
        raise UserError(f"{arguments[0]} ended with exit code {code}; what it said stands above.")
