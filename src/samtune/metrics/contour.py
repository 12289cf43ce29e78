"""Agreement of outlines: boundary F within a tolerance, and the 95th-percentile Hausdorff distance.

The outline of a mask consists of its pixels with a 4-neighbour outside it. What lies beyond the edge of the image
counts as outside, so every mask with a pixel has an outline.

Boundary F therefore differs from that of DAVIS, whose code marks a pixel where its right, lower or lower right
neighbour within the image is on the other side: there a mask has no outline along the edge of the image, and one that
fills the image has none at all. Where objects touch the edge, the long stretches along it, which are easy, raise F
here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

TOLERANCE_SHARE = 0.008
"""Share of the image's diagonal within which two outlines agree, as in DAVIS (Perazzi et al., CVPR 2016)."""

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def outline(mask: Mask) -> Mask:
    """Return the outline of a mask, bool (H, W)."""
    inner = cv2.erode(mask.astype(np.uint8), _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    border: Mask = mask & (inner == 0)
    return border


def default_tolerance(size_hw: tuple[int, int]) -> float:
    """Return `TOLERANCE_SHARE` of the diagonal of an image, in pixels, rounded up."""
    return float(math.ceil(TOLERANCE_SHARE * math.hypot(*size_hw)))


def boundary_f_measure(
    predicted: Mask, target: Mask, tolerance: float | None = None, spacing_yx: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Return the F1 of two outlines, 0..1.

    Precision is the share of predicted outline pixels within the tolerance of the target's outline, recall the share of
    the target's within the tolerance of the predicted one. Edges of the image count as outline where a mask touches
    them, unlike in DAVIS; see the top of this file. Two empty masks score 1, one empty mask 0.

    Args:
        predicted: bool (H, W).
        target: bool (H, W).
        tolerance: distance in the unit of the spacing; None for `default_tolerance` times the smaller side of a pixel.
        spacing_yx: height and width of a pixel.
    """
    if not predicted.any() or not target.any():
        return float(predicted.any() == target.any())
    reach = default_tolerance(target.shape) * min(spacing_yx) if tolerance is None else tolerance
    to_target, to_predicted = outline_distances(predicted, target, spacing_yx)
    # Distances are square roots, so a little slack keeps those that equal the tolerance within it.
    slack = reach * (1 + 1e-9)
    precision, recall = float((to_target <= slack).mean()), float((to_predicted <= slack).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def hausdorff95(predicted: Mask, target: Mask, spacing_yx: tuple[float, float] = (1.0, 1.0)) -> float | None:
    """Return the 95th-percentile Hausdorff distance of two outlines, in the unit of the spacing (pixels by default).

    The percentile (linear between ranks) is taken of the distances from each outline to the other; the result is the
    larger of the two, as in MONAI. For two empty masks it is 0; for one empty mask it is not defined: None.

    Source: Huttenlocher et al., TPAMI 1993, with the percentile that medical challenges use.
    """
    if not predicted.any() or not target.any():
        return 0.0 if predicted.any() == target.any() else None
    to_target, to_predicted = outline_distances(predicted, target, spacing_yx)
    return float(max(np.percentile(to_target, 95), np.percentile(to_predicted, 95)))


def outline_distances(
    predicted: Mask, target: Mask, spacing_yx: tuple[float, float] = (1.0, 1.0)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance of each outline pixel of one mask from the nearest outline pixel of the other.

    Args:
        predicted: bool (H, W), at least one pixel.
        target: bool (H, W), at least one pixel.
        spacing_yx: height and width of a pixel.

    Returns:
        Distances in the unit of the spacing, one per outline pixel in row-major order: of the predicted outline to the
        target's, and of the target's to the predicted one.
    """
    # A tree of the few outline pixels is some twenty times as fast as a distance transform of the whole image.
    from scipy.spatial import KDTree  # slow to import

    predicted_yx, target_yx = (np.argwhere(outline(mask)) * spacing_yx for mask in (predicted, target))
    return KDTree(target_yx).query(predicted_yx)[0], KDTree(predicted_yx).query(target_yx)[0]
