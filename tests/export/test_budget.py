"""What 8 bits may cost: each rule refuses by its own reason, and nothing else does."""

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from covid.edge.labels import LabelSpace
from covid.export.budget import Verdict, judge

SPACE = LabelSpace.from_labels(
    "multilabel",
    {"covid": ["covid", "pneumonia"], "normal": ["normal"], "pneumonia": ["pneumonia"]},
)
KEYS = ["covid"] * 40 + ["normal"] * 480 + ["pneumonia"] * 480
COVID, NORMAL = 0, 1
Floats = npt.NDArray[np.float32]


def likely(keys: Sequence[str] = KEYS) -> Floats:
    """Probabilities that are right everywhere, with room on both sides."""
    return np.where(SPACE.encode(keys), 0.9, 0.1).astype(np.float32)


def verdict(
    fp32: Floats,
    int8: Floats,
    *,
    keys: Sequence[str] = KEYS,
    patients: Sequence[str | None] | None = None,
    max_drop: float = 0.005,
) -> Verdict:
    truths = SPACE.encode(keys)
    return judge(SPACE, fp32, int8, truths, patients or [None] * len(truths), max_drop)


def missing_covid(images: int) -> Floats:
    """Covid is not found in some images, though every other image still looks less like it."""
    found = likely()
    found[:images, COVID] = 0.45
    return found


def test_the_same_answers_are_within_the_budget() -> None:
    assert verdict(likely(), likely()).holds


def test_a_fall_of_macro_f1_is_a_reason_of_its_own() -> None:
    reasons = verdict(likely(), missing_covid(20)).reasons  # 2 % of all decisions
    assert len(reasons) == 1 and reasons[0].startswith("macro F1 falls by more than 0.005")


def test_what_is_let_through_is_what_was_asked_for() -> None:
    assert verdict(likely(), missing_covid(20), max_drop=0.2).holds


def test_one_decision_on_a_rare_class_is_no_proof_of_a_fall() -> None:
    found = verdict(likely(), missing_covid(1))
    assert found.drop["value"] == pytest.approx(0.0042, abs=1e-4) and found.holds


def test_many_images_of_one_patient_are_no_proof_of_a_fall() -> None:
    patients: list[str | None] = [str(number) for number in range(len(KEYS))]
    patients[:20] = ["one"] * 20
    found = verdict(likely(), missing_covid(20), patients=patients)
    assert found.drop["value"] is not None and found.drop["value"] > 0.1
    assert found.holds


def test_changed_decisions_are_a_reason_even_where_they_are_better() -> None:
    wrong = likely()
    wrong[100:125, NORMAL] = 0.45
    reasons = verdict(wrong, likely()).reasons
    assert reasons == ["2.5% of decisions change (at most 2%)"]


def test_two_in_a_hundred_decisions_may_change() -> None:
    wrong = likely()
    wrong[100:120, NORMAL] = 0.45
    assert verdict(wrong, likely()).holds


def test_an_order_that_is_lost_is_a_reason_though_no_decision_changes() -> None:
    before, after = likely(), likely()
    after[:10, COVID], after[100:200, COVID] = 0.51, 0.49
    after[:10, COVID] = before[:10, COVID] = 0.3
    after[500:900, COVID], before[500:900, COVID] = 0.4, 0.2
    reasons = verdict(before, after).reasons
    assert len(reasons) == 1 and reasons[0].startswith("AUROC of covid falls by 0.1")


def test_a_class_that_no_image_bears_leaves_the_other_rules() -> None:
    keys = ["normal"] * 50 + ["pneumonia"] * 50
    after = likely(keys)
    after[:10, NORMAL] = 0.2
    found = verdict(likely(keys), after, keys=keys)
    assert found.drop == {"value": None, "at_least": None}
    assert found.auroc_fall["covid"] is None
    assert found.reasons == ["10.0% of decisions change (at most 2%)"]


def test_distance_is_the_mean_difference_of_a_probability() -> None:
    assert verdict(likely(), likely() + np.float32(0.01)).distance == pytest.approx(0.01, abs=1e-6)


def test_a_file_without_answers_is_refused_and_farthest() -> None:
    found = Verdict.without_answers("it gives no numbers")
    assert (found.holds, found.reasons) == (False, ["it gives no numbers"])
    assert found.distance > verdict(likely(), 1 - likely()).distance


def test_a_verdict_is_plain_json() -> None:
    found = verdict(likely(), missing_covid(5))
    json.dumps([found.drop, found.changed, found.auroc_fall, found.distance], allow_nan=False)
