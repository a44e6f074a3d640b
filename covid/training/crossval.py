"""All folds of a config, one training after the other, and what they say together.

    python -m covid.training.crossval --config CONFIG.yaml --folds 5 [--set KEY=VALUE ...]

`make crossval CONFIG=… FOLDS=5` starts it. Folds that are finished are not trained again, and one
that was interrupted goes on. What a training prints stands beside its folder, in fold-KofN.log.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from covid.config import Config, load_config
from covid.data.folds import Fold
from covid.errors import RunError, TrainingError, exit_code
from covid.project import PROJECT
from covid.training import run

SECONDS = 1.0  # between two looks at how far a fold is
TAIL = 5  # lines of a training that failed, shown to the user


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="crossval", description="Train every fold of a config, then evaluate them together. "
        "For learning and research, not for diagnosis.",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, required=True, help="as for train.py")
    parser.add_argument("--folds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="as for train.py; repeatable")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="DIR",
                        help="the folder of all folds (default: runs/NAME)")  # fmt: skip
    return parser.parse_args()


def crossval(arguments: argparse.Namespace) -> int:
    """Returns the exit code of the evaluation. Raises TrainingError where a fold fails."""
    folds = [Fold.parse(f"{k}/{arguments.folds}") for k in range(1, max(arguments.folds, 1) + 1)]
    config = load_config(arguments.config, arguments.set)
    folder = arguments.output or run.default_folder(config.name, None)
    epochs = config.all_epochs
    for fold in folds:
        require_same_config(folder / fold.folder, config, remove=folder)
    with tqdm(total=len(folds) * epochs, unit=" epochs", desc=config.name, disable=None) as bar:
        for before, fold in enumerate(folds):
            bar.set_postfix_str(str(fold))
            place = folder / fold.folder
            if run.status(place) != "finished":

                def advance(done: int, before: int = before) -> None:
                    bar.update(before * epochs + done - bar.n)

                _train(arguments, fold, place, advance)
            bar.update((before + 1) * epochs - bar.n)
    evaluate = [sys.executable, str(PROJECT / "evaluate.py"), str(folder), "--split", "folds"]
    return subprocess.run(evaluate).returncode


def require_same_config(place: Path, config: Config, *, remove: Path) -> None:
    """Raises RunError where `place` holds a run that was begun with another config."""
    if not (place / "config.yaml").is_file():
        return
    before = load_config(place / "config.yaml")
    changed = run.changed_keys(before, config)
    if before.all_epochs != config.all_epochs:
        changed.append("epochs")
    if changed:
        raise RunError(
            f"{place}: was begun with another {', '.join(changed)}, so it is no run of this "
            f"experiment; remove {remove}, or name another folder with --output."
        )


def _train(
    arguments: argparse.Namespace, fold: Fold, place: Path, advance: Callable[[int], object]
) -> None:
    """One fold; `advance` gets how many epochs are done. Raises TrainingError where it fails."""
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--quiet",
        "--config_file", str(PROJECT / "accelerate_config.yaml"),
        str(PROJECT / "train.py"), "--config", str(arguments.config),
        *(f"--set={change}" for change in arguments.set),
        "--fold", f"{fold.number}/{fold.folds}", "--output", str(place),
    ]  # fmt: skip
    if (place / "config.yaml").is_file():
        command.append("--resume")
    place.parent.mkdir(parents=True, exist_ok=True)
    log = place.parent / f"{place.name}.log"
    with log.open("w", encoding="utf-8") as file:
        # In a session of its own, so that it gets a signal once: from here, not the terminal too.
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while process.poll() is None:
                time.sleep(SECONDS)
                advance(_epochs(place))
        except KeyboardInterrupt:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.killpg(process.pid, signal.SIGINT)  # it saves what it has
            process.wait()
            raise
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise TrainingError(
            f"{place}: {fold} could not be trained (exit code {process.returncode}); {log} ends "
            f"with: {' / '.join(said[-TAIL:])}"
        )


def _epochs(place: Path) -> int:
    """How many are done."""
    try:
        return len((place / "history.csv").read_text().splitlines()) - 1
    except FileNotFoundError:
        return 0


def main() -> int:
    arguments, caught = parse_arguments(), list[int]()

    def end(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    code = exit_code(
        lambda: crossval(arguments), "Interrupted; the same command goes on from here."
    )
    return 128 + caught[0] if caught else code


if __name__ == "__main__":
    sys.exit(main())
