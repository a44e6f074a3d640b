"""train.py as a user starts it: every launcher, resume, interruption, each mistake's sentence."""

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import train as train_script
from covid.edge.processors import usable_processors
from covid.model.losses import Loss
from covid.training.run import HISTORY
from covid.training.watch import NO_GRADIENT, ONE_DECISION
from tests.conftest import (
    LABELS,
    PROJECT,
    MakeImages,
    clean_environment,
    free_port,
    run_script,
    write_image,
    write_split_images,
)

CONFIG = Path("configs/resnet18_multilabel.yaml")
# The smallest run there is: 12 images of 32 pixels, four of them a batch, from scratch, in fp32.
SMALL = (
    "model.weights=none", "data.image_size=32", "epochs=2", "batch_size=4", "precision=no",
    "model.dropout=0.5", "model.hidden_units=8",
)  # fmt: skip


def arguments(root: Path, output: Path, *settings: str, config: Path = CONFIG) -> list[str]:
    """The command line of a run; a small one unless `config` names another than CONFIG."""
    small = SMALL if config == CONFIG else ()
    places = (f"data.root={root}", f"data.cache_dir={output.parent / 'cache'}")
    chosen = [part for value in (*small, *places, *settings) for part in ("--set", value)]
    return ["--config", str(config), "--output", str(output), *chosen]


def train(
    root: Path,
    output: Path,
    *settings: str,
    flags: tuple[str, ...] = (),
    config: Path = CONFIG,
) -> subprocess.CompletedProcess[str]:
    """train.py's `main` in this process, which has imported torch already."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    command = ["train.py", *arguments(root, output, *settings, config=config), *flags]
    printed, complained = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(complained),
    ):
        patch.setattr(sys, "argv", command)
        code = train_script.main()
    for number, handler in kept.items():
        signal.signal(number, handler)
    return subprocess.CompletedProcess(command, code, printed.getvalue(), complained.getvalue())


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "best.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 4, "validation": 2, "test": 2}
    return write_split_images(tmp_path_factory.mktemp("images"), LABELS, counts)


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run that the tests below look at; none of them changes it."""
    output = tmp_path_factory.mktemp("runs") / "first"
    done = train(root, output)
    assert done.returncode == 0, done.stderr
    (output.parent / "stdout.txt").write_text(done.stdout)
    return output


def test_a_run_folder_holds_exactly_its_files(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == [
        "augmentation.png", "best.safetensors", "config.yaml", "curves.png", "data_audit.json",
        "history.csv", "summary.json",
    ]  # fmt: skip


def test_history_has_a_row_an_epoch_and_its_columns(finished: Path) -> None:
    with (finished / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (tuple(rows[0]), [row["epoch"] for row in rows]) == (HISTORY, ["1", "2"])


def test_the_summary_says_finished_and_where_it_ran(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    expected = {"status": "finished", "epochs": 2, "processes": 1, "precision": "no"}
    assert {key: summary[key] for key in expected} == expected
    assert {"best_epoch", "seconds", "images_per_second", "device", "warnings", "versions"} <= set(
        summary
    )


def test_the_weights_say_what_rebuilds_the_network(finished: Path) -> None:
    with safe_open(finished / "best.safetensors", framework="pt") as file:
        metadata = {key: json.loads(value) for key, value in file.metadata().items()}
    assert set(metadata) == {"config", "labels", "mean", "std", "epoch", "metrics"}
    assert metadata["labels"]["covid"] == ["covid", "pneumonia"]


def test_without_a_terminal_there_are_plain_lines(finished: Path) -> None:
    printed = (finished.parent / "stdout.txt").read_text()
    assert "\r" not in printed and "epoch 2/2: train loss" in printed


def test_the_cache_is_logged_in_one_line(finished: Path) -> None:
    assert "cached 24 images, 0 MB" in (finished.parent / "stdout.txt").read_text()


def test_the_same_seed_gives_the_same_weights_to_the_bit(
    root: Path, finished: Path, tmp_path: Path
) -> None:
    done = train(root, tmp_path / "again", "data.cache=false")
    assert done.returncode == 0, done.stderr
    assert same_weights(finished, tmp_path / "again")


def test_another_seed_gives_other_weights(root: Path, finished: Path, tmp_path: Path) -> None:
    train(root, tmp_path / "other", "seed=1", "epochs=1")
    assert not same_weights(finished, tmp_path / "other")


def test_a_finished_run_is_not_overwritten(root: Path, finished: Path) -> None:
    done = train(root, finished)
    assert done.returncode == 2
    assert "holds a finished run" in done.stderr and "--overwrite" in done.stderr


def test_a_folder_that_is_no_run_is_never_overwritten(root: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    done = train(root, tmp_path, flags=("--overwrite",))
    assert (done.returncode, (tmp_path / "thesis.tex").exists()) == (2, True)


def interrupt(
    root: Path, output: Path, number: int, *settings: str, seen: str = "*"
) -> tuple[int, str]:
    """Sends a signal once a checkpoint (`seen`) is there; returns the exit code and stdout."""
    command = [sys.executable, "train.py", *arguments(root, output, *settings)]
    process = subprocess.Popen(command, cwd=PROJECT, env=clean_environment(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    while process.poll() is None and not list(output.glob(f"checkpoints/{seen}.checkpoint")):
        time.sleep(0.01)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=120)
    return process.returncode, printed


LONG = ("epochs=4", "checkpoint_minutes=1e-9")  # a checkpoint every step
# All that draws numbers or averages, in one run: what is resumed has to find each where it was.
EVERYTHING = (
    *LONG, "ema=0.9", "data.sampler=balanced",
    "data.augment=[{name: affine, degrees: 9}, {name: noise, deviation: 0.1},"
    " {name: mixup, alpha: 1}]",
)  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "uninterrupted"
    assert train(root, output, *EVERYTHING).returncode == 0
    return output


def test_sigterm_saves_and_resume_goes_on_to_the_bit(
    root: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "interrupted"
    code, printed = interrupt(root, output, signal.SIGTERM, *EVERYTHING)
    assert (code, "--resume goes on from here" in printed) == (143, True)
    done = train(root, output, *EVERYTHING, flags=("--resume",))
    assert done.returncode == 0, done.stderr
    assert same_weights(output, uninterrupted)


def test_a_last_image_alone_is_trained_on_and_resumed_to_the_bit(
    make_images: MakeImages, tmp_path: Path
) -> None:
    root = make_images()  # twelve training images, and one more: batches of 4, 4 and 5
    write_image(root / "train/normal/normal-4.png", seed=100)
    settings = (*LONG, "gradient_accumulation=2", "scheduler={name: onecycle, max_lr: 1e-3}")
    done = train(root, tmp_path / "uninterrupted", *settings)
    assert done.returncode == 0, done.stderr
    code, _ = interrupt(root, tmp_path / "interrupted", signal.SIGTERM, *settings)
    done = train(root, tmp_path / "interrupted", *settings, flags=("--resume",))
    assert (code, done.returncode) == (143, 0), done.stderr
    assert same_weights(tmp_path / "interrupted", tmp_path / "uninterrupted")


def test_batches_of_one_image_where_maps_are_of_one_pixel_are_refused(
    root: Path, tmp_path: Path
) -> None:
    refused(train(root, tmp_path / "run", "batch_size=1"), "batch_size: a batch of one image")


@pytest.fixture(scope="module")
def killed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "killed"
    interrupt(root, output, signal.SIGKILL, *EVERYTHING)
    return output


def test_a_killed_run_resumes_to_the_bit(
    root: Path, uninterrupted: Path, killed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "resumed"
    shutil.copytree(killed, output)
    done = train(root, output, *EVERYTHING, flags=("--resume",))
    assert done.returncode == 0, done.stderr
    assert same_weights(output, uninterrupted)


def test_an_unfinished_run_asks_for_resume(root: Path, killed: Path) -> None:
    refused(train(root, killed, *EVERYTHING), "go on with --resume")


def test_resume_with_another_optimiser_is_refused(root: Path, killed: Path) -> None:
    changed = (*EVERYTHING, "optimizer.lr=0.5")
    refused(train(root, killed, *changed, flags=("--resume",)), "another optimizer.lr")


def launched(root: Path, output: Path, *launcher: str, **environment: str) -> dict[str, object]:
    """The summary of a run under a launcher."""
    command = ["-m", *launcher, "train.py", *arguments(root, output, "epochs=1", "precision=auto")]
    done = run_script(*command, environment=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    summary: dict[str, object] = json.loads((output / "summary.json").read_text())
    summary["stdout"] = done.stdout
    return summary


LAUNCH = ("accelerate.commands.launch",)


def test_a_process_whose_launcher_is_gone_saves_and_ends(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "orphan"
    long = arguments(root, output, *LONG, "epochs=200")
    command = [sys.executable, "-m", *LAUNCH, "train.py", *long]
    launcher = subprocess.Popen(command, cwd=PROJECT, env=clean_environment(),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    while launcher.poll() is None and not list(output.glob("checkpoints/*.checkpoint")):
        time.sleep(0.01)
    launcher.send_signal(signal.SIGTERM)
    launcher.wait(30)
    until = time.monotonic() + 60
    while time.monotonic() < until and not (output / "summary.json").exists():
        time.sleep(0.1)
    assert json.loads((output / "summary.json").read_text())["status"] == "interrupted"


def test_a_process_whose_partner_died_ends_with_a_sentence(root: Path, tmp_path: Path) -> None:
    output, log = tmp_path / "widow", tmp_path / "log.txt"
    long = arguments(root, output, *LONG, "epochs=200")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2",
               f"--master_port={free_port()}", "train.py", *long]  # fmt: skip
    with log.open("w") as written:
        launcher = subprocess.Popen(command, cwd=PROJECT, env=clean_environment(),
                                    stdout=written, stderr=written)  # fmt: skip
        while launcher.poll() is None and not list(output.glob("checkpoints/*.checkpoint")):
            time.sleep(0.01)
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        os.kill(int(children[1]), signal.SIGKILL)
        launcher.wait(60)
    # The first where it waits for the other, the second where its launcher tells it before that.
    sentences = ("Another process of this run is gone", "Interrupted after epoch")
    assert any(sentence in log.read_text() for sentence in sentences)


def test_accelerate_launch_uses_all_threads(root: Path, tmp_path: Path) -> None:
    summary = launched(root, tmp_path / "run", *LAUNCH, HF_HOME=str(tmp_path / "no-config"))
    assert f"of {usable_processors()} threads" in str(summary["stdout"])


def test_accelerate_launch_takes_the_project_s_config(root: Path, tmp_path: Path) -> None:
    summary = launched(root, tmp_path / "run", *LAUNCH, "--config_file=accelerate_config.yaml")
    assert summary["processes"] == 1


def test_torchrun_s_two_processes_find_each_other(root: Path, tmp_path: Path) -> None:
    summary = launched(root, tmp_path / "run", "torch.distributed.run", "--nproc_per_node=2",
                       f"--master_port={free_port()}")  # fmt: skip
    assert summary["processes"] == 2


def test_accelerate_launch_s_two_processes_on_a_cpu_find_each_other(
    root: Path, tmp_path: Path
) -> None:
    hardware = tmp_path / "two.yaml"
    hardware.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nuse_cpu: true\n"
        f"num_machines: 1\nnum_processes: 2\nmain_process_port: {free_port()}\n"
    )
    summary = launched(root, tmp_path / "run", *LAUNCH, f"--config_file={hardware}")
    assert summary["processes"] == 2


def test_the_launcher_s_precision_wins_over_auto(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    train(root, tmp_path / "run", "epochs=1", "precision=auto")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["precision"] == "bf16"


def test_a_precision_that_is_named_wins_over_the_launcher_s(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    train(root, tmp_path / "run", "epochs=1", "precision=no")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["precision"] == "no"


def test_tensorboard_gets_the_figures(root: Path, tmp_path: Path) -> None:
    assert train(root, tmp_path / "run", "tracker=tensorboard", "epochs=1").returncode == 0
    assert list((tmp_path / "run" / "tracker").rglob("events.out.tfevents*"))


@pytest.mark.parametrize("settings", [
    ("gradient_accumulation=2", "gradient_clip=0.5"),
    ("loss={name: focal, gamma: 3, alpha: 0.25}", "scheduler={name: cosine, warmup_epochs: 0.5}"),
    ("optimizer={name: adamw, lr: 1e-3}", "scheduler={name: onecycle, max_lr: 1e-3}"),
    ("model.trainable=head", "select_by=macro_f1"),
    ("data.augment=[{name: blur, sigma: 1}, {name: mixup, alpha: 0.2}]", "data.variants=2"),
    ("loss.positive_weight=balanced", "data.sampler=balanced", "model.trainable=head"),
    ("model.trainable=[layer4.1]", "select_by=loss", "precision=bf16"),
])  # fmt: skip
def test_every_option_trains(root: Path, tmp_path: Path, settings: tuple[str, ...]) -> None:
    done = train(root, tmp_path / "run", "epochs=1", *settings)
    assert done.returncode == 0, done.stderr


def equal_to_rounding(one: Path, other: Path) -> bool:
    """Whether two runs have the same weights in float32, but for the order of sums."""
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(
        torch.allclose(first[key], second[key], rtol=1e-5, atol=1e-5) for key in first
    )


def losses(run: Path) -> list[float]:
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [float(row[key]) for row in rows for key in ("train_loss", "validation_loss")]


def with_and_without_features(
    root: Path,
    tmp_path: Path,
    *settings: str,
    start: Callable[..., object] = train,
    rows: int = 30,  # 12 images and their mirror images, and 6
) -> tuple[Path, Path]:
    """Two run folders that differ in `cache_features` only."""
    runs = tmp_path / "with", tmp_path / "without"
    for run, value in zip(runs, ("on", "off"), strict=True):
        start(root, run, *settings, f"cache_features={value}")
    assert features_kept(tmp_path / "cache") == rows
    return runs


@pytest.mark.parametrize("settings", [
    ("model.trainable=head", "ema=0.9", "gradient_accumulation=2", "gradient_clip=0.5"),
    ("model.trainable=[layer4.1]",),
    # At 32 pixels its batch norms would see four values, and make rounding large.
    ("model.arch=efficientnet_lite0", "model.trainable=[blocks.6]", "data.image_size=64"),
])  # fmt: skip
def test_training_on_kept_features_gives_the_same_weights(
    root: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    assert equal_to_rounding(*with_and_without_features(root, tmp_path, *settings))


AUGMENTED = "data.augment=[{name: affine, degrees: 20}, {name: noise, deviation: 0.1}]"


@pytest.mark.parametrize("sampler", ["shuffle", "balanced"])
def test_training_on_kept_features_of_variants_gives_the_same_weights(
    root: Path, tmp_path: Path, sampler: str
) -> None:
    settings = ("model.trainable=[layer4.1]", AUGMENTED, "data.variants=3", "optimizer.lr=1e-3",
                f"data.sampler={sampler}")  # fmt: skip
    runs = with_and_without_features(root, tmp_path, *settings, rows=12 * 3 + 6)
    assert equal_to_rounding(*runs)


def test_training_on_kept_features_gives_the_same_losses_in_half_precision(
    root: Path, tmp_path: Path
) -> None:
    runs = with_and_without_features(
        root, tmp_path, "model.trainable=[layer4.1]", "precision=bf16", "optimizer.lr=1e-3"
    )
    # bfloat16 has 8 bits: losses near 1 are known to 0.004.
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), abs=4e-3)


HEAD = (*LONG, "model.trainable=head", "cache_features=on")


def test_a_run_on_kept_features_resumes_to_the_bit(root: Path, tmp_path: Path) -> None:
    train(root, tmp_path / "uninterrupted", *HEAD)
    code, _ = interrupt(root, tmp_path / "interrupted", signal.SIGTERM, *HEAD)
    done = train(root, tmp_path / "interrupted", *HEAD, flags=("--resume",))
    assert (code, done.returncode) == (143, 0), done.stderr
    assert same_weights(tmp_path / "interrupted", tmp_path / "uninterrupted")


def test_features_that_a_killed_run_has_kept_are_used_by_the_next(tmp_path: Path) -> None:
    counts = {"train": 100, "validation": 10}
    root = write_split_images(tmp_path / "images", LABELS, counts)
    settings = ("model.trainable=head", "cache_features=on", "data.image_size=64", "epochs=1")
    command = [sys.executable, "train.py", *arguments(root, tmp_path / "killed", *settings)]
    process = subprocess.Popen(command, cwd=PROJECT, env=clean_environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    cache = tmp_path / "cache"
    while process.poll() is None and features_kept(cache) == 0:
        time.sleep(0.001)
    process.kill()
    process.wait()
    kept = features_kept(cache)
    done = train(root, tmp_path / "next", *settings)
    assert f", {kept} of 630 there already" in done.stdout and kept > 0
    shutil.rmtree(cache)
    train(root, tmp_path / "undisturbed", *settings)
    assert same_weights(tmp_path / "next", tmp_path / "undisturbed")


# First the head alone, on kept features, then everything at smaller rates towards the stem.
STAGES = (
    "stages=[{epochs: 2, model.trainable: head, cache_features: on},"
    " {epochs: 4, optimizer: {lr: 0.001, layer_decay: 0.8}, scheduler: {name: cosine}}]",
    "checkpoint_minutes=1e-9",
)


@pytest.fixture(scope="module")
def staged(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of two stages, and what it printed."""
    output = tmp_path_factory.mktemp("runs") / "staged"
    done = train(root, output, *STAGES)
    assert done.returncode == 0, done.stderr
    return output, done.stdout


def test_stages_follow_each_other_in_one_run(staged: tuple[Path, str]) -> None:
    with (staged[0] / "history.csv").open() as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert rates[:2] == [0.01, 0.01] and rates[2:] == sorted(rates[2:], reverse=True)
    assert len(rates) == 6 and rates[2] < 0.001


def test_each_stage_says_what_it_trains(staged: tuple[Path, str]) -> None:
    assert "stage 1 of 2: trains head, 2 epoch(s), sgd with lr 0.01" in staged[1]
    assert "stage 2 of 2: trains all, 4 epoch(s), sgd with lr 0.001" in staged[1]


def test_features_are_kept_in_the_stage_that_trains_the_head(staged: tuple[Path, str]) -> None:
    assert features_kept(staged[0].parent / "cache") == 30  # 12 images, their mirror images, and 6


def test_a_run_killed_in_its_second_stage_resumes_to_the_bit(
    root: Path, staged: tuple[Path, str], tmp_path: Path
) -> None:
    output = tmp_path / "killed"
    interrupt(root, output, signal.SIGKILL, *STAGES, seen="epoch-0003-*")
    done = train(root, output, *STAGES, flags=("--resume",))
    assert done.returncode == 0, done.stderr
    assert same_weights(output, staged[0])


def features_kept(cache: Path) -> int:
    """Rows of features whose checksum is written."""
    return sum(
        int(np.count_nonzero(np.fromfile(path, dtype=np.uint32)))
        for path in cache.glob("features-*.checksums")
    )


def test_two_runs_at_once_share_features_and_are_both_right(root: Path, tmp_path: Path) -> None:
    settings = ("model.trainable=head", "cache_features=on")
    runs = tmp_path / "one", tmp_path / "other"
    processes = [
        subprocess.Popen([sys.executable, "train.py", *arguments(root, run, *settings)],
                         cwd=PROJECT, env=clean_environment(), stdout=subprocess.DEVNULL)
        for run in runs
    ]  # fmt: skip
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    assert same_weights(*runs)


def test_two_processes_train_on_kept_features_as_without(root: Path, tmp_path: Path) -> None:
    def start(*settings: object) -> None:
        command = arguments(*settings)  # type: ignore[arg-type]
        done = run_script("-m", "torch.distributed.run", "--nproc_per_node=2",
                          f"--master_port={free_port()}", "train.py", *command)  # fmt: skip
        assert done.returncode == 0, done.stderr

    settings = ("model.trainable=[layer4.1]", "epochs=1")
    assert equal_to_rounding(
        *with_and_without_features(root, tmp_path, *settings, start=start)
    )


def test_two_processes_train_on_the_drawings_that_one_trains_on(root: Path, tmp_path: Path) -> None:
    # A head without batch norm: two batches of two give the gradient of one of four.
    settings = ("model.trainable=head", "model.dropout=0", "epochs=1", "cache_features=off",
                "data.augment=[{name: gamma, range: 0.5}, {name: mixup, alpha: 1}]")  # fmt: skip
    train(root, tmp_path / "one", *settings)
    command = arguments(root, tmp_path / "two", *settings, "batch_size=2")
    done = run_script("-m", "torch.distributed.run", "--nproc_per_node=2",
                      f"--master_port={free_port()}", "train.py", *command)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert equal_to_rounding(tmp_path / "one", tmp_path / "two")


def test_keeping_features_where_nothing_is_frozen_is_refused(root: Path, tmp_path: Path) -> None:
    refused(train(root, tmp_path / "run", "cache_features=on", "model.trainable=[conv1]"),
            "cache_features: is on, but nothing before the first layer that trains")  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_features_that_cannot_be_kept_are_a_warning(root: Path, tmp_path: Path) -> None:
    settings = ("model.trainable=head", "cache_features=on", "epochs=1")
    train(root, tmp_path / "first", *settings)
    (rows,) = (tmp_path / "cache").glob("features-*.rows")
    rows.unlink()
    rows.mkdir()
    done = train(root, tmp_path / "second", *settings)
    assert done.returncode == 0 and "Warning: features cannot be kept" in done.stderr


def test_a_run_removes_what_others_kept_long_ago_and_keeps_its_own(
    root: Path, tmp_path: Path
) -> None:
    cache, settings = tmp_path / "cache", ("model.trainable=head", "cache_features=on", "epochs=1")
    train(root, tmp_path / "first", *settings)
    before = set(cache.iterdir())
    for path in before:
        os.utime(path, (0, 0))
    other = (*settings, "data.image_size=40", "data.cache_limit_gb=1e-9")
    done = train(root, tmp_path / "second", *other)
    after = set(cache.iterdir())
    assert "removed 2 set(s) of decoded images or features" in done.stdout, done.stderr
    assert (len(before), len(after), before & after) == (4, 4, set())
    assert "removed" not in train(root, tmp_path / "third", *other).stdout


def test_a_cache_without_a_limit_keeps_all(root: Path, tmp_path: Path) -> None:
    train(root, tmp_path / "first", "epochs=1")
    for path in (tmp_path / "cache").iterdir():
        os.utime(path, (0, 0))
    done = train(root, tmp_path / "second", "epochs=1", "data.image_size=40",
                 "data.cache_limit_gb=null")  # fmt: skip
    assert (done.returncode, len(list((tmp_path / "cache").iterdir()))) == (0, 4)


def refused(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_an_exploding_loss_stops_and_says_where(root: Path, tmp_path: Path) -> None:
    done = train(root, tmp_path / "run", "optimizer.lr=1e30", "epochs=3")
    refused(done, "the loss became nan")
    assert "a smaller optimizer.lr" in done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed" and "the loss became nan" in summary["warnings"][-1]


def test_a_missing_root_offers_the_command_that_needs_none(tmp_path: Path) -> None:
    refused(
        train(tmp_path / "absent", tmp_path / "run"),
        f"accelerate launch train.py --config {CONFIG} "
        f"--set data.root=phantom --set model.weights=none",
    )


def test_unreadable_images_are_listed_and_counted(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images()
    (root / "train/covid/covid-1.png").write_bytes(b"")
    (root / "validation/normal/normal-0.png").write_bytes(b"no image")
    done = train(root, tmp_path / "run")
    refused(done, "2 of 18 images cannot be read")
    assert "covid-1.png" in done.stderr and "normal-0.png" in done.stderr


def test_unreadable_images_are_skipped_and_counted_where_asked(
    make_images: MakeImages, tmp_path: Path
) -> None:
    root = make_images()
    (root / "train/covid/covid-1.png").write_bytes(b"")
    done = train(root, tmp_path / "run", "data.skip_unreadable=true", "epochs=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (done.returncode, "1 images cannot be read" in summary["warnings"][0]) == (0, True)


def test_a_patient_in_two_splits_stops_before_training(
    make_images: MakeImages, tmp_path: Path
) -> None:
    root = make_images()
    rows = ["path,label,split,patient"]
    for path in sorted(root.rglob("*.png")):
        name = path.relative_to(root)
        rows.append(f"{name},{name.parts[1]},{name.parts[0]},{name.parts[2][-5]}")
    (root / "manifest.csv").write_text("\n".join(rows))
    refused(train(root, tmp_path / "run"), "2 patients stand in two splits")


def copy_between_splits(root: Path) -> None:
    # Another format, so that the bytes differ and only the pixels are alike.
    with Image.open(root / "train/normal/normal-1.png") as image:
        image.save(root / "test/covid/copy.bmp")


def test_a_picture_in_two_splits_stops_before_training(
    make_images: MakeImages, tmp_path: Path
) -> None:
    root = make_images()
    copy_between_splits(root)
    done = train(root, tmp_path / "run")
    refused(done, "test/covid/copy.bmp = train/normal/normal-1.png")
    assert "data.allow_duplicates=true" in done.stderr and not (tmp_path / "run").exists()


def test_a_picture_in_two_splits_is_a_warning_where_permitted(
    make_images: MakeImages, tmp_path: Path
) -> None:
    root = make_images()
    copy_between_splits(root)
    done = train(root, tmp_path / "run", "data.allow_duplicates=true", "epochs=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (done.returncode, "data.allow_duplicates permits" in summary["warnings"][0]) == (0, True)


def test_an_unreadable_test_image_is_a_warning(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images()
    (root / "test/covid/covid-1.png").write_bytes(b"")
    done = train(root, tmp_path / "run", "epochs=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (done.returncode, "1 test images cannot be read" in summary["warnings"][0]) == (0, True)


def test_the_audit_says_what_was_looked_for(finished: Path) -> None:
    audit = json.loads((finished / "data_audit.json").read_text())
    found = audit["duplicates"]["between_splits"], audit["duplicates"]["near_between_splits"]
    note = "fewer than 10 images of covid, normal, pneumonia"
    assert (found, audit["metadata_baseline"]["note"]) == ((0, 0), note)


def test_what_metadata_predicts_is_printed_once_before_training(finished: Path) -> None:
    lines = (finished.parent / "stdout.txt").read_text().splitlines()
    logged = [place for place, line in enumerate(lines) if line.startswith("metadata alone")]
    first_epoch = next(place for place, line in enumerate(lines) if line.startswith("epoch 1/"))
    assert len(logged) == 1 and logged[0] < first_epoch


def test_metadata_that_gives_the_label_away_is_warned_of(tmp_path: Path) -> None:
    root = write_split_images(tmp_path / "images", LABELS, {"train": 8, "validation": 3})
    for path in sorted(root.rglob("covid-*.png")):
        with Image.open(path) as image:
            image.convert("RGB").save(path)
    done = train(root, tmp_path / "run", "epochs=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    cheat = "metadata alone predicts covid against the rest with a balanced accuracy of 1.00"
    assert (done.returncode, cheat in " ".join(summary["warnings"])) == (0, True)


def test_gradients_that_are_all_zero_are_warned_of_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def indifferent(*given: object) -> Loss:
        return lambda logits, targets: (logits * 0).sum()

    monkeypatch.setattr("covid.model.losses.make_loss", indifferent)
    done = train(root, tmp_path / "run")
    assert (done.returncode, done.stderr.count(NO_GRADIENT)) == (0, 1)


def test_one_decision_for_every_image_is_warned_of_once(root: Path, tmp_path: Path) -> None:
    done = train(root, tmp_path / "run", "optimizer.lr=1e-9", "epochs=3")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (done.returncode, summary["warnings"].count(ONE_DECISION)) == (0, 1)


def test_an_unknown_key_stops_before_training(root: Path, tmp_path: Path) -> None:
    refused(train(root, tmp_path / "run", "data.folder=x"), "data.folder: is not a known key")


def test_a_figure_that_is_none_stops_before_training(root: Path, tmp_path: Path) -> None:
    done = train(root, tmp_path / "run", "select_by=macro_auc")
    refused(done, f"{CONFIG}: select_by: 'macro_auc' is not one of accuracy, ")
    assert "did you mean macro_auroc." in done.stderr and not (tmp_path / "run").exists()


@pytest.mark.parametrize("figure", ["macro_f1", "macro_auroc"])
def test_a_figure_that_validation_cannot_tell_stops_before_training(
    make_images: MakeImages, tmp_path: Path, figure: str
) -> None:
    root = make_images()
    shutil.rmtree(root / "validation" / "normal")
    done = train(root, tmp_path / "run", f"select_by={figure}")
    refused(done, f"in validation no image bears normal, so {figure} is not defined there")


def test_the_kept_network_says_the_figure_that_it_was_kept_for(root: Path, tmp_path: Path) -> None:
    done = train(root, tmp_path / "run", "model.trainable=head", "select_by=macro_auroc")
    assert done.returncode == 0 and "Best by macro_auroc: epoch" in done.stdout
    assert ", macro_auroc 0." in done.stdout or ", macro_auroc 1." in done.stdout
    with safe_open(tmp_path / "run" / "best.safetensors", framework="pt") as file:
        metrics = json.loads(file.metadata()["metrics"])
    assert set(metrics) == {"accuracy", "macro_f1", "loss", "macro_auroc"}


def test_half_precision_on_a_cpu_is_refused(root: Path, tmp_path: Path) -> None:
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    refused(train(root, tmp_path / "run", "precision=fp16"), "fp16 needs a GPU")


def test_it_works_from_any_folder(root: Path, tmp_path: Path) -> None:
    chosen = arguments(root, tmp_path / "run", "epochs=1")
    chosen[1] = str(PROJECT / CONFIG)
    done = subprocess.run([sys.executable, str(PROJECT / "train.py"), *chosen], cwd=tmp_path,
                          env=clean_environment(), capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_read_only_cache_is_a_warning(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = tmp_path / "file" / "cache"
    done = train(root, tmp_path / "run", f"data.cache_dir={cache}", "epochs=1")
    assert done.returncode == 0 and "cannot be kept" in done.stderr


def spoil(root: Path, how: str) -> None:
    """Makes one thing wrong with a folder of images."""
    image = root / "train" / "covid" / "covid-1.png"
    match how:
        case "no images":
            shutil.rmtree(root)
            root.mkdir()
        case "an empty class":
            for path in image.parent.iterdir():
                path.unlink()
        case "a class that no folder bears":
            for split in ("train", "validation", "test"):
                shutil.rmtree(root / split / "covid")
        case "a folder that no class bears":
            image.parent.rename(image.parent.with_name("tuberculosis"))
        case "a label without a file":
            (root / "manifest.csv").write_text("path,label\nabsent.png,covid\n")
        case "two rows for one file":
            row = "train/covid/covid-1.png,covid\n"
            (root / "manifest.csv").write_text(f"path,label\n{row}{row}")
        case "a truncated image":
            image.write_bytes(image.read_bytes()[:-200])
        case "an empty image":
            image.write_bytes(b"")
        case "no image at all":
            image.write_text("a letter to the editor")
        case "an image of 1 pixel's width":
            Image.new("L", (1, 50)).save(image)
        case "an image of more than 200 megapixels":
            Image.new("1", (20001, 10000)).save(image)


BAD_INPUT = {
    "no images": "holds no images; expected",
    "an empty class": "train/covid: holds no images",
    "a class that no folder bears": "no folder or manifest row bears covid",
    "a folder that no class bears": "has tuberculosis, which data.labels does not name",
    "a label without a file": "1 of 1 rows name a file that is not there (absent.png)",
    "two rows for one file": "1 files have two rows (train/covid/covid-1.png)",
    "a truncated image": "1 of 18 images cannot be read: ",
    "an empty image": "covid-1.png: is empty (0 bytes)",
    "no image at all": "covid-1.png: is not an image",
    "an image of 1 pixel's width": "covid-1.png: is 1 x 50 pixels, too small",
    "an image of more than 200 megapixels": "covid-1.png: is larger than 200 megapixels",
}


@pytest.mark.parametrize("how", BAD_INPUT)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # Pillow's own, beside
def test_bad_input_stops_with_one_sentence(
    make_images: MakeImages, tmp_path: Path, how: str
) -> None:
    root = make_images()
    spoil(root, how)
    done = train(root, tmp_path / "run")
    refused(done, BAD_INPUT[how])
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "run").exists()
