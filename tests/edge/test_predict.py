"""Many files to rows: which files, in which order, in which batches, and what one bad file does."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from covid.edge.novelty import Seen
from covid.edge.predict import Outputs, Prediction, find_images, predict_files
from covid.errors import DataError, ImageError
from tests.edge.networks import CARD

Pixels = npt.NDArray[np.uint8]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def read(path: Path) -> Seen:
    """As if a file's name were its only grey level."""
    if path.name == "bad":
        raise ImageError(f"{path}: is damaged.")
    return Seen(np.full((2, 2), int(path.name), np.uint8))


def infer(images: Pixels) -> Outputs:
    share = images[:, 0, 0].astype(np.float32) / 255
    probabilities = np.stack([share, 1 - share, np.zeros_like(share)], axis=1, dtype=np.float32)
    return Outputs(np.zeros_like(probabilities), probabilities)


def run(names: list[str], batch_size: int = 3) -> list[Prediction]:
    paths = map(Path, names)
    return list(predict_files(paths, read, infer, CARD.space, decoders=2, batch_size=batch_size))


# Which files --------------------------------------------------------------------------------


def test_folders_are_gone_through_in_sorted_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.png", "b/1.PNG", "a/z.jpg", "a/deep/y.tif", "c.dcm")
    paths, other = find_images([tmp_path])
    names = [path.relative_to(tmp_path).as_posix() for path in paths]
    assert names == ["c.dcm", "a/z.jpg", "a/deep/y.tif", "b/1.PNG", "b/2.png"]
    assert other == 0


def test_files_left_out_for_their_ending_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "notes.txt", "sub/model.onnx", "sub/noending")
    assert find_images([tmp_path]) == ([tmp_path / "a.png"], 3)


def test_hidden_files_and_folders_are_left_out_uncounted(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", ".hidden.png", ".cache/b.png")
    assert find_images([tmp_path]) == ([tmp_path / "a.png"], 0)


def test_a_file_named_by_hand_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    touch(tmp_path, "IM000001")
    assert find_images([tmp_path / "IM000001"]) == ([tmp_path / "IM000001"], 0)


def test_sources_keep_their_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "folder/a.png")
    sources = [tmp_path / "folder", tmp_path / "b.png"]
    assert find_images(sources)[0] == [tmp_path / "folder/a.png", tmp_path / "b.png"]


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert find_images([tmp_path])[0] == [tmp_path / "a.png"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match=r"holds no image \(1 other files\)"):
        find_images([tmp_path])


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        find_images([tmp_path / "missing"])


def test_a_folder_that_cannot_be_listed_is_no_folder_without_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(folder: str) -> Iterator[object]:  # root may list what chmod forbids
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(DataError, match=r"cannot be listed \(Permission denied\)"):
        find_images([tmp_path])


# To rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 8, 50])
def test_every_file_has_its_own_row_in_order(batch_size: int) -> None:
    names = [str(level) for level in range(40, 60)]
    predictions = run(names, batch_size)
    assert [str(prediction.path) for prediction in predictions] == names
    assert [one.probabilities["covid"] for one in predictions] == pytest.approx(
        [level / 255 for level in range(40, 60)]
    )


@pytest.mark.parametrize("names", [["bad"], ["bad", "bad", "bad", "9"], ["9", "bad"], []])
def test_a_bad_file_has_a_row_and_stops_nothing(names: list[str]) -> None:
    predictions = run(names, batch_size=2)
    assert [one.error is not None for one in predictions] == [name == "bad" for name in names]


def test_a_bad_file_s_row_says_why() -> None:
    assert run(["bad"]) == [Prediction(Path("bad"), {}, (), "bad: is damaged.")]


def test_labels_are_those_that_the_space_decides() -> None:
    assert [one.labels for one in run(["255", "0"])] == [("covid", "pneumonia"), ("normal",)]


def test_no_batch_is_larger_than_asked() -> None:
    sizes = []

    def count(images: Pixels) -> Outputs:
        sizes.append(len(images))
        return infer(images)

    paths = [Path("7")] * 20
    list(predict_files(paths, read, count, CARD.space, decoders=2, batch_size=8))
    assert sizes == [8, 8, 4]


def test_a_bug_in_reading_is_not_taken_for_a_bad_file() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run(["not a number"])


def test_only_so_many_files_are_read_ahead() -> None:
    taken = []

    def endless() -> Iterator[Path]:
        while True:
            taken.append(1)
            yield Path("7")

    predictions = predict_files(endless(), read, infer, CARD.space, decoders=2, batch_size=4)
    for _ in range(9):
        next(predictions)
    assert len(taken) <= 9 + 4 + 2 + 2 * 4


def test_the_first_rows_come_before_the_last_files_are_read() -> None:
    gate = threading.Event()

    def wait_for_the_last(path: Path) -> Seen:
        if path.name == "99":
            assert gate.wait(30)
        return read(path)

    paths = [Path("1"), Path("2"), Path("99")]
    predictions = predict_files(
        paths, wait_for_the_last, infer, CARD.space, decoders=2, batch_size=1
    )
    assert next(predictions).path == Path("1")
    gate.set()
    assert len(list(predictions)) == 2


def test_files_are_read_while_the_network_computes() -> None:
    computing, seen = threading.Event(), []

    def note(path: Path) -> Seen:
        seen.append(computing.wait(0.2))
        return read(path)

    def compute(images: Pixels) -> Outputs:
        computing.set()
        time.sleep(0.3)
        computing.clear()
        return infer(images)

    paths = [Path("7")] * 12
    list(predict_files(paths, note, compute, CARD.space, decoders=1, batch_size=2))
    assert any(seen)


def test_whoever_stops_listening_waits_for_few_files() -> None:
    count = []

    def slow(path: Path) -> Seen:
        count.append(1)
        time.sleep(0.02)
        return read(path)

    paths = [Path("7")] * 500
    predictions = predict_files(paths, slow, infer, CARD.space, decoders=2, batch_size=4)
    next(predictions)
    predictions.close()  # type: ignore[attr-defined]
    assert len(count) < 30


# Unfamiliar images --------------------------------------------------------------------------


def unfamiliar(novelty: float, threshold: float | None, *doubts: str) -> Prediction:
    """What is said of an image of which a file says how novel it is."""

    def doubt(path: Path) -> Seen:
        return Seen(read(path).pixels, doubts)

    def measure(images: Pixels) -> Outputs:
        return infer(images)._replace(novelty=np.full(len(images), novelty, np.float32))

    (prediction,) = predict_files(
        [Path("7")], doubt, measure, CARD.space, decoders=1, batch_size=1,
        novelty_threshold=threshold,
    )  # fmt: skip
    return prediction


def test_an_image_at_the_threshold_is_familiar() -> None:
    assert unfamiliar(1.5, 1.5).unfamiliar == ()
    assert unfamiliar(1.5, 1.5).novelty == 1.5


def test_an_image_beyond_the_threshold_is_unfamiliar_and_keeps_its_decision() -> None:
    prediction = unfamiliar(1.6, 1.5)
    assert prediction.unfamiliar == ("novelty",)
    assert prediction.labels == ("normal",)


def test_what_is_seen_before_the_network_comes_first() -> None:
    assert unfamiliar(1.6, 1.5, "colour").unfamiliar == ("colour", "novelty")
    assert unfamiliar(1.4, 1.5, "colour").unfamiliar == ("colour",)


def test_a_file_that_does_not_say_makes_nothing_unfamiliar() -> None:
    (prediction,) = predict_files(
        [Path("7")], lambda path: Seen(read(path).pixels, ("colour",)), infer, CARD.space,
        decoders=1, batch_size=1,
    )  # fmt: skip
    assert prediction.novelty is None and prediction.unfamiliar == ()
