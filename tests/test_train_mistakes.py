"""What stops a run or is warned of: each mistake's sentence."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from covid.model.losses import Loss
from covid.training.watch import NO_GRADIENT, ONE_DECISION
from tests.conftest import (
    LABELS,
    MakeImages,
    write_split_images,
)
from tests.runs import CONFIG, refused, train


def test_batches_of_one_image_where_maps_are_of_one_pixel_are_refused(
    root: Path, tmp_path: Path
) -> None:
    done = train(root, tmp_path / "run", "batch_size=1", "model.until=null")  # halves 32 five times
    refused(done, "batch_size: a batch of one image")


def test_an_exploding_loss_stops_and_says_where(root: Path, tmp_path: Path) -> None:
    done = train(root, tmp_path / "run", "optimizer.lr=1e30", "epochs=3")
    refused(done, "the loss became nan")
    assert "a smaller optimizer.lr" in done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed" and "the loss became nan" in summary["warnings"][-1]


def test_a_missing_root_offers_the_command_that_needs_none(tmp_path: Path) -> None:
    refused(
        train(tmp_path / "absent", tmp_path / "run"),
        f"accelerate launch train.py --config {CONFIG} "
        f"--set data.root=phantom --set model.weights=none",
    )


def test_unreadable_images_are_listed_and_counted(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images()
    (root / "train/covid/covid-1.png").write_bytes(b"")
    (root / "validation/normal/normal-0.png").write_bytes(b"no image")
    done = train(root, tmp_path / "run")
    refused(done, "2 of 18 images cannot be read")
    assert "covid-1.png" in done.stderr and "normal-0.png" in done.stderr


def test_unreadable_images_are_skipped_and_counted_where_asked(
    make_images: MakeImages, tmp_path: Path
) -> None:
    root = make_images()
    (root / "train/covid/covid-1.png").write_bytes(b"")
    done = train(root, tmp_path / "run", "data.skip_unreadable=true", "epochs=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (done.returncode, "1 images cannot be read" in summary["warnings"][0]) == (0, True)


def test_a_patient_in_two_splits_stops_before_training(
    make_images: MakeImages, tmp_path: Path
) -> None:
    root = make_images()
    rows = ["path,label,split,patient"]
    for path in sorted(root.rglob("*.png")):
        name = path.relative_to(root)
        rows.append(f"{name},{name.parts[1]},{name.parts[0]},{name.parts[2][-5]}")
    (root / "manifest.csv").write_text("\n".join(rows))
    refused(train(root, tmp_path / "run"), "2 patients stand in two splits")


def copy_between_splits(root: Path) -> None:
    # Another format, so that the bytes differ and only the pixels are alike.
    with Image.open(root / "train/normal/normal-1.png") as image:
        image.save(root / "test/covid/copy.bmp")


def test_a_picture_in_two_splits_stops_before_training(
    make_images: MakeImages, tmp_path: Path
) -> None:
    root = make_images()
    copy_between_splits(root)
    done = train(root, tmp_path / "run")
    refused(done, "test/covid/copy.bmp = train/normal/normal-1.png")
    assert "data.allow_duplicates=true" in done.stderr and not (tmp_path / "run").exists()


def test_a_picture_in_two_splits_is_a_warning_where_permitted(
    make_images: MakeImages, tmp_path: Path
) -> None:
    root = make_images()
    copy_between_splits(root)
    done = train(root, tmp_path / "run", "data.allow_duplicates=true", "epochs=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (done.returncode, "data.allow_duplicates permits" in summary["warnings"][0]) == (0, True)


def test_an_unreadable_test_image_is_a_warning(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images()
    (root / "test/covid/covid-1.png").write_bytes(b"")
    done = train(root, tmp_path / "run", "epochs=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (done.returncode, "1 test images cannot be read" in summary["warnings"][0]) == (0, True)


def test_metadata_that_gives_the_label_away_is_warned_of(tmp_path: Path) -> None:
    root = write_split_images(tmp_path / "images", LABELS, {"train": 8, "validation": 3})
    for path in sorted(root.rglob("covid-*.png")):
        with Image.open(path) as image:
            image.convert("RGB").save(path)
    done = train(root, tmp_path / "run", "epochs=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    cheat = "metadata alone predicts covid against the rest with a balanced accuracy of 1.00"
    assert (done.returncode, cheat in " ".join(summary["warnings"])) == (0, True)


def test_gradients_that_are_all_zero_are_warned_of_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def indifferent(*given: object) -> Loss:
        return lambda logits, targets: (logits * 0).sum()

    monkeypatch.setattr("covid.model.losses.make_loss", indifferent)
    done = train(root, tmp_path / "run")
    assert (done.returncode, done.stderr.count(NO_GRADIENT)) == (0, 1)


def test_one_decision_for_every_image_is_warned_of_once(root: Path, tmp_path: Path) -> None:
    done = train(root, tmp_path / "run", "optimizer.lr=1e-9", "epochs=3")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (done.returncode, summary["warnings"].count(ONE_DECISION)) == (0, 1)


def test_an_unknown_key_stops_before_training(root: Path, tmp_path: Path) -> None:
    refused(train(root, tmp_path / "run", "data.folder=x"), "data.folder: is not a known key")


def test_a_figure_that_is_none_stops_before_training(root: Path, tmp_path: Path) -> None:
    done = train(root, tmp_path / "run", "select_by=macro_auc")
    refused(done, f"{CONFIG}: select_by: 'macro_auc' is not one of accuracy, ")
    assert "did you mean macro_auroc." in done.stderr and not (tmp_path / "run").exists()


@pytest.mark.parametrize("figure", ["macro_f1", "macro_auroc"])
def test_a_figure_that_validation_cannot_tell_stops_before_training(
    make_images: MakeImages, tmp_path: Path, figure: str
) -> None:
    root = make_images()
    for label in ("normal", "pneumonia"):
        shutil.rmtree(root / "validation" / label)
    done = train(root, tmp_path / "run", f"select_by={figure}")
    refused(done, f"is true of every image or of none, so {figure} is not defined there")


def test_half_precision_on_a_cpu_is_refused(root: Path, tmp_path: Path) -> None:
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    refused(train(root, tmp_path / "run", "precision=fp16"), "fp16 needs a GPU")


def test_a_read_only_cache_is_a_warning(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = tmp_path / "file" / "cache"
    done = train(root, tmp_path / "run", f"data.cache_dir={cache}", "epochs=1")
    assert done.returncode == 0 and "cannot be kept" in done.stderr


def spoil(root: Path, how: str) -> None:
    """Makes one thing wrong with a folder of images."""
    image = root / "train" / "covid" / "covid-1.png"
    match how:
        case "no images":
            shutil.rmtree(root)
            root.mkdir()
        case "an empty class":
            for path in image.parent.iterdir():
                path.unlink()
        case "a class that no folder bears":
            for split in ("train", "validation", "test"):
                shutil.rmtree(root / split / "covid")
        case "a folder that no class bears":
            image.parent.rename(image.parent.with_name("tuberculosis"))
        case "a label without a file":
            (root / "manifest.csv").write_text("path,label\nabsent.png,covid\n")
        case "two rows for one file":
            row = "train/covid/covid-1.png,covid\n"
            (root / "manifest.csv").write_text(f"path,label\n{row}{row}")
        case "a truncated image":
            image.write_bytes(image.read_bytes()[:-200])
        case "an empty image":
            image.write_bytes(b"")
        case "no image at all":
            image.write_text("a letter to the editor")
        case "an image of 1 pixel's width":
            Image.new("L", (1, 50)).save(image)
        case "an image of more than 200 megapixels":
            Image.new("1", (20001, 10000)).save(image)


BAD_INPUT = {
    "no images": "holds no images; expected",
    "an empty class": "train/covid: holds no images",
    "a class that no folder bears": "no folder or manifest row bears covid",
    "a folder that no class bears": "images bear tuberculosis, which data.labels does not name",
    "a label without a file": "1 of 1 rows name a file that is not there (absent.png)",
    "two rows for one file": "1 files have two rows (train/covid/covid-1.png)",
    "a truncated image": "1 of 18 images cannot be read: ",
    "an empty image": "covid-1.png: is empty (0 bytes)",
    "no image at all": "covid-1.png: is not an image",
    "an image of 1 pixel's width": "covid-1.png: is 1 x 50 pixels, too small",
    "an image of more than 200 megapixels": "covid-1.png: is larger than 200 megapixels",
}


@pytest.mark.parametrize("how", BAD_INPUT)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # Pillow's own, beside
def test_bad_input_stops_with_one_sentence(
    make_images: MakeImages, tmp_path: Path, how: str
) -> None:
    root = make_images()
    spoil(root, how)
    done = train(root, tmp_path / "run")
    refused(done, BAD_INPUT[how])
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_changed_data_is_accepted_only_where_a_run_goes_on(root: Path, tmp_path: Path) -> None:
    done = train(root, tmp_path / "run", flags=("--accept-changed-data",))
    refused(done, "is about a run that goes on; add --resume")
