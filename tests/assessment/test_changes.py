"""Whose border an image is given."""

import numpy as np

from covid.assessment.changes import draw_partners, hidings, masked_hidings, others, swaps

CLASSES = ("covid", "normal")
LABELS = np.array([[1, 0], [0, 1]] * 6, dtype=np.float32)
PATIENTS = [f"P{n // 2}" for n in range(12)]  # each has an image of both


def test_partners_have_the_label_that_is_wanted_and_are_other_patients() -> None:
    places, partners = draw_partners(LABELS, PATIENTS, CLASSES)
    assert places == list(range(12))
    for n in places:
        assert (LABELS[partners["within"][n]] == LABELS[n]).all()
        assert LABELS[partners["across covid"][n], 0] == 1 - LABELS[n, 0]
        assert all(PATIENTS[each[n]] != PATIENTS[n] for each in partners.values())


def test_an_image_that_is_alone_with_its_labels_is_not_swapped() -> None:
    labels = np.vstack([LABELS, [[1, 1]]])
    places, _ = draw_partners(labels, [*PATIENTS, "Q"], CLASSES)
    assert places == list(range(12))


def test_one_patient_s_images_are_not_swapped() -> None:
    assert draw_partners(LABELS, ["P"] * 12, CLASSES)[0] == []


def test_a_class_that_all_images_bear_has_no_other_border() -> None:
    labels = np.stack([LABELS[:, 0], np.ones(12)], axis=1)
    assert list(draw_partners(labels, PATIENTS, CLASSES)[1]) == ["within", "across covid"]


def test_an_image_whose_label_is_not_known_may_have_any_border_of_that_class() -> None:
    labels = LABELS.copy()
    labels[[0, 2], 0] = np.nan
    places, partners = draw_partners(labels, PATIENTS, CLASSES)
    assert 0 in places and partners["across covid"][0] != 0


def test_every_change_keeps_shape_and_kind() -> None:
    images = np.random.default_rng(0).integers(0, 255, (4, 32, 32), dtype=np.uint8)

    def masks(places: list[int]) -> np.ndarray:
        return np.ones((len(places), 32, 32), dtype=bool)

    _, partners = draw_partners(LABELS, PATIENTS, CLASSES)
    changes = {
        **hidings(32, 90), **masked_hidings(32, 90, masks), **others(),
        **swaps(partners, lambda places: images[[n % 4 for n in places]]),
    }  # fmt: skip
    assert len(changes) == 6 + 4 + 7 + 3
    for change in changes.values():
        changed = change(images, [0, 1, 2, 3])
        assert changed.shape == images.shape and changed.dtype == np.uint8
