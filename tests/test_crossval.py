"""Cross-validation as a user starts it: every fold, what is resumed, what they say together."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from covid.data.samples import read_rows
from covid.training import crossval
from tests.conftest import (
    LABELS,
    PROJECT,
    clean_environment,
    run_script,
    write_split_images,
)
from tests.runs import CONFIG, SMALL, called, evaluate, refused, same_weights, train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 5, "validation": 3, "test": 2}
    return write_split_images(tmp_path_factory.mktemp("data") / "clinic", LABELS, counts)


@pytest.fixture(scope="module")
def folds(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both folds of a cross-validation: the first trained before, the second by crossval.

    It is interrupted in the middle of that, and started again.
    """
    output = tmp_path_factory.mktemp("runs") / "both"
    settings = ("data.image_size=32", f"data.root={root}", "epochs=2")
    done = train(root, output / "fold-1of2", f"data.cache_dir={output.parent / 'cache'}",
                 flags=("--fold", "1/2"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    (output.parent / "first.txt").write_text((output / "fold-1of2/summary.json").read_text())
    places = (*SMALL, *settings, f"data.cache_dir={output.parent / 'cache'}",
              "checkpoint_minutes=1e-9")  # fmt: skip
    command = [
        "-m", "covid.training.crossval", "--config", str(CONFIG), "--folds", "2",
        "--output", str(output), *(part for value in places for part in ("--set", value)),
    ]  # fmt: skip
    process = subprocess.Popen([sys.executable, *command], cwd=PROJECT, env=clean_environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    while process.poll() is None and not list(output.glob("fold-2of2/checkpoints/*.checkpoint")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    (output.parent / "code.txt").write_text(str(process.wait(60)))
    done = run_script(*command)
    assert done.returncode == 0, done.stderr
    (output.parent / "stdout.txt").write_text(done.stdout)
    return output


def test_an_interrupted_cross_validation_ends_as_its_signal_says(folds: Path) -> None:
    assert (folds.parent / "code.txt").read_text() == "143"


def test_a_fold_that_was_interrupted_is_finished_as_if_it_had_not_been(
    root: Path, folds: Path, tmp_path: Path
) -> None:
    done = train(root, tmp_path / "fold-2of2", flags=("--fold", "2/2"))
    assert done.returncode == 0, done.stderr
    assert same_weights(tmp_path / "fold-2of2", folds / "fold-2of2")


def test_a_finished_fold_is_not_trained_again(folds: Path) -> None:
    assert (folds / "fold-1of2/summary.json").read_text() == (
        folds.parent / "first.txt"
    ).read_text()


def test_every_image_is_predicted_by_the_fold_that_held_it_out(folds: Path) -> None:
    with (folds / "evaluation/folds/predictions.csv").open() as file:
        given = {row["path"]: row["fold"] for row in csv.DictReader(file)}
    held_out = {
        row.path: fold
        for fold in ("1of2", "2of2")
        for row in read_rows(folds / f"fold-{fold}") or []
        if row.split == "fold"
    }
    assert given == held_out


def test_the_test_split_is_in_no_fold(folds: Path) -> None:
    rows = read_rows(folds / "fold-1of2") or []
    assert {row.split for row in rows if row.path.startswith("test/")} == {"test"}


def test_the_folds_evaluation_names_every_network(folds: Path) -> None:
    metrics = json.loads((folds / "evaluation/folds/metrics.json").read_text())
    assert [network["fold"] for network in metrics["networks"]] == ["1of2", "2of2"]


def test_the_table_is_printed_at_the_end(folds: Path) -> None:
    assert "24 images" in (folds.parent / "stdout.txt").read_text()


def test_what_a_training_prints_is_kept_beside_it(folds: Path) -> None:
    assert "epoch 2/2" in (folds / "fold-2of2.log").read_text()


def test_a_fold_says_that_its_levels_are_of_all_folds(folds: Path) -> None:
    warnings = json.loads((folds / "fold-1of2/summary.json").read_text())["warnings"]
    assert any("of all folds together" in sentence for sentence in warnings)


def test_one_fold_is_evaluated_alone(folds: Path, tmp_path: Path) -> None:
    done = evaluate(folds / "fold-2of2", "--split", "folds", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["images"], metrics["folds"]) == (12, None)
    assert "are not among the run's" not in done.stderr


def test_a_missing_fold_is_named(folds: Path, tmp_path: Path) -> None:
    shutil.copytree(folds / "fold-1of2", tmp_path / "run/fold-1of2")
    refused(evaluate(tmp_path / "run", "--split", "folds"), "fold 2 of 2: not there")


def test_folds_of_two_configs_are_refused(folds: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folds, run)
    config = run / "fold-2of2/config.yaml"
    config.write_text(config.read_text().replace("batch_size: 4", "batch_size: 8"))
    refused(evaluate(run, "--split", "folds"), "was trained with another batch_size")


def test_folds_of_another_config_are_not_taken_for_finished(folds: Path, root: Path) -> None:
    places = (*SMALL, "epochs=3", f"data.root={root}", "optimizer.lr=0.5")
    done = called(
        crossval.main, "crossval", "--config", CONFIG, "--folds", "2", "--output", folds,
        *(part for value in places for part in ("--set", value)),
    )  # fmt: skip
    refused(done, "was begun with another optimizer.lr, epochs")


def test_a_folder_without_folds_is_refused(tmp_path: Path) -> None:
    refused(evaluate(tmp_path, "--split", "folds"), "holds no folds")


def test_the_run_itself_may_be_trained_beside_its_folds(
    root: Path, folds: Path, tmp_path: Path
) -> None:
    shutil.copytree(folds, tmp_path / "run")
    done = train(root, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert not same_weights(tmp_path / "run", tmp_path / "run/fold-1of2")


def test_a_fold_cannot_go_on_as_a_run_of_all(root: Path, folds: Path, tmp_path: Path) -> None:
    shutil.copytree(folds / "fold-1of2", tmp_path / "run")
    summary = tmp_path / "run/summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"interrupted"'))
    done = train(root, tmp_path / "run", flags=("--resume",))
    refused(done, "with the --fold that it was begun with")


def test_a_fold_of_none_is_refused(root: Path, tmp_path: Path) -> None:
    refused(train(root, tmp_path / "run", flags=("--fold", "3/2")), "--fold 3/2: must look like")
