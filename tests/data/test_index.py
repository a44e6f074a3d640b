"""The index: folders and manifests as they are meant, mistakes named, patients in one split."""

import csv
import shutil
from pathlib import Path

import pytest

from covid.data.index import (
    patients_in_two_splits,
    require_training_splits,
    require_whole_patients,
    targets_of,
)
from covid.data.source import load_index
from covid.data.splits import SPLITS, draw_splits
from covid.edge.labels import LabelSpace
from covid.errors import DataError
from tests.conftest import LABELS, MakeImages, write_image


def write_manifest(root: Path, rows: list[dict[str, str]]) -> None:
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def manifest_root(tmp_path: Path) -> Path:
    """Nine images beside a manifest, three of each label, one patient an image."""
    rows = []
    for place, label in enumerate(LABELS):
        for number, split in enumerate(SPLITS):
            name = f"{label}-{number}.png"
            write_image(tmp_path / "root" / name, 10 * place + number)
            row = {"path": name, "label": label, "split": split, "patient": name, "device": "x"}
            rows.append(row)
    write_manifest(tmp_path / "root", rows)
    return tmp_path / "root"


def rows_of(root: Path) -> list[dict[str, str]]:
    with (root / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_folders_of_splits_and_labels_are_read(make_images: MakeImages) -> None:
    counts = load_index(make_images(), LABELS).counts()
    assert counts["train"] == dict.fromkeys(LABELS, 4)


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "VAL"])
def test_validation_has_several_names(make_images: MakeImages, name: str) -> None:
    root = make_images()
    (root / "validation").rename(root / name)
    assert load_index(root, LABELS).counts()["validation"]["covid"] == 2


def test_a_folder_s_capitals_do_not_matter(make_images: MakeImages) -> None:
    root = make_images()
    (root / "train" / "covid").rename(root / "train" / "COVID")
    assert load_index(root, LABELS).counts()["train"]["covid"] == 4


def test_labels_directly_under_the_root_are_one_test_split(make_images: MakeImages) -> None:
    index = load_index(make_images() / "train", LABELS)
    assert {sample.split for sample in index.samples} == {"test"}


def test_an_outside_folder_may_hold_some_of_the_labels_only(make_images: MakeImages) -> None:
    root = make_images() / "train"
    shutil.rmtree(root / "normal")
    assert set(load_index(root, LABELS).counts()["test"]) == {"covid", "pneumonia"}


def test_images_in_deeper_folders_belong_to_their_label(make_images: MakeImages) -> None:
    root = make_images()
    write_image(root / "train" / "covid" / "clinic" / "more.png", 99)
    assert load_index(root, LABELS).counts()["train"]["covid"] == 5


def test_the_manifest_wins_over_folders(make_images: MakeImages) -> None:
    root = make_images()
    write_manifest(
        root, [{"path": "train/covid/covid-0.png", "label": "normal", "split": "test"}]
    )
    assert load_index(root, LABELS).counts() == {"test": {"normal": 1}}


def test_images_that_the_manifest_does_not_list_are_counted(make_images: MakeImages) -> None:
    root = make_images(counts={"train": 1})
    write_manifest(
        root, [{"path": "train/covid/covid-0.png", "label": "covid", "split": "train"}]
    )
    assert "does not list 2 images" in load_index(root, LABELS).warnings[0]


def test_the_masks_that_a_manifest_names_are_not_images_left_out(make_images: MakeImages) -> None:
    root = make_images(counts={"train": 1})
    row = {"path": "train/covid/covid-0.png", "label": "covid", "split": "train"}
    write_manifest(root, [row | {"mask": "train/normal/normal-0.png"}])
    assert "does not list 1 images" in load_index(root, LABELS).warnings[0]


def test_unknown_columns_are_kept(manifest_root: Path) -> None:
    assert load_index(manifest_root, LABELS).samples[0].columns == {"device": "x"}


def test_samples_are_sorted_by_name_whatever_the_manifest_s_order(manifest_root: Path) -> None:
    before = load_index(manifest_root, LABELS).samples
    write_manifest(manifest_root, rows_of(manifest_root)[::-1])
    assert load_index(manifest_root, LABELS).samples == before


def change(root: Path, line: int, **values: str) -> None:
    rows = rows_of(root)
    rows[line] |= values
    write_manifest(root, rows)


def test_a_label_that_the_config_does_not_name_is_refused(manifest_root: Path) -> None:
    change(manifest_root, 0, label="tuberculosis")
    with pytest.raises(DataError, match="bear tuberculosis, which data.labels does not name"):
        load_index(manifest_root, LABELS)


def test_a_row_without_a_label_is_refused_with_its_line(manifest_root: Path) -> None:
    change(manifest_root, 3, label="")
    with pytest.raises(DataError, match="line 5: the column label is empty"):
        load_index(manifest_root, LABELS)


def test_a_row_without_a_file_is_refused(manifest_root: Path) -> None:
    (manifest_root / "covid-0.png").unlink()
    with pytest.raises(DataError, match=r"1 of 9 rows name a file that is not there \(covid-0"):
        load_index(manifest_root, LABELS)


def test_two_rows_for_one_file_are_refused(manifest_root: Path) -> None:
    change(manifest_root, 1, path="./covid-0.png")
    with pytest.raises(DataError, match=r"1 files have two rows \(covid-0.png\)"):
        load_index(manifest_root, LABELS)


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "a/../../b.png", "C:\\x.png"])
def test_a_row_that_leads_outside_the_root_is_refused(manifest_root: Path, path: str) -> None:
    change(manifest_root, 0, path=path)
    with pytest.raises(DataError, match="line 2: .* leads outside"):
        load_index(manifest_root, LABELS)


def test_a_link_that_leads_outside_the_root_is_refused(manifest_root: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "outside.png", 5)
    (manifest_root / "link.png").symlink_to(tmp_path / "outside.png")
    change(manifest_root, 0, path="link.png")
    with pytest.raises(DataError, match="is a link outside"):
        load_index(manifest_root, LABELS)


def test_a_linked_folder_outside_the_root_is_refused(manifest_root: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "outside" / "a.png", 5)
    (manifest_root / "linked").symlink_to(tmp_path / "outside")
    change(manifest_root, 0, path="linked/a.png")
    with pytest.raises(DataError, match="linked/a.png is a link outside"):
        load_index(manifest_root, LABELS)


def test_links_that_stay_below_the_root_are_followed(manifest_root: Path) -> None:
    (manifest_root / "covid-0.png").rename(manifest_root / "here.png")
    (manifest_root / "linked").symlink_to(manifest_root)
    (manifest_root / "there.png").symlink_to(manifest_root / "here.png")
    change(manifest_root, 0, path="linked/there.png")
    assert "linked/there.png" in {s.name for s in load_index(manifest_root, LABELS).samples}


def test_a_split_of_another_name_is_refused_with_its_line(manifest_root: Path) -> None:
    change(manifest_root, 2, split="holdout")
    with pytest.raises(DataError, match="line 4: the split 'holdout' is none of"):
        load_index(manifest_root, LABELS)


def test_a_manifest_without_its_columns_is_refused(manifest_root: Path) -> None:
    (manifest_root / "manifest.csv").write_text("file,label\nx,y\n")
    with pytest.raises(DataError, match="has no column path"):
        load_index(manifest_root, LABELS)


def test_a_manifest_without_rows_is_refused(manifest_root: Path) -> None:
    (manifest_root / "manifest.csv").write_text("path,label\n")
    with pytest.raises(DataError, match="lists no images"):
        load_index(manifest_root, LABELS)


def test_a_patient_in_two_splits_is_refused_with_the_count(manifest_root: Path) -> None:
    change(manifest_root, 0, patient="p1")
    change(manifest_root, 1, patient="p1")
    index = load_index(manifest_root, LABELS)
    with pytest.raises(DataError, match=r"1 patients stand in two splits \(p1\)"):
        require_whole_patients(index, allowed=False)


def test_a_patient_in_two_splits_is_a_warning_where_it_is_allowed(manifest_root: Path) -> None:
    change(manifest_root, 0, patient="p1")
    change(manifest_root, 1, patient="p1")
    index = require_whole_patients(load_index(manifest_root, LABELS), allowed=True)
    assert "1 patients stand in two splits" in index.warnings[0]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        load_index(tmp_path, LABELS)


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        load_index(tmp_path / "absent", LABELS)


def test_an_empty_label_s_folder_is_refused(make_images: MakeImages) -> None:
    root = make_images()
    for image in (root / "train" / "covid").iterdir():
        image.unlink()
    with pytest.raises(DataError, match="train/covid: holds no images"):
        load_index(root, LABELS)


def test_a_folder_that_the_config_does_not_name_is_refused(make_images: MakeImages) -> None:
    root = make_images()
    with pytest.raises(DataError, match="bear pneumonia, which data.labels does not name"):
        load_index(root, ["covid", "normal"])


def test_a_label_that_no_folder_bears_is_refused_before_training(make_images: MakeImages) -> None:
    labels = (*LABELS, "tuberculosis")
    with pytest.raises(DataError, match="no folder or manifest row bears tuberculosis"):
        require_training_splits(load_index(make_images(), labels), labels)


def test_training_needs_a_validation_split(make_images: MakeImages) -> None:
    index = load_index(make_images(counts={"train": 2}), LABELS)
    with pytest.raises(DataError, match="has no validation images"):
        require_training_splits(index, LABELS)


def test_a_label_absent_from_training_is_refused(make_images: MakeImages) -> None:
    root = make_images()
    shutil.rmtree(root / "train" / "covid")
    with pytest.raises(DataError, match="the train split has no image of covid"):
        require_training_splits(load_index(root, LABELS), LABELS)


def test_a_label_absent_from_validation_is_a_warning(make_images: MakeImages) -> None:
    root = make_images()
    shutil.rmtree(root / "validation" / "covid")
    warnings = require_training_splits(load_index(root, LABELS), LABELS)
    assert warnings[0].startswith("validation has no image of covid")


def test_files_that_are_no_images_are_counted(make_images: MakeImages) -> None:
    root = make_images()
    (root / "train" / "covid" / "notes.txt").write_text("x")
    assert "1 .txt" in load_index(root, LABELS).warnings[0]


def test_two_folders_of_one_split_are_refused(make_images: MakeImages) -> None:
    root = make_images()
    shutil.copytree(root / "validation", root / "val")
    with pytest.raises(DataError, match="all mean validation; keep one"):
        load_index(root, LABELS)


def test_a_manifest_without_splits_is_split_by_patient(manifest_root: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "split"} for row in rows_of(manifest_root)]
    write_manifest(manifest_root, [row | {"patient": row["path"][-5:]} for row in rows])
    index = draw_splits(load_index(manifest_root, LABELS), seed=0)
    assert set(index.counts()) == set(SPLITS) and not patients_in_two_splits(index.samples)


def test_targets_are_those_of_the_images_cells(manifest_root: Path) -> None:
    change(manifest_root, 0, label="covid|normal")
    change(manifest_root, 1, label="covid?|normal")
    space = LabelSpace.from_labels("multilabel", {name: [name] for name in LABELS})
    targets = targets_of(space, load_index(manifest_root, LABELS))
    assert targets[0].tolist() == [1, 1, 0]
    assert str(targets[1].tolist()) == "[nan, 1.0, 0.0]"


def test_several_labels_where_each_image_has_one_are_refused_with_the_image(
    manifest_root: Path,
) -> None:
    change(manifest_root, 0, label="covid|normal")
    space = LabelSpace.from_labels("single_label", {name: [name] for name in LABELS})
    with pytest.raises(DataError, match=r"1 images bear several labels \(covid-0.png\)"):
        targets_of(space, load_index(manifest_root, LABELS))


def test_a_label_in_doubt_is_no_image_to_train_on_unless_it_is_taken_for_true(
    manifest_root: Path,
) -> None:
    change(manifest_root, 0, label="covid?")  # the one of training
    index = load_index(manifest_root, LABELS)
    for uncertain in ("ignore", "negative"):
        with pytest.raises(DataError, match="train split has no image of covid without doubt"):
            require_training_splits(index, LABELS, uncertain)
    assert require_training_splits(index, LABELS, "positive") == []


def test_of_two_names_that_become_one_the_certain_one_counts(manifest_root: Path) -> None:
    change(manifest_root, 0, label="edema|oedema?")
    renamed = {"edema": "covid", "oedema": "covid"}
    index = load_index(manifest_root, LABELS, renamed=renamed)
    assert index.samples[0].label == "covid"


def test_a_folder_whose_name_is_no_label_is_refused(make_images: MakeImages) -> None:
    root = make_images()
    (root / "train/covid").rename(root / "train/covid|")
    with pytest.raises(DataError, match="its name has an empty name in 'covid|'; rename it"):
        load_index(root, LABELS)
