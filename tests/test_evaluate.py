"""evaluate.py as a user starts it: every file, outside folders, one process like two."""

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from covid.evaluation.prediction_file import read_predictions
from tests.conftest import LABELS, free_port, run_script, write_image, write_split_images
from tests.runs import arguments, evaluate, refused


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
        done = evaluate(output, "--split", split)
        assert done.returncode == 0, done.stderr
        (output.parent / f"{split}.txt").write_text(done.stdout)
    return output


def metrics_of(folder: Path) -> dict[str, object]:
    metrics: dict[str, object] = json.loads((folder / "metrics.json").read_text())
    return metrics


def test_an_evaluation_holds_exactly_its_files(finished: Path) -> None:
    assert sorted(path.name for path in (finished / "evaluation" / "test").iterdir()) == [
        "calibration.png", "confusion.png", "examples.png", "metrics.json", "operating.png",
        "predictions.csv", "report.html",
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
        "predicted", "correct", "target_covid", "target_normal", "target_pneumonia",
        "patient", "source", "fold",
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


@pytest.mark.parametrize(
    "name", ["confusion.png", "examples.png", "calibration.png", "operating.png"]
)
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
    one, two = (
        read_predictions(folder / "predictions.csv")
        for folder in (finished / "evaluation" / "test", tmp_path / "two")
    )
    assert (one.names, one.cells) == (two.names, two.cells)
    assert (one.decisions == two.decisions).all()
    # float32 sums over batches of another size round otherwise, in the seventh digit.
    assert two.probabilities == pytest.approx(one.probabilities, abs=1e-6)


def test_an_outside_folder_of_one_label_has_the_figures_it_can(
    finished: Path, tmp_path: Path
) -> None:
    for number in range(4):
        write_image(tmp_path / f"outside/covid/{number}.png", seed=500 + number)
    done = evaluate(finished, "--data", tmp_path / "outside")
    assert done.returncode == 0, done.stderr
    metrics = metrics_of(finished / "evaluation" / "outside-test")
    covid = metrics["per_class"]["covid"]  # type: ignore[index]
    assert (covid["auroc"], covid["support"], metrics["macro_f1"]["value"]) == (None, 4, None)  # type: ignore[index]
    assert any("covid" in note for note in metrics["notes"])  # type: ignore[attr-defined]


# Which images they are ----------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Eight images of another hospital, without splits: tuberculosis, and what is normal."""
    lines = ["path,label,patient"]
    for number in range(8):
        write_image(tmp_path / f"elsewhere/{number}.png", seed=900 + number)
        lines.append(f"{number}.png,{'tuberculosis' if number < 3 else 'normal'},P{number}")
    (tmp_path / "elsewhere/manifest.csv").write_text("\n".join(lines))
    return tmp_path / "elsewhere"


def test_a_set_without_splits_is_evaluated_whole(finished: Path, elsewhere: Path) -> None:
    done = evaluate(finished, "--data", elsewhere, "--label", "tuberculosis=pneumonia")
    assert done.returncode == 0, done.stderr
    metrics = metrics_of(finished / "evaluation" / "elsewhere-test")
    assert (metrics["images"], metrics["patients"]) == (8, 8)
    assert metrics["per_class"]["pneumonia"]["support"] == 3  # type: ignore[index]


def test_a_name_can_be_left_out(finished: Path, elsewhere: Path) -> None:
    done = evaluate(finished, "--data", elsewhere, "--label", "tuberculosis=")
    assert done.returncode == 0, done.stderr
    assert "3 images that bear only tuberculosis are left out" in done.stderr
    assert metrics_of(finished / "evaluation" / "elsewhere-test")["images"] == 5


def test_a_name_that_is_not_ours_is_refused_with_the_way_to_map_it(
    finished: Path, elsewhere: Path
) -> None:
    done = evaluate(finished, "--data", elsewhere)
    refused(done, "--label tuberculosis=OURS, or leave it out with --label tuberculosis=")


def test_a_name_that_no_image_bears_is_refused(finished: Path, elsewhere: Path) -> None:
    mapped = ("--label", "tuberculosis=covid", "--label", "nodule=")
    done = evaluate(finished, "--data", elsewhere, *mapped)
    refused(done, "--label names nodule, which no image bears")


def test_labels_of_others_need_images_of_others(finished: Path) -> None:
    refused(evaluate(finished, "--label", "flu=covid"), "name them with --data ROOT")


def test_training_images_under_other_names_are_refused(
    finished: Path, root: Path, elsewhere: Path
) -> None:
    shutil.copy(root / "train/covid/covid-1.png", elsewhere / "0.png")
    done = evaluate(finished, "--data", elsewhere, "--label", "tuberculosis=covid")
    refused(done, "1 of 8 images are among those that resnet18_multilabel was trained on (0.png)")


def test_training_images_are_evaluated_where_that_is_allowed(
    finished: Path, root: Path, elsewhere: Path
) -> None:
    shutil.copy(root / "train/covid/covid-1.png", elsewhere / "0.png")
    mapped = ("--label", "tuberculosis=covid")
    done = evaluate(finished, "--data", elsewhere, *mapped, "--allow-seen")
    assert (done.returncode, "which --allow-seen permits" in done.stderr) == (0, True)
    assert metrics_of(finished / "evaluation" / "elsewhere-test")["seen_in_training"] == 1


def test_the_run_s_own_images_that_moved_keep_their_splits(
    finished: Path, root: Path, tmp_path: Path
) -> None:
    lines = ["path,label"]  # no splits, and other names
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        (tmp_path / "moved").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / f"moved/{number}.png")
        lines.append(f"{number}.png,{path.parent.name}")
    (tmp_path / "moved/manifest.csv").write_text("\n".join(lines))
    done = evaluate(finished, "--data", tmp_path / "moved")
    assert done.returncode == 0, done.stderr
    own, moved = (
        metrics_of(finished / "evaluation" / name) for name in ("test", "moved-test")
    )
    assert moved["accuracy"] == own["accuracy"] and moved["images"] == 9


def test_the_digests_are_those_of_samples_csv(finished: Path) -> None:
    content = (finished / "samples.csv").read_bytes()
    header, *lines = content.decode().splitlines(keepends=True)
    of_test = header + "".join(line for line in lines if line.split(",")[2] == "test")
    metrics = metrics_of(finished / "evaluation" / "test")
    assert metrics["trained_on_sha256"] == hashlib.sha256(content).hexdigest()
    assert metrics["samples_sha256"] == hashlib.sha256(of_test.encode()).hexdigest()


def test_an_own_image_with_other_pixels_is_refused(
    finished: Path, root: Path, tmp_path: Path
) -> None:
    kept = shutil.copy(root / "test/covid/covid-0.png", tmp_path)
    write_image(root / "test/covid/covid-0.png", seed=77)
    try:
        done = evaluate(finished)
    finally:
        shutil.copy2(kept, root / "test/covid/covid-0.png")
    refused(done, "1 images have other pixels than when the run was trained")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    refused(evaluate(tmp_path), "is no run folder")


def test_a_split_that_is_not_there_names_those_that_are(finished: Path, root: Path) -> None:
    done = evaluate(finished, "--data", root / "train", "--split", "validation")
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
