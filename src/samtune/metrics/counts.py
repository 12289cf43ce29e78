"""True positives, false positives and false negatives per class, and the scores that follow from them.

The same three numbers give a score per image (from the counts of one image) or a pooled score (from the sum of the
counts of all images).

The empty case of every score: a class that is neither in the target nor in the prediction scores 1. Precision is 0
where the class is in the target alone, and recall is 0 where it is in the prediction alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.errors import ShapeError
from samtune.types import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Counts:
    """Pixels of each foreground class, background and ignored pixels left out.

    Attributes:
        tp: (K,) int64, pixels of the class that were predicted as it.
        fp: (K,) int64, pixels predicted as the class that are background or another class.
        fn: (K,) int64, pixels of the class that were predicted as background or another class.
    """

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each class has a pixel in the target or in the prediction, (K,) bool."""
        return (self.tp + self.fp + self.fn) > 0


def count(predicted: NDArray[np.uint8], target: NDArray[np.uint8], num_classes: int) -> Counts:
    """Count the pixels of each foreground class.

    Args:
        predicted: uint8 (H, W) label map, values 0..K.
        target: uint8 (H, W) label map, values 0..K or 255 (`IGNORE`); ignored pixels count nowhere.
        num_classes: K, foreground classes only, 1..254.

    Returns:
        The counts per class, each (K,).

    Raises:
        ShapeError: the maps are not two-dimensional integer arrays of one shape, or hold a label that does
            not exist.
    """
    table = confusion(predicted, target, num_classes)
    tp = np.diagonal(table)[1:].copy()
    return Counts(tp=tp, fp=table.sum(axis=0)[1:] - tp, fn=table.sum(axis=1)[1:] - tp)


def confusion(predicted: NDArray[np.uint8], target: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """Count the pixels of each pair of labels, background among them: int64 (K + 1, K + 1), [target, predicted].

    Arguments and errors as for `count`; ignored pixels are in no cell.
    """
    _check_maps(predicted, target, num_classes)
    labels = num_classes + 1
    valid = target != IGNORE
    pairs = target[valid].astype(np.int64) * labels + predicted[valid]
    return np.bincount(pairs, minlength=labels * labels).reshape(labels, labels).astype(np.int64)


def iou(counts: Counts) -> NDArray[np.float64]:
    """Return the intersection over union of each class: tp / (tp + fp + fn), (K,) in 0..1; 1 for an absent class."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn, empty=np.ones(counts.tp.shape))


def dice(counts: Counts) -> NDArray[np.float64]:
    """Return the Dice of each class (F1 of pixels): 2 tp / (2 tp + fp + fn), (K,) in 0..1; 1 for an absent class."""
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn, empty=np.ones(counts.tp.shape))


def precision(counts: Counts) -> NDArray[np.float64]:
    """Return the share of predicted pixels that are right: tp / (tp + fp), (K,) in 0..1.

    Where nothing was predicted: 1 if the class is not in the target either, else 0.
    """
    return _ratio(counts.tp, counts.tp + counts.fp, empty=(counts.fn == 0).astype(np.float64))


def recall(counts: Counts) -> NDArray[np.float64]:
    """Return the share of the target's pixels that are predicted: tp / (tp + fn), (K,) in 0..1.

    Where the target has none: 1 if nothing was predicted either, else 0.
    """
    return _ratio(counts.tp, counts.tp + counts.fn, empty=(counts.fp == 0).astype(np.float64))


def _ratio(above: NDArray[np.int64], below: NDArray[np.int64], empty: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(below > 0, above / np.maximum(below, 1), empty)


def _check_maps(predicted: NDArray[np.uint8], target: NDArray[np.uint8], num_classes: int) -> None:
    if not 1 <= num_classes < IGNORE:
        raise ShapeError(f"Expected 1 <= `num_classes` <= {IGNORE - 1} (background not counted), got {num_classes}.")
    for name, labels in (("predicted", predicted), ("target", target)):
        if labels.ndim != 2 or labels.dtype.kind not in "ui":
            raise ShapeError(f"Expected `{name}` to be an integer label map (H, W), got {labels.dtype} {labels.shape}.")
    if predicted.shape != target.shape:
        raise ShapeError(
            f"Expected `predicted` and `target` of one shape, got {predicted.shape} and {target.shape}; resize the "
            "prediction to the size of the target first."
        )
    for name, labels, allowed in (
        ("predicted", predicted, predicted <= num_classes),
        ("target", target, (target <= num_classes) | (target == IGNORE)),
    ):
        if not allowed.all() or (labels.dtype.kind == "i" and (labels < 0).any()):
            ignored = f" or {IGNORE} (ignored)" if name == "target" else ""
            values = ", ".join(str(label) for label in np.unique(labels)[:10])
            raise ShapeError(f"Expected labels 0..{num_classes}{ignored} in `{name}`, got {values}.")
