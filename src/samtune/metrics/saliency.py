"""Measures of a foreground map against a mask, as the camouflage, saliency and polyp literature reports them.

Everywhere: `foreground` is float (H, W) in 0..1, `target` is bool (H, W) of the same shape. A map is stretched to 0..1
first (`stretch`), as the reference code does. The 256 thresholds of a curve are 0..255 on floor(255 x map); at
threshold t a pixel is foreground where that value is t or more.

Source: PySODMetrics 1.6.2, whose values these equal; each function names its paper. The empty cases are the reference
code's: see each function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from samtune.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Map = NDArray[np.float64]
    Mask = NDArray[np.bool_]

EPS = float(np.spacing(1.0))
NUM_THRESHOLDS = 256


def stretch(foreground: NDArray[np.floating]) -> Map:
    """Return a map stretched so that its lowest value is 0 and its highest 1; a constant map stays as it is.

    Raises:
        ShapeError: the map is not float (H, W), has no pixel, or leaves 0..1.
    """
    if foreground.ndim != 2 or foreground.dtype.kind != "f" or not foreground.size:
        raise ShapeError(f"Expected a float map (H, W) with pixels, got {foreground.dtype} {foreground.shape}.")
    values = foreground.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise ShapeError(f"Expected values of a map in 0..1, got {low:g}..{high:g}.")
    return values if low == high else (values - low) / (high - low)


def mean_absolute_error(foreground: Map, target: Mask) -> float:
    """Return the mean of |map - target| over the pixels, 0..1. Source: Perazzi et al., CVPR 2012. No empty case."""
    return float(np.abs(foreground - target).mean())


def s_measure(foreground: Map, target: Mask, alpha: float = 0.5) -> float:
    """Return the structure measure: alpha x object-aware + (1 - alpha) x region-aware similarity, 0..1.

    Without foreground in the target it is 1 - mean(map), with nothing but foreground mean(map).
    Source: Fan et al., ICCV 2017.
    """
    share = float(target.mean())
    if share == 0:
        return 1 - float(foreground.mean())
    if share == 1:
        return float(foreground.mean())
    objects = share * _object_similarity(foreground[target]) + (1 - share) * _object_similarity(1 - foreground[~target])
    return max(0.0, alpha * objects + (1 - alpha) * _region_similarity(foreground, target))


def e_measure_curve(foreground: Map, target: Mask) -> NDArray[np.float64]:
    """Return the enhanced-alignment measure at the thresholds 0..255, (256,).

    The sum over pixels is divided by n - 1, as the reference code has it, so a perfect map scores n / (n - 1); with a
    single pixel it is divided by 1. Without foreground in the target it is the share of pixels called background, with
    nothing but foreground the share called foreground (both over n - 1).
    Source: Fan et al., IJCAI 2018.
    """
    hits, called = _at_thresholds(foreground, target)
    return _alignment(hits, called, int(target.sum()), target.size)


def adaptive_e_measure(foreground: Map, target: Mask) -> float:
    """Return the enhanced-alignment measure at the threshold of twice the mean of the map (at most 1)."""
    called = foreground >= min(2 * float(foreground.mean()), 1.0)
    hits = np.array([np.count_nonzero(called & target)])
    return float(_alignment(hits, np.array([np.count_nonzero(called)]), int(target.sum()), target.size)[0])


def f_measure_curve(foreground: Map, target: Mask, beta_squared: float = 0.3) -> NDArray[np.float64]:
    """Return the F-measure at the thresholds 0..255, (256,), in 0..1; 0 where nothing is hit, an empty target included.

    Source: Achanta et al., CVPR 2009 (beta^2 = 0.3).
    """
    hits, called = _at_thresholds(foreground, target)
    return _f_of_counts(hits, called, int(target.sum()), beta_squared)


def adaptive_f_measure(foreground: Map, target: Mask, beta_squared: float = 0.3) -> float:
    """Return the F-measure at the threshold of twice the mean of the map (at most 1)."""
    called = foreground >= min(2 * float(foreground.mean()), 1.0)
    hits = np.array([np.count_nonzero(called & target)])
    return float(_f_of_counts(hits, np.array([np.count_nonzero(called)]), int(target.sum()), beta_squared)[0])


def weighted_precision_recall(foreground: Map, target: Mask) -> tuple[float, float]:
    """Return precision and recall in which errors are weighted by their position, and adjacent errors count together.

    Without foreground in the target both are 0.
    Source: Margolin et al., CVPR 2014.
    """
    from scipy.ndimage import distance_transform_edt  # slow to import

    if not target.any():
        return 0.0, 0.0
    error = np.abs(foreground - target)
    # Of equally near pixels the leftmost counts, then the topmost; the choice changes the result.
    away, (rows, cols) = distance_transform_edt(~target, return_indices=True)
    spread = np.where(target, error, error[rows, cols])
    smooth = cv2.filter2D(spread, cv2.CV_64F, _GAUSSIAN, borderType=cv2.BORDER_CONSTANT)
    least = np.where(target & (smooth < error), smooth, error)
    weighed = least * np.where(target, 1.0, 2 - np.exp(np.log(0.5) / 5 * away))
    hit, false = float(target.sum() - weighed[target].sum()), float(weighed[~target].sum())
    return hit / (hit + false + EPS), 1 - float(weighed[target].mean())


def weighted_f_measure(precision: float, recall: float, beta_squared: float = 1.0) -> float:
    """Return F of weighted precision and recall: (1 + beta^2) P R / (R + beta^2 P), 0..1; 0 where both are 0.

    Args:
        precision: weighted, 0..1.
        recall: weighted, 0..1.
        beta_squared: 1 as in the paper and PySODMetrics; 0.3 as in the code of SAM-Adapter, TS-SAM and AutoGluon.
    """
    return (1 + beta_squared) * recall * precision / (recall + beta_squared * precision + EPS)


def _object_similarity(values: Map) -> float:
    """Return the object-aware similarity of the map's values within an object; it falls with their deviation."""
    mean = float(values.mean())
    deviation = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + deviation + EPS)


def _region_similarity(foreground: Map, target: Mask) -> float:
    """Return the similarity of the four parts that meet at the target's centre of mass, weighted by their area."""
    high, wide = target.shape
    row, col = (int(index) + 1 for index in np.argwhere(target).mean(axis=0).round())
    total = 0.0
    for rows in (slice(0, row), slice(row, high)):
        for cols in (slice(0, col), slice(col, wide)):
            part = target[rows, cols]
            if part.size:
                total += part.size / target.size * _similarity(foreground[rows, cols], part.astype(np.float64))
    return total


def _similarity(a: Map, b: Map) -> float:
    """Return the structural similarity of two patches as one window, without the usual constants."""
    mean_a, mean_b = float(a.mean()), float(b.mean())
    below = a.size - 1 + EPS
    spread = (float(((a - mean_a) ** 2).sum()) + float(((b - mean_b) ** 2).sum())) / below
    shared = float(((a - mean_a) * (b - mean_b)).sum()) / below
    above, under = 4 * mean_a * mean_b * shared, (mean_a**2 + mean_b**2) * spread
    if above != 0:
        return above / (under + EPS)
    return 1.0 if under == 0 else 0.0


def _at_thresholds(foreground: Map, target: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return true positives and predicted positives at each threshold, (256,) each."""
    levels = (foreground * 255).astype(np.uint8)
    inside = np.bincount(levels[target], minlength=NUM_THRESHOLDS)
    everywhere = np.bincount(levels.reshape(-1), minlength=NUM_THRESHOLDS)
    return np.cumsum(inside[::-1])[::-1], np.cumsum(everywhere[::-1])[::-1]


def _f_of_counts(
    hits: NDArray[np.int64], called: NDArray[np.int64], num_target: int, beta_squared: float
) -> NDArray[np.float64]:
    precision, recall = hits / np.maximum(called, 1), hits / max(num_target, 1)
    below = np.where(hits > 0, beta_squared * precision + recall, 1.0)
    f: NDArray[np.float64] = (1 + beta_squared) * precision * recall / below
    return f


def _alignment(
    hits: NDArray[np.int64], called: NDArray[np.int64], num_target: int, num_pixels: int
) -> NDArray[np.float64]:
    """Return the enhanced-alignment measure from counts: its matrix has only four different values."""
    below = max(num_pixels - 1, 1)
    if num_target == 0:
        return (num_pixels - called) / below
    if num_target == num_pixels:
        return called / below
    mean_called, mean_target = called / num_pixels, num_target / num_pixels
    total = np.zeros(len(hits))
    missed = num_target - hits
    for number, a, b in (
        (hits, 1 - mean_called, 1 - mean_target),
        (called - hits, 1 - mean_called, -mean_target),
        (missed, -mean_called, 1 - mean_target),
        (num_pixels - called - missed, -mean_called, -mean_target),
    ):
        total += number * (2 * a * b / (a**2 + b**2 + EPS) + 1) ** 2 / 4
    return total / below


def _gaussian(side: int = 7, sigma: float = 5.0) -> NDArray[np.float64]:
    along = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * sigma**2))
    kernel = np.outer(along, along)
    normed: NDArray[np.float64] = kernel / kernel.sum()
    return normed


_GAUSSIAN = _gaussian()
