"""How well outlines agree: boundary F within a tolerance, and the 95th-percentile Hausdorff distance.

A mask's outline are its pixels with a 4-neighbour outside it; what lies beyond the image's edge counts as outside, so
every mask with a pixel has an outline.

Boundary F is therefore not DAVIS's own number: its code marks a pixel whose right, lower or lower right neighbour is on
the other side, within the image, so a mask has no outline along the image's edge, and one that fills the image has none
at all. Where objects touch the edge, the long stretches along it, which are easy, raise F here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from samtune.metrics.distance import distance_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

TOLERANCE_SHARE = 0.008
"""Share of the image's diagonal within which two outlines agree: as in DAVIS (Perazzi et al., CVPR 2016)."""

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def outline(mask: Mask) -> Mask:
    """The outline of a mask, bool (H, W)."""
    inner = cv2.erode(mask.astype(np.uint8), _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    found: Mask = mask & (inner == 0)
    return found


def default_tolerance(size_hw: tuple[int, int]) -> float:
    """`TOLERANCE_SHARE` of the diagonal in pixels, rounded up."""
    return float(math.ceil(TOLERANCE_SHARE * math.hypot(*size_hw)))


def boundary_f_measure(
    predicted: Mask, target: Mask, tolerance: float | None = None, spacing_yx: tuple[float, float] = (1.0, 1.0)
) -> float:
    """F1 of the outlines: precision is the share of predicted outline pixels within the tolerance of the target's.

    Edges of the image count as outline where a mask touches them, unlike in DAVIS; see the head of this file. Two empty
    masks score 1, one empty mask 0.

    Args:
        predicted: bool (H, W).
        target: bool (H, W).
        tolerance: in the unit of the spacing; None for `default_tolerance` pixels of the smaller pixel side.
        spacing_yx: height and width of a pixel.
    """
    if not predicted.any() or not target.any():
        return float(predicted.any() == target.any())
    reach = default_tolerance(target.shape) * min(spacing_yx) if tolerance is None else tolerance
    ours, theirs = outline(predicted), outline(target)
    # Distances are roots of sums of squares: a hair of slack keeps those equal to the tolerance inside.
    slack = reach * (1 + 1e-9)
    precision = float((distance_to(theirs, spacing_yx)[ours] <= slack).mean())
    recall = float((distance_to(ours, spacing_yx)[theirs] <= slack).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def hausdorff95(predicted: Mask, target: Mask, spacing_yx: tuple[float, float] = (1.0, 1.0)) -> float | None:
    """95th-percentile Hausdorff distance of the outlines, in the unit of the spacing (pixels by default).

    The percentile of the distances from each outline to the other (linear between ranks), and of the two the larger,
    as in MONAI. Two empty masks are 0 apart; to one empty mask there is no distance: None.

    Source: Huttenlocher et al., TPAMI 1993, with the percentile that medical challenges use.
    """
    if not predicted.any() or not target.any():
        return 0.0 if predicted.any() == target.any() else None
    ours, theirs = outline(predicted), outline(target)
    there = np.percentile(distance_to(theirs, spacing_yx)[ours], 95)
    back = np.percentile(distance_to(ours, spacing_yx)[theirs], 95)
    return float(max(there, back))
