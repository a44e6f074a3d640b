"""evaluate.py as a user starts it: every file, outside folders, one process like two."""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import LABELS, free_port, run_script, write_split_images
from tests.edge.networks import write_network
from tests.runs import arguments


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 4, "validation": 3, "test": 3}
    return write_split_images(tmp_path_factory.mktemp("data") / "clinic", LABELS, counts)


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, with an average of weights, whose validation and test splits were evaluated."""
    output = tmp_path_factory.mktemp("runs") / "first"
    done = run_script("train.py", *arguments(root, output, "ema=0.9"))
    assert done.returncode == 0, done.stderr
    for split in ("validation", "test"):
        done = run_script("evaluate.py", output, "--split", split)
        assert done.returncode == 0, done.stderr
        (output.parent / f"{split}.txt").write_text(done.stdout)
    return output


def metrics_of(folder: Path) -> dict[str, object]:
    metrics: dict[str, object] = json.loads((folder / "metrics.json").read_text())
    return metrics


def test_an_evaluation_holds_exactly_its_files(finished: Path) -> None:
    assert sorted(path.name for path in (finished / "evaluation" / "test").iterdir()) == [
        "confusion.png", "examples.png", "metrics.json", "predictions.csv",
    ]  # fmt: skip


def test_the_metrics_have_every_key_of_the_contract(finished: Path) -> None:
    metrics = metrics_of(finished / "evaluation" / "test")
    assert {"images", "patients", "accuracy", "macro_f1", "per_class", "confusion"} <= set(metrics)
    assert metrics["images"] == 9


def test_every_image_has_its_row_of_predictions(finished: Path) -> None:
    with (finished / "evaluation" / "test" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "path", "label", "probability_covid", "probability_normal", "probability_pneumonia",
        "predicted", "correct",
    ]  # fmt: skip
    assert sorted(row["path"] for row in rows) == sorted(
        f"test/{label}/{label}-{number}.png" for label in LABELS for number in range(3)
    )


def test_accuracy_is_the_share_of_correct_rows(finished: Path) -> None:
    with (finished / "evaluation" / "test" / "predictions.csv").open() as file:
        correct = [row["correct"] == "true" for row in csv.DictReader(file)]
    accuracy = metrics_of(finished / "evaluation" / "test")["accuracy"]
    assert accuracy["value"] == pytest.approx(sum(correct) / 9)  # type: ignore[index]


def test_validation_s_accuracy_is_the_one_that_training_saw(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    accuracy = metrics_of(finished / "evaluation" / "validation")["accuracy"]
    assert accuracy["value"] == summary["best"]["validation_accuracy"]  # type: ignore[index]


@pytest.mark.parametrize("name", ["confusion.png", "examples.png"])
def test_the_pictures_are_pictures(finished: Path, name: str) -> None:
    with Image.open(finished / "evaluation" / "test" / name) as picture:
        assert min(picture.size) > 300


def test_the_table_says_what_it_is_of_and_what_it_is_for(finished: Path) -> None:
    printed = (finished.parent / "test.txt").read_text()
    assert "resnet18_multilabel on clinic, test" in printed
    assert "not for diagnosis" in printed


def test_two_processes_evaluate_as_one_to_the_last_image(finished: Path, tmp_path: Path) -> None:
    done = run_script(
        "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}",
        "evaluate.py", finished, "--output", tmp_path / "two",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one = (finished / "evaluation" / "test" / "predictions.csv").read_text()
    assert (tmp_path / "two" / "predictions.csv").read_text() == one


def test_an_outside_folder_of_one_label_has_the_figures_it_can(finished: Path, root: Path) -> None:
    outside = root.parent / "outside"
    shutil.copytree(root / "train" / "covid", outside / "covid", dirs_exist_ok=True)
    done = run_script("evaluate.py", finished, "--data", outside)
    assert done.returncode == 0, done.stderr
    metrics = metrics_of(finished / "evaluation" / "outside-test")
    covid = metrics["per_class"]["covid"]  # type: ignore[index]
    assert (covid["auroc"], covid["support"], metrics["macro_f1"]["value"]) == (None, 4, None)  # type: ignore[index]
    assert any("covid" in note for note in metrics["notes"])  # type: ignore[attr-defined]


def refused(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    refused(run_script("evaluate.py", tmp_path), "is no run folder")


def test_a_split_that_is_not_there_names_those_that_are(finished: Path, root: Path) -> None:
    done = run_script("evaluate.py", finished, "--data", root / "train", "--split", "validation")
    refused(done, "has no validation images; choose with --split among test")


def test_the_newest_finished_run_is_found(tmp_path: Path) -> None:
    from covid.training.run import newest_run

    for number, status in enumerate(("finished", "finished", "interrupted")):
        summary = tmp_path / f"run-{number}" / "summary.json"
        summary.parent.mkdir()
        summary.write_text(json.dumps({"status": status}))
        os.utime(summary, (number, number))
    assert newest_run(tmp_path).name == "run-1"


def test_without_a_run_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    from covid.errors import RunError
    from covid.training.run import newest_run

    with pytest.raises(RunError, match="holds no finished run; make one with `accelerate launch"):
        newest_run(tmp_path)


# An exported file ---------------------------------------------------------------------------


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    (tmp_path / "box").mkdir()
    return write_network(tmp_path / "box")


def test_an_onnx_file_has_the_same_report_without_torch(exported: Path, root: Path) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['evaluate.py', {str(exported)!r}, '--data', {str(root)!r}]\n"
        "try: runpy.run_path('evaluate.py', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(sorted({'torch', 'torchvision', 'accelerate'} & set(sys.modules)))"
    )
    done = run_script("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    folder = exported.parent / "evaluation" / "clinic-test"
    assert sorted(path.name for path in folder.iterdir()) == [
        "confusion.png", "examples.png", "metrics.json", "predictions.csv",
    ]  # fmt: skip
    assert "model.onnx on clinic, test" in done.stdout


def test_an_onnx_file_s_metrics_say_which_file_and_which_images(
    exported: Path, root: Path, tmp_path: Path
) -> None:
    done = run_script(
        "evaluate.py", exported, "--data", root, "--split", "validation", "--output", tmp_path / "v"
    )
    assert done.returncode == 0, done.stderr
    metrics = metrics_of(tmp_path / "v")
    about = ("model", "precision", "source_sha256", "data", "synthetic", "split", "images")
    assert [metrics[key] for key in about] == [
        "model.onnx", "fp32", "0" * 64, "clinic", False, "validation", 9,
    ]  # fmt: skip


def test_an_onnx_file_s_probabilities_are_those_of_predict(
    exported: Path, root: Path, tmp_path: Path
) -> None:
    assert run_script("evaluate.py", exported, "--data", root).returncode == 0
    with (exported.parent / "evaluation/clinic-test/predictions.csv").open() as file:
        evaluated = [list(row.values())[2:6] for row in csv.DictReader(file)]
    run_script("predict.py", exported, root / "test", "--output", tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open() as file:
        assert [list(row.values())[1:5] for row in csv.DictReader(file)] == evaluated


def test_an_onnx_file_needs_images_to_be_evaluated_on(exported: Path) -> None:
    refused(run_script("evaluate.py", exported), "carries no images; name some with --data ROOT")


def test_an_onnx_file_is_not_evaluated_on_images_that_cannot_be_read(
    exported: Path, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "test", tmp_path / "some")
    (tmp_path / "some/covid/covid-1.png").write_bytes(b"nothing")
    done = run_script("evaluate.py", exported, "--data", tmp_path / "some")
    refused(done, "1 of 9 images cannot be read")
    assert "covid-1.png" in done.stderr


def test_an_onnx_file_is_not_evaluated_on_classes_that_it_does_not_know(
    exported: Path, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "test", tmp_path / "some")
    (tmp_path / "some/covid").rename(tmp_path / "some/tuberculosis")
    refused(run_script("evaluate.py", exported, "--data", tmp_path / "some"), "has tuberculosis")


def test_a_split_that_was_drawn_here_is_warned_of(
    exported: Path, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "some")
    rows = [f"{path.relative_to(tmp_path / 'some')},{path.parent.name}\n"
            for path in sorted((tmp_path / "some").rglob("*.png"))]  # fmt: skip
    (tmp_path / "some/manifest.csv").write_text("path,label\n" + "".join(rows))
    done = run_script("evaluate.py", exported, "--data", tmp_path / "some")
    assert done.returncode == 0, done.stderr
    assert "its manifest has no split, so one was drawn from seed 0" in done.stderr


def test_an_onnx_file_that_is_damaged_is_refused(exported: Path, root: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:-9])
    refused(run_script("evaluate.py", exported, "--data", root), "is cut short")
