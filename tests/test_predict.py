"""predict.py as a user starts it: every form, every mistake, every way to be stopped."""

import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import PROJECT, clean_environment, run_script, write_image
from tests.edge.networks import CARD, evidence_graph, novelty_graph, write_network
from tests.edge.test_operating_point import POINT

COLUMNS = [
    "path", "probability_covid", "probability_normal", "probability_pneumonia", "predicted",
    "novelty", "unfamiliar", "error",
]  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_network(tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Seven images, from dark to bright."""
    for number in range(7):
        write_image(tmp_path / "images" / f"{number}.png", number, brightness=20 + 35 * number)
    return tmp_path / "images"


def predict(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_script("predict.py", *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def refused(*arguments: str | Path) -> str:
    done = predict(*arguments, code=2)
    assert done.stdout == "" and done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


# What it prints -----------------------------------------------------------------------------


def test_a_table_has_a_row_an_image(model: Path, images: Path) -> None:
    lines = predict(model, images).stdout.splitlines()
    assert lines[0].startswith(
        f"{model}: resnet18 (fp32, plain arithmetic), trained on xray3. "
        f"Thresholds: 0.5, the default, chosen on nothing."
    )
    assert lines[1].split() == ["image", "covid", "normal", "pneumonia", "predicted"]
    assert [line.split()[0] for line in lines[2:]] == [str(images / f"{n}.png") for n in range(7)]
    assert (lines[2].split()[-1], lines[-1].split()[-1]) == ("normal", "covid+pneumonia")


def test_the_opening_says_what_was_chosen_on_what_and_what_that_cannot_show(
    tmp_path: Path, images: Path
) -> None:
    space = CARD.space.with_thresholds(POINT.thresholds)
    model = write_network(tmp_path, replace(CARD, space=space, operating_point=POINT))
    lines = predict(model, images / "0.png").stdout.splitlines()
    assert "sensitivity=0.95, chosen on validation (128 images, 101 patients)." in lines[0]
    assert lines[1] == "Note: covid: 0.95 cannot be shown with 10 patients."
    assert lines[2].startswith("image")


def test_a_csv_has_the_columns_of_the_contract(model: Path, images: Path) -> None:
    rows = rows_of(predict(model, images, "--format", "csv").stdout)
    assert list(rows[0]) == COLUMNS
    assert [row["path"] for row in rows] == [str(images / f"{n}.png") for n in range(7)]


def test_json_is_json(model: Path, images: Path) -> None:
    rows = json.loads(predict(model, images, "--format", "json").stdout)
    assert [one["path"] for one in rows] == [str(images / f"{n}.png") for n in range(7)]


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_it_always_says_what_it_is_not_for(model: Path, images: Path, form: str) -> None:
    done = predict(model, images, "--format", form)
    aside = done.stdout if form == "table" else done.stderr
    assert "For learning and research, not for diagnosis." in aside


def test_a_network_that_learnt_from_rendered_images_says_so(tmp_path: Path, images: Path) -> None:
    model = write_network(tmp_path, replace(CARD, trained_on="SYNTHETIC phantom radiographs"))
    assert "It learnt from SYNTHETIC images" in predict(model, images).stdout


def test_files_left_out_for_their_ending_are_counted(model: Path, images: Path) -> None:
    (images / "notes.txt").write_text("x")
    done = predict(model, images)
    assert "Left out for their ending, which is no image's: 1 files." in done.stderr


def test_what_dicom_headers_say_is_said_once(tmp_path: Path, model: Path) -> None:
    files = pytest.importorskip("tests.edge.dicom_files")
    (tmp_path / "dicom").mkdir()
    for number in range(3):
        files.dicom(tmp_path / "dicom" / f"{number}.dcm", files.RAMP,
                    ViewPosition="LL" if number else "PA", PatientName="Zyxwv^Quentin")  # fmt: skip
    done = predict(model, tmp_path / "dicom", "--output", tmp_path / "rows.csv")
    assert done.stderr.count("2 of 3 DICOM images are lateral views") == 1
    assert "zyxwv" not in (done.stderr + (tmp_path / "rows.csv").read_text()).lower()


def test_low_memory_and_threads_change_nothing_in_the_answer(model: Path, images: Path) -> None:
    plain = predict(model, images, "--format", "csv").stdout
    assert predict(model, images, "--format", "csv", "--low-memory").stdout == plain
    assert predict(model, images, "--format", "csv", "--threads", "3").stdout == plain


def test_it_works_from_any_folder(model: Path, images: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "predict.py"), model.name, images.name, "--format", "csv"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert rows_of(done.stdout)[0]["path"] == "images/0.png", done.stderr


def test_a_terminal_without_blocks_gets_plain_bars(model: Path, images: Path) -> None:
    done = run_script("predict.py", model, images, environment={"PYTHONIOENCODING": "ascii"})
    assert "#......." in done.stdout and done.returncode == 0


def test_a_name_that_a_spreadsheet_would_run_becomes_text(tmp_path: Path, model: Path) -> None:
    write_image(tmp_path / "=cmd.png", 0)
    done = subprocess.run(
        [sys.executable, str(PROJECT / "predict.py"), model, "=cmd.png", "--format", "csv"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert rows_of(done.stdout)[0]["path"] == "'=cmd.png", done.stderr


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path: Path, model: Path) -> None:
    write_image(tmp_path / "a.png", 0)
    folder = tmp_path / "odd"
    folder.mkdir()
    os.rename(tmp_path / "a.png", os.fsencode(folder) + b"/\xff.png")
    for form in ("csv", "json", "table"):
        done = predict(model, folder, "--format", form)
        assert form == "table" or "udcff.png" in done.stdout


# An image that cannot be read ---------------------------------------------------------------


def test_an_unreadable_image_has_its_row_and_the_others_theirs(model: Path, images: Path) -> None:
    (images / "3.png").write_bytes(b"nothing")
    done = predict(model, images, "--format", "csv", code=1)
    rows = rows_of(done.stdout)
    assert [row["error"] != "" for row in rows] == [number == 3 for number in range(7)]
    assert "Unreadable: 1 of 7 images; their rows say why." in done.stderr


# Into a file --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.csv", "new/folder/rows.JSON"])
def test_a_file_s_ending_says_its_form(
    model: Path, images: Path, tmp_path: Path, name: str
) -> None:
    done = predict(model, images, "--output", tmp_path / name)
    text = (tmp_path / name).read_text()
    rows = json.loads(text) if name.endswith("JSON") else rows_of(text)
    assert (len(rows), done.stdout) == (7, "")


def test_the_form_that_is_asked_for_wins(model: Path, images: Path, tmp_path: Path) -> None:
    predict(model, images, "--output", tmp_path / "rows.txt", "--format", "json")
    assert len(json.loads((tmp_path / "rows.txt").read_text())) == 7


def test_nothing_is_left_beside_the_file(model: Path, images: Path, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    predict(model, images, "--output", tmp_path / "rows.csv")
    assert {path.name for path in tmp_path.iterdir()} == before | {"rows.csv"}


def test_the_file_is_not_there_until_it_is_whole(tmp_path: Path, model: Path) -> None:
    source = slow_images(tmp_path)
    running = start(model, source, "--output", tmp_path / "rows.csv", "--low-memory")
    try:
        wait_for(lambda: list(tmp_path.glob(".rows.*.csv")))
        assert not (tmp_path / "rows.csv").exists()
    finally:
        running.kill()
        running.communicate()


# Mistakes -----------------------------------------------------------------------------------


def test_a_missing_model_is_one_sentence(images: Path, tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "missing.onnx", images)


def test_a_model_cut_short_is_one_sentence(model: Path, images: Path) -> None:
    model.write_bytes(model.read_bytes()[:-7])
    assert "is cut short" in refused(model, images)


def test_a_missing_image_is_one_sentence(model: Path, tmp_path: Path) -> None:
    assert "there is no such file or folder" in refused(model, tmp_path / "missing.png")


def test_a_folder_without_images_is_one_sentence(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no image" in refused(model, tmp_path / "empty")


@pytest.mark.parametrize("threads", ["0", "-3"])
def test_no_threads_at_all_is_one_sentence(model: Path, images: Path, threads: str) -> None:
    assert "threads: must be between 1" in refused(model, images, "--threads", threads)


def test_a_file_of_no_known_form_is_one_sentence(
    model: Path, images: Path, tmp_path: Path
) -> None:
    message = refused(model, images, "--output", tmp_path / "rows.xlsx")
    assert "end it with .csv or .json, or say --format" in message


def test_a_folder_as_output_is_one_sentence(model: Path, images: Path) -> None:
    message = refused(model, images, "--output", images, "--format", "csv")
    assert "is a folder or a device, not a file" in message


def test_a_full_disk_is_one_sentence(model: Path, images: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no disk that is always full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "predict.py", model, images, "--format", "csv"],
            cwd=PROJECT, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: the rows cannot be written")


# Being stopped ------------------------------------------------------------------------------


def slow_images(folder: Path) -> Path:
    """A folder whose images take minutes: the same one of 16 megapixels, many times."""
    source = folder / "slow"
    write_image(source / "0.png", 0, size=4000)
    for number in range(1, 400):
        os.link(source / "0.png", source / f"{number}.png")
    return source


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "predict.py", *map(str, arguments)],
        cwd=PROJECT, env=clean_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_was_written(
    tmp_path: Path, model: Path, number: signal.Signals, code: int
) -> None:
    source = slow_images(tmp_path)
    running = start(model, source, "--format", "json", "--low-memory")
    assert running.stdout is not None and running.stderr is not None
    first = running.stdout.readline()  # of the first row, so the signal comes among the others
    running.send_signal(number)
    done, errors = len(json.loads(first + running.stdout.read())), running.stderr.read()
    assert (running.wait(), 0 < done < 400) == (code, True), errors
    assert f"Interrupted after {done} of 400 images; all rows are kept." in errors
    assert "Traceback" not in errors


def test_a_signal_gives_the_file_its_name(tmp_path: Path, model: Path) -> None:
    source, output = slow_images(tmp_path), tmp_path / "rows.csv"
    running = start(model, source, "--output", output, "--low-memory")
    wait_for(lambda: any(path.stat().st_size for path in tmp_path.glob(".rows.*.csv")))
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert list(rows_of(output.read_text())[0]) == COLUMNS
    assert not list(tmp_path.glob(".rows.*"))


def test_a_second_signal_stops_at_once(tmp_path: Path, model: Path) -> None:
    source = slow_images(tmp_path)
    running = start(model, source, "--format", "csv", "--low-memory")
    assert running.stdout is not None and running.stdout.readline().startswith("path,")
    for _ in range(2):
        running.send_signal(signal.SIGTERM)
        time.sleep(0.01)  # two that come as one are one
    assert running.wait(60) == -signal.SIGTERM


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path, model: Path) -> None:
    running = start(model, slow_images(tmp_path), "--format", "csv", "--low-memory")
    assert running.stdout is not None and running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    errors = running.stderr.read()
    assert running.wait(60) == 141
    assert "Traceback" not in errors and "Exception" not in errors


# On a terminal ------------------------------------------------------------------------------


def on_a_terminal(arguments: Sequence[str | Path]) -> list[str]:
    """The lines that are left to see where stdout and stderr are one terminal."""
    parent, child = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "predict.py", *map(str, arguments)],
        cwd=PROJECT, env={**clean_environment(), "PYTHONIOENCODING": "utf-8", "COLUMNS": "90"},
        stdin=child, stdout=child, stderr=child,
    )  # fmt: skip
    os.close(child)
    written = b""
    try:
        while chunk := os.read(parent, 4096):
            written += chunk
    except OSError:  # how Linux says that the other side has closed
        pass
    running.wait()
    os.close(parent)
    lines = []
    for line in written.decode().split("\n"):
        shown = ""
        for part in line.removesuffix("\r").split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def test_a_bar_leaves_no_trace_in_the_rows(model: Path, images: Path) -> None:
    lines = on_a_terminal([model, images])
    assert [line.split()[-1] for line in lines[2:-1]] == ["normal"] * 4 + ["covid+pneumonia"] * 3
    assert not any(" of 7" in line for line in lines)
    assert max(map(len, lines[1:])) <= 90


# Where there is nothing else ----------------------------------------------------------------


def test_it_runs_in_an_environment_of_three_packages(
    model: Path, images: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=True)
    python = bare / ("Scripts" if os.name == "nt" else "bin") / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "-r", PROJECT / "requirements-edge.txt"],
        capture_output=True, text=True,
    )  # fmt: skip
    if installed.returncode != 0:
        pytest.skip(f"no package index: {installed.stderr.splitlines()[-1]}")
    shutil.copytree(PROJECT / "covid", tmp_path / "edge" / "covid")
    shutil.copy(PROJECT / "predict.py", tmp_path / "edge")
    code = (
        "import runpy, sys, importlib.util\n"
        f"sys.argv = ['predict.py', {str(model)!r}, {str(images)!r}, '--format', 'csv']\n"
        "try: runpy.run_path('predict.py', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert not {'torch', 'accelerate', 'pydantic', 'tqdm'} & set(sys.modules)\n"
        "assert importlib.util.find_spec('torch') is None"
    )
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path / "edge", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == predict(model, images, "--format", "csv").stdout


# Maps ---------------------------------------------------------------------------------------


def test_heatmaps_are_one_picture_an_image_beside_the_rows(images: Path, tmp_path: Path) -> None:
    card = replace(CARD, evidence_scale=0.5)
    model = write_network(tmp_path, card, evidence_graph())
    (images / "broken.png").write_bytes(b"")
    done = predict(model, images, "--heatmaps", tmp_path / "maps", "--class", "covid", code=1)
    assert len(done.stdout.splitlines()) == 2 + 8
    pictures = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert pictures == [f"{number}.png" for number in range(7)]


def test_heatmaps_of_a_file_without_maps_are_refused(model: Path, images: Path) -> None:
    sentence = refused(model, images, "--heatmaps", images.parent / "maps")
    assert "has no maps for --heatmaps" in sentence
    assert not (images.parent / "maps").exists()


@pytest.mark.parametrize("place", ["images", "images/maps", "maps/../images/maps"])
def test_heatmaps_among_the_images_are_refused(images: Path, place: str) -> None:
    folder = images.parent / place
    sentence = refused("missing.onnx", images, "--heatmaps", folder)
    assert f"--heatmaps {folder}: lies in {images}" in sentence


def test_heatmaps_where_a_file_is_are_refused(images: Path, tmp_path: Path) -> None:
    file = tmp_path / "maps"
    file.write_bytes(b"")
    sentence = refused("missing.onnx", images, "--heatmaps", file)
    assert f"--heatmaps {file}: is a file, not a folder; name another place." in sentence


def test_a_class_to_show_needs_a_place_to_show_it(model: Path, images: Path) -> None:
    assert "--class: says what --heatmaps DIR shows" in refused(model, images, "--class", "covid")


# Unfamiliar images --------------------------------------------------------------------------


@pytest.fixture
def novel(tmp_path: Path) -> Path:
    """Finds an image unfamiliar that is brighter than half: those from 4 on."""
    card = replace(CARD, novelty_threshold=0.5)
    return write_network(tmp_path, card, novelty_graph())


def test_unfamiliar_images_keep_their_decision_and_are_named(novel: Path, images: Path) -> None:
    done = predict(novel, images, "--format", "csv")
    rows = rows_of(done.stdout)
    assert ["novelty" in row["unfamiliar"] for row in rows] == [False] * 4 + [True] * 3
    assert rows[6]["predicted"] == "covid+pneumonia" and float(rows[6]["novelty"]) > 0.5
    assert "Unfamiliar: " in done.stderr


def test_refuse_decides_nothing_of_unfamiliar_images(novel: Path, images: Path) -> None:
    done = predict(novel, images, "--format", "json", "--refuse")
    rows = json.loads(done.stdout)
    assert [row["predicted"] is None for row in rows] == [bool(row["unfamiliar"]) for row in rows]
    assert rows[6]["predicted"] is None and rows[6]["probability"]["covid"] > 0.5


def test_refuse_needs_a_file_that_knows_novelty(model: Path, images: Path) -> None:
    assert "--refuse: " in refused(model, images, "--refuse")
