"""A run folder: when it may be written, what stands in it, which one is the newest."""

import csv
import hashlib
import io
import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from covid.config import Config, load_config
from covid.config_tree import leaves
from covid.data.folds import HELD_OUT, Fold
from covid.data.index import some
from covid.data.samples import Row, changes, held_out_now
from covid.edge.files import write_atomically
from covid.errors import RunError
from covid.project import PROJECT, command

HISTORY = (
    "epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
    "validation_macro_f1", "learning_rate", "seconds", "images_per_second",
)  # fmt: skip
EpochRecord = Mapping[str, float | int | None]  # one epoch's figures, by the names in HISTORY
CONTENT = (
    "config.yaml", "history.csv", "curves.png", "best.safetensors", "checkpoints", "summary.json",
    "samples.csv", "data_audit.json", "augmentation.png", "evaluation", "export", "tracker",
    "operating_point.json",
)  # fmt: skip
# What may differ when a run goes on: it decides how long and where, not what is learned.
MAY_CHANGE = (
    "epochs", "checkpoint_minutes", "tracker", "data.cache", "data.cache_dir",
    "data.cache_limit_gb", "cache_features",
)  # fmt: skip
# Schedules whose every step depends on the number of epochs, which therefore must stay.
WHOLE_RUN = ("cosine", "onecycle")
LIBRARIES = ("torch", "torchvision", "timm", "accelerate", "numpy", "pillow", "scikit-learn")


def runs_folder() -> Path:
    """Where all runs are."""
    return PROJECT / "runs"


def default_folder(name: str, fold: Fold | None) -> Path:
    """Where a run goes unless `--output` names another place."""
    folder = runs_folder() / name
    return folder / fold.folder if fold else folder


def check_run(folder: Path, config: Config, *, resume: bool, overwrite: bool) -> None:
    """Raises RunError where `folder` may not be written as the user asks. Changes nothing."""
    if not folder.exists() or (folder.is_dir() and set(folder.iterdir()) <= _beside_run(folder)):
        return
    if not (folder / "config.yaml").is_file():
        raise RunError(
            f"{folder}: holds something that is not a run; name another folder with --output."
        )
    if overwrite:
        return
    if status(folder) == "finished":
        raise RunError(
            f"{folder}: holds a finished run; name another folder with --output, "
            f"or replace it with --overwrite."
        )
    if not resume:
        raise RunError(
            f"{folder}: holds an unfinished run; go on with --resume, start anew with "
            f"--overwrite, or name another folder with --output."
        )
    changed = changed_keys(load_config(folder / "config.yaml"), config)
    if changed:
        raise RunError(
            f"{folder}: was begun with another {', '.join(changed)}, so going on would not be the "
            f"same run; put it back, or start anew with --overwrite or --output."
        )


def start_run(folder: Path, config: Config, *, overwrite: bool) -> None:
    """Makes the folder and its config.yaml; with `overwrite`, an earlier run's files go first."""
    if overwrite:
        for name in CONTENT:
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for path in _half_begun(folder):
        path.unlink()
    write_atomically(folder / "config.yaml", config.to_yaml())


def check_same_images(
    folder: Path, before: Sequence[Row], now: Sequence[Row], *, accept: bool
) -> list[str]:
    """A warning where a run goes on with other images than it began with.

    Raises RunError for them unless `accept`: what it learnt, and its splits, are of the earlier.
    """
    changed = changes(before, now)
    if changed is None:
        return []
    if any(row.split == HELD_OUT for row in before) != any(row.split == HELD_OUT for row in now):
        raise RunError(
            f"{folder}: a run of one fold goes on with the --fold that it was begun with, and "
            f"another without; give the same command, or start anew with --overwrite or --output."
        )
    held_out = held_out_now(before, now)
    if held_out:
        raise RunError(
            f"{folder}: {len(held_out):,} images that it was trained on stand in validation or "
            f"test now ({some(held_out)}), where they would be evaluated; put them back, or start "
            f"anew with --overwrite or --output."
        )
    if not accept:
        raise RunError(
            f"{folder}: its images are not those that it was begun with, {changed}; put them "
            f"back, go on all the same with --accept-changed-data, or start anew with --overwrite "
            f"or --output."
        )
    return [
        f"The run went on with other images than it was begun with, {changed}, as "
        f"--accept-changed-data permits."
    ]


def _half_begun(folder: Path) -> set[Path]:
    """What a run leaves that was killed while it wrote the first of its files, config.yaml."""
    return set(folder.glob(".config.*.yaml"))


def _beside_run(folder: Path) -> set[Path]:
    """What may lie where a run begins: folds of the same experiment, and what they say together."""
    folds = {path for path in folder.iterdir() if Fold.of_folder(path.name.removesuffix(".log"))}
    return _half_begun(folder) | folds | {folder / "evaluation", folder / "operating_point.json"}


def status(folder: Path) -> str:
    """`finished`, `interrupted`, `failed`, or `unfinished` where nothing was written."""
    try:
        return str(json.loads((folder / "summary.json").read_text())["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unfinished"


def lateral_images(folder: Path) -> int:
    """How many of a run's training images are lateral views; 0 where nobody counted."""
    try:
        return int(json.loads((folder / "data_audit.json").read_text())["lateral_views"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def newest_run(runs: Path) -> Path:
    """The finished run whose summary is newest. Raises RunError where there is none."""
    finished = [path.parent for path in runs.glob("*/summary.json")]
    finished = [folder for folder in finished if status(folder) == "finished"]
    if not finished:
        raise RunError(
            f"{runs}: holds no finished run; make one with "
            f"`{command('train', 'accelerate launch')} --config CONFIG.yaml`."
        )
    return max(finished, key=lambda folder: (folder / "summary.json").stat().st_mtime_ns)


def newest_folds(runs: Path) -> Path:
    """The folder whose folds are newest. Raises RunError where there is none."""
    finished = [
        path
        for path in runs.glob("*/fold-*of*/summary.json")
        if Fold.of_folder(path.parent.name) and status(path.parent) == "finished"
    ]
    if not finished:
        raise RunError(
            f"{runs}: holds no folds; train some with `make crossval CONFIG=CONFIG.yaml`."
        )
    return max(finished, key=lambda path: path.stat().st_mtime_ns).parent.parent


def best_weights(folder: Path) -> Path:
    """The path of a run's best.safetensors. Raises RunError where `folder` has none."""
    path = folder / "best.safetensors"
    if not path.is_file():
        what = "there is no such folder"
        if folder.exists():
            what = "is no run folder" if folder.is_dir() else "is a file, not a run folder"
        raise RunError(f"{folder}: {what}; a run has a best.safetensors, which train.py writes.")
    return path


def write_history(folder: Path, history: Sequence[EpochRecord]) -> None:
    """history.csv: one row per epoch; an undefined figure is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(folder / "history.csv", text.getvalue())


def write_json(path: Path, content: Any) -> None:
    """Indented for people; raises ValueError for a number that JSON does not have."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(path, f"{text}\n")


def versions() -> dict[str, str]:
    """What a figure may depend on beside the config."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def changed_keys(before: Config, now: Config) -> list[str]:
    """Keys, dotted, that make another experiment; those in MAY_CHANGE do not."""
    old, new = flat(before), flat(now)
    may_change = set(MAY_CHANGE)
    if before.stages or before.scheduler.name in WHOLE_RUN:
        may_change.remove("epochs")
    return [
        key for key in new | old if old.get(key) != new.get(key) and key not in may_change
    ]


def recipe_sha256(config: Config) -> str:
    """Of the keys that make an experiment, wherever its images lie."""
    kept = {k: v for k, v in flat(config).items() if k not in (*MAY_CHANGE, "data.root")}
    kept["epochs"] = config.all_epochs
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def flat(config: Config) -> dict[str, Any]:
    """A config's keys, dotted as `--set` takes them; lists and what is not set become text."""
    plain = (int, float, str)
    values = leaves(config.model_dump(mode="json"))
    return {key: value if isinstance(value, plain) else str(value) for key, value in values}
