"""Overlays: segmentations drawn on their image.

The colours are close to those of Okabe and Ito, which are distinguishable with any common colour blindness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from samtune.errors import ShapeError
from samtune.types import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CLASS_COLOURS", "PREDICTION_COLOUR", "TRUTH_COLOUR", "overlay"]

TRUTH_COLOUR = (0, 114, 178)
"""Blue, RGB: the contour of the annotation."""

PREDICTION_COLOUR = (255, 159, 10)
"""Orange, RGB: the contour of the prediction."""

CLASS_COLOURS = (
    PREDICTION_COLOUR,
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)
"""RGB of classes 1, 2, ..., repeated from the eighth class on."""

FILL = 0.35
"""Opacity of the fill inside a contour, 0..1."""

LINES_PER_SIDE = 300
"""The longer side of an image is about this many contour widths."""


def overlay(
    image: NDArray[np.uint8], labels: NDArray[np.integer], truth: NDArray[np.integer] | None = None
) -> NDArray[np.uint8]:
    """Draw a predicted label map on its image, alone or against the annotation.

    Without `truth` each class is filled and outlined in its own colour (`CLASS_COLOURS`). With `truth`
    nothing is filled: the annotation is a wide blue contour and the prediction a narrow orange one on top,
    whatever the class, so that both are visible where they agree; pixels that `truth` ignores (255) are
    darkened.

    Args:
        image: uint8 (H, W, 3) RGB; not changed.
        labels: predicted label map uint8 (H, W), or ids of objects, integers (H, W); nothing is drawn for 0, and for
            255 in uint8.
        truth: annotation of the same form.

    Returns:
        uint8 (H, W, 3) RGB, a new array.

    Raises:
        ShapeError: the image is not uint8 (H, W, 3), or a label map has another size.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ShapeError(f"Expected an image uint8 (H, W, 3), got {image.dtype} {image.shape}.")
    for name, labelled in (("labels", labels), ("truth", truth)):
        if labelled is not None and labelled.shape != image.shape[:2]:
            raise ShapeError(f"Expected `{name}` of the image's size {image.shape[:2]}, got {labelled.shape}.")
    canvas = np.ascontiguousarray(image).copy()
    line = max(1, round(max(image.shape[:2]) / LINES_PER_SIDE))
    if truth is None:
        for label in _classes(labels):
            _fill(canvas, labels == label, _colour(label))
        for label in _classes(labels):
            _outline(canvas, labels == label, _colour(label), line)
        return canvas
    ignored = truth == IGNORE if truth.dtype == np.uint8 else truth < 0
    canvas[ignored] //= 2
    for label in _classes(truth):
        _outline(canvas, truth == label, TRUTH_COLOUR, 2 * line + 1)
    for label in _classes(labels):
        _outline(canvas, labels == label, PREDICTION_COLOUR, line)
    return canvas


def _classes(labels: NDArray[np.integer]) -> list[int]:
    ignored = IGNORE if labels.dtype == np.uint8 else None
    return [int(label) for label in np.unique(labels) if label > 0 and label != ignored]


def _colour(label: int) -> tuple[int, int, int]:
    return CLASS_COLOURS[(label - 1) % len(CLASS_COLOURS)]


def _fill(canvas: NDArray[np.uint8], inside: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    mixed = (1 - FILL) * canvas[inside] + FILL * np.array(colour)
    canvas[inside] = np.rint(mixed).astype(np.uint8)


def _outline(canvas: NDArray[np.uint8], inside: NDArray[np.bool_], colour: tuple[int, int, int], width_px: int) -> None:
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    smooth = cv2.LINE_AA if width_px > 1 else cv2.LINE_8  # smoothing would thin a line of one pixel
    cv2.drawContours(canvas, contours, -1, colour, width_px, smooth)
