"""A map over a radiograph: lightness is the image, colour and lines are the map."""

import numpy as np

from covid.edge.contours import Contour, contours
from covid.edge.overlay import CANVAS, STEPS, _palette, overlay

SCALE = 0.5
GREY = np.full((60, 80), 128, dtype=np.uint8)
LEFT = np.array([[1.0, 0.0]], dtype=np.float32)  # all of the evidence in the image's left half


def test_what_adds_nothing_has_no_colour() -> None:
    picture = overlay(GREY, np.zeros((2, 2), np.float32), SCALE, []).astype(int)
    assert (np.ptp(picture, axis=2) <= 1).all()  # grey, but for rounding to 8 bits


def test_what_speaks_for_a_class_is_orange_and_what_speaks_against_it_blue() -> None:
    for sign, redder in ((1, True), (-1, False)):
        picture = overlay(GREY, sign * LEFT, SCALE, []).astype(int)
        red, _, blue = picture[30, 20]
        assert (red > blue) == redder


def test_beyond_the_scale_colour_does_not_grow() -> None:
    flat = np.ones((1, 1), dtype=np.float32)
    np.testing.assert_array_equal(
        overlay(GREY, flat * SCALE, SCALE, []), overlay(GREY, flat * SCALE * 9, SCALE, [])
    )


def test_greys_keep_their_order_under_every_strength() -> None:
    luminance = _palette().astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance, axis=0) >= -1).all()  # rounding of three channels


def test_equal_steps_of_strength_are_about_equal_steps_of_colour() -> None:
    middle = _palette()[128].astype(float)
    steps = np.linalg.norm(middle[STEPS + 32 :: 32] - middle[STEPS:-32:32], axis=1)
    assert steps.max() < 2 * steps.min()


LINES = contours(LEFT, SCALE)


def test_lines_are_drawn_around_what_holds_most() -> None:
    picture = overlay(np.full((480, 640), 128, np.uint8), LEFT, SCALE, LINES).astype(int)
    lines = picture.min(axis=2) >= 240
    assert lines[240].any() and not lines[:, 480:].any()


def test_the_image_s_own_border_is_no_line() -> None:
    picture = overlay(np.full((480, 640), 128, np.uint8), LEFT, SCALE, LINES).astype(int)
    assert not (picture[:, 0].min(axis=1) >= 240).any()


def test_the_first_line_is_the_thicker_one() -> None:
    grey, line = np.full((CANVAS, CANVAS), 128, np.uint8), LINES[0]
    nowhere = Contour(level=9.0, held=0.0)
    thick, thin = (
        int((overlay(grey, LEFT, SCALE, lines).min(axis=2) >= 200).sum())
        for lines in ([line], [nowhere, line])
    )
    assert 1.5 * thin < thick < 2.5 * thin


def test_lines_are_seen_on_an_image_of_few_pixels_too() -> None:
    picture = overlay(GREY, LEFT, SCALE, LINES).astype(int)
    assert np.any(np.min(picture[30] - picture[30, 0], axis=1) > 40)


def test_a_dark_rim_makes_lines_seen_on_white() -> None:
    white = np.full((480, 640), 255, np.uint8)
    plain, lined = (overlay(white, LEFT, SCALE, lines).astype(int) for lines in ([], LINES))
    assert (lined - plain).max(axis=2).min() < -40


def test_without_lines_there_is_none() -> None:
    assert not (overlay(GREY, LEFT, SCALE, []) >= 240).all(axis=2).any()
