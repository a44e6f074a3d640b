"""Synthetic radiographs: the same again, fairly split, complete or absent, and no giveaways."""

import csv
import multiprocessing
import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from covid.data.phantom import CLASSES, SYNTHETIC, render_image, render_masks, render_set
from covid.data.source import load_index
from covid.errors import DataError, StorageError

KEYS = ("covid", "normal", "pneumonia")
SPLITS = ("train", "validation", "test")
SIZE = 64
IMAGES = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_set(tmp_path_factory.mktemp("phantom") / "set", KEYS, images=IMAGES, size=SIZE)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def values_by_patient(folder: Path, column: str) -> dict[str, set[str]]:
    values = defaultdict(set)
    for row in rows_of(folder):
        values[row["patient"]].add(row[column])
    return values


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def render_small(folder: Path) -> None:
    render_set(folder, KEYS, images=12, size=SIZE)


def longest_run(row: npt.NDArray[np.bool_]) -> int:
    return max(len(run) for run in "".join("x" if one else " " for one in row).split(" "))


# ---------------------------------------------------------------- one image


@pytest.mark.parametrize("key", CLASSES)
def test_the_same_seeds_render_the_same_bytes(key: str) -> None:
    assert render_image(key, 3, 1, SIZE).tobytes() == render_image(key, 3, 1, SIZE).tobytes()


@pytest.mark.parametrize("seeds", [(4, 1), (3, 2)])
def test_another_patient_or_image_is_another_picture(seeds: tuple[int, int]) -> None:
    assert (render_image("normal", 3, 1, SIZE) != render_image("normal", *seeds, SIZE)).any()


@pytest.mark.parametrize("size", [64, 97, 640])  # 640: more than the anatomy is drawn at
def test_an_image_is_grey_bytes_of_the_size_asked_for(size: int) -> None:
    image = render_image("pneumonia", 0, 0, size)
    assert (image.dtype.name, image.shape) == ("uint8", (size, size))


@pytest.mark.parametrize("key", CLASSES)
def test_every_picture_says_that_it_is_synthetic(key: str) -> None:
    bottom = render_image(key, 5, 0, 256)[-26:]
    plates = [row for row in bottom if longest_run(row == 14) > 0.15 * 256]
    assert plates  # the dark plate under the word


@pytest.mark.parametrize("key", ["covid", "pneumonia"])
@pytest.mark.parametrize("patient", range(3))
def test_disease_changes_the_lungs(key: str, patient: int) -> None:
    healthy, sick = (render_image(label, patient, 0, SIZE).astype(int) for label in ("normal", key))
    inside = (slice(SIZE // 8, 7 * SIZE // 8),) * 2
    assert (np.abs(sick - healthy)[inside] > 8).sum() > 0.004 * SIZE**2


@pytest.mark.parametrize("key", ["covid", "pneumonia"])
@pytest.mark.parametrize("patient", range(3))
def test_disease_changes_nothing_outside_the_lungs(key: str, patient: int) -> None:
    changed = render_image("normal", patient, 0, SIZE) != render_image(key, patient, 0, SIZE)
    edge = SIZE // 8
    top_corners = changed[:edge, :edge] | changed[:edge, -edge:]
    assert not (top_corners.any() or changed[-edge:].any())


def test_mean_brightness_does_not_separate_the_classes() -> None:
    means = {
        key: np.array([render_image(key, patient, 0, SIZE).mean() for patient in range(16)])
        for key in KEYS
    }
    shifts = [abs(means[key].mean() - means["normal"].mean()) for key in ("covid", "pneumonia")]
    assert max(shifts) < 0.4 * means["normal"].std()


def test_a_shot_does_not_depend_on_the_class(folder: Path) -> None:
    views = Counter((row["label"], row["view"]) for row in rows_of(folder))
    assert all(views[key, view] for key in KEYS for view in ("AP", "PA"))


# ---------------------------------------------------------------- what cannot be rendered


def test_an_unknown_key_is_refused_with_what_can_be_rendered(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        render_set(tmp_path / "set", ["normal", "fracture"])
    sentence = str(refused.value)
    assert all(word in sentence for word in ("fracture", *CLASSES, "data.root", "your own images"))


def test_nothing_is_written_for_an_unknown_key(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        render_set(tmp_path / "set", ["fracture"])
    assert not list(tmp_path.iterdir())


def test_render_image_refuses_an_unknown_key() -> None:
    with pytest.raises(DataError, match="fracture"):
        render_image("fracture", 0, 0, SIZE)


# ---------------------------------------------------------------- a set


def test_each_patient_is_in_one_split_only(folder: Path) -> None:
    assert all(len(splits) == 1 for splits in values_by_patient(folder, "split").values())


@pytest.mark.parametrize("column", ["label", "sex", "age"])
def test_each_patient_has_one(column: str, folder: Path) -> None:
    assert all(len(values) == 1 for values in values_by_patient(folder, column).values())


def test_patients_have_one_to_four_images(folder: Path) -> None:
    counts = Counter(row["patient"] for row in rows_of(folder))
    assert set(counts.values()) == {1, 2, 3, 4}


@pytest.mark.parametrize("images", [30, IMAGES])
def test_every_class_is_in_each_split(images: int, folder: Path, tmp_path: Path) -> None:
    if images != IMAGES:
        folder = render_set(tmp_path / "set", KEYS, images=images, size=SIZE)
    pairs = {(row["split"], row["label"]) for row in rows_of(folder)}
    assert pairs == {(split, key) for split in SPLITS for key in KEYS}


def test_there_are_as_many_images_as_asked_for(folder: Path) -> None:
    assert len(rows_of(folder)) == IMAGES


def test_splits_are_about_70_15_and_15_percent(folder: Path) -> None:
    counts = Counter(row["split"] for row in rows_of(folder))
    shares = [counts[split] / IMAGES for split in SPLITS]
    assert shares == pytest.approx([0.70, 0.15, 0.15], abs=0.02)


def test_covid_is_rare_and_the_others_share_the_rest(folder: Path) -> None:
    counts = Counter(row["label"] for row in rows_of(folder))
    assert counts == {"covid": 12, "normal": 54, "pneumonia": 54}


def test_infected_and_normal_are_half_each(tmp_path: Path) -> None:
    folder = render_set(tmp_path / "set", ["infected", "normal"], images=30, size=SIZE)
    assert Counter(row["label"] for row in rows_of(folder)) == {"infected": 15, "normal": 15}


def test_the_rows_of_the_manifest_are_the_files(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    rows = rows_of(folder)
    assert files == {row[column] for row in rows for column in ("path", "mask", "lesion")} - {""}
    assert len({row["path"] for row in rows}) == len(rows)


def test_only_images_of_a_disease_have_a_lesion(folder: Path) -> None:
    assert all(bool(row["lesion"]) == (row["label"] != "normal") for row in rows_of(folder))


@pytest.mark.parametrize("key", ["covid", "pneumonia"])
@pytest.mark.parametrize("patient", range(3))
def test_disease_changes_what_its_mask_shows_and_little_else(key: str, patient: int) -> None:
    healthy, sick = (render_image(label, patient, 0, 128).astype(int) for label in ("normal", key))
    lungs, lesion = render_masks(key, patient, 0, 128)
    changed = np.abs(sick - healthy)
    assert changed[lesion].mean() > 5 * changed[~lesion].mean()
    assert changed[~lungs].mean() < 1


def test_lungs_are_darker_than_what_lies_around_them() -> None:
    for patient in range(4):
        lungs, lesion = render_masks("normal", patient, 0, 128)
        image = render_image("normal", patient, 0, 128)
        assert not lesion.any() and 0.1 < lungs.mean() < 0.45
        assert image[lungs].mean() < image[32:96, 32:96][~lungs[32:96, 32:96]].mean()


def test_files_lie_where_their_split_and_label_say(folder: Path) -> None:
    for row in rows_of(folder):
        assert row["path"].startswith(f"{row['split']}/{row['label']}/phantom-")


def test_every_row_says_that_it_is_synthetic(folder: Path) -> None:
    assert {row["source"] for row in rows_of(folder)} == {SYNTHETIC.split()[0]}


def test_files_are_grey_and_of_the_size_asked_for(folder: Path) -> None:
    kinds = set()
    for row in rows_of(folder):
        with Image.open(folder / row["path"]) as image:
            kinds.add((image.mode, image.size))
    assert kinds == {("L", (SIZE, SIZE))}


def test_the_index_takes_the_set_without_a_warning(folder: Path) -> None:
    assert load_index(folder, KEYS).warnings == ()


def test_the_same_seed_renders_the_same_set(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    render_small(one)
    render_small(other)
    assert contents(one) == contents(other)


def test_another_seed_renders_other_patients(tmp_path: Path) -> None:
    one = render_set(tmp_path / "one", KEYS, images=12, size=SIZE, seed=0)
    other = render_set(tmp_path / "other", KEYS, images=12, size=SIZE, seed=1)
    pictures = [
        {data for name, data in contents(folder).items() if name.endswith(".png")}
        for folder in (one, other)
    ]
    assert not pictures[0] & pictures[1]


# ---------------------------------------------------------------- complete or absent


def test_progress_counts_every_image(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    render_set(
        tmp_path / "set", KEYS, images=30, size=SIZE,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(done, 30) for done in range(1, 31)]


def test_a_set_that_is_there_is_left_alone(tmp_path: Path) -> None:
    render_small(tmp_path / "set")
    before = contents(tmp_path / "set")
    render_set(tmp_path / "set", KEYS, images=30, size=2 * SIZE)
    assert contents(tmp_path / "set") == before


def test_a_half_rendered_set_is_never_seen(tmp_path: Path) -> None:
    seen: list[bool] = []
    render_set(
        tmp_path / "set", KEYS, images=12, size=SIZE,
        progress=lambda done, total: seen.append((tmp_path / "set").exists()),
    )  # fmt: skip
    assert not any(seen)


def interrupt(done: int, total: int) -> None:
    if done == 3:
        raise KeyboardInterrupt


def test_interrupted_rendering_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        render_set(tmp_path / "set", KEYS, images=12, size=SIZE, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        render_small(tmp_path / "file" / "set")


def test_the_slower_of_two_uses_the_set_of_the_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def be_late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        render_small(tmp_path / "set")  # another process, between the check and the renaming
        replace(source, target)

    monkeypatch.setattr(os, "replace", be_late)
    render_small(tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_two_processes_that_render_at_once_both_succeed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=render_small, args=(tmp_path / "set",)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    left = [path.name for path in tmp_path.iterdir()]
    assert ([process.exitcode for process in both], left) == ([0, 0], ["set"])
