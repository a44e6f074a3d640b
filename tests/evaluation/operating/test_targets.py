"""What `--target` may say, and what it means."""

import pytest

from covid.edge.labels import LabelSpace
from covid.errors import ConfigError
from covid.evaluation.operating.targets import Target, parse_targets
from tests.evaluation.examples import MULTILABEL, SINGLE_LABEL

TWO = LabelSpace.from_labels("single_label", {"infected": ["infected"], "normal": ["normal"]})
COLON = LabelSpace.from_labels("multilabel", {"a:b": ["a:b"], "c": ["c"]})
SENSITIVE, SPECIFIC = Target("sensitivity", 0.95), Target("specificity", 0.9)


@pytest.mark.parametrize(("texts", "wanted"), [
    ([], {}),
    (["sensitivity=0.95"], dict.fromkeys(MULTILABEL.classes, SENSITIVE)),
    ([" covid : sensitivity = 0.95 "], {"covid": SENSITIVE}),
    (["specificity=0.9", "covid:sensitivity=.95"],
     {"covid": SENSITIVE, "normal": SPECIFIC, "pneumonia": SPECIFIC}),
    (["covid:sensitivity=0.95", "covid:sensitivity=0.950"], {"covid": SENSITIVE}),
])  # fmt: skip
def test_a_class_s_own_target_wins(texts: list[str], wanted: dict[str, Target]) -> None:
    assert parse_targets(texts, MULTILABEL) == wanted


def test_a_name_may_hold_a_colon() -> None:
    assert parse_targets(["a:b:sensitivity=0.95"], COLON) == {"a:b": SENSITIVE}


@pytest.mark.parametrize(("texts", "wanted"), [
    (["sensitivity=0.95"], {"infected": SENSITIVE}),
    (["normal:specificity=0.9"], {"normal": SPECIFIC}),
    (["sensitivity=0.5", "infected:specificity=0.9"], {"infected": SPECIFIC}),
])  # fmt: skip
def test_a_target_of_two_classes_is_about_the_first(
    texts: list[str], wanted: dict[str, Target]
) -> None:
    assert parse_targets(texts, TWO) == wanted


@pytest.mark.parametrize(("space", "texts", "sentence"), [
    (MULTILABEL, ["0.95"], "must look like sensitivity=0.95, or covid:sensitivity=0.95"),
    (MULTILABEL, ["sensitivity"], "must look like"),
    (MULTILABEL, ["sensitivity=high"], "must look like"),
    (MULTILABEL, ["sensitivity=0.9=1"], "must look like"),
    (MULTILABEL, ["flu:sensitivity=0.9"], "flu is none of covid, normal, pneumonia"),
    (MULTILABEL, [":sensitivity=0.9"], "is none of"),
    (MULTILABEL, ["recall=0.9"], "recall is none of sensitivity, specificity"),
    (MULTILABEL, ["sensitivity=1"], "must be above 0 and below 1"),
    (MULTILABEL, ["sensitivity=nan"], "must be above 0 and below 1"),
    (MULTILABEL, ["sensitivity=95"], "write 0.95 for 95 %"),
    (MULTILABEL, ["sensitivity=0.9", "specificity=0.9"], "all classes have sensitivity=0.9"),
    (MULTILABEL, ["covid:sensitivity=0.9", "covid:sensitivity=0.8"], "covid has"),
    (SINGLE_LABEL, ["sensitivity=0.9"], "the most probable of 3 classes"),
    (TWO, ["sensitivity=0.9", "normal:sensitivity=0.9"], "share one threshold"),
])  # fmt: skip
def test_a_target_that_cannot_be_is_refused_in_a_sentence(
    space: LabelSpace, texts: list[str], sentence: str
) -> None:
    with pytest.raises(ConfigError, match="^--target") as refused:
        parse_targets(texts, space)
    assert sentence in str(refused.value)
