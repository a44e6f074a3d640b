"""Breaks things on purpose and counts what was lost: the last column must be 0 everywhere.

    python benchmarks/torture.py              thirty runs killed, thousands of files damaged
    python benchmarks/torture.py --short      a few of everything

Runs are killed at random moments and inside their writes, disks are full, files are damaged. What
counts as lost is named in each row's function. The seed is printed; `--seed` repeats it.
"""

import argparse
import contextlib
import csv
import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402 (the project is no installed package)
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from tqdm import tqdm  # noqa: E402

import export  # noqa: E402
import train  # noqa: E402
from benchmarks.figures import Figure, figure, write_figures  # noqa: E402
from covid.config import load_config  # noqa: E402
from covid.edge.images import read_image  # noqa: E402
from covid.edge.model import load  # noqa: E402
from covid.edge.table import format_table  # noqa: E402
from covid.errors import ConfigError, ImageError, ModelError, WeightsError  # noqa: E402
from covid.model.weights import read_state  # noqa: E402

LABELS = ("covid", "normal", "pneumonia")
CONFIG = PROJECT / "configs/resnet18_multilabel.yaml"
# The smallest run that has everything: a frozen part, an average, a checkpoint every step.
SETTINGS = (
    "model.weights=none", "model.trainable=[layer4.1]", "model.hidden_units=8",
    "model.dropout=0.5", "data.image_size=32", "epochs=3", "batch_size=4", "precision=no",
    "ema=0.9", "checkpoint_minutes=1e-9",
)  # fmt: skip
IMAGE_SECONDS = 1.0  # the longest that one damaged image may take
IMAGE_BYTES = 1_000_000_000  # the most memory that it may take
ANSWER_SECONDS = 60  # the longest that a process may wait for one that died


@dataclass(frozen=True)
class Broken:
    """One row of the table: what was broken, how often, and how often something was lost."""

    what: str
    times: int
    lost: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """What every row works with: a folder of its own, images, and an uninterrupted run."""

    folder: Path
    images: Path
    whole: Path
    chance: random.Random


def parse_arguments() -> Namespace:
    parser = argparse.ArgumentParser(description="Break things and count what was lost.")
    parser.add_argument("--short", action="store_true", help="a few of everything")
    parser.add_argument("--seed", type=int, default=None, help="repeat an earlier run's damage")
    parser.add_argument("--rows", nargs="*", choices=sorted(ROWS), help="default: all of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


# Processes. Each is a fork of this one, which has imported everything: a start costs
# milliseconds, so that most moments at which it can be killed lie in its work. This process
# itself must not compute with torch: the threads that it starts then do not survive a fork.


def start(work: Callable[[], int], log: Path) -> int:
    """Runs `work` in a forked process, what it prints going to `log`; returns its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(written, 1)
        os.dup2(written, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        code = work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 70
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def finish(process: int) -> int:
    """Waits for a process; its exit code, negative where a signal ended it."""
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def ended(process: int) -> int | None:
    """The exit code of a process, or None while it goes on."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def training(images: Path, output: Path, cache: Path) -> Callable[[], int]:
    """`train.py`'s main, resuming whatever is there."""

    def work() -> int:
        resume = ["--resume"] if (output / "config.yaml").exists() else []
        places = (f"data.root={images}", f"data.cache_dir={cache}")
        chosen = [part for value in (*SETTINGS, *places) for part in ("--set", value)]
        sys.argv = ["train.py", "--config", str(CONFIG), "--output", str(output), *chosen, *resume]
        return train.main()

    return work


def count_lost(work: Callable[[], list[str]], log: Path) -> tuple[int, tuple[str, ...]]:
    """How many sentences `work` returns of what was lost, in a forked process; and they."""

    def counting() -> int:
        sentences = work()
        print("\n".join(sentences))
        return min(len(sentences), 125)  # an exit code holds no more

    code = finish(start(counting, log))
    return abs(code), tuple(log.read_text(errors="replace").splitlines()[-10:]) if code else ()


def exporting(run: Path, output: Path) -> Callable[[], int]:
    def work() -> int:
        sys.argv = ["export.py", str(run), "--output", str(output)]
        return export.main()

    return work


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


# Training ------------------------------------------------------------------------------------


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
        while time.monotonic() < until and not _gone(process):
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
            notes.append(f"{what}: exit code {code}: {_tail(log)}")
        shutil.rmtree(folder)
    bar.close()
    return Broken(what, killed, lost, tuple(notes))


def on_full_disk(work: Callable[[], int], most: int) -> Callable[[], int]:
    """`work` where no file may grow beyond `most` bytes: a write then fails, as on a full disk."""

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error of the write instead
        return work()

    return limited


def full_disk(stage: Stage, times: int) -> Broken:
    """A disk that takes no file above a random size, then takes all again.

    Lost: anything but one sentence and exit code 2 (or a run that needed no more), or a run that
    ends otherwise once there is room.
    """
    lost = 0
    notes: list[str] = []
    for number in tqdm(range(times), desc="full disk", leave=False, disable=None):
        folder = stage.folder / f"full-{number}"
        output, log = folder / "run", folder / "log.txt"
        folder.mkdir()
        most = int(10 ** stage.chance.uniform(3, 7.5))  # 1 KB to 30 MB; a checkpoint has 20
        work = training(stage.images, output, folder / "cache")

        code = finish(start(on_full_disk(work, most), log))
        clean = "Traceback" not in log.read_text() and code in (0, 2)
        code = finish(start(work, log)) if code else 0
        if not clean or code or not same_run(output, stage.whole):
            lost += 1
            notes.append(f"full disk at {most} bytes: {_tail(log)}")
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
        codes = [finish(start(works[0], logs[0])) if not _finished(runs[0]) else 0,
                 finish(processes[1])]  # fmt: skip
        for run, code, log in zip(runs, codes, logs, strict=True):
            if code or not same_run(run, stage.whole):
                lost += 1
                notes.append(f"shared cache: exit code {code}: {_tail(log)}")
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
        chosen = [part for one in (*SETTINGS, *places) for part in ("--set", one)]
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2",
            f"--master_port={29700 + number}", "train.py", "--config", str(CONFIG),
            "--output", str(output), *chosen,
        ]  # fmt: skip
        with (folder / "log.txt").open("w") as log:
            launched = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
            while launched.poll() is None and not list(output.glob("checkpoints/*.checkpoint")):
                time.sleep(0.05)
            children = _children(launched.pid)
            victim = stage.chance.choice(children) if children else None
            if victim:
                os.kill(victim, signal.SIGKILL)
            try:
                launched.wait(ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                launched.kill()
                lost += 1
                notes.append("a process waited for one that had died")
            done = subprocess.run([*command, "--resume"], cwd=PROJECT, stdout=log, stderr=log)
        if done.returncode or not _finished(output):
            lost += 1
            notes.append(f"dead process: no resume: {_tail(folder / 'log.txt')}")
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
    """A disk that takes no file above a random size, during export.py.

    Lost: anything but one sentence and an exit code of ours, or a file under a final name that
    does not answer.
    """
    lost = 0
    notes: list[str] = []
    for number in tqdm(range(times), desc="export, full disk", leave=False, disable=None):
        output, log = stage.folder / f"export-{number}", stage.folder / f"export-{number}.txt"
        most = int(10 ** stage.chance.uniform(3, 8))  # 1 KB to 100 MB; the larger file has 45
        code = finish(start(on_full_disk(exporting(stage.whole, output), most), log))
        if "Traceback" in log.read_text() or code not in (0, 1, 2):
            lost += 1
            notes.append(f"export, full disk at {most} bytes: exit code {code}: {_tail(log)}")
        wrong, sentences = count_lost(partial(unusable, output), log)
        lost += wrong
        notes += sentences
        shutil.rmtree(output, ignore_errors=True)
    return Broken("export, on a disk that is full", times, lost, tuple(notes))


def unusable(output: Path) -> list[str]:
    """What is wrong with the files under their final names."""
    found = []
    for path in output.glob("[!.]*.onnx"):
        try:
            load(path)
        except ModelError as error:
            found.append(str(error))
    return found


# Files from strangers -------------------------------------------------------------------------


def damaged_images(stage: Stage, times: int) -> Broken:
    """Damaged image files. Lost: neither an array nor our error, above 1 s, or above 1 GB."""

    def work() -> list[str]:
        import warnings

        warnings.simplefilter("ignore")  # Pillow's, of what it finds in damaged files
        chance = random.Random(stage.chance.random())
        sound = list(sound_images())
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + IMAGE_BYTES, resource.RLIM_INFINITY))
        path, wrong = stage.folder / "damaged", []
        for number in range(times):
            path.write_bytes(damage(sound[number % len(sound)], chance))
            begin = time.perf_counter()
            try:
                found = read_image(path, 16)
                good = found.shape == (16, 16) and found.dtype == np.uint8
            except ImageError:
                good = True
            except Exception:
                traceback.print_exc()
                good = False
            slow = time.perf_counter() - begin > IMAGE_SECONDS
            if slow or not good:
                wrong.append(f"image {number}: {'slow' if slow else 'not our error'}")
        return wrong

    return Broken("image files, damaged", times, *count_lost(work, stage.folder / "log.txt"))


def sound_images() -> Iterator[bytes]:
    """Small files of every format that is common, grey and colour, 8 bits and 16."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    colour = Image.fromarray(pixels)
    wide = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    for image, form, options in (
        (colour, "PNG", {}), (colour, "JPEG", {}), (colour, "GIF", {}), (colour, "TIFF", {}),
        (colour, "TIFF", {"compression": "tiff_lzw"}), (colour, "BMP", {}), (colour, "WEBP", {}),
        (colour, "PPM", {}), (colour, "TGA", {}), (colour, "JPEG2000", {}), (colour, "PCX", {}),
        (wide, "PNG", {}), (wide, "TIFF", {}), (colour.convert("P"), "PNG", {}),
        (colour.convert("CMYK"), "JPEG", {}), (colour.convert("RGBA"), "PNG", {}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        yield buffer.getvalue()


def damage(content: bytes, chance: random.Random) -> bytes:
    """Bits flipped, bytes changed, inserted, repeated or cut off; half of it near the start."""
    broken = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        near = min(64, len(broken))
        place = chance.randrange(near if chance.random() < 0.5 else len(broken))
        kind = chance.randrange(5)
        if kind == 0:
            broken[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            broken[place] = chance.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            broken[place:place] = chance.randbytes(chance.randint(1, 8))
        elif kind == 3:
            broken[place:place] = broken[place : place + chance.randint(1, 32)]
        else:
            del broken[place + 2 :]
    return bytes(broken)


def damaged_models(stage: Stage, times: int) -> Broken:
    """An ONNX file with one bit flipped, or cut short. Lost: opened, with another answer."""
    output = stage.folder / "model"
    log = stage.folder / "model.txt"
    if finish(start(exporting(stage.whole, output), log)) not in (0, 1):
        return Broken("ONNX files, damaged", 0, 1, (f"no export: {_tail(log)}",))

    def work() -> list[str]:
        content = (output / "model.onnx").read_bytes()
        pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
        right = load(output / "model.onnx").run(pixels).logits
        path, wrong = stage.folder / "damaged.onnx", []
        for number in range(times):
            broken = bytearray(content)
            if number % 5 == 4:
                del broken[stage.chance.randrange(len(broken)) :]
            else:  # half of the flips in the card, where a name or a threshold may change
                first = len(broken) - 3000 if number % 2 else 0
                place = stage.chance.randrange(first, len(broken))
                broken[place] ^= 1 << stage.chance.randrange(8)
            path.write_bytes(broken)
            try:
                answered = (load(path).run(pixels).logits == right).all()
            except ModelError:
                continue
            if not answered:
                wrong.append(f"ONNX file {number} was opened and answered otherwise")
        return wrong

    return Broken("ONNX files, damaged", times, *count_lost(work, stage.folder / "log.txt"))


def damaged_configs(stage: Stage, times: int) -> Broken:
    """Damaged configs. Lost: neither a config nor our error."""
    content, path = CONFIG.read_bytes(), stage.folder / "damaged.yaml"
    lost = 0
    notes: list[str] = []
    for number in range(times):
        path.write_bytes(damage(content, stage.chance))
        try:
            load_config(path)
        except ConfigError:
            continue
        except Exception as error:
            lost += 1
            path.rename(stage.folder / f"config-{number}.yaml")
            notes.append(f"config {number}: {error!r}")
    return Broken("configs, damaged", times, lost, tuple(notes))


def damaged_weights(stage: Stage, times: int) -> Broken:
    """Weights with damage, and pickles that would run. Lost: another error, or a file that ran."""

    def work() -> list[str]:
        folder, wrong = stage.folder, []
        tensors = {"layer.weight": torch.arange(64.0).reshape(8, 8), "layer.bias": torch.zeros(8)}
        torch.save(tensors, folder / "sound.pth")
        save_file(tensors, folder / "sound.safetensors")
        ran = folder / "ran"
        torch.save({"layer": _Payload(ran)}, folder / "payload.pth")
        for number in range(times):
            sound = folder / ("sound.pth", "payload.pth", "sound.safetensors")[number % 3]
            path = folder / f"damaged{sound.suffix}"
            content = sound.read_bytes()
            path.write_bytes(content if number < 3 else damage(content, stage.chance))
            try:
                read_state(path)
            except WeightsError:
                pass
            except Exception as error:
                wrong.append(f"weights {number}: {error!r}")
            if ran.exists():
                ran.rmdir()
                wrong.append(f"weights {number}: the pickle ran")
        return wrong

    found = count_lost(work, stage.folder / "log.txt")
    return Broken("weights and pickles, damaged", times, *found)


class _Payload:
    """What a pickle can do to whoever loads it: here it makes an empty folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.mkdir, (str(self.path),)


# --------------------------------------------------------------------------------------------


def _gone(process: int) -> bool:
    """Whether a child has ended; its exit code stays to be asked for."""
    status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return status == "Z"


def _finished(run: Path) -> bool:
    summary = run / "summary.json"
    return summary.exists() and '"status": "finished"' in summary.read_text()


def _children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(number) for number in listed]


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " | ".join(lines[-3:])


# name: the row, how often in full, how often in short
ROWS: dict[str, tuple[Callable[[Stage, int], Broken], int, int]] = {
    "killed": (killed_at_random, 20, 2),
    "writes": (killed_in_writes, 15, 1),
    "disk": (full_disk, 10, 1),
    "cache": (shared_cache, 6, 1),
    "process": (dead_process, 3, 0),
    "export": (killed_export, 10, 1),
    "export-disk": (export_on_full_disk, 6, 1),
    "images": (damaged_images, 20_000, 600),
    "models": (damaged_models, 500, 60),
    "configs": (damaged_configs, 2_000, 200),
    "weights": (damaged_weights, 4_000, 60),
}


def torture(rows: list[str], short: bool, seed: int) -> list[Broken]:
    """Every row in turn; one that was asked for 0 times is left out."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images, whole = folder / "images", folder / "whole"
        write_images(images)
        code = finish(start(training(images, whole, folder / "cache"), folder / "whole.txt"))
        if code:
            raise SystemExit(f"The uninterrupted run failed: {_tail(folder / 'whole.txt')}")
        for name in rows:
            row, full, few = ROWS[name]
            times = few if short else full
            if times:
                place = folder / f"row-{name}"
                place.mkdir()
                chance = random.Random(f"{seed} {name}")
                found.append(row(Stage(place, images, whole, chance), times))
    return found


def write_images(root: Path) -> None:
    """ROOT/SPLIT/LABEL/*.png: noise whose brightness tells the label, no two alike."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 3), ("test", 2)):
        for place, label in enumerate(LABELS):
            for number in range(count):
                path = root / split / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = draw.normal(60 + 60 * place, 25, (40, 40)).clip(0, 255)
                Image.fromarray(noise.astype(np.uint8)).save(path)


def figures_of(found: list[Broken]) -> list[Figure]:
    return [figure(f"{one.what}: lost", one.lost, "", most=0, details={"times": one.times})
            for one in found]  # fmt: skip


def main() -> int:
    arguments = parse_arguments()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    found = torture(arguments.rows or list(ROWS), arguments.short, seed)
    rows = [[one.what, f"{one.times:,}", f"{one.lost}"] for one in found]
    print(format_table(["what was broken", "how often", "lost"], rows))
    for note in [note for one in found for note in one.notes]:
        print(note, file=sys.stderr)
    if arguments.json:
        write_figures(arguments.json, figures_of(found))
    return 1 if any(one.lost for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
