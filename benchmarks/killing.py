"""Runs and exports that are killed or meet a full disk; each function says what counts as lost."""

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from safetensors.numpy import load_file
from tqdm import tqdm

from benchmarks.forks import (
    CONFIG,
    PROJECT,
    SETTINGS,
    Broken,
    Stage,
    children,
    count_lost,
    ended,
    exporting,
    finish,
    gone,
    start,
    tail,
    training,
)
from covid.edge.model import load
from covid.errors import ModelError

# Powers of ten: above what a run prints, which must not fail, and up to the size of a checkpoint.
FILE_SIZES = (3.5, 8.1)
ANSWER_SECONDS = 60  # the longest that a process may wait for one that died


def same_run(one: Path, other: Path) -> bool:
    """Whether two runs learned the same, to the bit: weights, and every figure but the times."""
    weights = [load_file(run / "best.safetensors") for run in (one, other)]
    if weights[0].keys() != weights[1].keys():
        return False
    if any((weights[0][name] != weights[1][name]).any() for name in weights[0]):
        return False
    histories = []
    for run in (one, other):
        with (run / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            del row["seconds"], row["images_per_second"]
        histories.append(rows)
    return histories[0] == histories[1]


def finished(run: Path) -> bool:
    summary = run / "summary.json"
    return summary.exists() and '"status": "finished"' in summary.read_text()


def killed_at_random(stage: Stage, times: int) -> Broken:
    """SIGKILL at random moments, resumed each time. Lost: a run that ends otherwise."""

    def moment(process: int, output: Path) -> None:
        time.sleep(stage.chance.uniform(0, 4))

    return _kill_training(stage, times, "training, killed at a random moment", moment)


def killed_in_writes(stage: Stage, times: int) -> Broken:
    """SIGKILL while a file is half written. Lost: a run that ends otherwise."""

    def moment(process: int, output: Path) -> None:
        seen = stage.chance.randrange(12)  # which of the half-written files to strike at
        until = time.monotonic() + 60
        places = (output / "checkpoints", output)
        while time.monotonic() < until and not gone(process):
            if any(p.name.startswith(".") for at in places if at.is_dir() for p in at.iterdir()):
                seen -= 1
                if seen < 0:
                    return
                time.sleep(0.01)  # on to the next file

    return _kill_training(stage, times, "training, killed while it writes a file", moment)


def _kill_training(
    stage: Stage, times: int, what: str, moment: Callable[[int, Path], None]
) -> Broken:
    killed = lost = 0
    notes: list[str] = []
    number = 0
    bar = tqdm(total=times, desc=what, leave=False, disable=None)
    while killed < times:
        number += 1
        folder = stage.folder / f"{what.replace(' ', '-').replace(',', '')}-{number}"
        output, log = folder / "run", folder / "log.txt"
        folder.mkdir()
        while True:
            process = start(training(stage.images, output, folder / "cache"), log)
            if killed < times:
                moment(process, output)
                if ended(process) is None:
                    os.kill(process, signal.SIGKILL)
                    finish(process)
                    killed += 1
                    bar.update()
                    continue
                code = 0 if (output / "summary.json").exists() else 1
            else:
                code = finish(process)
            break
        if code or not same_run(output, stage.whole):
            lost += 1
            notes.append(f"{what}: exit code {code}: {tail(log)}")
        shutil.rmtree(folder)
    bar.close()
    return Broken(what, killed, lost, tuple(notes))


def on_full_disk(work: Callable[[], int], most: int, after: float) -> Callable[[], int]:
    """`work` where, `after` seconds, no file may grow beyond `most` bytes any more.

    A write then fails, as on a full disk.
    """

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def limited() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error of the write instead
        threading.Timer(after, fill).start()
        return work()

    return limited


def full_disk(stage: Stage, times: int) -> Broken:
    """A disk that from a random moment takes no file above a random size, then takes all again.

    Lost: anything but one sentence and exit code 2 (or a run that needed no more), or a run that
    ends otherwise once there is room.
    """
    lost = 0
    notes: list[str] = []
    for number in tqdm(range(times), desc="full disk", leave=False, disable=None):
        folder = stage.folder / f"full-{number}"
        output, log = folder / "run", folder / "log.txt"
        folder.mkdir()
        most = int(10 ** stage.chance.uniform(*FILE_SIZES))
        work = training(stage.images, output, folder / "cache")

        code = finish(start(on_full_disk(work, most, stage.chance.uniform(0, 4)), log))
        clean = "Traceback" not in log.read_text() and code in (0, 2)
        code = finish(start(work, log)) if code else 0
        if not clean or code or not same_run(output, stage.whole):
            lost += 1
            notes.append(f"full disk at {most} bytes: {tail(log)}")
        shutil.rmtree(folder)
    return Broken("training, on a disk that is full", times, lost, tuple(notes))


def shared_cache(stage: Stage, times: int) -> Broken:
    """Two runs at once with one cache folder, one of them killed. Lost: a run that differs."""
    lost = 0
    notes: list[str] = []
    for number in tqdm(range(times), desc="shared cache", leave=False, disable=None):
        folder = stage.folder / f"shared-{number}"
        folder.mkdir()
        runs = [folder / "one", folder / "two"]
        logs = [folder / "one.txt", folder / "two.txt"]
        works = [training(stage.images, run, folder / "cache") for run in runs]
        processes = [start(work, log) for work, log in zip(works, logs, strict=True)]
        time.sleep(stage.chance.uniform(0, 3))
        if ended(processes[0]) is None:
            os.kill(processes[0], signal.SIGKILL)
            finish(processes[0])
        codes = [finish(start(works[0], logs[0])) if not finished(runs[0]) else 0,
                 finish(processes[1])]  # fmt: skip
        for run, code, log in zip(runs, codes, logs, strict=True):
            if code or not same_run(run, stage.whole):
                lost += 1
                notes.append(f"shared cache: exit code {code}: {tail(log)}")
        shutil.rmtree(folder)
    return Broken("two runs with one cache, one killed", times, lost, tuple(notes))


def dead_process(stage: Stage, times: int) -> Broken:
    """One of two processes is killed. Lost: the other still there after a minute, or no resume."""
    lost = 0
    notes: list[str] = []
    for number in tqdm(range(times), desc="dead process", leave=False, disable=None):
        folder = stage.folder / f"dead-{number}"
        folder.mkdir()
        output = folder / "run"
        places = (f"data.root={stage.images}", f"data.cache_dir={folder / 'cache'}")
        chosen = [part for setting in (*SETTINGS, *places) for part in ("--set", setting)]
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2",
            f"--master_port={29700 + number}", "train.py", "--config", str(CONFIG),
            "--output", str(output), *chosen,
        ]  # fmt: skip
        with (folder / "log.txt").open("w") as log:
            launched = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
            while launched.poll() is None and not list(output.glob("checkpoints/*.checkpoint")):
                time.sleep(0.05)
            processes = children(launched.pid)
            victim = stage.chance.choice(processes) if processes else None
            if victim:
                os.kill(victim, signal.SIGKILL)
            try:
                launched.wait(ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                launched.kill()
                lost += 1
                notes.append("a process waited for one that had died")
            done = subprocess.run([*command, "--resume"], cwd=PROJECT, stdout=log, stderr=log)
        if done.returncode or not finished(output):
            lost += 1
            notes.append(f"dead process: no resume: {tail(folder / 'log.txt')}")
        shutil.rmtree(folder)
    return Broken("one of two processes killed", times, lost, tuple(notes))


def killed_export(stage: Stage, times: int) -> Broken:
    """SIGKILL inside export.py. Lost: a file under a final name that does not answer."""
    lost = 0
    notes: list[str] = []
    for number in tqdm(range(times), desc="export", leave=False, disable=None):
        output, log = stage.folder / f"export-{number}", stage.folder / f"export-{number}.txt"
        process = start(exporting(stage.whole, output), log)
        time.sleep(stage.chance.uniform(0, 12))
        if ended(process) is None:
            os.kill(process, signal.SIGKILL)
            finish(process)
        wrong, sentences = count_lost(partial(unusable, output), log)
        lost += wrong
        notes += sentences
        shutil.rmtree(output, ignore_errors=True)
    return Broken("export, killed at a random moment", times, lost, tuple(notes))


def export_on_full_disk(stage: Stage, times: int) -> Broken:
    """A disk that from a random moment takes no file above a random size, during export.py.

    Lost: anything but one sentence and an exit code of ours, or a file under a final name that
    does not answer.
    """
    lost = 0
    notes: list[str] = []
    for number in tqdm(range(times), desc="export, full disk", leave=False, disable=None):
        output, log = stage.folder / f"export-{number}", stage.folder / f"export-{number}.txt"
        most = int(10 ** stage.chance.uniform(*FILE_SIZES))
        work = on_full_disk(exporting(stage.whole, output), most, stage.chance.uniform(0, 12))
        code = finish(start(work, log))
        if "Traceback" in log.read_text() or code not in (0, 1, 2):
            lost += 1
            notes.append(f"export, full disk at {most} bytes: exit code {code}: {tail(log)}")
        wrong, sentences = count_lost(partial(unusable, output), log)
        lost += wrong
        notes += sentences
        shutil.rmtree(output, ignore_errors=True)
    return Broken("export, on a disk that is full", times, lost, tuple(notes))


def unusable(output: Path) -> list[str]:
    """What is wrong with the files under their final names."""
    mistakes = []
    for path in output.glob("[!.]*.onnx"):
        try:
            load(path)
        except ModelError as error:
            mistakes.append(str(error))
    return mistakes
