"""Runs that are interrupted, killed or left alone, and what goes on from there."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import (
    PROJECT,
    MakeImages,
    clean_environment,
    free_port,
    write_image,
)
from tests.runs import (
    LAUNCH,
    LONG,
    arguments,
    evaluate,
    features_kept,
    interrupt,
    refused,
    same_weights,
    train,
)

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


@pytest.fixture
def drawn(root: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A killed run of images in a manifest without splits, and those images."""
    images = tmp_path / "images"
    shutil.copytree(root, images)
    lines = [f"{path.relative_to(images)},{path.parent.name}" for path in images.rglob("*.png")]
    (images / "manifest.csv").write_text("\n".join(["path,label", *lines]))
    assert train(images, tmp_path / "run", "epochs=1").returncode == 0
    (tmp_path / "run/summary.json").unlink()  # as if it had been killed before its end
    return tmp_path / "run", images


def add_image(images: Path) -> None:
    write_image(images / "new.png", seed=321)
    with (images / "manifest.csv").open("a") as file:
        file.write("\nnew.png,covid")


def test_resume_with_another_image_is_refused_with_its_name(drawn: tuple[Path, Path]) -> None:
    run, images = drawn
    add_image(images)
    (images / "test/covid/covid-0.png").write_bytes((images / "new.png").read_bytes())
    done = train(images, run, "epochs=1", flags=("--resume",))
    refused(done, "1 added (new.png), 1 changed (test/covid/covid-0.png); put them back")


def test_resume_with_another_image_can_be_accepted_and_is_recorded(
    drawn: tuple[Path, Path]
) -> None:
    run, images = drawn
    before = splits_of(run)
    add_image(images)
    done = train(images, run, "epochs=1", flags=("--resume", "--accept-changed-data"))
    assert done.returncode == 0, done.stderr
    warnings = json.loads((run / "summary.json").read_text())["warnings"]
    assert any("1 added (new.png), as --accept-changed-data permits" in w for w in warnings)
    assert splits_of(run) == before | {"new.png": "train"}


def test_an_image_of_training_that_is_held_out_now_is_refused_all_the_same(
    drawn: tuple[Path, Path]
) -> None:
    run, images = drawn
    splits = splits_of(run)
    trained = next(name for name, split in splits.items() if split == "train")
    labels = {name: Path(name).parent.name for name in splits}
    lines = [f"{name},{labels[name]},{'test' if name == trained else split}"
             for name, split in splits.items()]  # fmt: skip
    (images / "manifest.csv").write_text("\n".join(["path,label,split", *lines]))
    done = train(images, run, "epochs=1", flags=("--resume", "--accept-changed-data"))
    refused(done, f"1 images that it was trained on stand in validation or test now ({trained})")


def test_a_run_s_test_split_stays_what_it_was_when_the_manifest_gains_an_image(
    drawn: tuple[Path, Path]
) -> None:
    run, images = drawn
    tested = {name for name, split in splits_of(run).items() if split == "test"}
    add_image(images)
    done = evaluate(run)
    assert done.returncode == 0, done.stderr
    assert "1 images are not among the run's and are left out (new.png)" in done.stderr
    with (run / "evaluation/test/predictions.csv").open(newline="") as file:
        assert {row["path"] for row in csv.DictReader(file)} == tested


def splits_of(run: Path) -> dict[str, str]:
    with (run / "samples.csv").open(newline="") as file:
        return {row["path"]: row["split"] for row in csv.DictReader(file)}


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


HEAD = (*LONG, "model.trainable=head", "cache_features=on")


def test_a_run_on_kept_features_resumes_to_the_bit(root: Path, tmp_path: Path) -> None:
    train(root, tmp_path / "uninterrupted", *HEAD)
    code, _ = interrupt(root, tmp_path / "interrupted", signal.SIGTERM, *HEAD)
    done = train(root, tmp_path / "interrupted", *HEAD, flags=("--resume",))
    assert (code, done.returncode) == (143, 0), done.stderr
    assert same_weights(tmp_path / "interrupted", tmp_path / "uninterrupted")


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
