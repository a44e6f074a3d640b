"""calibrate.py as a user starts it: one file becomes another, and is judged, without PyTorch."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import calibrate as calibrate_script
from covid.data.samples import Row, digest, to_csv
from covid.edge.card import RESIZE_IN_GRAPH, Card, read_card, read_content
from covid.edge.constants import find_constants
from covid.edge.model import load
from tests.conftest import run_script, write_image
from tests.edge.networks import (
    CARD,
    SIZE,
    brightness_graph,
    golden_of,
    single_label_card,
    write_network,
)
from tests.runs import called, refused

# Grey levels of each label: near enough for mistakes, far enough to be told from chance.
LEVELS = {"covid": 170, "normal": 90, "pneumonia": 140}
SPREAD = 35
WEIGHTS, BIASES = (8.0, -8.0, 6.0), (-4.0, 4.0, -3.0)
GRAPH = brightness_graph(WEIGHTS, BIASES, calibrated=True)
TWO = brightness_graph((4.0, -4.0), (-2.0, 2.0), last="Softmax", calibrated=True)


def hospital(root: Path, images: int = 24, labels: Sequence[str] = tuple(LEVELS)) -> Path:
    """ROOT with a manifest: `images` of each label, two of every patient, some hard to tell."""
    draw, lines = np.random.default_rng(1), ["path,label,patient"]
    for label in labels:
        for number in range(images):
            level = int(draw.normal(LEVELS[label], SPREAD))
            write_image(root / f"{label}-{number}.png", len(lines), brightness=level, size=SIZE)
            lines.append(f"{label}-{number}.png,{label},{label}{number // 2}")
    (root / "manifest.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hospital(tmp_path_factory.mktemp("site") / "my-hospital")


def exported(folder: Path, card: Card = CARD, graph: bytes = GRAPH) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return write_network(folder, replace(card, golden=golden_of(graph, SIZE)), graph)


def calibrate(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return called(calibrate_script.main, "calibrate.py", *command)


Calibrated = tuple[Path, Path, str]  # the file, the new one, and what was printed


@pytest.fixture(scope="module")
def calibrated(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    model = exported(tmp_path_factory.mktemp("calibrated"))
    done = calibrate(model, "--data", root)
    assert done.returncode == 0, done.stderr
    return model, model.with_name("model.calibrated.onnx"), done.stdout


def constants_of(path: Path) -> tuple[list[float], list[float]]:
    constants = find_constants(path, read_content(path), len(read_card(path).space.classes))
    return constants.scale.tolist(), constants.shift.tolist()


def judged(path: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(path.with_suffix(".calibration.json").read_text())
    return fields


def decisions(path: Path, root: Path) -> list[list[str]]:
    model = load(path)
    return [list(each.labels) for each in model.predict(sorted(root.glob("*.png")))]


# The file -----------------------------------------------------------------------------------


def test_it_needs_no_pytorch_and_no_onnx(root: Path, tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['calibrate.py', {str(exported(tmp_path))!r}, '--data', {str(root)!r}]\n"
        "try: runpy.run_path('calibrate.py', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(sorted({'torch', 'accelerate', 'onnx'} & set(sys.modules)))"
    )
    done = run_script("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_all_but_two_constants_and_the_card_stays_bit_for_bit(calibrated: Calibrated) -> None:
    model, new, _ = calibrated
    constants = find_constants(model, read_content(model), 3)
    scale, shift = constants_of(new)
    assert scale != [1, 1, 1] and shift != [0, 0, 0]
    assert read_content(new) == constants.replaced(scale, shift)


def test_the_old_file_stays_and_nothing_else_is_written(calibrated: Calibrated) -> None:
    model, *_ = calibrated
    assert sorted(path.name for path in model.parent.iterdir()) == [
        "model.calibrated.calibration.json", "model.calibrated.onnx", "model.onnx",
    ]  # fmt: skip
    assert constants_of(model) == ([1, 1, 1], [0, 0, 0])


def test_the_new_file_gives_recalibrated_logits(calibrated: Calibrated) -> None:
    model, new, _ = calibrated
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE), dtype=np.uint8)
    calibration = read_card(new).calibration
    assert calibration is not None and calibration.method == "platt"
    wanted = calibration.apply(load(model).run(images).logits)
    np.testing.assert_allclose(load(new).run(images).logits, wanted, rtol=1e-5, atol=1e-5)


def test_without_a_target_no_decision_changes(calibrated: Calibrated, root: Path) -> None:
    model, new, _ = calibrated
    assert read_card(new).space.thresholds != CARD.space.thresholds
    assert decisions(new, root) == decisions(model, root)


def test_the_card_says_on_what_it_was_fitted(calibrated: Calibrated) -> None:
    card = read_card(calibrated[1])
    assert card.calibration is not None and card.operating_point is not None
    place = card.calibration.chosen_on
    assert (place.split, place.images, place.patients) == ("my-hospital", 72, 36)
    assert place.samples_sha256 is not None and len(place.samples_sha256) == 64
    assert card.operating_point.chosen_on == place
    assert card.operating_point.rule == "0.5, the default, mapped along"
    assert (card.metrics["split"], card.metrics["images"]) == ("my-hospital", 72)


def test_what_else_the_card_says_stays(calibrated: Calibrated) -> None:
    before, after = (read_card(path) for path in calibrated[:2])
    assert before == replace(
        after, space=before.space, operating_point=None, calibration=None,
        golden=before.golden, metrics=before.metrics,
    )  # fmt: skip


def test_a_target_chooses_thresholds(root: Path, tmp_path: Path) -> None:
    new = tmp_path / "out" / "new.onnx"
    done = calibrate(
        exported(tmp_path), "--data", root, "--target", "sensitivity=0.9", "--output", new
    )
    assert done.returncode == 0, done.stderr
    point, card = read_card(new).operating_point, read_card(new)
    assert point is not None and point.rule == "sensitivity=0.9"
    assert card.space.thresholds == tuple(point.thresholds.values())
    assert judged(new)["classes"]["covid"]["after"]["sensitivity"]["value"] >= 0.9
    assert "Note: covid: a sensitivity of 0.9 cannot be shown with 12 patients" in done.stdout


def test_thresholds_alone_leave_every_byte_before_the_card(root: Path, tmp_path: Path) -> None:
    model = exported(tmp_path)
    words = ("--recalibrate", "none", "--target", "covid:specificity=0.8")
    assert calibrate(model, "--data", root, *words).returncode == 0
    new = tmp_path / "model.calibrated.onnx"
    assert read_content(new) == read_content(model)
    assert read_card(new).golden == read_card(model).golden
    assert read_card(new).space.thresholds != CARD.space.thresholds


def test_a_file_that_was_calibrated_can_be_calibrated_elsewhere(
    calibrated: Calibrated, tmp_path: Path
) -> None:
    other, new = hospital(tmp_path / "other", 20), tmp_path / "new.onnx"
    done = calibrate(
        calibrated[1], "--data", other, "--recalibrate", "temperature", "--output", new
    )
    assert done.returncode == 0, done.stderr
    (scale, shift), (scales, shifts) = constants_of(calibrated[1]), constants_of(new)
    factor = scales[0] / scale[0]
    np.testing.assert_allclose(scales, factor * np.array(scale), rtol=1e-5)
    np.testing.assert_allclose(shifts, factor * np.array(shift), rtol=1e-5)
    card = read_card(new)
    assert card.calibration is not None and card.calibration.method == "platt"
    assert card.operating_point is not None  # still where the thresholds come from
    assert card.operating_point.chosen_on.split == "my-hospital"
    assert decisions(new, other) == decisions(calibrated[1], other)


@pytest.mark.parametrize("words", [(), ("--target", "sensitivity=0.8")])
def test_two_single_labels_get_a_temperature(tmp_path: Path, words: Sequence[str]) -> None:
    site = hospital(tmp_path / "site", labels=("covid", "normal"))
    model = exported(tmp_path / "box", single_label_card(), TWO)
    done = calibrate(model, "--data", site, "--label", "covid=infected", *words)
    assert done.returncode == 0, done.stderr
    card = read_card(model.with_name("model.calibrated.onnx"))
    assert card.calibration is not None and card.calibration.method == "temperature"
    assert (card.space.thresholds is None) == (not words)


def test_one_split_can_be_kept_for_judging_the_new_file(root: Path, tmp_path: Path) -> None:
    lines = (root / "manifest.csv").read_text().splitlines()
    splits = ["split", *("validation" if n % 3 else "test" for n in range(len(lines) - 1))]
    site = shutil.copytree(root, tmp_path / "half")
    rows = (f"{line.rpartition(',')[0]},{split}" for line, split in zip(lines, splits, strict=True))
    (site / "manifest.csv").write_text("\n".join(rows))
    done = calibrate(exported(tmp_path), "--data", site, "--split", "validation")
    assert done.returncode == 0, done.stderr
    place = judged(tmp_path / "model.calibrated.onnx")
    assert (place["split"], place["images"], place["patients"]) == ("half-validation", 48, None)


# The judgement ------------------------------------------------------------------------------


def test_a_file_that_tells_classes_apart_may_be_used(calibrated: Calibrated) -> None:
    judgement = judged(calibrated[1])["judgement"]
    assert judgement == {
        "verdict": "may", "sentence": "It may be used here for research.", "reasons": [],
    }  # fmt: skip
    assert "It may be used here for research." in calibrated[2]


def test_what_is_after_is_said_to_be_fitted_on_the_same_images(calibrated: Calibrated) -> None:
    assert "fitted to these very images" in calibrated[2]


def test_the_file_beside_has_every_figure_of_each_class(calibrated: Calibrated) -> None:
    fields = judged(calibrated[1])
    assert {"model", "output", "split", "images", "patients", "samples_sha256", "judgement",
            "classes", "operating_point", "calibration"} <= set(fields)  # fmt: skip
    covid = fields["classes"]["covid"]
    assert (covid["with"], covid["without"], covid["of"]) == (12, 24, "patient")
    assert covid["before"]["threshold"] == 0.5 != covid["after"]["threshold"]
    for figure in ("sensitivity", "specificity", "slope", "intercept"):
        assert {"value", "low", "high"} <= set(covid["before"][figure])
    assert covid["after"]["slope"]["value"] == pytest.approx(1, abs=0.01)


def test_too_few_patients_cannot_tell(tmp_path: Path) -> None:
    site = hospital(tmp_path / "few", 8)
    done = calibrate(exported(tmp_path), "--data", site, "--recalibrate", "temperature")
    assert done.returncode == 0, done.stderr
    assert "It cannot be told with these few images (4 patients with covid" in done.stdout


def test_a_file_that_tells_nothing_should_not_be_used(root: Path, tmp_path: Path) -> None:
    upside_down = brightness_graph([-w for w in WEIGHTS], [-b for b in BIASES], calibrated=True)
    done = calibrate(
        exported(tmp_path, graph=upside_down), "--data", root, "--recalibrate", "none",
        "--target", "sensitivity=0.9",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "It should not be used here." in done.stdout


def test_a_place_that_lacks_a_class_is_fitted_and_judged_without_it(tmp_path: Path) -> None:
    site = hospital(tmp_path / "two", labels=("normal", "pneumonia"))
    done = calibrate(exported(tmp_path), "--data", site, "--target", "sensitivity=0.9")
    assert done.returncode == 0, done.stderr
    new = tmp_path / "model.calibrated.onnx"
    scale, shift = constants_of(new)
    assert (scale[0], shift[0]) == (1, 0) and 1 not in scale[1:]
    assert "Note: covid: no image bears it here, so its probabilities stay" in done.stdout
    assert "Note: covid: no image bears it here, so its threshold is kept." in done.stdout
    assert len(judged(new)["notes"]) == 2
    assert "It cannot be told with these few images (0 patients with covid" in done.stdout


def test_a_judgement_alone_writes_no_network_and_leaves_an_earlier_judgement(
    root: Path, tmp_path: Path
) -> None:
    model = exported(tmp_path)
    earlier = tmp_path / "model.calibrated.calibration.json"
    earlier.write_text("of an earlier output")
    done = calibrate(model, "--data", root, "--recalibrate", "none")
    assert done.returncode == 0, done.stderr
    assert "It may be used here for research." in done.stdout
    assert "Nothing was changed" in done.stdout and "fitted to these" not in done.stdout
    assert not (tmp_path / "model.calibrated.onnx").exists()
    assert earlier.read_text() == "of an earlier output"
    fields = judged(model)
    assert fields["output"] is None and fields["judgement"]["verdict"] == "may"


# Mistakes -----------------------------------------------------------------------------------


def test_a_file_from_before_recalibration_is_refused(root: Path, tmp_path: Path) -> None:
    model = exported(tmp_path, graph=brightness_graph(WEIGHTS, BIASES))
    refused(calibrate(model, "--data", root), "model.onnx: has no calibration_scale")


def test_the_file_itself_is_not_written_over(root: Path, tmp_path: Path) -> None:
    model = exported(tmp_path)
    (tmp_path / "same.onnx").symlink_to(model)
    for output in (model, tmp_path / "same.onnx"):
        refused(calibrate(model, "--data", root, "--output", output), "is the file itself")


def test_an_output_of_another_kind_is_refused(root: Path, tmp_path: Path) -> None:
    done = calibrate(exported(tmp_path), "--data", root, "--output", tmp_path / "folder")
    refused(done, "end it with .onnx")


def test_an_any_size_file_is_refused(root: Path, tmp_path: Path) -> None:
    model = exported(tmp_path, replace(CARD, resize=RESIZE_IN_GRAPH))
    refused(calibrate(model, "--data", root), "use the model.onnx beside it")


def test_few_images_are_refused(tmp_path: Path) -> None:
    site = hospital(tmp_path / "few", 3)
    refused(
        calibrate(exported(tmp_path), "--data", site),
        "few: holds 9 images of which some bear a class and others do not, and 10 are the fewest",
    )


def test_images_of_one_outcome_are_refused(tmp_path: Path) -> None:
    site = hospital(tmp_path / "one", labels=("normal",))
    refused(calibrate(exported(tmp_path), "--data", site), "one: holds 0 images of which some")


def test_a_target_named_for_a_class_that_nobody_has_is_refused(tmp_path: Path) -> None:
    site = hospital(tmp_path / "two", labels=("normal", "pneumonia"))
    done = calibrate(exported(tmp_path), "--data", site, "--target", "covid:sensitivity=0.9")
    refused(done, "no image of two bears covid")


def test_images_that_it_was_trained_on_are_refused_unless_permitted(
    root: Path, tmp_path: Path
) -> None:
    with Image.open(root / "covid-0.png") as picture:
        content = hashlib.sha256(picture.tobytes()).hexdigest()
    rows = [Row(name, "covid", "train", "", "", SIZE, SIZE, content) for name in "ab"]
    (tmp_path / "samples.csv").write_text(to_csv(rows))
    model = exported(tmp_path, replace(CARD, trained_on_sha256=digest(rows)))
    refused(calibrate(model, "--data", root), "are among those that model.onnx was trained on")
    assert not (tmp_path / "model.calibrated.onnx").exists()
    done = calibrate(model, "--data", root, "--allow-seen")
    assert done.returncode == 0 and "which --allow-seen permits" in done.stderr


@pytest.mark.parametrize(("name", "sentence"), [
    ("gone.onnx", "there is no such file"), (".", "is a folder or a device, not an ONNX file"),
])  # fmt: skip
def test_what_is_no_file_is_refused(
    root: Path, tmp_path: Path, name: str, sentence: str
) -> None:
    refused(calibrate(tmp_path / name, "--data", root, "--output", tmp_path / "a.onnx"), sentence)
