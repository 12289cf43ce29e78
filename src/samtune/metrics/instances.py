"""Scores of object maps: integer maps in which 0 is background and every other value is one object.

- *segmentation accuracy* at t: TP / (TP + FP + FN) over objects, a pair of IoU >= t being a TP. Cellpose, StarDist
  and the 2018 Data Science Bowl call it AP.
- *mean segmentation accuracy*: its mean over t = 0.50, 0.55, ..., 0.95 (micro-sam).
- *SEG*: mean over the target's objects of the IoU with the object that covers more than half of it, 0 where there is
  none. For one image it is the Cell Tracking Challenge's; that one averages over the objects of all images, while
  `InstanceScores` averages over images.
- *AP@50:95*: predicted objects of all images ranked by score, precision made monotone, mean over 101 recalls and the
  ten thresholds, as COCO's, but for two things: objects of equal score enter the ranking together (COCO's code ranks
  them in the order in which they come), and there is neither a limit of 100 objects an image nor a crowd region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.50, 0.55, ..., 0.95."""

_SLACK = 1e-9
"""Tolerance for rounding: a quotient of whole numbers may fall short of a threshold that it equals."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Overlaps of the objects of two maps; P predicted and T target objects, each by rising id.

    Attributes:
        shared: (P, T) int64, pixels in common.
        predicted_sizes: (P,) int64.
        target_sizes: (T,) int64.
        predicted_ids: (P,) the ids in the map.
    """

    shared: NDArray[np.int64]
    predicted_sizes: NDArray[np.int64]
    target_sizes: NDArray[np.int64]
    predicted_ids: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair of objects, (P, T) in 0..1."""
        union = self.predicted_sizes[:, None] + self.target_sizes[None] - self.shared
        quotient: NDArray[np.float64] = self.shared / np.maximum(union, 1)
        return quotient


def overlaps(predicted: NDArray[np.integer], target: NDArray[np.integer]) -> Overlaps:
    """Count the pixels that the objects of two maps share.

    Raises:
        ShapeError: the maps are not integer (H, W) of one shape, or an id is negative.
    """
    if predicted.shape != target.shape or predicted.ndim != 2 or {predicted.dtype.kind, target.dtype.kind} - set("iu"):
        raise ShapeError(
            "Expected integer object maps (H, W) of one shape, got "
            f"{predicted.dtype} {predicted.shape} and {target.dtype} {target.shape}."
        )
    if predicted.size and (predicted.min() < 0 or target.min() < 0):
        raise ShapeError("Expected ids of objects >= 0, got negative ones.")
    predicted_ids, rows = np.unique(predicted, return_inverse=True)
    target_ids, columns = np.unique(target, return_inverse=True)
    num = len(target_ids)
    table = np.bincount(rows.reshape(-1) * num + columns.reshape(-1), minlength=len(predicted_ids) * num)
    table = table.reshape(len(predicted_ids), num)
    is_predicted, is_target = predicted_ids != 0, target_ids != 0
    return Overlaps(
        shared=table[np.ix_(is_predicted, is_target)].astype(np.int64),
        predicted_sizes=table.sum(axis=1)[is_predicted].astype(np.int64),
        target_sizes=table.sum(axis=0)[is_target].astype(np.int64),
        predicted_ids=predicted_ids[is_predicted].astype(np.int64),
    )


def num_matched(iou: NDArray[np.float64], threshold: float) -> int:
    """Return the number of pairs of objects with at least this IoU, each object in at most one pair.

    Args:
        iou: (P, T) of maps whose objects do not overlap.
        threshold: 0.5 or more, so that an object can only be in two such pairs if both are exactly 0.5; one counts.
    """
    good = iou >= threshold - _SLACK
    # An object with two partners is exactly as large as both together, so the pairs form stars. A star gives one match,
    # which is its number of nodes minus its number of edges.
    return int(good.any(axis=0).sum() + good.any(axis=1).sum() - good.sum())


def segmentation_accuracy(matches: Overlaps, threshold: float) -> float:
    """Return TP / (TP + FP + FN) over the objects of one image, 0..1; 1 where neither map has an object."""
    num_predicted, num_target = matches.shared.shape
    matched = num_matched(matches.iou, threshold)
    total = num_predicted + num_target - matched
    return matched / total if total else 1.0


def mean_segmentation_accuracy(matches: Overlaps) -> float:
    """Return the mean of `segmentation_accuracy` over `THRESHOLDS`; 1 where neither map has an object."""
    return float(np.mean([segmentation_accuracy(matches, threshold) for threshold in THRESHOLDS]))


def seg(matches: Overlaps) -> float | None:
    """Return SEG of one image, 0..1; None where the target has no object, since SEG does not count false objects."""
    if not len(matches.target_sizes):
        return None
    covers = 2 * matches.shared > matches.target_sizes[None]
    return float(np.where(covers, matches.iou, 0.0).sum(axis=0).mean())


@dataclass(eq=False)
class AveragePrecision:
    """Average precision over a set of images; keeps ten flags and a score for each predicted object.

    It is COCO's except for ties: objects of equal score enter the ranking together, so that the order of the images
    does not matter. Without scores all objects are tied, and AP is the precision times the share of recall levels
    reached. No object is left out, however many an image has.
    """

    num_target: int = 0

    def __post_init__(self) -> None:
        """Start with no objects."""
        self._scores: list[NDArray[np.float64]] = []
        self._hits: list[NDArray[np.bool_]] = []

    def add(self, matches: Overlaps, scores: Sequence[float] | NDArray[np.float64] | None = None) -> None:
        """Add one image.

        Args:
            matches: overlaps of its objects.
            scores: (P,) confidence of each predicted object, by rising id; None for 1 each.

        Raises:
            ShapeError: there is not one finite score for each object.
        """
        num = len(matches.predicted_sizes)
        ranks = np.ones(num) if scores is None else np.asarray(scores, np.float64)
        if ranks.shape != (num,) or not np.isfinite(ranks).all():
            raise ShapeError(f"Expected one finite score for each of {num} objects, got {ranks.shape}.")
        order = np.argsort(-ranks, kind="stable")
        iou = matches.iou[order]
        self.num_target += len(matches.target_sizes)
        self._scores.append(ranks[order])
        self._hits.append(np.stack([_greedy(iou, threshold) for threshold in THRESHOLDS]))

    def at(self, threshold_index: int) -> float:
        """Return AP at one of `THRESHOLDS`, 0..1; without any target object 1 if nothing was predicted, else 0."""
        scores = np.concatenate([np.zeros(0), *self._scores])
        if not self.num_target:
            return float(not len(scores))
        order = np.argsort(-scores, kind="stable")
        hits = np.concatenate([np.zeros(0, bool), *(hits[threshold_index] for hits in self._hits)])[order]
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, len(scores) > 0))
        reached = np.cumsum(hits)[ends]
        precision = np.maximum.accumulate((reached / (ends + 1))[::-1])[::-1]
        recall = reached / self.num_target
        indices = np.searchsorted(recall, np.linspace(0, 1, 101) - _SLACK, side="left")
        return float(np.append(precision, 0.0)[indices].mean())

    def result(self) -> dict[str, float]:
        """Return `ap50`, `ap75` and `ap50_95`, the mean over `THRESHOLDS`; each in 0..1."""
        values = [self.at(index) for index in range(len(THRESHOLDS))]
        return {"ap50": values[0], "ap75": values[5], "ap50_95": float(np.mean(values))}


def _greedy(iou: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Return which predicted objects, (P,) bool, find a target when each in turn takes the free one of highest IoU.

    Args:
        iou: (P, T), predicted objects by falling score.
        threshold: lowest IoU of a match.
    """
    hits = np.zeros(iou.shape[0], bool)
    free = np.ones(iou.shape[1], bool)
    for index in np.flatnonzero((iou >= threshold - _SLACK).any(axis=1)):
        row = np.where(free, iou[index], -1.0)
        best = int(row.argmax())
        if row[best] >= threshold - _SLACK:
            hits[index], free[best] = True, False
    return hits
