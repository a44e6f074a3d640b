"""What 8 bits may cost: each rule refuses by its own reason, and nothing else does."""

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from covid.edge.labels import LabelSpace
from covid.export.budget import Agreement, Verdict, agreement, compare, differences

SPACE = LabelSpace.from_labels(
    "multilabel",
    {"covid": ["covid", "pneumonia"], "normal": ["normal"], "pneumonia": ["pneumonia"]},
)
KEYS = ["covid"] * 40 + ["normal"] * 480 + ["pneumonia"] * 480
COVID = 0
Floats = npt.NDArray[np.float32]


def likely(keys: Sequence[str] = KEYS) -> Floats:
    """Probabilities that are right everywhere, with room on both sides."""
    return np.where(SPACE.encode(keys), 0.52, 0.4).astype(np.float32)


def verdict(
    fp32: Floats,
    int8: Floats,
    *,
    keys: Sequence[str] = KEYS,
    patients: Sequence[str | None] | None = None,
    max_drop: float = 0.005,
) -> Verdict:
    return compare(
        SPACE, fp32, int8, SPACE.encode(keys), patients or [None] * len(fp32), max_drop
    )


def missing_covid(images: int) -> Floats:
    """Covid is missed in some images, though every other image still looks less like it."""
    result = likely()
    result[:images, COVID] = 0.48
    return result


def changed(images: int) -> Floats:
    """Of images without covid, evenly spread, some are decided otherwise, by a hair."""
    result = likely()
    places = np.linspace(40, len(result) - 1, images).astype(int)
    result[places] = np.where(result[places] > 0.5, 0.49, result[places])
    return result


def test_the_same_answers_are_within_the_budget() -> None:
    assert verdict(likely(), likely()).holds


def test_three_changed_decisions_in_a_hundred_are_refused() -> None:
    reasons = verdict(likely(), changed(30), max_drop=1).reasons
    assert reasons == ["3.0% of decisions change (at most 2%)"]


def test_one_changed_decision_in_a_hundred_is_let_through() -> None:
    assert verdict(likely(), changed(10), max_drop=1).holds


def test_twenty_images_are_too_few_even_where_none_changes() -> None:
    keys = KEYS[:10] + KEYS[100:110]
    (reason,) = verdict(likely(keys), likely(keys), keys=keys).reasons
    assert "could be 16.1% (at most 5%)" in reason


def test_many_images_of_few_patients_are_too_few() -> None:
    patients = [f"patient {place // 50}" for place in range(len(KEYS))]
    int8 = likely()
    int8[100:110] = np.minimum(int8[100:110], 0.49)  # ten images of one patient
    (reason,) = verdict(likely(), int8, patients=patients, max_drop=1).reasons
    assert "more images of more patients than these 20" in reason


def test_seventy_three_patients_are_enough_where_nothing_changes() -> None:
    keys = KEYS[:73]
    assert verdict(likely(keys), likely(keys), keys=keys).holds
    assert not verdict(likely(keys[1:]), likely(keys[1:]), keys=keys[1:]).holds


def test_a_probability_that_moves_too_far_on_average_is_refused() -> None:
    (reason,) = verdict(likely(), likely() - np.float32(0.011)).reasons
    assert reason == "a probability moves by 0.01100 on average (at most 0.01)"


def test_a_fall_of_macro_f1_is_refused_by_its_value() -> None:
    (reason,) = verdict(likely(), missing_covid(2)).reasons  # 0.2 % of all decisions
    assert reason.startswith("macro F1 on validation falls by 0.0085")


def test_max_drop_says_how_far_macro_f1_may_fall() -> None:
    assert verdict(likely(), missing_covid(2), max_drop=0.01).holds


def test_a_class_whose_ranks_are_mixed_up_is_a_reason_of_its_own() -> None:
    fp32, int8 = likely(), likely()
    fp32[:, COVID] = np.where(fp32[:, COVID] > 0.5, 0.45, 0.44)
    int8[:, COVID] = np.where(np.arange(len(int8)) % 40 == 0, 0.46, 0.44)
    (reason,) = verdict(fp32, int8, max_drop=1).reasons
    assert reason.startswith("AUROC of covid on validation falls by 0.")


def test_a_class_of_one_kind_only_has_no_auroc() -> None:
    keys = KEYS[40:]
    assert verdict(likely(keys), likely(keys), keys=keys).auroc_fall["covid"] is None


def test_answers_that_are_no_numbers_are_refused() -> None:
    broken = likely()
    broken[3, 1] = np.nan
    assert verdict(likely(), broken).reasons == ["gives probabilities that are no numbers"]


def test_training_images_count_and_are_stated_apart() -> None:
    fp32 = np.concatenate([likely(), likely()])
    int8 = np.concatenate([changed(10), likely()])
    result = verdict(fp32, int8, keys=KEYS)
    assert result.unseen and result.training and result.validation
    counts = [each.changed.count for each in (result.unseen, result.training, result.validation)]
    assert counts == [10, 10, 0]


def test_what_the_report_says_is_json() -> None:
    fields = verdict(likely(), missing_covid(2)).fields()
    json.dumps(fields, allow_nan=False)
    assert fields["unseen"]["images"] == 1000 and fields["unseen"]["decisions_changed"] == 2


@pytest.mark.parametrize(("images", "fine"), [(20, True), (21, False)])
def test_an_agreement_is_acceptable_up_to_two_changed_in_a_hundred(
    images: int, fine: bool
) -> None:
    result: Agreement = agreement(SPACE, likely(), changed(images), [None] * len(KEYS))
    assert (not differences(result)) == fine


def test_what_is_not_known_is_no_fall() -> None:
    targets = SPACE.encode(KEYS)
    before, after = likely(), likely()
    after[:30, COVID] = 0.3  # less than the others, who have 0.4
    assert compare(SPACE, before, after, targets, [None] * len(KEYS), 1).auroc_fall["covid"] == 0.75
    targets[:30, COVID] = np.nan
    fall = compare(SPACE, before, after, targets, [None] * len(KEYS), 1).auroc_fall["covid"]
    assert fall == 0
    targets[:40, COVID] = np.nan
    lost = compare(SPACE, before, after, targets, [None] * len(KEYS), 1)
    assert lost.auroc_fall["covid"] is None and lost.drop is not None
