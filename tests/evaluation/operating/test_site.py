"""What is fitted to a place: thresholds follow a recalibration, and say where they come from."""

from dataclasses import replace

import numpy as np
import pytest

from covid.edge.labels import LabelSpace
from covid.edge.operating_point import Method
from covid.errors import DataError
from covid.evaluation.operating.site import MIN_IMAGES, Site, fit_to_site
from covid.evaluation.operating.targets import Target
from tests.edge.test_operating_point import ON, POINT, SPACE, TWO


def site_of(space: LabelSpace, images: int = 60) -> Site:
    """Logits that follow the targets, too sure of themselves."""
    draw, classes = np.random.default_rng(0), len(space.classes)
    targets = np.eye(classes, dtype=np.float32)[np.arange(images) % classes]
    logits = (3 * (2 * targets - 1) + draw.normal(1, 4, targets.shape)).astype(np.float32)
    likely = 1 / (1 + np.exp(-logits))
    if space.task == "single_label":
        likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Site(space, logits, likely.astype(np.float32), targets, [None] * images, ON)


@pytest.mark.parametrize("method", ["platt", "temperature"])
def test_thresholds_follow_a_recalibration(method: Method) -> None:
    site = site_of(SPACE.with_thresholds({"covid": 0.3, "normal": 0.5, "pneumonia": 0.8}))
    fitted = fit_to_site(site, method, {}, None)
    assert fitted.space.thresholds != site.space.thresholds
    before, after = site.space.decide(site.probabilities), fitted.space.decide(fitted.probabilities)
    np.testing.assert_array_equal(before, after)


def test_thresholds_that_were_chosen_elsewhere_keep_saying_so() -> None:
    site = site_of(SPACE.with_thresholds(POINT.thresholds))
    point = fit_to_site(site, "platt", {}, POINT).point
    assert point is not None and point.rule == POINT.rule
    assert point.thresholds != POINT.thresholds
    assert point.per_class["covid"]["threshold"] == point.thresholds["covid"]
    assert point.per_class["covid"]["sensitivity"] == POINT.per_class["covid"]["sensitivity"]


def test_nobody_is_said_to_have_chosen_thresholds_of_unknown_origin() -> None:
    site = site_of(SPACE.with_thresholds({"covid": 0.3, "normal": 0.5, "pneumonia": 0.8}))
    assert fit_to_site(site, "platt", {}, None).point is None


def test_a_target_chooses_on_recalibrated_probabilities() -> None:
    site = site_of(SPACE)
    wanted = {"covid": Target("sensitivity", 0.9)}
    fitted = fit_to_site(site, "platt", wanted, None)
    covid = fitted.probabilities[site.targets[:, 0] == 1, 0]
    assert fitted.space.thresholds is not None
    assert (covid >= np.float32(fitted.space.thresholds[0])).mean() >= 0.9
    others = fit_to_site(site, "platt", {}, None).space.thresholds
    assert others is not None and fitted.space.thresholds[1:] == others[1:]


def test_the_largest_of_two_probabilities_needs_no_thresholds() -> None:
    fitted = fit_to_site(site_of(TWO), "temperature", {}, None)
    assert fitted.space.thresholds is None and fitted.point is None


def test_without_a_method_probabilities_stay() -> None:
    site = site_of(SPACE)
    fitted = fit_to_site(site, None, {"covid": Target("sensitivity", 0.9)}, None)
    assert fitted.step is None and fitted.probabilities is site.probabilities


def test_fewer_images_than_say_anything_are_refused() -> None:
    fit_to_site(site_of(SPACE, MIN_IMAGES), None, {}, None)
    with pytest.raises(DataError, match="holds 9 images of which some bear a class"):
        fit_to_site(site_of(SPACE, MIN_IMAGES - 1), None, {}, None)


def test_images_that_are_not_known_to_bear_a_class_do_not_count() -> None:
    site = site_of(SPACE, 20)
    targets = np.where(np.arange(20)[:, None] < 11, np.nan, site.targets)
    with pytest.raises(DataError, match="holds 9 images"):
        fit_to_site(replace(site, targets=targets), None, {}, None)


def without_covid() -> Site:
    site = site_of(SPACE, 90)
    rows = site.targets[:, 0] == 0
    return replace(
        site, logits=site.logits[rows], probabilities=site.probabilities[rows],
        targets=site.targets[rows], patients=[None] * int(rows.sum()),
    )  # fmt: skip


def test_a_class_that_cannot_be_fitted_stays_and_the_others_are_recalibrated() -> None:
    site = without_covid()
    fitted = fit_to_site(site, "platt", {}, None)
    assert fitted.step is not None
    assert (fitted.step.scale[0], fitted.step.shift[0]) == (1.0, 0.0)
    assert all(scale < 1 for scale in fitted.step.scale[1:])
    np.testing.assert_allclose(fitted.probabilities[:, 0], site.probabilities[:, 0], rtol=1e-5)
    assert fitted.notes == (
        "covid: no image bears it here, so its probabilities stay as they were.",
    )


@pytest.mark.parametrize("method", ["platt", "temperature"])
def test_where_nothing_can_be_fitted_nothing_is_and_a_note_says_so(method: Method) -> None:
    site = site_of(SPACE)
    sure = replace(site, logits=(8 * site.targets - 4).astype(np.float32))
    fitted = fit_to_site(sure, method, {}, POINT)
    assert fitted.step is None and fitted.probabilities is sure.probabilities
    assert fitted.point is POINT and fitted.space is sure.space
    last = {"platt": "No class is recalibrated.",
            "temperature": "Probabilities stay as they were."}[method]  # fmt: skip
    assert fitted.notes[-1].endswith(last)


def test_a_target_for_all_keeps_the_threshold_of_a_class_without_both_outcomes() -> None:
    wanted = dict.fromkeys(SPACE.classes, Target("sensitivity", 0.9))
    fitted = fit_to_site(without_covid(), None, wanted, None)
    assert fitted.space.thresholds is not None and fitted.space.thresholds[0] == 0.5
    assert fitted.point is not None and "covid: 0.5, the default" in fitted.point.rule
    assert fitted.notes == ("covid: no image bears it here, so its threshold is kept.",)


def test_a_target_for_a_class_of_one_outcome_is_refused() -> None:
    wanted = {"covid": Target("sensitivity", 0.9)}
    with pytest.raises(DataError, match="bears covid"):
        fit_to_site(without_covid(), None, wanted, None, {"covid"})


def test_nothing_to_do_leaves_everything() -> None:
    site = site_of(SPACE)
    fitted = fit_to_site(site, None, {}, None)
    assert (fitted.step, fitted.point, fitted.notes) == (None, None, ())
    assert fitted.space is site.space
