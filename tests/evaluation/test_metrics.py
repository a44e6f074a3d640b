"""Figures against scikit-learn, against laws that hold for any data, and at their edges."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.edge.labels import LabelSpace, Task
from covid.errors import DataError
from covid.evaluation.answers import Answers, Weighted
from covid.evaluation.bootstrap import cluster_images, draw_weights
from covid.evaluation.figures import METRICS, Metric, Share, accuracy, recall, specificity
from covid.evaluation.intervals import proportion
from covid.evaluation.metrics import compute_metrics, evaluate, quick_figures
from covid.evaluation.selection import check_select_by, merit
from covid.evaluation.terminal import metrics_table
from tests.evaluation.examples import (
    MULTILABEL,
    SINGLE_LABEL,
    SPACES,
    Evaluated,
    any_doubts,
    any_evaluation,
    evaluated,
)


def from_table(table: npt.NDArray[Any]) -> list[list[int]]:
    rows: list[list[int]] = table.astype(int).tolist()
    return rows


@SPACES
@pytest.mark.parametrize("figure", ["precision", "recall", "f1"])
def test_precision_recall_and_f1_are_those_of_scikit_learn(space: LabelSpace, figure: str) -> None:
    probabilities, targets, patients = evaluated(space)
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=20)
    expected = getattr(reference, f"{figure}_score")(
        targets, space.decide(probabilities), average=None
    )
    actual = [metrics["per_class"][name][figure] for name in space.classes]
    assert actual == pytest.approx(expected.tolist())


@SPACES
def test_specificity_is_the_recall_of_the_opposite(space: LabelSpace) -> None:
    probabilities, targets, patients = evaluated(space)
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=20)
    expected = reference.recall_score(~targets, ~space.decide(probabilities), average=None)
    actual = [metrics["per_class"][name]["specificity"] for name in space.classes]
    assert actual == pytest.approx(expected.tolist())


@SPACES
@pytest.mark.parametrize(
    ("figure", "score"),
    [("auroc", "roc_auc_score"), ("average_precision", "average_precision_score")],
)
def test_ranking_figures_are_those_of_scikit_learn(
    space: LabelSpace, figure: str, score: str
) -> None:
    probabilities, targets, patients = evaluated(space)
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=20)
    expected = getattr(reference, score)(targets, probabilities, average=None)
    actual = [metrics["per_class"][name][figure] for name in space.classes]
    assert actual == pytest.approx(expected.tolist())


@SPACES
def test_npv_is_the_precision_of_the_opposite(space: LabelSpace) -> None:
    probabilities, targets, patients = evaluated(space)
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=20)
    expected = reference.precision_score(~targets, ~space.decide(probabilities), average=None)
    actual = [metrics["per_class"][name]["npv"] for name in space.classes]
    assert actual == pytest.approx(expected.tolist())


@SPACES
def test_the_brier_score_is_that_of_scikit_learn(space: LabelSpace) -> None:
    probabilities, targets, patients = evaluated(space)
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=20)
    for column, name in enumerate(space.classes):
        certain = probabilities[:, column].astype(np.float64)
        expected = reference.brier_score_loss(targets[:, column], certain)
        assert metrics["per_class"][name]["brier"] == pytest.approx(expected, abs=1e-9)


def test_macro_f1_is_that_of_scikit_learn() -> None:
    probabilities, targets, _ = evaluated(MULTILABEL)
    expected = reference.f1_score(targets, MULTILABEL.decide(probabilities), average="macro")
    figures = quick_figures(MULTILABEL, probabilities, targets)
    assert figures["macro_f1"] == pytest.approx(expected)


def test_confusion_of_labels_is_one_table_a_label() -> None:
    probabilities, targets, patients = evaluated(MULTILABEL)
    metrics = compute_metrics(MULTILABEL, probabilities, targets, patients, resamples=20)
    tables = reference.multilabel_confusion_matrix(targets, MULTILABEL.decide(probabilities))
    expected = zip(MULTILABEL.classes, tables, strict=True)
    assert metrics["confusion"] == {name: from_table(table) for name, table in expected}


def test_confusion_of_single_labels_is_one_table_of_all_classes() -> None:
    probabilities, targets, patients = evaluated(SINGLE_LABEL)
    metrics = compute_metrics(SINGLE_LABEL, probabilities, targets, patients, resamples=20)
    expected = reference.confusion_matrix(targets.argmax(axis=1), probabilities.argmax(axis=1))
    assert metrics["confusion"] == from_table(expected)


@given(any_evaluation(), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_order_of_images_changes_nothing(
    evaluation: tuple[LabelSpace, Evaluated], random: Any
) -> None:
    space, (probabilities, targets, patients) = evaluation
    order = list(range(len(targets)))
    random.shuffle(order)
    before = compute_metrics(space, probabilities, targets, patients, resamples=50)
    after = compute_metrics(
        space, probabilities[order], targets[order], [patients[n] for n in order], resamples=50
    )
    assert before == after


@given(any_evaluation())
@settings(max_examples=60)
@pytest.mark.filterwarnings("error")
def test_any_data_give_plain_json_in_range_and_no_warning(
    evaluation: tuple[LabelSpace, Evaluated],
) -> None:
    space, (probabilities, targets, patients) = evaluation
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=50)
    json.dumps(metrics, allow_nan=False)
    for row in metrics["per_class"].values():
        for name, interval in row["intervals"].items():
            figures = [row[name], interval["low"], interval["high"]]
            assert all(figure is None or 0 <= figure <= 1 for figure in figures)


@given(any_evaluation())
@settings(max_examples=60)
def test_accuracy_is_the_share_of_images_that_are_wholly_correct(
    evaluation: tuple[LabelSpace, Evaluated],
) -> None:
    space, (probabilities, targets, _) = evaluation
    decided = space.decide(probabilities)
    correct = [list(row) == list(target) for row, target in zip(decided, targets, strict=True)]
    figures = quick_figures(space, probabilities, targets)
    assert figures["accuracy"] == pytest.approx(np.mean(correct))


@given(any_evaluation())
@settings(max_examples=40)
def test_quick_figures_are_those_of_metrics(evaluation: tuple[LabelSpace, Evaluated]) -> None:
    space, (probabilities, targets, patients) = evaluation
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=5)
    quick = quick_figures(space, probabilities, targets)
    assert [quick[name] for name in ("accuracy", "macro_f1")] == [
        metrics[name]["value"] for name in ("accuracy", "macro_f1")
    ]


@given(any_evaluation())
@settings(max_examples=40)
def test_a_macro_figure_is_the_mean_over_classes_of_both_outcomes_or_undefined(
    evaluation: tuple[LabelSpace, Evaluated],
) -> None:
    space, (probabilities, targets, patients) = evaluation
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=5)
    quick = quick_figures(space, probabilities, targets)
    both = [name for name, of_class in zip(space.classes, targets.T, strict=True)
            if of_class.any() and not of_class.all()]  # fmt: skip
    for name in (metric.name for metric in METRICS if metric.per_class):
        values = [metrics["per_class"][of_class][name] for of_class in both]
        mean = None if None in values or not values else pytest.approx(np.mean(values))
        assert quick[f"macro_{name}"] == mean


@given(any_evaluation())
@settings(max_examples=60)
def test_each_undefined_figure_has_a_sentence_that_names_its_class(
    evaluation: tuple[LabelSpace, Evaluated],
) -> None:
    space, (probabilities, targets, patients) = evaluation
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=5)
    words = {"precision": "precision cannot", "recall": "recall", "specificity": "specificity",
             "npv": "NPV", "f1": "F1", "auroc": "AUROC",
             "average_precision": "average precision"}  # fmt: skip
    for name, row in metrics["per_class"].items():
        for figure, word in words.items():
            if row[figure] is None:
                assert any(name in note and word in note for note in metrics["notes"])


@SPACES
@pytest.mark.parametrize("seed", range(3))
def test_the_interval_holds_the_value(space: LabelSpace, seed: int) -> None:
    metrics = compute_metrics(space, *evaluated(space, seed=seed))
    for name in ("accuracy", "macro_f1"):
        figure = metrics[name]
        assert figure["low"] < figure["value"] < figure["high"]


def test_the_same_seed_gives_the_same_interval() -> None:
    first, second = (compute_metrics(MULTILABEL, *evaluated(MULTILABEL), seed=7) for _ in range(2))
    assert first == second


def test_an_implied_label_counts_as_decided() -> None:
    probabilities = np.array([[0.9, 0.1, 0.1]], dtype=np.float32)  # covid alone
    metrics = compute_metrics(MULTILABEL, probabilities, MULTILABEL.encode(["covid"]), ["a"])
    assert metrics["per_class"]["pneumonia"]["recall"] == 1


def width(metrics: dict[str, Any], figure: str = "accuracy") -> float:
    return float(metrics[figure]["high"] - metrics[figure]["low"])


def test_copies_of_an_image_narrow_the_interval_only_if_patients_are_unknown() -> None:
    probabilities, targets, _ = evaluated(SINGLE_LABEL, images=60)
    patients = [f"p{n}" for n in range(60)]
    once = compute_metrics(SINGLE_LABEL, probabilities, targets, patients)
    copies = probabilities.repeat(9, axis=0), targets.repeat(9, axis=0)
    by_patient = compute_metrics(SINGLE_LABEL, *copies, np.repeat(patients, 9).tolist())
    by_image = compute_metrics(SINGLE_LABEL, *copies, [None] * 540)
    assert width(by_patient) == width(once)
    assert width(by_image) == pytest.approx(width(once) / 3, rel=0.2)


def test_images_without_a_patient_are_patients_of_their_own() -> None:
    probabilities, targets, _ = evaluated(SINGLE_LABEL)
    alone = compute_metrics(SINGLE_LABEL, probabilities, targets, [None] * 200)
    named = compute_metrics(SINGLE_LABEL, probabilities, targets, [f"p{n}" for n in range(200)])
    assert alone["accuracy"] == named["accuracy"]


def test_the_interval_is_as_wide_as_the_binomial_one() -> None:
    space = LabelSpace.from_labels("single_label", {"a": ["a"], "b": ["b"]})
    images, correct = 1000, 800
    targets = space.encode(["a", "b"] * (images // 2))
    probabilities = np.where(targets, 0.9, 0.1).astype(np.float32)
    probabilities[correct:] = probabilities[correct:, ::-1]
    metrics = compute_metrics(space, probabilities, targets, [None] * images, resamples=4000)
    expected = 2 * 1.96 * np.sqrt(0.8 * 0.2 / images)  # the normal approximation
    assert width(metrics) == pytest.approx(expected, rel=0.1)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    space = LabelSpace.from_labels("single_label", {"a": ["a"], "b": ["b"]})
    generator, held = np.random.default_rng(0), 0
    targets = space.encode(["a", "b"] * 75)
    for seed in range(200):
        correct = generator.random(150) < 0.8
        probabilities = np.where(targets == correct[:, None], 0.9, 0.1).astype(np.float32)
        brier = compute_metrics(
            space, probabilities, targets, [None] * 150, resamples=300, seed=seed
        )["per_class"]["a"]["intervals"]["brier"]
        # Of a right answer the squared difference is 0.01, of a wrong one 0.81.
        held += brier["low"] <= 0.8 * 0.01 + 0.2 * 0.81 <= brier["high"]
    assert 0.89 <= held / 200 <= 0.99


def test_a_folder_of_one_class_has_accuracy_and_recall(all_covid: dict[str, Any]) -> None:
    share = 218 / 243
    assert (all_covid["accuracy"]["value"], all_covid["per_class"]["covid"]["recall"]) == (
        pytest.approx(share), pytest.approx(share)
    )  # fmt: skip


@pytest.mark.parametrize("figure", ["specificity", "auroc", "average_precision"])
def test_a_folder_of_one_class_cannot_tell_it_from_others(
    all_covid: dict[str, Any], figure: str
) -> None:
    assert all_covid["per_class"]["covid"][figure] is None


def test_a_folder_of_one_class_has_no_macro_f1(all_covid: dict[str, Any]) -> None:
    nothing = {"value": None, "low": None, "high": None, "patients": None}
    assert all_covid["macro_f1"] == nothing


def test_one_sentence_a_reason_names_all_its_classes(all_covid: dict[str, Any]) -> None:
    assert sum("Every image bears covid, pneumonia:" in note for note in all_covid["notes"]) == 1
    # Absent, always, never and always decided, no class of both outcomes, no patient, no width.
    assert len(all_covid["notes"]) == 7


def test_a_class_that_is_there_but_never_found_has_f1_zero() -> None:
    probabilities = np.array([[0.1, 0.9, 0.1], [0.1, 0.9, 0.1]], dtype=np.float32)
    targets = SINGLE_LABEL.encode(["covid", "normal"])
    row = compute_metrics(SINGLE_LABEL, probabilities, targets, ["a", "b"])["per_class"]["covid"]
    assert (row["precision"], row["f1"]) == (None, 0)


@pytest.mark.parametrize("task", ["multilabel", "single_label"])
def test_a_space_of_one_class_works(task: Task) -> None:
    space = LabelSpace.from_labels(task, {"covid": ["covid"]})
    probabilities = np.array([[0.9], [0.8]], dtype=np.float32)
    metrics = compute_metrics(space, probabilities, space.encode(["covid"] * 2), ["a", "b"])
    assert metrics["accuracy"]["value"] == 1


@SPACES
def test_the_interval_of_every_figure_of_a_class_holds_its_value(space: LabelSpace) -> None:
    for row in compute_metrics(space, *evaluated(space))["per_class"].values():
        others = {"support", "patients", "threshold", "intervals"}
        assert set(row["intervals"]) == set(row) - others
        for name, interval in row["intervals"].items():
            assert interval["low"] < row[name] < interval["high"]


def test_patients_are_those_with_an_image_that_the_figure_is_a_share_of() -> None:
    targets = SINGLE_LABEL.encode(["covid", "covid", "normal", "normal", "pneumonia"])
    decided = SINGLE_LABEL.encode(["covid", "normal", "covid", "covid", "pneumonia"])
    metrics = compute_metrics(
        SINGLE_LABEL, decided.astype(np.float32), targets, ["a", "a", "b", "c", None], resamples=20
    )
    intervals = metrics["per_class"]["covid"]["intervals"]
    assert {name: interval["patients"] for name, interval in intervals.items()} == {
        "precision": 3, "recall": 1, "specificity": 3, "npv": 2,
        "f1": 4, "auroc": 4, "average_precision": 4, "brier": 4,
    }  # fmt: skip
    assert metrics["accuracy"]["patients"] == metrics["macro_f1"]["patients"] == 4


def test_a_figure_that_is_not_defined_has_no_interval(all_covid: dict[str, Any]) -> None:
    nothing = {"low": None, "high": None, "patients": None}
    assert all_covid["per_class"]["normal"]["intervals"]["recall"] == nothing


def test_an_interval_is_over_the_resamples_that_define_its_figure() -> None:
    # Of two patients each resample draws both, or one twice; F1 needs the first, and is then the
    # same whether the second, whose image it does not count, is there or not.
    targets = SINGLE_LABEL.encode(["covid", "covid", "normal"])
    decided = SINGLE_LABEL.encode(["covid", "normal", "normal"]).astype(np.float32)
    metrics = compute_metrics(SINGLE_LABEL, decided, targets, ["a", "a", "b"], resamples=100)
    f1_of_covid = metrics["per_class"]["covid"]["intervals"]["f1"]
    assert f1_of_covid == pytest.approx({"low": 2 / 3, "high": 2 / 3, "patients": 2})


def test_the_weights_of_a_resample_give_what_its_images_would() -> None:
    probabilities, targets, patients = evaluated(MULTILABEL, images=40)
    cluster = cluster_images(patients, np.column_stack([probabilities, targets]))
    drawn = np.random.default_rng(3).integers(cluster.max() + 1, size=cluster.max() + 1)
    images = np.concatenate([np.flatnonzero(cluster == number) for number in drawn])
    expected = evaluate(METRICS, Answers.of(MULTILABEL, probabilities[images], targets[images]))
    [weights] = draw_weights(cluster, 1, seed=3)
    drawn = evaluate(METRICS, Answers.of(MULTILABEL, probabilities, targets), weights)
    for metric in METRICS:
        assert drawn[metric.name] == pytest.approx(expected[metric.name])


@SPACES
def test_the_interval_of_a_share_is_that_of_its_images(space: LabelSpace) -> None:
    probabilities, targets, patients = evaluated(space, images=60)
    metrics = compute_metrics(space, probabilities, targets, patients, resamples=5)
    decided = space.decide(probabilities)
    for column, name in enumerate(space.classes):
        images = np.flatnonzero(decided[:, column])
        expected = proportion(targets[images, column], [patients[n] for n in images])
        interval = metrics["per_class"][name]["intervals"]["precision"]
        assert (interval["low"], interval["high"]) == pytest.approx((expected.low, expected.high))
        assert interval["patients"] == expected.patients
    correct = proportion((decided == targets).all(axis=1), patients)
    assert metrics["accuracy"] == pytest.approx({
        "value": correct.value, "low": correct.low, "high": correct.high,
        "patients": correct.patients,
    })  # fmt: skip


def test_shares_alone_draw_nothing() -> None:
    shares = tuple(metric for metric in METRICS if metric.share is not None)
    metrics = compute_metrics(MULTILABEL, *evaluated(MULTILABEL), table=shares, resamples=0)
    assert metrics["accuracy"]["low"] < metrics["accuracy"]["value"]


def test_an_interval_without_width_is_no_certainty() -> None:
    targets = SINGLE_LABEL.encode(["covid", "normal", "pneumonia"] * 5)
    metrics = compute_metrics(SINGLE_LABEL, targets.astype(np.float32), targets, [None] * 15)
    assert any("no width" in note for note in metrics["notes"])


def test_known_patients_are_counted_once() -> None:
    probabilities, targets, _ = evaluated(SINGLE_LABEL, images=5)
    metrics = compute_metrics(SINGLE_LABEL, probabilities, targets, ["a", "a", None, "b", None])
    assert metrics["patients"] == 2


def test_unknown_patients_are_null() -> None:
    probabilities, targets, _ = evaluated(SINGLE_LABEL, images=5)
    metrics = compute_metrics(SINGLE_LABEL, probabilities, targets, [None] * 5)
    assert metrics["patients"] is None
    assert {row["patients"] for row in metrics["per_class"].values()} == {None}


def test_patients_with_a_class_are_counted_once_and_null_where_its_images_name_none() -> None:
    targets = MULTILABEL.encode(["covid", "covid", "pneumonia", "normal"])
    metrics = compute_metrics(
        MULTILABEL, targets.astype(np.float32), targets, ["a", "a", "b", None], resamples=5
    )
    counts = {name: row["patients"] for name, row in metrics["per_class"].items()}
    assert counts == {"covid": 1, "normal": None, "pneumonia": 2}


def test_a_class_that_nobody_has_has_no_patients() -> None:
    targets = SINGLE_LABEL.encode(["covid", "normal"])
    metrics = compute_metrics(
        SINGLE_LABEL, targets.astype(np.float32), targets, ["a", "b"], resamples=5
    )
    assert metrics["per_class"]["pneumonia"]["patients"] == 0


@SPACES
def test_thresholds_are_reported_where_there_are_any(space: LabelSpace) -> None:
    metrics = compute_metrics(space, *evaluated(space), resamples=5)
    expected = 0.5 if space.task == "multilabel" else None
    assert metrics["per_class"]["covid"]["threshold"] == expected


def test_no_image_is_the_users_mistake() -> None:
    nothing = np.zeros((0, 3))
    with pytest.raises(DataError, match="no image to evaluate"):
        compute_metrics(MULTILABEL, nothing, nothing.astype(bool), [])


def test_a_probability_that_is_no_number_is_a_bug() -> None:
    probabilities, targets, patients = evaluated(MULTILABEL)
    probabilities[3, 1] = np.nan
    with pytest.raises(ValueError, match="not a number"):
        compute_metrics(MULTILABEL, probabilities, targets, patients)


@pytest.mark.parametrize("cut", ["classes", "images", "patients", "folds"])
def test_shapes_that_disagree_are_a_bug(cut: str) -> None:
    probabilities, targets, patients = evaluated(MULTILABEL)
    folds = ["1"] * len(targets)
    if cut == "classes":
        probabilities, targets = probabilities[:, :2], targets[:, :2]
    elif cut == "folds":
        folds = folds[1:]
    elif cut == "images":
        probabilities = probabilities[1:]
    else:
        patients = patients[1:]
    with pytest.raises(ValueError, match="classes|patients|folds"):
        compute_metrics(MULTILABEL, probabilities, targets, patients, folds=folds)


# Targets that are not known -------------------------------------------------------------------

Doubts = tuple[LabelSpace, Evaluated, npt.NDArray[np.bool_]]


@given(any_doubts())
@settings(max_examples=60)
@pytest.mark.filterwarnings("error")
def test_images_that_are_not_known_change_none_of_a_class_s_figures(doubts: Doubts) -> None:
    space, (probabilities, targets, patients), known = doubts
    unknown = np.where(known, targets, np.nan)
    metrics = compute_metrics(space, probabilities, unknown, patients, resamples=20)
    json.dumps(metrics, allow_nan=False)
    for column, name in enumerate(space.classes):
        row, images = metrics["per_class"][name], known[:, column]
        if not images.any():
            assert row["support"] == 0 and {row[metric.name] for metric in METRICS[1:]} == {None}
            assert any(note.startswith("Of no image is it known") and name in note
                       and "Brier" in note for note in metrics["notes"])  # fmt: skip
            continue
        alone = compute_metrics(
            space, probabilities[images], targets[images],
            [patients[n] for n in np.flatnonzero(images)], resamples=20,
        )  # fmt: skip
        for figure in ("support", *(metric.name for metric in METRICS[1:])):
            assert row[figure] == alone["per_class"][name][figure]
        for metric in METRICS[1:]:
            count = row["intervals"][metric.name]["patients"]
            assert count == alone["per_class"][name]["intervals"][metric.name]["patients"]
        if space.task == "multilabel":
            assert metrics["confusion"][name] == alone["confusion"][name]
    if space.task == "single_label":
        assert np.sum(metrics["confusion"]) == known[:, 0].sum()


@given(any_doubts())
@settings(max_examples=60)
def test_accuracy_is_of_what_is_known_of_images_of_which_anything_is(doubts: Doubts) -> None:
    space, (probabilities, targets, _), known = doubts
    decided = space.decide(probabilities)
    correct = [(row == target)[which].all() for row, target, which
               in zip(decided, targets, known, strict=True) if which.any()]  # fmt: skip
    figures = quick_figures(space, probabilities, np.where(known, targets, np.nan))
    assert figures["accuracy"] == pytest.approx(np.mean(correct))


@given(any_doubts())
@settings(max_examples=60)
def test_a_mean_over_classes_counts_known_outcomes_only(doubts: Doubts) -> None:
    space, (probabilities, targets, patients), known = doubts
    unknown = np.where(known, targets, np.nan)
    rows = compute_metrics(space, probabilities, unknown, patients, resamples=5)["per_class"]
    both = [name for name, true, which in zip(space.classes, targets.T, known.T, strict=True)
            if len(set(true[which].tolist())) == 2]  # fmt: skip
    recalls = [rows[name]["recall"] for name in both]
    expected = pytest.approx(np.mean(recalls)) if recalls else None
    assert quick_figures(space, probabilities, unknown)["macro_recall"] == expected


def test_nothing_that_is_known_is_the_user_s_mistake() -> None:
    nothing = np.full((2, 3), np.nan)
    with pytest.raises(DataError, match="every label of every image is in doubt"):
        compute_metrics(MULTILABEL, np.zeros((2, 3)), nothing, [None] * 2)


# Several folds --------------------------------------------------------------------------------


def in_folds(images: int = 200, folds: int = 4) -> dict[str, Any]:
    """Networks whose probabilities are on scales of their own: the later, the smaller."""
    probabilities, targets, patients = evaluated(MULTILABEL, images)
    fold = np.arange(images) % folds
    scaled = probabilities / (1 + fold[:, None]).astype(np.float32)
    return {"space": MULTILABEL, "probabilities": scaled, "targets": targets,
            "patients": patients, "folds": [f"fold {number + 1}" for number in fold]}  # fmt: skip


def test_what_compares_probabilities_is_the_mean_of_each_fold_s() -> None:
    given_folds = in_folds()
    metrics = compute_metrics(**given_folds, resamples=50)
    alone = [
        compute_metrics(
            MULTILABEL, given_folds["probabilities"][n::4], given_folds["targets"][n::4],
            given_folds["patients"][n::4], resamples=5,
        )
        for n in range(4)
    ]  # fmt: skip
    assert metrics["folds"]["names"] == ["fold 1", "fold 2", "fold 3", "fold 4"]
    assert metrics["folds"]["accuracy"] == [fold["accuracy"]["value"] for fold in alone]
    for name, row in metrics["per_class"].items():
        for figure in ("auroc", "average_precision"):
            own = [fold["per_class"][name][figure] for fold in alone]
            assert metrics["folds"][figure][name] == own
            assert row[figure] == pytest.approx(np.mean(own))
            assert metrics["folds"]["spread"][figure][name] == {
                "lowest": min(own), "highest": max(own)
            }  # fmt: skip
            assert row["intervals"][figure]["low"] < row[figure] < row["intervals"][figure]["high"]


def test_all_else_is_of_the_images_of_all_folds() -> None:
    given_folds = in_folds()
    metrics = compute_metrics(**given_folds, resamples=5)
    pooled = compute_metrics(**{**given_folds, "folds": None}, resamples=5)
    assert pooled["folds"] is None and pooled["accuracy"] == metrics["accuracy"]
    for name, row in metrics["per_class"].items():
        for figure in ("precision", "recall", "specificity", "npv", "f1", "brier"):
            assert row[figure] == pooled["per_class"][name][figure]


def test_a_fold_without_both_outcomes_is_null_and_left_out_of_the_mean() -> None:
    targets = MULTILABEL.encode(["covid", "normal", "pneumonia", "normal"])
    metrics = compute_metrics(
        MULTILABEL, targets.astype(np.float32), targets, list("abcd"), resamples=20,
        folds=["10", "10", "2", "2"],
    )  # fmt: skip
    assert metrics["folds"]["names"] == ["2", "10"]
    assert metrics["folds"]["auroc"]["covid"] == [None, 1]
    assert metrics["per_class"]["covid"]["auroc"] == 1


def test_one_fold_is_as_good_as_none() -> None:
    probabilities, targets, patients = evaluated(MULTILABEL, images=40)
    given_folds = compute_metrics(
        MULTILABEL, probabilities, targets, patients, resamples=50, folds=["1"] * 40
    )
    without = compute_metrics(MULTILABEL, probabilities, targets, patients, resamples=50)
    assert given_folds["per_class"] == without["per_class"]


def test_the_same_images_in_another_fold_are_not_taken_for_each_other() -> None:
    draw = np.random.default_rng(0)
    probabilities, targets, _ = evaluated(MULTILABEL, images=20)
    images = np.tile(np.arange(20), 4)  # patients of one image, which four of them share
    folds = draw.choice(["1", "2"], 80)
    first, second = (
        compute_metrics(
            MULTILABEL, probabilities[images[order]], targets[images[order]], [None] * 80,
            folds=folds[order].tolist(), resamples=100,
        )
        for order in (np.arange(80), draw.permutation(80))
    )  # fmt: skip
    assert first == second


@given(any_evaluation(), st.data())
@settings(max_examples=40)
@pytest.mark.filterwarnings("error")
def test_any_folds_give_plain_json_whatever_the_order_of_images(
    evaluation: tuple[LabelSpace, Evaluated], data: st.DataObject
) -> None:
    space, (probabilities, targets, patients) = evaluation
    folds = [data.draw(st.sampled_from("123")) for _ in targets]
    order = data.draw(st.permutations(range(len(targets))))
    metrics = compute_metrics(space, probabilities, targets, patients, folds=folds, resamples=20)
    json.dumps(metrics, allow_nan=False)
    shuffled = compute_metrics(
        space, probabilities[order], targets[order], [patients[n] for n in order],
        folds=[folds[n] for n in order], resamples=20,
    )  # fmt: skip
    assert metrics == shuffled


# A figure more -------------------------------------------------------------------------------


def youden(images: Weighted) -> npt.NDArray[np.float64]:
    """Youden 1950, "Index for rating diagnostic tests"."""
    return recall(images) + specificity(images) - 1


missed = Share(lambda answers: ~answers.decisions, among="positive")
TABLE = (
    *METRICS,
    Metric("youden", "Youden", youden, undefined_without=("positive", "negative")),
    Metric("missed", "missed", missed),
)


def test_an_entry_gives_a_figure_of_each_class_with_its_interval() -> None:
    metrics = compute_metrics(MULTILABEL, *evaluated(MULTILABEL), table=TABLE)
    for row in metrics["per_class"].values():
        assert row["youden"] == pytest.approx(row["recall"] + row["specificity"] - 1)
        assert row["intervals"]["youden"]["low"] < row["youden"]
        assert row["intervals"]["youden"]["high"] > row["youden"]


def test_an_entry_of_all_classes_stands_at_the_top() -> None:
    def twice(images: Weighted) -> npt.NDArray[np.float64]:
        return 2 * accuracy(images)

    table = (*METRICS, Metric("twice", "twice", twice, per_class=False))
    metrics = compute_metrics(MULTILABEL, *evaluated(MULTILABEL), table=table)
    assert metrics["twice"]["value"] == pytest.approx(2 * metrics["accuracy"]["value"])
    assert metrics["twice"]["low"] < metrics["twice"]["value"] < metrics["twice"]["high"]


def test_a_share_as_an_entry_has_the_interval_of_a_share() -> None:
    mistaken = Share(lambda answers: ~answers.correct)
    table = (*TABLE, Metric("mistakes", "mistakes", mistaken, per_class=False))
    metrics = compute_metrics(MULTILABEL, *evaluated(MULTILABEL), table=table, resamples=5)
    assert metrics["mistakes"]["low"] == pytest.approx(1 - metrics["accuracy"]["high"])
    intervals = metrics["per_class"]["covid"]["intervals"]
    assert intervals["missed"]["high"] == pytest.approx(1 - intervals["recall"]["low"])


def test_an_entry_is_on_the_terminal_with_its_interval() -> None:
    metrics = compute_metrics(MULTILABEL, *evaluated(MULTILABEL), table=TABLE)
    printed = metrics_table(metrics, "title", table=TABLE)
    assert [line.split().count("Youden") for line in printed.splitlines()].count(1) == 2
    assert f"{metrics['per_class']['covid']['youden']:.3f}" in printed


def test_an_entry_can_be_selected_by() -> None:
    probabilities, targets, _ = evaluated(MULTILABEL)
    check_select_by("macro_youden", "mine.yaml", table=TABLE)
    figures = quick_figures(MULTILABEL, probabilities, targets, table=TABLE)
    figure = merit("macro_youden", figures, table=TABLE)
    assert figure == pytest.approx(figures["macro_recall"] + figures["macro_specificity"] - 1)  # type: ignore[operator]


def test_an_entry_s_undefined_figure_has_its_sentence() -> None:
    targets = MULTILABEL.encode(["normal", "normal"])
    metrics = compute_metrics(
        MULTILABEL, targets.astype(np.float32), targets, ["a", "b"], resamples=5, table=TABLE
    )
    assert any("No image bears covid" in n and "Youden" in n for n in metrics["notes"])
