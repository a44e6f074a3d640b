"""What metadata alone predicts: all where it gives the label away, chance where it does not."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid.data import baseline
from covid.data.baseline import (
    MIN_PATIENTS,
    Baseline,
    measure_baseline,
    measure_source_baseline,
)
from covid.data.index import Index, Sample
from covid.data.source import load_index
from tests.conftest import LABELS, PROJECT, MakeImages

DATA = PROJECT.parent / "shared" / "data"
FILE = {"format": "PNG", "mode": "L", "width": "300", "height": "200"}  # no file need be there
Cells = Callable[[int, str], dict[str, str]]


def evaluate(
    cells: Cells,
    images: int = 60,
    labels: tuple[str, ...] = ("covid", "normal", "pneumonia"),
    patient: Callable[[int], str | None] = lambda n: f"patient-{n}",
    measure: Callable[[Index, Sequence[int]], Baseline] = measure_baseline,
) -> Baseline:
    """Images whose labels take turns, described by `cells(number, label)`."""
    samples = []
    for n in range(images):
        label = labels[n % len(labels)]
        name = f"{n:04d}.png"
        columns = FILE | cells(n, label)
        samples.append(Sample(Path(name), name, label, "train", patient(n), columns))
    return measure(Index((Path("root"),), tuple(samples), ()), range(images))


def overall(evaluated: Baseline) -> float:
    assert evaluated.together is not None
    return evaluated.together.overall


@pytest.mark.parametrize(
    "cells",
    [
        lambda n, label: {"format": label},
        lambda n, label: {"mode": label},
        lambda n, label: {"width": str(200 + 100 * len(label))},
        lambda n, label: {"view": f"{label} {n % 2}"},
        lambda n, label: {"sex": label},
        lambda n, label: {"age": f"{10 * len(label):03d}Y"},
    ],
    ids=["format", "mode", "size", "view", "sex", "age"],
)
def test_a_column_that_gives_the_label_away_is_found(
    cells: Cells, request: pytest.FixtureRequest
) -> None:
    evaluated = evaluate(cells)
    column = request.node.callspec.id
    assert (overall(evaluated), list(evaluated.alone)) == (1.0, [column])


def test_columns_that_say_nothing_come_to_chance() -> None:
    random = np.random.default_rng(0)
    evaluated = evaluate(lambda n, label: {"age": str(random.integers(20, 90))}, images=900)
    # Three standard errors of 900 guesses at three classes.
    assert overall(evaluated) == pytest.approx(1 / 3, abs=0.05)


def test_images_that_are_all_alike_come_to_chance() -> None:
    assert overall(evaluate(lambda n, label: {})) == pytest.approx(1 / 3)


def test_a_patient_is_never_learned_by_heart() -> None:
    # Ages tell patients apart, and patients have one label each: by image that would be perfect.
    random = np.random.default_rng(0)
    ages = random.permutation(30).tolist()
    by_patient = evaluate(
        lambda n, label: {"age": str(ages[n % 30])}, 600, patient=lambda n: f"patient-{n % 30}"
    )
    by_image = evaluate(lambda n, label: {"age": str(ages[n % 30])}, 600, patient=lambda n: None)
    assert overall(by_patient) < 0.6 < overall(by_image)


def test_one_class_that_is_given_away_is_warned_of_with_its_columns() -> None:
    evaluated = evaluate(
        lambda n, label: {"format": "JPEG" if label == "covid" else "PNG", "sex": "MF"[n % 2]}
    )
    (sentence,) = evaluated.warnings()
    assert "predicts covid against the rest with a balanced accuracy of 1.00" in sentence
    assert "most of all by format (1.00 alone)" in sentence


def test_labels_that_are_given_away_are_warned_of() -> None:
    (sentence,) = evaluate(lambda n, label: {"view": label}).warnings()
    assert "predicts the label with a balanced accuracy of 1.00 (chance is 0.33)" in sentence


def test_what_says_nothing_is_no_warning() -> None:
    assert evaluate(lambda n, label: {"sex": "MF"[n // 3 % 2]}).warnings() == []


@pytest.mark.parametrize("patients, evaluated", [(MIN_PATIENTS, True), (MIN_PATIENTS - 1, False)])
def test_few_patients_are_not_evaluated(patients: int, evaluated: bool) -> None:
    baseline = evaluate(
        lambda n, label: {"view": label}, 90, patient=lambda n: f"{n % 3}-{n // 3 % patients}"
    )
    assert (baseline.together is not None) == evaluated


def test_what_is_not_evaluated_is_null_and_says_why() -> None:
    written = json.loads(json.dumps(evaluate(lambda n, label: {}, images=9).to_json()))
    why = "fewer than 10 patients of covid, normal, pneumonia"
    assert (written["balanced_accuracy"], written["note"]) == (None, why)


def test_the_line_names_figures_columns_and_how_it_was_evaluated() -> None:
    assert evaluate(lambda n, label: {"view": label, "sex": "MF"[n % 2]}).line() == (
        "metadata alone (view, sex) predicts the label with balanced accuracy 1.00, chance is 0.33 "
        "(cross-validated by patient)"
    )


def test_without_patients_it_is_evaluated_by_image() -> None:
    line = evaluate(lambda n, label: {"view": label}, patient=lambda n: None).line()
    assert "by image, as no patient is known" in line


def test_files_are_looked_at_where_the_manifest_says_nothing(make_images: MakeImages) -> None:
    root = make_images(("covid", "normal"), {"train": MIN_PATIENTS})
    for path in (root / "train" / "covid").iterdir():
        with Image.open(path) as image:
            image.convert("RGB").save(path)
    index = load_index(root, ("covid", "normal"))
    evaluated = measure_baseline(index, range(len(index.samples)))
    assert (list(evaluated.alone), overall(evaluated)) == (["mode"], 1.0)


def test_a_file_without_a_header_is_left_out(make_images: MakeImages) -> None:
    index = load_index(
        make_images(("covid", "normal"), {"train": MIN_PATIENTS}), ("covid", "normal")
    )
    index.samples[0].path.write_bytes(b"no image")
    assert measure_baseline(index, range(len(index.samples))).images == 2 * MIN_PATIENTS - 1


def test_of_many_images_every_nth_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MAX_IMAGES", 50)
    assert evaluate(lambda n, label: {}, images=120).images == 40


SEVERAL = ("covid|effusion", "effusion", "normal")  # two bear effusion, one of them covid


def test_each_of_several_labels_of_an_image_is_predicted_against_the_rest() -> None:
    evaluated = evaluate(lambda n, label: {"view": str("covid" in label)}, labels=SEVERAL)
    assert evaluated.together is not None and evaluated.chance == 0.5
    # Without covid are as many of effusion as of normal: 1 of 2 effusions is told from normal.
    assert evaluated.together.per_class == {"covid": 1.0, "effusion": 0.75, "normal": 0.75}


def test_of_several_labels_the_mean_is_said_of_all() -> None:
    evaluated = evaluate(lambda n, label: {"view": str("covid" in label)}, labels=SEVERAL)
    assert overall(evaluated) == pytest.approx((1 + 0.75 + 0.75) / 3)
    assert evaluated.line() == (
        "metadata alone (view) predicts each label against the rest with mean balanced accuracy "
        "0.83, chance is 0.50 (cross-validated by patient)"
    )


def test_an_image_that_doubts_a_label_is_no_example_of_it() -> None:
    # Were doubtful images examples of either side, no column would give covid away.
    views = {"covid": "PA", "normal": "AP"}
    evaluated = evaluate(
        lambda n, label: {"view": views.get(label) or ("PA", "AP")[n % 2]},
        labels=("covid", "covid?", "normal"),
    )
    assert evaluated.together is not None
    assert evaluated.together.per_class["covid"] == 1.0


def test_of_several_labels_one_with_few_patients_is_left_out_and_named() -> None:
    baseline = evaluate(
        lambda n, label: {"view": label},
        90,
        labels=(*SEVERAL * 4, "normal|hernia"),
    )
    assert baseline.together is not None and "hernia" not in baseline.together.per_class
    assert baseline.note == "fewer than 10 patients with or without hernia"
    assert "(view; fewer than 10 patients with or without hernia)" in baseline.line()


def test_of_several_labels_none_with_enough_patients_are_not_evaluated() -> None:
    baseline = evaluate(lambda n, label: {"view": label}, 6, labels=SEVERAL)
    why = "fewer than 10 patients with or without covid, effusion, normal"
    assert (baseline.together, baseline.note) == (None, why)


def test_labels_that_are_given_away_on_average_are_warned_of() -> None:
    (sentence,) = evaluate(lambda n, label: {"view": label}, labels=SEVERAL).warnings()
    assert "predicts labels, each against the rest, with a mean balanced accuracy of" in sentence


def from_source(cells: Cells) -> Baseline:
    return evaluate(cells, measure=measure_source_baseline)


def test_the_source_alone_is_evaluated_beside() -> None:
    evaluated = from_source(lambda n, label: {"source": "a" if label == "covid" else "b"})
    assert evaluated.together is not None and evaluated.together.per_class["covid"] == 1.0
    assert evaluated.line() == (
        "source alone predicts the label with balanced accuracy 0.67, chance is 0.33 "
        "(cross-validated by patient)"
    )


def test_the_source_has_the_same_keys_as_metadata_but_for_its_columns() -> None:
    def cells(n: int, label: str) -> dict[str, str]:
        return {"source": label, "view": label}

    assert set(from_source(cells).to_json()) == set(evaluate(cells).to_json()) - {"columns"}


def test_metadata_does_not_look_at_the_source() -> None:
    assert evaluate(lambda n, label: {"source": label}).note == "no column in which images differ"


@pytest.mark.parametrize("source, why", [
    ("", "no source is known"), (" kermany", "every image comes from kermany"),
])  # fmt: skip
def test_without_two_sources_none_is_evaluated(source: str, why: str) -> None:
    evaluated = from_source(lambda n, label: {"source": source})
    assert (evaluated.together, evaluated.note) == (None, why)
    assert evaluated.line() == f"source alone: not evaluated, {why}"


def test_a_source_between_those_images_that_are_looked_at_is_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(baseline, "MAX_IMAGES", 30)
    evaluated = from_source(lambda n, label: {"source": "rare" if n == 1 else "kermany"})
    assert (evaluated.images, evaluated.note) == (30, None)


def test_sources_that_give_a_label_away_are_warned_of() -> None:
    (sentence,) = from_source(lambda n, label: {"source": label}).warnings()
    assert "source alone predicts the label with a balanced accuracy of 1.00" in sentence
    assert "whatever a source leaves in the pixels" in sentence


@pytest.mark.skipif(not (DATA / "xray3").is_dir(), reason="needs a real manifest, xray3")
def test_a_real_set_of_two_sources_gives_its_rare_class_away() -> None:
    index = load_index(DATA / "xray3", LABELS)
    (sentence,) = measure_baseline(index, range(len(index.samples))).warnings()
    assert "predicts covid against the rest" in sentence
