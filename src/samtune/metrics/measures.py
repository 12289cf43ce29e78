"""Accumulators of scores over a set of images: each adds one image at a time and keeps numbers, never a map.

Each has `add(case)`, which returns the scores of that image for a table (None where a score is not defined, see the
class), and `result()`, which returns the scores of the set. Keys say what was averaged: `..._per_image` is a mean over
images, with `..._std` beside it; `..._pooled` counts the pixels of all images at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from samtune.errors import ShapeError
from samtune.metrics import saliency
from samtune.metrics.contour import boundary_f_measure, hausdorff95
from samtune.metrics.counts import confusion
from samtune.metrics.instances import (
    AveragePrecision,
    mean_segmentation_accuracy,
    overlaps,
    seg,
    segmentation_accuracy,
)
from samtune.metrics.summary import Mean
from samtune.types import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Case:
    """One image to score.

    Attributes:
        name: the image's name, unique in a set.
        predicted: uint8 (H, W) label map, 0..K.
        target: uint8 (H, W) label map, 0..K, 255 ignored.
        foreground: float (H, W) in 0..1, the probability of the one class; None where there is none or K > 1.
        target_objects: integer (H, W), 0 background, else one id per object; None to take the connected areas of
            `target`.
    """

    name: str
    predicted: NDArray[np.uint8]
    target: NDArray[np.uint8]
    foreground: NDArray[np.floating] | None = None
    target_objects: NDArray[np.integer] | None = None


class Measure(Protocol):
    """Accumulator of scores that adds one image at a time."""

    def add(self, case: Case) -> Row:
        """Add an image and return its scores."""

    def result(self) -> Row:
        """Return the scores of all images so far."""


class SaliencyScores:
    """S-measure, E-measure, F-measure, weighted F and MAE of foreground maps, one class.

    E and F are given as maximum and mean of the mean curve over images, and at the adaptive threshold. Ignored pixels
    count as background that the map has right. Images without foreground are scored as the reference code does (see
    `saliency`) and counted in `num_without_foreground`.
    """

    def __init__(self) -> None:
        names = ("s_measure", "e_adaptive", "f_adaptive", "weighted_f", "weighted_f_beta03", "mae")
        self._means = {name: Mean() for name in names}
        self._e_curve = np.zeros(saliency.NUM_THRESHOLDS)
        self._f_curve = np.zeros(saliency.NUM_THRESHOLDS)
        self._num_without = 0

    def add(self, case: Case) -> Row:
        """Add an image and return its scores.

        Raises:
            ShapeError: the case has no foreground map.
        """
        if case.foreground is None:
            raise ShapeError(
                "Expected `foreground`, the probability map of the one class, which this protocol scores; got None."
            )
        target = case.target == 1
        foreground = saliency.stretch(np.where(case.target == IGNORE, 0.0, case.foreground))
        e_curve = saliency.e_measure_curve(foreground, target)
        f_curve = saliency.f_measure_curve(foreground, target)
        precision, recall = saliency.weighted_precision_recall(foreground, target)
        values: Row = {
            "s_measure": saliency.s_measure(foreground, target),
            "e_adaptive": saliency.adaptive_e_measure(foreground, target),
            "f_adaptive": saliency.adaptive_f_measure(foreground, target),
            "weighted_f": saliency.weighted_f_measure(precision, recall, 1.0),
            "weighted_f_beta03": saliency.weighted_f_measure(precision, recall, 0.3),
            "mae": saliency.mean_absolute_error(foreground, target),
        }
        for name, value in values.items():
            self._means[name].add(value)
        self._e_curve += e_curve
        self._f_curve += f_curve
        self._num_without += not target.any()
        return values | {"e_mean": float(e_curve.mean()), "f_mean": float(f_curve.mean())}

    def result(self) -> Row:
        """Return the scores of the set; None without any image."""
        num = self._means["mae"].num
        values: Row = {name: mean.mean for name, mean in self._means.items()}
        for letter, curve in (("e", self._e_curve), ("f", self._f_curve)):
            values[f"{letter}_max"] = float(curve.max() / num) if num else None
            values[f"{letter}_mean"] = float(curve.mean() / num) if num else None
        return values | {"num_without_foreground": self._num_without}


class BalancedErrorScores:
    """Balanced error rate of one class in percent, 0..100, less is better: the mean of two errors.

    The shadow error is the share of the class's pixels that were missed; the non-shadow error is the share of the other
    pixels that were predicted as the class. In an image without pixels of the one kind, that error is not defined, and
    neither is BER: the image is left out of these means and counted. Pooled scores are over the pixels of all images.
    Source: Vicente et al., ECCV 2016 (SBU).
    """

    def __init__(self) -> None:
        self._means = {name: Mean() for name in ("ber", "shadow_error", "non_shadow_error")}
        self._table = np.zeros((2, 2), np.int64)

    def add(self, case: Case) -> Row:
        """Add an image of one class and return its scores."""
        table = confusion(case.predicted, case.target, 1)
        self._table += table
        values = _balanced(table)
        for name, value in values.items():
            self._means[name].add(value)
        return {f"{name}_percent": value for name, value in values.items()}

    def result(self) -> Row:
        """Return the scores of the set."""
        values: Row = {f"{name}_percent_per_image": mean.mean for name, mean in self._means.items()}
        values["ber_percent_per_image_std"] = self._means["ber"].std
        values |= {f"{name}_percent_pooled": value for name, value in _balanced(self._table).items()}
        return values | {"ber_num_undefined": self._means["ber"].num_undefined}


class ClassScores:
    """Pooled scores over all classes: mIoU with and without background, pixel accuracy, IoU of each class.

    Means are over the classes that occur in the target or the prediction of any image (`num_classes_present`, without
    background); the IoU of a class that does not occur is None. Where no class occurs at all, or no pixel counts,
    scores are 1. Ignored pixels count nowhere.
    """

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self._table = np.zeros((len(class_names) + 1,) * 2, np.int64)
        self._accuracy = Mean()

    def add(self, case: Case) -> Row:
        """Add an image and return its scores."""
        table = confusion(case.predicted, case.target, len(self.class_names))
        self._table += table
        accuracy = _accuracy(table)
        self._accuracy.add(accuracy)
        iou = _ious(table)
        return {
            "pixel_accuracy": accuracy,
            "miou_with_background": _mean(iou),
            "miou_without_background": _mean(iou[1:]),
        }

    def result(self) -> Row:
        """Return the scores of the set."""
        iou = _ious(self._table)
        names = ("background", *self.class_names)
        values: Row = {
            "miou_with_background_pooled": _mean(iou),
            "miou_without_background_pooled": _mean(iou[1:]),
            "pixel_accuracy_pooled": _accuracy(self._table),
            "pixel_accuracy_per_image": self._accuracy.mean,
            "num_classes_present": sum(value is not None for value in iou[1:]),
        }
        return values | {f"iou_pooled_{name}": value for name, value in zip(names, iou, strict=True)}


class ContourScores:
    """Boundary F and 95th-percentile Hausdorff distance, per image; each the mean over the classes present in it.

    In an image without objects in target and prediction, boundary F is 1 and the Hausdorff distance 0. Where a class is
    in only one of the two, the distance is not defined, and the image is left out of its mean (`hd95_num_undefined`).
    Ignored pixels count as background in both.
    """

    def __init__(
        self, num_classes: int, tolerance: float | None = None, spacing_yx: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        """Start with no images.

        Args:
            num_classes: K.
            tolerance: of boundary F, in the unit of the spacing; None for `contour.default_tolerance`.
            spacing_yx: height and width of a pixel.
        """
        self.num_classes, self.tolerance, self.spacing_yx = num_classes, tolerance, spacing_yx
        self._boundary_f, self._hd95 = Mean(), Mean()

    def add(self, case: Case) -> Row:
        """Add an image and return its scores."""
        predicted = np.where(case.target == IGNORE, 0, case.predicted)
        target = np.where(case.target == IGNORE, 0, case.target)
        labels = [k for k in range(1, self.num_classes + 1) if (predicted == k).any() or (target == k).any()]
        pairs = [(predicted == k, target == k) for k in labels] or [(predicted == 1, target == 1)]
        fs = [boundary_f_measure(*pair, self.tolerance, self.spacing_yx) for pair in pairs]
        distances = [hausdorff95(*pair, self.spacing_yx) for pair in pairs]
        defined = [value for value in distances if value is not None]
        values: Row = {
            "boundary_f": float(np.mean(fs)),
            "hd95": float(np.mean(defined)) if len(defined) == len(distances) else None,
        }
        self._boundary_f.add(values["boundary_f"])
        self._hd95.add(values["hd95"])
        return values

    def result(self) -> Row:
        """Return the scores of the set."""
        return {
            "boundary_f_per_image": self._boundary_f.mean,
            "boundary_f_per_image_std": self._boundary_f.std,
            "hd95_per_image": self._hd95.mean,
            "hd95_per_image_std": self._hd95.std,
            "hd95_num_undefined": self._hd95.num_undefined,
        }


class InstanceScores:
    """Scores of objects, one class: predicted objects are the 8-connected areas of the prediction.

    AP ranks objects by the mean probability within them, or treats them alike without a foreground map. Ignored
    pixels belong to no object. An image without objects in target and prediction scores 1; SEG is not defined where
    the target has none (`seg_num_undefined`). SEG and segmentation accuracy are means over images, AP is over the
    objects of all images.
    """

    def __init__(self) -> None:
        names = ("seg", "mean_segmentation_accuracy", "segmentation_accuracy_50", "segmentation_accuracy_75")
        self._means = {name: Mean() for name in names}
        self._ap = AveragePrecision()
        self._num_predicted = 0

    def add(self, case: Case) -> Row:
        """Add an image of one class and return its scores."""
        predicted = areas((case.predicted == 1) & (case.target != IGNORE))
        target = areas(case.target == 1) if case.target_objects is None else case.target_objects.astype(np.int64)
        matches = overlaps(predicted, np.where(case.target == IGNORE, 0, target))
        scores = None
        if case.foreground is not None:
            sums = np.bincount(predicted.reshape(-1), weights=case.foreground.astype(np.float64).reshape(-1))
            scores = sums[matches.predicted_ids] / matches.predicted_sizes
        self._ap.add(matches, scores)
        self._num_predicted += len(matches.predicted_sizes)
        values: Row = {
            "seg": seg(matches),
            "mean_segmentation_accuracy": mean_segmentation_accuracy(matches),
            "segmentation_accuracy_50": segmentation_accuracy(matches, 0.5),
            "segmentation_accuracy_75": segmentation_accuracy(matches, 0.75),
        }
        for name, value in values.items():
            self._means[name].add(value)
        return values

    def result(self) -> Row:
        """Return the scores of the set; AP is over the objects of all images."""
        values: Row = {f"{name}_per_image": mean.mean for name, mean in self._means.items()}
        values |= self._ap.result() if self._means["mean_segmentation_accuracy"].num else {}
        return values | {
            "seg_num_undefined": self._means["seg"].num_undefined,
            "num_objects": self._ap.num_target,
            "num_predicted_objects": self._num_predicted,
        }


def areas(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the 8-connected areas of a mask, int64 (H, W): 0 background, 1..N."""
    _, ids = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    numbered: NDArray[np.int64] = ids.astype(np.int64)
    return numbered


def _balanced(table: NDArray[np.int64]) -> Row:
    """Return the errors in percent from counts [target, predicted]; None where a kind of pixel does not occur."""
    (true_negative, false_positive), (false_negative, true_positive) = table.tolist()
    shadow, rest = true_positive + false_negative, true_negative + false_positive
    missed = 100 * false_negative / shadow if shadow else None
    false = 100 * false_positive / rest if rest else None
    ber = None if missed is None or false is None else (missed + false) / 2
    return {"ber": ber, "shadow_error": missed, "non_shadow_error": false}


def _ious(table: NDArray[np.int64]) -> list[float | None]:
    """Return the IoU of background and classes from counts [target, predicted]; None where a class does not occur."""
    hits = np.diagonal(table)
    union = table.sum(axis=0) + table.sum(axis=1) - hits
    return [float(hit / total) if total else None for hit, total in zip(hits.tolist(), union.tolist(), strict=True)]


def _accuracy(table: NDArray[np.int64]) -> float:
    """Return the share of pixels with the right label; 1 without any pixel."""
    total = int(table.sum())
    return float(np.trace(table) / total) if total else 1.0


def _mean(values: list[float | None]) -> float:
    """Return the mean of the values that are not None; 1 without any."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else 1.0
