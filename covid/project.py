"""Where this project lies, a clone or installed by pip, and how its scripts are started there."""

from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent  # what the package lies in, where it is a clone
INSTALLED = not (CLONE / "train.py").is_file()  # by pip, which leaves configs and runs out
# Where relative paths in a config, `runs/` and the cache's default start: in a clone its root, from
# whatever folder a script is started; installed the working directory, since runs do not belong
# beside installed code.
PROJECT = Path.cwd() if INSTALLED else CLONE


def command(script: str, launcher: str = "") -> str:
    """What a user types to start `script`, such as `train`, from a clone or installed."""
    if not INSTALLED:
        return f"{launcher or 'python'} {script}.py"
    return f"{launcher} -m covid.scripts.{script}" if launcher else f"covid-{script}"
