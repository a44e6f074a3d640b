"""compare.py as a user starts it: what it reads, what it writes, what it refuses."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import compare
from covid.evaluation.prediction_file import PredictionFile, predictions_csv
from tests.conftest import run_script
from tests.evaluation.examples import MULTILABEL
from tests.evaluation.predictions import answering, two_files

FIRST, SECOND = two_files(images=30)


def evaluation(folder: Path, file: PredictionFile, **about: object) -> Path:
    """A folder as evaluate.py leaves it, with what compare.py looks at of metrics.json."""
    folder.mkdir(parents=True)
    (folder / "predictions.csv").write_bytes(predictions_csv(file).encode())
    (folder / "metrics.json").write_text(json.dumps({"images": len(file.names), **about}))
    return folder


def run_folder(path: Path, file: PredictionFile, split: str = "test", **about: object) -> Path:
    evaluation(path / "evaluation" / split, file, **about)
    (path / "config.yaml").touch()
    return path


def start(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, arguments)])
    return compare.main()


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> str:
    assert start(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("Error: ") and err.count("\n") == 1, err
    return err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [run_folder(folder / "one", FIRST), run_folder(folder / "other", SECOND)]


# What it writes ----------------------------------------------------------------------------------


def test_two_runs_are_compared_without_torch(runs: list[Path], tmp_path: Path) -> None:
    code = (
        "import sys, compare\n"
        f"sys.argv = ['compare.py', {str(runs[0])!r}, {str(runs[1])!r}]\n"
        "assert compare.main() == 0\n"
        "print(sorted({'torch', 'onnxruntime', 'matplotlib'} & set(sys.modules)))"
    )
    done = run_script("-c", code)
    assert done.stdout.startswith(f"first   {runs[0]}\nsecond  {runs[1]}\n30 images of "), done
    assert done.stdout.splitlines()[-2:] == ["For learning and research, not for diagnosis.", "[]"]


def test_an_output_holds_exactly_its_files(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "comparison"
    assert start(monkeypatch, *runs, runs[0], "--output", output) == 0
    assert sorted(path.name for path in output.iterdir()) == [
        "comparison.csv", "comparison.json", "comparison.png",
    ]  # fmt: skip
    fields = json.loads((output / "comparison.json").read_text())
    assert fields["first"] == str(runs[0])
    assert [each["same_answers"] for each in fields["comparisons"]] == [False, True]
    with (output / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == fields["comparisons"][0]["decided_otherwise"]["images"] > 0


def test_a_run_an_evaluation_and_a_file_are_the_same(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs[1] / "evaluation" / "test"
    said = []
    for other in (runs[1], folder, folder / "predictions.csv"):
        assert start(monkeypatch, runs[0], other) == 0
        said.append(capsys.readouterr().out.replace(str(other), "it"))
    assert said[0] == said[1] == said[2]


def test_another_split_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = tuple(str(n % 3) for n in range(30))
    paths = [run_folder(tmp_path / name, replace(file, folds=folds), "folds")
             for name, file in (("one", FIRST), ("other", SECOND))]  # fmt: skip
    assert start(monkeypatch, *paths, "--split", "folds") == 0
    assert "this compares two recipes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("one", "other", "doubt"),
    [
        ({"data": "here"}, {"data": "there"}, "evaluated on here, the second on there: images of"),
        ({"samples_sha256": "1"}, {"samples_sha256": "2"}, "but by samples_sha256 these or what"),
        ({"data": "here", "samples_sha256": "1"}, {"data": "here", "samples_sha256": "1"}, None),
        ({}, {"data": "there", "samples_sha256": "1"}, None),
    ],
)
def test_images_of_the_same_name_may_be_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    one: dict[str, str], other: dict[str, str], doubt: str | None,
) -> None:  # fmt: skip
    evaluation(tmp_path / "one", FIRST, **one)
    evaluation(tmp_path / "other", SECOND, **other)
    assert start(monkeypatch, tmp_path / "one", tmp_path / "other") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ("samples_sha256" in said or "evaluated on" in said) == (doubt is not None)
    assert doubt is None or doubt in said


def test_other_thresholds_of_the_same_network_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lower = MULTILABEL.with_thresholds(dict.fromkeys(MULTILABEL.classes, 0.25))
    sides = {0.5: FIRST, 0.25: answering(FIRST, FIRST.probabilities, lower)}
    for threshold, file in sides.items():
        rows = {name: {"threshold": threshold} for name in file.classes}
        evaluation(tmp_path / str(threshold), file, per_class=rows)
    assert start(monkeypatch, tmp_path / "0.5", tmp_path / "0.25") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the same network at other thresholds" in said and "two networks" not in said
    assert "Note: The first decides covid from 0.5 and " in said


# What it refuses ---------------------------------------------------------------------------------


def test_a_run_that_was_not_evaluated_is_refused_with_the_command(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(monkeypatch, capsys, *runs, "--split", "validation")
    assert f"make it with `python evaluate.py {runs[0]} --split validation`." in message


def test_a_split_is_of_runs(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [run / "evaluation" / "test" for run in runs]
    message = refused(monkeypatch, capsys, *folders, "--split", "validation")
    assert "--split validation: is about run folders" in message


def test_a_network_is_refused_with_what_to_compare_instead(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(monkeypatch, capsys, runs[0], "model.onnx")
    assert "model.onnx: is a network; compare predictions.csv of its evaluation" in message


def test_an_empty_folder_is_refused(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    message = refused(monkeypatch, capsys, runs[0], tmp_path)
    assert f"{tmp_path}: is neither a run nor an evaluation" in message


def test_half_a_file_is_refused_where_its_figures_count_more_images(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    half = evaluation(tmp_path / "half", SECOND.take(range(15)), images=30)
    message = refused(monkeypatch, capsys, runs[0], half)
    assert "has 15 rows, and metrics.json beside it is of 30 images" in message


def test_one_alone_is_not_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        start(monkeypatch, "one.csv")
    assert ended.value.code == 2 and "required: RUN_OR_PREDICTIONS" in capsys.readouterr().err
