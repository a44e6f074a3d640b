"""Runs on kept features: the same training, shared, limited, refused where they cannot be."""

import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import (
    LABELS,
    PROJECT,
    clean_environment,
    free_port,
    run_script,
    write_split_images,
)
from tests.runs import arguments, features_kept, refused, same_weights, train, weights


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
    ("model.trainable=[layer2.1]",),
    # At 32 pixels its batch norms would see four values, and make rounding large.
    ("model.arch=efficientnet_lite0", "model.until=null", "model.trainable=[blocks.6]",
     "data.image_size=64"),
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
    settings = ("model.trainable=[layer2.1]", AUGMENTED, "data.variants=3", "optimizer.lr=1e-3",
                f"data.sampler={sampler}")  # fmt: skip
    runs = with_and_without_features(root, tmp_path, *settings, rows=12 * 3 + 6)
    assert equal_to_rounding(*runs)


def test_training_on_kept_features_gives_the_same_losses_in_half_precision(
    root: Path, tmp_path: Path
) -> None:
    runs = with_and_without_features(
        root, tmp_path, "model.trainable=[layer2.1]", "precision=bf16", "optimizer.lr=1e-3"
    )
    # bfloat16 has 8 bits: losses near 1 are known to 0.004.
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), abs=4e-3)


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

    settings = ("model.trainable=[layer2.1]", "epochs=1")
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
    assert (len(before), len(after), before & after) == (5, 5, set())
    assert "removed" not in train(root, tmp_path / "third", *other).stdout


def test_a_cache_without_a_limit_keeps_all(root: Path, tmp_path: Path) -> None:
    train(root, tmp_path / "first", "epochs=1")
    for path in (tmp_path / "cache").iterdir():
        os.utime(path, (0, 0))
    done = train(root, tmp_path / "second", "epochs=1", "data.image_size=40",
                 "data.cache_limit_gb=null")  # fmt: skip
    assert (done.returncode, len(list((tmp_path / "cache").iterdir()))) == (0, 6)
