"""What `select_by` may name, and which epoch is better by it."""

import numpy as np
import pytest

from covid.errors import ConfigError
from covid.evaluation.answers import Weighted
from covid.evaluation.figures import METRICS, Metric, accuracy
from covid.evaluation.metrics import quick_figures
from covid.evaluation.selection import check_select_by, merit, reason_against
from tests.evaluation.examples import SINGLE_LABEL, evaluated


def test_every_quick_figure_and_the_loss_may_be_named() -> None:
    probabilities, targets, _ = evaluated(SINGLE_LABEL)
    for name in (*quick_figures(SINGLE_LABEL, probabilities, targets), "loss"):
        check_select_by(name, "mine.yaml")


def test_anything_else_is_refused_with_what_is_allowed_and_what_is_near() -> None:
    allowed = (
        "accuracy, macro_precision, macro_recall, macro_specificity, macro_npv, macro_f1, "
        "macro_auroc, macro_average_precision, macro_brier, loss"
    )
    with pytest.raises(ConfigError) as caught:
        check_select_by("macro_aurok", "mine.yaml")
    assert str(caught.value) == (
        f"mine.yaml: select_by: 'macro_aurok' is not one of {allowed}; did you mean macro_auroc."
    )


def test_what_is_near_nothing_gets_no_hint() -> None:
    with pytest.raises(ConfigError, match=r"loss\.$"):
        check_select_by("speed", "mine.yaml")


def test_a_larger_figure_has_more_merit() -> None:
    assert merit("macro_auroc", {"macro_auroc": 0.75}) == 0.75


def test_a_smaller_loss_has_more_merit() -> None:
    assert merit("loss", {"loss": 0.75}) == -0.75


def test_a_figure_of_which_less_is_better_is_turned() -> None:
    def mistakes(images: Weighted) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return 1 - accuracy(images)

    entry = Metric("mistakes", "mistakes", mistakes, per_class=False, larger_is_better=False)
    assert merit("mistakes", {"mistakes": 0.25}, table=(*METRICS, entry)) == -0.25


def test_an_undefined_figure_has_no_merit() -> None:
    assert merit("macro_precision", {"macro_precision": None}) is None


@pytest.mark.parametrize("name", ["macro_f1", "macro_precision", "macro_auroc"])
def test_a_mean_over_classes_needs_a_class_of_both_outcomes(name: str) -> None:
    targets = SINGLE_LABEL.encode(["covid", "covid"])
    reason = "each of covid, normal, pneumonia is true of every image or of none"
    assert reason_against(name, SINGLE_LABEL, targets) == reason


def test_one_class_of_both_outcomes_is_enough() -> None:
    targets = SINGLE_LABEL.encode(["covid", "normal"])
    assert reason_against("macro_f1", SINGLE_LABEL, targets) is None


def test_what_is_not_known_is_no_outcome() -> None:
    targets = SINGLE_LABEL.encode(["covid", "normal?"])
    assert reason_against("macro_f1", SINGLE_LABEL, targets) is not None


@pytest.mark.parametrize("name", ["accuracy", "loss"])
def test_other_figures_need_no_class(name: str) -> None:
    assert reason_against(name, SINGLE_LABEL, SINGLE_LABEL.encode(["covid"])) is None
