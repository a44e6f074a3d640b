"""prepare.py as a user starts it: what it writes, what it says, what it refuses."""

import csv
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

import prepare
from covid.collections import COLLECTIONS
from covid.data.index import require_whole_patients
from covid.data.source import load_index
from covid.errors import DataError
from tests.collections.layout import touch, write_table
from tests.conftest import PROJECT, clean_environment, run_script

LABELS = ["normal", "bacteria", "virus"]


def children(folder: Path) -> Path:
    """Kermany's as Mendeley gives them: 40 children to train, 4 to test, no validation."""
    for split, first, last in (("train", 0, 40), ("test", 40, 44)):
        for number in range(first, last):
            kind = "NORMAL" if number % 4 else "VIRUS" if number % 8 else "BACTERIA"
            place = "NORMAL" if number % 4 else "PNEUMONIA"
            touch(folder / "chest_xray" / split / place, f"{kind}-{number}-0001.jpeg",
                  f"{kind}-{number}-0002.jpeg")  # fmt: skip
    return folder


def start(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
    return prepare.main()


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> str:
    assert start(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("Error: ") and err.count("\n") == 1, err
    return err


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# What it writes -----------------------------------------------------------------------------


def test_a_collection_becomes_samples_that_training_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start(monkeypatch, "kermany", children(tmp_path)) == 0
    index = load_index(tmp_path, LABELS)
    assert index.warnings == () and len(index.samples) == 88
    sample = next(sample for sample in index.samples if "BACTERIA-0-0001" in sample.name)
    assert (sample.label, sample.patient, sample.columns["view"]) == ("bacteria", "0", "AP")


def test_an_eighth_of_the_training_patients_becomes_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(monkeypatch, "kermany", children(tmp_path))
    rows = rows_of(tmp_path)
    patients = {row["patient"]: row["split"] for row in rows}
    # An eighth of 30 healthy ones is four, and one of five with bacteria or a virus each.
    assert Counter(patients.values()) == {"train": 34, "validation": 6, "test": 4}
    assert all(patients[row["patient"]] == row["split"] for row in rows)
    said = capsys.readouterr().out
    assert "1/8 of the training patients, with 12 images" in said
    assert "1/8 of the training patients" in (tmp_path / "SOURCE.md").read_text()


def test_an_official_validation_split_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(children(tmp_path) / "chest_xray/val/NORMAL", "NORMAL-99-0001.jpeg")
    start(monkeypatch, "kermany", tmp_path)
    validation = [row["patient"] for row in rows_of(tmp_path) if row["split"] == "validation"]
    assert validation == ["99"]


def test_a_patient_in_two_official_splits_is_told_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path / "train/NORMAL", "IM-0001-0001.jpeg")
    touch(tmp_path / "val/NORMAL", "IM-0002-0001.jpeg")
    touch(tmp_path / "test/NORMAL", "NORMAL2-IM-0001-0001.jpeg")
    start(monkeypatch, "kermany", tmp_path)
    assert "1 patient with 2 images stands in more than one" in capsys.readouterr().out
    index = load_index(tmp_path, LABELS)
    assert len(index.samples) == 3
    with pytest.raises(DataError, match="stand in two splits"):
        require_whole_patients(index, allowed=False)


def test_images_without_a_split_are_left_out_where_others_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"0000000{number}_000.png" for number in range(1, 5)]
    touch(tmp_path / "images", *names)
    write_table(tmp_path / "Data_Entry_2017.csv",
                "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position",
                *(f"{name},No Finding,{name[7]},50,M,PA" for name in names))  # fmt: skip
    write_table(tmp_path / "train_val_list.txt", *names[:2])
    write_table(tmp_path / "test_list.txt", names[2])
    start(monkeypatch, "nih14", tmp_path)
    assert len(rows_of(tmp_path)) == 3
    assert "the official split does not name them: 1 image." in capsys.readouterr().out


def test_without_an_official_split_there_is_no_such_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "COVID/images/COVID-1.png", "Normal/images/Normal-1.png")
    start(monkeypatch, "covid_radiography", tmp_path)
    assert rows_of(tmp_path)[0].keys() == {"path", "label"}
    assert "training draws one" in capsys.readouterr().out


def test_a_second_run_writes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for _ in range(2):
        assert start(monkeypatch, "kermany", children(tmp_path)) == 0
        written.append([(tmp_path / name).read_bytes() for name in ("manifest.csv", "SOURCE.md")])
    assert written[0] == written[1]


# What it says -------------------------------------------------------------------------------


def test_the_table_has_a_row_per_label_and_a_column_per_split(tmp_path: Path) -> None:
    done = run_script("prepare.py", "kermany", children(tmp_path))
    assert done.returncode == 0 and done.stderr == ""
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["label", "train", "validation", "test", "all"] in lines
    assert ["normal", "52", "8", "6", "66"] in lines
    assert ["all", "images", "68", "12", "8", "88"] in lines
    assert ["patients", "34", "6", "4", "44"] in lines


def test_a_file_s_name_cannot_command_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(children(tmp_path), "\x1b[2J.png")
    assert start(monkeypatch, "kermany", tmp_path) == 0
    assert "?[2J.png" in capsys.readouterr().out


def test_names_that_the_terminal_s_encoding_lacks_are_shown_as_numbers(tmp_path: Path) -> None:
    touch(children(tmp_path), "grüß.png")
    done = run_script("prepare.py", "kermany", tmp_path, environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and "gr\\xfc\\xdf.png" in done.stdout, done.stderr


def test_without_a_name_all_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(monkeypatch) == 0
    said = capsys.readouterr().out
    assert all(f"{name} " in said and COLLECTIONS[name].title in said for name in COLLECTIONS)


def test_relative_folders_start_where_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    children(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert start(monkeypatch, "kermany", "mine") == 0
    assert (tmp_path / "mine" / "manifest.csv").is_file()
    assert "\nmine/manifest.csv lists 88 images" in capsys.readouterr().out
    assert not (PROJECT / "mine").exists()


# What it refuses ----------------------------------------------------------------------------


def test_an_unknown_name_is_told_all_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(monkeypatch, capsys, "imagenet", tmp_path)
    assert ", ".join(COLLECTIONS) in said


def test_a_name_without_a_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "name the folder" in refused(monkeypatch, capsys, "nih14")


def test_a_missing_folder_and_an_archive_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "archive.zip")
    assert "cannot be read" in refused(monkeypatch, capsys, "nih14", tmp_path / "missing")
    assert "unpack it" in refused(monkeypatch, capsys, "nih14", tmp_path / "archive.zip")


def test_a_folder_of_something_else_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "cats/a.png")
    said = refused(monkeypatch, capsys, "kermany", tmp_path)
    assert "expected chest_xray/" in said and "it holds cats/" in said
    assert [path.name for path in tmp_path.iterdir()] == ["cats"]


def test_a_manifest_of_somebody_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(children(tmp_path) / "manifest.csv", "path,label")
    assert "was not written by prepare.py" in refused(monkeypatch, capsys, "kermany", tmp_path)
    assert (tmp_path / "manifest.csv").read_text() == "path,label\n"


def test_what_is_interrupted_writes_nothing_and_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png")
    os.mkfifo(tmp_path / "metadata.csv")  # a table whose end never comes
    process = subprocess.Popen(
        [sys.executable, "prepare.py", "cohen", tmp_path],
        cwd=PROJECT, env=clean_environment(), stderr=subprocess.PIPE, text=True,
        # As a terminal starts it: what a shell starts with & ignores SIGINT, and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with (tmp_path / "metadata.csv").open("wb"):  # waits until it is being read
        # A signal between Python's last look at signals and the read shows once another ends it.
        for _ in range(60):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
                break
        assert process.returncode == 130
    assert process.stderr is not None and process.stderr.read().startswith("Interrupted")
    assert not (tmp_path / "manifest.csv").exists()


def test_it_needs_none_of_the_packages_of_training(tmp_path: Path) -> None:
    code = (
        f"import runpy, sys; sys.argv = ['prepare.py', 'kermany', {str(children(tmp_path))!r}]\n"
        f"try: runpy.run_path('prepare.py', run_name='__main__')\n"
        f"except SystemExit as ended: assert not ended.code\n"
        f"print(sorted({{'torch', 'yaml', 'pydantic', 'sklearn', 'scipy'}} & set(sys.modules)))"
    )
    done = run_script("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
