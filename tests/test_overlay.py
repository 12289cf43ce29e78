"""Label maps drawn on images."""

from __future__ import annotations

import numpy as np
import pytest

from samtune.errors import ShapeError
from samtune.overlay import CLASS_COLOURS, PREDICTION_COLOUR, TRUTH_COLOUR, overlay
from samtune.types import IGNORE

GREY = np.full((60, 80, 3), 128, np.uint8)


def square(label: int, start: int = 20, stop: int = 40) -> np.ndarray:
    labels = np.zeros((60, 80), np.uint8)
    labels[start:stop, start:stop] = label
    return labels


def test_nothing_to_draw_leaves_the_image_as_it_is() -> None:
    empty = np.zeros((60, 80), np.uint8)
    np.testing.assert_array_equal(overlay(GREY, empty), GREY)
    np.testing.assert_array_equal(overlay(GREY, empty, empty), GREY)
    np.testing.assert_array_equal(overlay(GREY, square(IGNORE)), GREY)


def test_a_class_is_filled_and_outlined_in_its_colour() -> None:
    before = GREY.copy()
    for label in (1, 2, len(CLASS_COLOURS) + 1):
        drawn = overlay(GREY, square(label))
        colour = CLASS_COLOURS[(label - 1) % len(CLASS_COLOURS)]
        assert tuple(drawn[20, 30]) == colour
        np.testing.assert_allclose(drawn[30, 30], 0.65 * 128 + 0.35 * np.array(colour), atol=1)
        assert tuple(drawn[5, 5]) == (128, 128, 128)
    np.testing.assert_array_equal(GREY, before)


def test_both_contours_are_seen_where_they_agree() -> None:
    drawn = overlay(GREY, square(1), square(1))
    assert tuple(drawn[20, 30]) == PREDICTION_COLOUR
    assert tuple(drawn[19, 30]) == TRUTH_COLOUR
    assert tuple(drawn[21, 30]) == TRUTH_COLOUR
    assert tuple(drawn[30, 30]) == (128, 128, 128)


def test_what_the_annotation_ignores_is_darkened() -> None:
    drawn = overlay(GREY, np.zeros((60, 80), np.uint8), square(IGNORE))
    assert tuple(drawn[30, 30]) == (64, 64, 64)
    assert tuple(drawn[5, 5]) == (128, 128, 128)


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ShapeError, match="labels"):
        overlay(GREY, np.zeros((60, 60), np.uint8))
    with pytest.raises(ShapeError, match="truth"):
        overlay(GREY, square(1), np.zeros((60, 60), np.uint8))
    with pytest.raises(ShapeError, match="image"):
        overlay(GREY[..., 0], square(1))
    with pytest.raises(ShapeError, match="image"):
        overlay(GREY.astype(np.float32), square(1))
