"""Every mistake that a user can make, as a class whose message is one clear sentence.

The scripts print the message to stderr and exit with code 2, without a traceback. An error
that is not one of these is a bug and keeps its traceback.
"""

import os
import select
import sys
from collections.abc import Callable

NOBODY_READS = 128 + 13  # as a shell reports a program that SIGPIPE ended


class UserError(Exception):
    """Something the user can correct; its message names the file or key and what to do.

    It is one line: line breaks in a file's name or a library's message become spaces.
    """

    def __init__(self, message: str):
        printable = "".join(character if character.isprintable() else " " for character in message)
        super().__init__(" ".join(printable.split()))


class ConfigError(UserError):
    """A config file, a `--set` or a command-line argument is wrong."""


class DataError(UserError):
    """A folder of images or a manifest is wrong."""


class ImageError(UserError):
    """One image file cannot be read."""


class WeightsError(UserError):
    """Weights cannot be found, downloaded or loaded."""


class ModelError(UserError):
    """An ONNX file is missing, damaged, not one of ours, or does not do what it says."""


class RunError(UserError):
    """A run folder is missing, unfinished, already there, or damaged."""


class LaunchError(UserError):
    """The launcher, the devices or the precision asked for do not fit together."""


class TrainingError(UserError):
    """Training cannot go on; what was learned so far is kept."""


class StorageError(UserError):
    """A file cannot be written: the disk is full, read-only, or not writable by this user."""


def exit_code(work: Callable[[], int], interrupted: str) -> int:
    """What a script's `work` returns, 2 for a mistake of the user's, 130 where it is interrupted.

    The last two come with a sentence on stderr; `interrupted` is that of the last. 141 where who
    reads stdout, such as `head`, has gone.
    """
    try:
        code = work()
        print(end="", flush=True)  # does nothing where stdout was closed from the start
        return code
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"Error: {missing_package(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        return NOBODY_READS


def _nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader has gone; what is left to print then goes nowhere."""
    gone = select.poll()
    gone.register(sys.stdout, 0)  # errors are reported always
    if not gone.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def missing_package(error: ModuleNotFoundError) -> str:
    """The sentence for a package that is not installed; raises `error` where that is a bug."""
    name = (error.name or "").partition(".")[0]
    if name in ("", "covid"):
        raise error
    return (
        f"{name} is not installed; install all that training needs with `pip install '.[train]'` "
        f"in the project's folder, or all that predict.py needs with `pip install .`"
    )
