"""train.py as a user starts it: what a run leaves, every launcher, every option."""

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

from covid.edge.processors import usable_processors
from covid.training.run import HISTORY
from tests.conftest import (
    PROJECT,
    clean_environment,
    free_port,
    run_script,
)
from tests.runs import CONFIG, LAUNCH, arguments, same_weights, train


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
        "history.csv", "samples.csv", "summary.json",
    ]  # fmt: skip


def test_history_has_one_row_per_epoch_and_its_columns(finished: Path) -> None:
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
    assert set(metadata) == {
        "config", "labels", "mean", "std", "epoch", "metrics", "trained_on_sha256", "greys",
    }  # fmt: skip
    assert metadata["labels"]["covid"] == ["covid", "pneumonia"]


def test_samples_csv_holds_every_image_with_its_size_and_content(
    root: Path, finished: Path
) -> None:
    with (finished / "samples.csv").open(newline="") as file:
        rows = {row.pop("path"): row for row in csv.DictReader(file)}
    assert len(rows) == 24
    with Image.open(root / "test/covid/covid-0.png") as picture:
        content = hashlib.sha256(picture.tobytes()).hexdigest()
    assert rows["test/covid/covid-0.png"] == {
        "label": "covid", "split": "test", "patient": "", "source": "", "width": "40",
        "height": "40", "content": content,
    }  # fmt: skip


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


def launched(root: Path, output: Path, *launcher: str, **environment: str) -> dict[str, object]:
    """The summary of a run under a launcher."""
    command = ["-m", *launcher, "train.py", *arguments(root, output, "epochs=1", "precision=auto")]
    done = run_script(*command, environment=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    summary: dict[str, object] = json.loads((output / "summary.json").read_text())
    summary["stdout"] = done.stdout
    return summary


def test_accelerate_launch_uses_all_threads(root: Path, tmp_path: Path) -> None:
    summary = launched(root, tmp_path / "run", *LAUNCH, HF_HOME=str(tmp_path / "no-config"))
    assert f"of {usable_processors()} threads" in str(summary["stdout"])


def test_accelerate_launch_takes_the_project_s_config(root: Path, tmp_path: Path) -> None:
    summary = launched(root, tmp_path / "run", *LAUNCH, "--config_file=accelerate_config.yaml")
    assert summary["processes"] == 1


def test_torchrun_s_two_processes_find_each_other(root: Path, tmp_path: Path) -> None:
    summary = launched(root, tmp_path / "run", "torch.distributed.run", "--nproc_per_node=2",
                       f"--master_port={free_port()}")  # fmt: skip
    assert (summary["processes"], str(summary["stdout"]).count("source alone")) == (2, 1)


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
    ("model.trainable=[layer2.1]", "select_by=loss", "precision=bf16"),
])  # fmt: skip
def test_every_option_trains(root: Path, tmp_path: Path, settings: tuple[str, ...]) -> None:
    done = train(root, tmp_path / "run", "epochs=1", *settings)
    assert done.returncode == 0, done.stderr


def test_the_audit_says_what_was_looked_for(finished: Path) -> None:
    audit = json.loads((finished / "data_audit.json").read_text())
    duplicates = audit["duplicates"]["between_splits"], audit["duplicates"]["near_between_splits"]
    note = "fewer than 10 images of covid, normal, pneumonia"
    assert (duplicates, audit["metadata_baseline"]["note"]) == ((0, 0), note)
    assert audit["source_baseline"]["note"] == "no source is known"


def test_the_audit_says_what_is_known_by_class(finished: Path) -> None:
    by_class = json.loads((finished / "data_audit.json").read_text())["by_class"]
    assert {label: known["images"] for label, known in by_class.items()} == {
        "covid": 8, "normal": 8, "pneumonia": 8,
    }  # fmt: skip


@pytest.mark.parametrize("what", ["metadata", "source"])
def test_what_it_alone_predicts_is_printed_once_before_training(finished: Path, what: str) -> None:
    lines = (finished.parent / "stdout.txt").read_text().splitlines()
    logged = [place for place, line in enumerate(lines) if line.startswith(f"{what} alone")]
    first_epoch = next(place for place, line in enumerate(lines) if line.startswith("epoch 1/"))
    assert len(logged) == 1 and logged[0] < first_epoch


def test_the_kept_network_says_the_figure_that_it_was_kept_for(root: Path, tmp_path: Path) -> None:
    done = train(root, tmp_path / "run", "model.trainable=head", "select_by=macro_auroc")
    assert done.returncode == 0 and "Best by macro_auroc: epoch" in done.stdout
    assert ", macro_auroc 0." in done.stdout or ", macro_auroc 1." in done.stdout
    with safe_open(tmp_path / "run" / "best.safetensors", framework="pt") as file:
        metrics = json.loads(file.metadata()["metrics"])
    assert set(metrics) == {"accuracy", "macro_f1", "loss", "macro_auroc"}


def test_it_works_from_any_folder(root: Path, tmp_path: Path) -> None:
    chosen = arguments(root, tmp_path / "run", "epochs=1")
    chosen[1] = str(PROJECT / CONFIG)
    done = subprocess.run([sys.executable, str(PROJECT / "train.py"), *chosen], cwd=tmp_path,
                          env=clean_environment(), capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
