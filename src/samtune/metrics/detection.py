"""Detection at the level of images: does an image hold any object, and does the prediction say so?

For data sets with empty images, where overlap says little: an image without objects scores 1 or 0 by a single pixel.
An image is *positive* if its annotation has an object, and *detected* if its prediction has one; ignored pixels count
in neither.

The score that ranks images for the AUROC is the share of the image that is predicted as foreground. It exists for every
row, also where only label maps are kept, it has the same meaning for one class and for several, and unlike the
largest probability it does not hang on one pixel. Images in which nothing is predicted are tied, and half of each tied
pair counts as in order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from samtune.types import IGNORE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageDetection:
    """One image.

    Attributes:
        positive: whether the annotation has an object.
        predicted_share: predicted foreground as a share of the pixels that are not ignored, 0..1.
        false_alarms: number of predicted areas (8-connected pixels of one class) where the annotation has no object;
            None where it has one.
    """

    positive: bool
    predicted_share: float
    false_alarms: int | None


@dataclass(frozen=True)
class Detection:
    """Detection over a set of images; a value is None where no image defines it.

    Attributes:
        num_with_objects: positive images.
        num_empty: the others.
        sensitivity: share of the positive images that are detected, 0..1.
        specificity: share of the empty images in which nothing is predicted, 0..1.
        auroc: share of pairs of a positive and an empty image in which the positive one has the larger predicted
            share, ties counted half, 0..1.
        false_alarms_per_empty_image: mean number of predicted areas over the empty images.
    """

    num_with_objects: int
    num_empty: int
    sensitivity: float | None
    specificity: float | None
    auroc: float | None
    false_alarms_per_empty_image: float | None


DETECTION_EXPLAINED = {
    "sensitivity": "share of the images with objects in which anything is predicted",
    "specificity": "share of the images without objects in which nothing is predicted",
    "auroc": "share of pairs of an image with and one without objects that the predicted area orders rightly",
    "false_alarms_per_empty_image": "predicted areas per image without objects, mean over these images",
}
"""Key of `Detection` -> description."""


def detect(predicted: NDArray[np.uint8], target: NDArray[np.uint8]) -> ImageDetection:
    """Return the detection of one image.

    Args:
        predicted: (H, W) label map, 0 background.
        target: (H, W) label map, 0 background, 255 (`IGNORE`) counts nowhere.
    """
    counted = target != IGNORE
    found = np.where(counted, predicted, 0)
    share = float((found > 0).sum() / max(int(counted.sum()), 1))
    positive = bool((target[counted] > 0).any())
    return ImageDetection(positive, share, None if positive else num_areas(found))


def num_areas(labels: NDArray[np.uint8]) -> int:
    """Return the number of 8-connected areas of one class in a label map (H, W)."""
    classes = np.unique(labels[labels > 0])
    return sum(cv2.connectedComponents((labels == each).astype(np.uint8), connectivity=8)[0] - 1 for each in classes)


def summarise(images: Sequence[ImageDetection]) -> Detection | None:
    """Return the detection over a set of images; None where every image has objects, or there is none."""
    positive = np.array([each.predicted_share for each in images if each.positive])
    empty = np.array([each.predicted_share for each in images if not each.positive])
    alarms = [each.false_alarms for each in images if each.false_alarms is not None]
    if not empty.size:
        return None
    return Detection(
        num_with_objects=len(positive),
        num_empty=len(empty),
        sensitivity=float((positive > 0).mean()) if positive.size else None,
        specificity=float((empty == 0).mean()),
        auroc=auroc(positive, empty),
        false_alarms_per_empty_image=math.fsum(alarms) / len(alarms),
    )


def auroc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve, 0..1; None without a positive or without a negative score.

    Args:
        positive: (P,) scores that should be larger.
        negative: (N,) scores that should be smaller.
    """
    if not positive.size or not negative.size:
        return None
    ranked = np.sort(negative)
    below, not_above = (np.searchsorted(ranked, positive, side=side).sum() for side in ("left", "right"))
    return float((below + not_above) / (2 * positive.size * negative.size))


def mean_detection(records: Iterable[Mapping[str, float | None] | None]) -> dict[str, float | None] | None:
    """Return the mean of each value over draws; None without a record.

    Args:
        records: `Detection` as JSON values, one per draw, of the same images; None where it was not measured.
    """
    known = [record for record in records if record is not None]
    if not known:
        return None
    means: dict[str, float | None] = {}
    for key in known[0]:
        values = [value for record in known if (value := record.get(key)) is not None]
        means[key] = math.fsum(values) / len(values) if values else None
    return means


def detection_notes(num_with_objects: int, num_empty: int) -> list[str]:
    """Return a sentence on what cannot be measured where no image has an object, else nothing."""
    if num_with_objects or not num_empty:
        return []
    return [
        "None of the images has an object: specificity and false alarms are measured, while sensitivity and AUROC are "
        "not defined; IoU and Dice per image are the share of images in which nothing is predicted."
    ]
