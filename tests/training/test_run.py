"""Run folders: when they may be written, and what in them may change."""

import json
from pathlib import Path

import pytest

from covid.config import Config, load_config
from covid.errors import RunError
from covid.project import PROJECT
from covid.training.report import images_per_second
from covid.training.run import (
    EpochRecord,
    best_weights,
    check_run,
    start_run,
    write_history,
    write_json,
)


def config(*settings: str) -> Config:
    return load_config(PROJECT / "configs/resnet18_multilabel.yaml", settings)


def begun(folder: Path, status: str | None = None, *settings: str) -> Path:
    start_run(folder, config(*settings), overwrite=False)
    if status:
        (folder / "summary.json").write_text(json.dumps({"status": status}))
    return folder


def test_a_folder_that_is_not_there_may_be_written(tmp_path: Path) -> None:
    check_run(tmp_path / "new", config(), resume=False, overwrite=False)


def test_a_run_that_was_killed_before_its_first_file_was_whole_may_begin_again(
    tmp_path: Path,
) -> None:
    (tmp_path / ".config.4711.yaml").write_text("epo")
    check_run(tmp_path, config(), resume=False, overwrite=False)
    assert [path.name for path in begun(tmp_path).iterdir()] == ["config.yaml"]


def test_an_unfinished_run_may_be_resumed(tmp_path: Path) -> None:
    check_run(begun(tmp_path / "run"), config(), resume=True, overwrite=False)


def test_a_run_may_be_resumed_for_more_epochs(tmp_path: Path) -> None:
    check_run(begun(tmp_path / "run"), config("epochs=20"), resume=True, overwrite=False)


@pytest.mark.parametrize("scheduler", ["{name: cosine}", "{name: onecycle, max_lr: 0.1}"])
def test_a_schedule_over_the_whole_run_is_not_continued_for_more_epochs(
    tmp_path: Path, scheduler: str
) -> None:
    setting = f"scheduler={scheduler}"
    with pytest.raises(RunError, match="begun with another epochs"):
        check_run(
            begun(tmp_path / "run", None, setting), config(setting, "epochs=20"),
            resume=True, overwrite=False,
        )  # fmt: skip


@pytest.mark.parametrize(
    "setting", ["optimizer.lr=1", "model.arch=vgg16", "seed=4", "data.labels.covid=[covid]"]
)
def test_another_run_is_no_continuation(tmp_path: Path, setting: str) -> None:
    key = setting.split("=")[0]
    with pytest.raises(RunError, match=f"begun with another {key}"):
        check_run(begun(tmp_path / "run"), config(setting), resume=True, overwrite=False)


@pytest.mark.parametrize("resume", [True, False])
def test_a_finished_run_is_kept(tmp_path: Path, resume: bool) -> None:
    with pytest.raises(RunError, match="holds a finished run; .* --output, .* --overwrite"):
        check_run(begun(tmp_path, "finished"), config(), resume=resume, overwrite=False)


def test_overwriting_takes_a_run_s_own_files_only(tmp_path: Path) -> None:
    begun(tmp_path, "finished")
    (tmp_path / "notes.txt").write_text("mine")
    start_run(tmp_path, config(), overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "notes.txt"]


def test_an_undefined_figure_is_an_empty_cell(tmp_path: Path) -> None:
    record: EpochRecord = {"epoch": 1, "validation_macro_f1": None}
    write_history(tmp_path, [record])
    assert (tmp_path / "history.csv").read_text().splitlines()[1] == "1,,,,,,,,"


def test_json_never_holds_what_json_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"value": float("nan")})


def records(*speeds: float) -> list[EpochRecord]:
    return [{"images_per_second": speed} for speed in speeds]


def test_the_first_epoch_does_not_count_for_speed() -> None:
    assert images_per_second(records(1, 10, 10)) == 10


def test_the_first_epoch_counts_where_it_is_the_only_one() -> None:
    assert images_per_second(records(7)) == 7


def test_speed_is_images_over_time() -> None:
    # Two epochs of 60 images, in 6 and 2 seconds: 120 images in 8.
    assert images_per_second(records(1, 10, 30)) == 15


def test_a_file_is_no_run_folder_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(RunError, match="is a file, not a run folder"):
        best_weights(tmp_path / "model.onnx")
