"""What evaluate.py prints: to the letter, and never wider than a terminal."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from covid.evaluation.answers import Weighted
from covid.evaluation.figures import METRICS, Metric
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.terminal import metrics_table
from tests.evaluation.examples import MULTILABEL, evaluated


def test_the_table_is_readable() -> None:
    targets = MULTILABEL.encode(["covid", "normal", "normal", "pneumonia"])
    probabilities = np.where(targets, 0.9, 0.1).astype(np.float32)
    probabilities[1] = (0.1, 0.4, 0.1)
    metrics = compute_metrics(MULTILABEL, probabilities, targets, list("aabc"), resamples=1000)
    metrics["notes"] = ["A sentence."]
    for name, low, high in (("accuracy", 0.25, 1), ("macro_f1", 0.5, 1)):
        metrics[name] |= {"low": low, "high": high}  # what is drawn is another test's
    for row in metrics["per_class"].values():
        for interval in row["intervals"].values():
            interval |= {"low": 0.721, "high": 0.938}
    assert metrics_table(metrics, "network on data, test") == (
        "network on data, test\n"
        "4 images of 3 patients\n"
        "\n"
        "accuracy  0.750  (95 % interval 0.250 to 1.000)\n"
        "macro F1  0.889  (95 % interval 0.500 to 1.000)\n"
        "\n"
        "class      support  patients  precision  recall  specificity    NPV     F1  AUROC     AP\n"
        "---------  -------  --------  ---------  ------  -----------  -----  -----  -----  -----\n"
        "covid            1         1      1.000   1.000        1.000  1.000  1.000  1.000  1.000\n"
        "normal           2         2      1.000   0.500        1.000  0.667  0.667  1.000  1.000\n"
        "pneumonia        2         2      1.000   1.000        1.000  1.000  1.000  1.000  1.000\n"
        "\n"
        "class      Brier  threshold\n"
        "---------  -----  ---------\n"
        "covid      0.010        0.5\n"
        "normal     0.097        0.5\n"
        "pneumonia  0.010        0.5\n"
        "\n"
        "95 % intervals  precision     recall  specificity        NPV         F1      AUROC\n"
        "--------------  ---------  ---------  -----------  ---------  ---------  ---------\n"
        "covid           0.72–0.94  0.72–0.94    0.72–0.94  0.72–0.94  0.72–0.94  0.72–0.94\n"
        "normal          0.72–0.94  0.72–0.94    0.72–0.94  0.72–0.94  0.72–0.94  0.72–0.94\n"
        "pneumonia       0.72–0.94  0.72–0.94    0.72–0.94  0.72–0.94  0.72–0.94  0.72–0.94\n"
        "\n"
        "95 % intervals         AP      Brier\n"
        "--------------  ---------  ---------\n"
        "covid           0.72–0.94  0.72–0.94\n"
        "normal          0.72–0.94  0.72–0.94\n"
        "pneumonia       0.72–0.94  0.72–0.94\n"
        "\n"
        "Note: A sentence."
    )


def test_the_table_shows_a_dash_for_what_is_undefined(all_covid: dict[str, Any]) -> None:
    assert "macro F1  –\n" in metrics_table(all_covid, "title")


@pytest.mark.parametrize("resource", ["title", "notes"])
def test_the_table_stays_within_a_terminal(all_covid: dict[str, Any], resource: str) -> None:
    long = "a rather long text " * 20
    if resource == "notes":
        all_covid["notes"] = [long]
    table = metrics_table(all_covid, long if resource == "title" else "title")
    assert max(map(len, table.splitlines())) <= 90


def test_a_table_that_would_be_too_wide_goes_on_below_itself() -> None:
    def always(images: Weighted) -> npt.NDArray[np.float64]:
        return np.ones((len(images.weights), 3))

    table = (*METRICS, *(Metric(f"m{n}", f"figure number {n}", always) for n in range(5)))
    metrics = compute_metrics(MULTILABEL, *evaluated(MULTILABEL), resamples=5, table=table)
    metrics["notes"] = []
    printed = metrics_table(metrics, "title", table=table)
    assert max(map(len, printed.splitlines())) <= 90
    assert all(printed.count(f"figure number {n}") == 2 for n in range(5))


def test_where_no_patient_is_known_none_are_counted(all_covid: dict[str, Any]) -> None:
    assert "patients" not in metrics_table(all_covid, "title").split("Note:")[0]


def test_a_class_whose_images_name_no_patient_has_a_dash_for_them() -> None:
    targets = MULTILABEL.encode(["covid", "normal"])
    metrics = compute_metrics(
        MULTILABEL, targets.astype(np.float32), targets, ["a", None], resamples=5
    )
    [row] = [line.split() for line in metrics_table(metrics, "title").splitlines()
             if line.startswith("normal") and " 1 " in line]  # fmt: skip
    assert row[1:3] == ["1", "–"]


def test_folds_have_their_range() -> None:
    probabilities, targets, patients = evaluated(MULTILABEL, images=40)
    metrics = compute_metrics(
        MULTILABEL, probabilities, targets, patients, resamples=5, folds=["1", "2"] * 20
    )
    metrics["folds"]["spread"] = {
        "accuracy": {"lowest": 0.25, "highest": 0.5},
        "auroc": dict.fromkeys(MULTILABEL.classes, {"lowest": 0.721, "highest": 0.938}),
        "average_precision": {
            "covid": None, **dict.fromkeys(MULTILABEL.classes[1:], {"lowest": 0, "highest": 1})
        },
    }  # fmt: skip
    printed = metrics_table(metrics, "title")
    assert ", in folds 0.250 to 0.500\n" in printed
    assert (
        "range of 2 folds      AUROC         AP\n"
        "----------------  ---------  ---------\n"
        "covid             0.72–0.94          –\n"
        "normal            0.72–0.94  0.00–1.00\n"
        "pneumonia         0.72–0.94  0.00–1.00\n"
    ) in printed
    assert max(map(len, printed.splitlines())) <= 90
