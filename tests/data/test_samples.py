"""samples.csv: what is written is read again, what changed is told, what moved is found."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.data.cache import Original
from covid.data.index import UNSPLIT, Index, Sample
from covid.data.samples import (
    Row,
    changes,
    digest,
    held_out_now,
    keep_splits,
    may_hold,
    moved_images,
    own_images,
    read_rows,
    remembered,
    require_unchanged,
    rows_for_file,
    rows_of,
    seen_in_training,
    to_csv,
)
from covid.errors import DataError, RunError
from tests.conftest import write_image

SPLITS = ("train", "validation", "test")
ROWS = [
    Row(f"{name}.png", "normal", split, f"p{name}", "clinic", 40, 30, name * 64)
    for name, split in zip("abc", SPLITS, strict=True)
]


def index_of(names: Sequence[str], splits: Sequence[str], patients: Sequence[str | None]) -> Index:
    samples = [
        Sample(Path("/data") / name, name, "normal", split, patient, {"source": "clinic"})
        for name, split, patient in zip(names, splits, patients, strict=True)
    ]
    return Index((Path("/data"),), tuple(samples), ())


def like(rows: Sequence[Row]) -> tuple[Index, dict[int, Original]]:
    """The images that these rows are of, in this order, without splits."""
    index = index_of(
        [row.path for row in rows], [UNSPLIT] * len(rows), [row.patient or None for row in rows]
    )
    return index, {i: Original(r.width, r.height, r.content) for i, r in enumerate(rows)}


def splits_of(index: Index) -> list[str]:
    return [sample.split for sample in index.samples]


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@given(st.lists(st.builds(
    Row, text, text, st.sampled_from(SPLITS), text, text,
    st.integers(2, 9999), st.integers(2, 9999), st.sampled_from(["a" * 64, "0123" * 16]),
), max_size=5))  # fmt: skip
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "samples.csv").write_bytes(to_csv(rows).encode())
    assert read_rows(folder) == rows


def test_rows_are_of_the_images_whose_content_is_known() -> None:
    index, originals = like(ROWS)
    del originals[1]
    assert [row.path for row in rows_of(index, originals)] == ["a.png", "c.png"]


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    content = to_csv(ROWS).encode()
    assert digest(ROWS) == hashlib.sha256(content).hexdigest()


def test_a_run_without_the_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path) is None


@pytest.mark.parametrize("content", ["", "path,label\na,b\n", to_csv(ROWS)[:-80], "\x00"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "samples.csv").write_text(content)
    with pytest.raises(RunError, match="samples.csv: cannot be read as the table"):
        read_rows(tmp_path)


def test_a_file_s_samples_lie_in_the_run_that_it_was_exported_from(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text(to_csv(ROWS))
    assert rows_for_file(tmp_path / "export" / "model.onnx", digest(ROWS)) == ROWS


def test_another_run_s_samples_are_not_a_file_s(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text(to_csv(ROWS))
    assert rows_for_file(tmp_path / "export" / "model.onnx", digest(ROWS[:2])) is None


def test_a_run_that_goes_on_keeps_the_splits_that_were_drawn() -> None:
    index, _ = like(ROWS)
    assert splits_of(keep_splits(index, ROWS)) == list(SPLITS)


def test_a_new_image_of_a_known_patient_goes_where_the_patient_is() -> None:
    index = index_of(["new.png"], [UNSPLIT], ["pc"])
    assert splits_of(keep_splits(index, ROWS)) == ["test"]


def test_a_new_image_of_nobody_known_is_trained_on() -> None:
    index = index_of(["new.png"], [UNSPLIT], [None])
    assert splits_of(keep_splits(index, ROWS)) == ["train"]


def test_the_same_images_have_not_changed() -> None:
    assert changes(ROWS, ROWS[::-1]) is None


def test_added_and_removed_images_are_counted_and_named() -> None:
    assert changes(ROWS[:2], ROWS[1:]) == "1 added (c.png), 1 removed (a.png)"


@pytest.mark.parametrize("field", ["content", "label", "patient", "split"])
def test_an_image_of_another_meaning_has_changed(field: str) -> None:
    other = replace(ROWS[0], **{field: "other"})  # type: ignore[arg-type]  # all four are text
    assert changes(ROWS, [other, *ROWS[1:]]) == "1 changed (a.png)"


def test_a_run_s_own_images_stand_in_its_splits() -> None:
    index, _ = like([ROWS[2], ROWS[0], ROWS[1]])
    assert splits_of(own_images(index, ROWS)) == ["test", "train", "validation"]


def test_an_image_that_the_run_did_not_know_is_in_no_split_and_told() -> None:
    names = ["a.png", "b.png", "c.png", "d.png"]
    index = index_of(names, [UNSPLIT] * 4, ["pa", "pb", "pc", None])
    placed = own_images(index, ROWS)
    assert splits_of(placed)[3] == UNSPLIT
    assert "1 images are not among the run's and are left out (d.png)" in placed.warnings[0]


def test_an_image_of_another_label_or_patient_is_told() -> None:
    index = index_of(["a.png", "b.png", "c.png"], [UNSPLIT] * 3, ["pa", "pb", "another"])
    assert "1 images bear another label or patient" in own_images(index, ROWS).warnings[0]


def test_what_was_trained_on_is_known_where_it_is_held_out_now() -> None:
    assert held_out_now(ROWS, [replace(ROWS[0], path="new.png", split="test")]) == ["new.png"]
    assert held_out_now(ROWS, [*ROWS, replace(ROWS[2], split="train")]) == []


def test_an_image_that_was_trained_on_and_removed_stays_known() -> None:
    now = [*ROWS[1:], *remembered(ROWS, ROWS[1:])]
    assert [(row.path, row.split) for row in now][-1] == ("a.png", "removed")
    index, originals = like(ROWS[:1])
    assert seen_in_training(index, originals, now) == ["a.png"]
    assert held_out_now(now, [replace(ROWS[0], split="test")]) == ["a.png"]


def test_a_removed_image_is_no_part_of_the_run_any_more() -> None:
    now = [*ROWS[1:], *remembered(ROWS, ROWS[1:])]
    index, originals = like(ROWS[1:])
    assert changes(now, ROWS[1:]) is None
    assert splits_of(own_images(index, now)) == ["validation", "test"]
    assert moved_images(index, originals, now) is not None


def test_an_image_that_is_trained_on_under_another_name_is_not_removed() -> None:
    assert remembered(ROWS, [replace(ROWS[0], path="new.png"), *ROWS[1:]]) == []


def test_a_missing_image_is_named() -> None:
    index, _ = like(ROWS[:2])
    with pytest.raises(DataError, match=r"1 of the run's 3 images are not there \(c.png\)"):
        own_images(index, ROWS)


def test_images_that_moved_are_found_by_content() -> None:
    _, originals = like(ROWS)
    index = index_of(["x/1.png", "x/2.png", "x/3.png"], [UNSPLIT] * 3, [None] * 3)
    moved = moved_images(index, originals, ROWS)
    assert moved is not None and splits_of(moved) == list(SPLITS)


def test_sizes_tell_whether_a_set_may_hold_the_run_s_images(tmp_path: Path) -> None:
    for name, size in (("a", 40), ("b", 40), ("c", 50)):
        write_image(tmp_path / f"{name}.png", seed=1, size=size)
    samples = [Sample(tmp_path / f"{name}.png", name, "normal", UNSPLIT) for name in "abc"]
    index = Index((tmp_path,), tuple(samples), ())
    rows = [replace(row, width=40, height=40) for row in ROWS[:2]]
    assert may_hold(index, rows)
    assert not may_hold(index, [*rows, replace(ROWS[2], width=40, height=40)])
    assert not may_hold(index, [*rows, *rows])


def test_a_set_without_one_of_the_images_is_another_set() -> None:
    index, originals = like(ROWS[:2])
    assert moved_images(index, originals, ROWS) is None


def test_of_a_picture_in_two_splits_each_keeps_its_own_where_names_tell() -> None:
    twins = [Row("a.png", "normal", "test", "", "", 40, 30, "0" * 64),
             Row("b.png", "normal", "train", "", "", 40, 30, "0" * 64)]  # fmt: skip
    index, originals = like(twins[::-1])
    moved = moved_images(index, originals, twins)
    assert moved is not None and splits_of(moved) == ["train", "test"]


def test_one_copy_of_a_picture_that_the_run_had_twice_is_not_all_of_them() -> None:
    twins = [Row(f"{name}.png", "normal", "train", "", "", 40, 30, "0" * 64) for name in "ab"]
    index, originals = like(twins[:1])
    assert moved_images(index, originals, twins) is None


def test_an_image_with_other_pixels_is_named() -> None:
    index, originals = like(ROWS)
    originals[1] = Original(40, 30, "f" * 64)
    with pytest.raises(DataError, match=r"1 images have other pixels .* \(b.png\)"):
        require_unchanged(index, originals, ROWS)


def test_training_images_are_known_again_under_other_names() -> None:
    _, originals = like(ROWS)
    index = index_of(["1.png", "2.png", "3.png"], ["test"] * 3, [None] * 3)
    assert seen_in_training(index, originals, ROWS) == ["1.png"]
