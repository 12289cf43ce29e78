"""Overlap scores of a set of images, with one image in memory at a time.

Two averages of the same counts, because papers use both:

- *per image*: score each image, then average over images. Each image weighs the same, however small its objects.
- *pooled*: add up the pixels of all images, then score. Each pixel weighs the same; also called "dataset IoU" or
  "mIoU".

With K > 1 classes both are first averaged over classes: an image's score is the mean over the classes present
in its target or its prediction, the pooled score the mean over the classes present in any image. Nothing
present anywhere: 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from samtune.errors import DataError, ShapeError
from samtune.metrics.counts import Counts, count, dice, iou, precision, recall
from samtune.metrics.detection import Detection, ImageDetection, detect, summarise
from samtune.metrics.summary import Mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

NUM_WORST = 10
"""Number of images in `Scores.worst`."""

SCORES = {"iou": iou, "dice": dice, "precision": precision, "recall": recall}
"""Name -> function of `Counts` that returns the score of each class."""


@dataclass(frozen=True, eq=False)
class ImageScore:
    """The scores of one image.

    Attributes:
        name: the image's name, unique within an accumulator.
        counts: pixels per class, (K,) each.
        iou: mean IoU over the classes present in target or prediction; 1 where there is none.
        dice: mean Dice over the same classes; 1 where there is none.
        precision: mean precision over the same classes; 1 where there is none.
        recall: mean recall over the same classes; 1 where there is none.
        detection: whether the image has objects, and whether the prediction has.
    """

    name: str
    counts: Counts
    iou: float
    dice: float
    precision: float
    recall: float
    detection: ImageDetection

    def to_dict(self, class_names: Sequence[str]) -> dict[str, str | float | None]:
        """Return one flat table row: name, its scores and, with K > 1, `iou_<class>` (None where absent)."""
        row: dict[str, str | float | None] = {
            "name": self.name,
            "iou": self.iou,
            "dice": self.dice,
            "precision": self.precision,
            "recall": self.recall,
        }
        if len(class_names) > 1:
            values, present = iou(self.counts), self.counts.present
            for index, class_name in enumerate(class_names):
                row[f"iou_{class_name}"] = float(values[index]) if present[index] else None
        return row


@dataclass(frozen=True)
class Scores:
    """The scores of a set of images; all in 0..1, NaN where `num_images` is 0.

    Attributes:
        num_images: images counted.
        iou_per_image: mean over images of the image's IoU.
        iou_per_image_std: its population standard deviation over images (divided by n, not n - 1).
        dice_per_image: mean over images of the image's Dice.
        dice_per_image_std: its population standard deviation.
        precision_per_image: mean over images of the image's precision.
        precision_per_image_std: its population standard deviation.
        recall_per_image: mean over images of the image's recall.
        recall_per_image_std: its population standard deviation.
        iou_pooled: IoU of the pixels of all images together, mean over the classes present in any image.
        dice_pooled: Dice likewise.
        precision_pooled: precision likewise.
        recall_pooled: recall likewise.
        worst: the ten images of lowest IoU as (name, IoU), worst first, ties by name.
        per_class: per class name: `num_images` (images with the class in target or prediction),
            `iou_per_image` and `dice_per_image` (mean over exactly those images, NaN where there are none),
            `iou_pooled`, `dice_pooled`, `precision_pooled`, `recall_pooled` (over all images; 1 for a class that
            occurs in none).
        detection: over images; None where every image has objects.
    """

    num_images: int
    iou_per_image: float
    iou_per_image_std: float
    dice_per_image: float
    dice_per_image_std: float
    precision_per_image: float
    precision_per_image_std: float
    recall_per_image: float
    recall_per_image_std: float
    iou_pooled: float
    dice_pooled: float
    precision_pooled: float
    recall_pooled: float
    worst: tuple[tuple[str, float], ...]
    per_class: dict[str, dict[str, float]]
    detection: Detection | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the same fields as plain JSON values; NaN becomes None (JSON has no NaN).

        "detection" is there only if an image has no object.
        """
        tables = ("worst", "per_class", "detection")
        plain: dict[str, Any] = {key: _json(value) for key, value in vars(self).items() if key not in tables}
        plain["worst"] = [[name, value] for name, value in self.worst]
        plain["per_class"] = {
            name: {key: _json(value) for key, value in row.items()} for name, row in self.per_class.items()
        }
        if self.detection is not None:  # records of sets without empty images stay as they are
            plain["detection"] = dict(vars(self.detection))
        return plain


class SegmentationScores:
    """Accumulator of overlap scores; keeps three counts per class and image, never a label map.

    The result does not depend on the order of the images. Several accumulators (one per process) are joined
    by `merge`.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        """Start with no images.

        Args:
            class_names: the K foreground classes, in the order of their labels 1..K.

        Raises:
            ShapeError: there is no class, or a name occurs twice.
        """
        if not class_names or len(set(class_names)) != len(class_names):
            raise ShapeError(f"Expected one or more different `class_names`, got {list(class_names)}.")
        self.class_names = tuple(class_names)
        self._rows: dict[str, ImageScore] = {}

    def add(self, name: str, predicted: NDArray[np.uint8], target: NDArray[np.uint8]) -> ImageScore:
        """Count one image and return its scores.

        Args:
            name: the image's name; each image counts once.
            predicted: uint8 (H, W) label map, values 0..K.
            target: uint8 (H, W) label map, values 0..K or 255 (ignored, counts nowhere).

        Raises:
            DataError: an image of this name was counted already.
            ShapeError: the maps differ in shape or hold a label that does not exist.
        """
        counts = count(predicted, target, len(self.class_names))
        present = counts.present
        values = {name: _mean_of_present(score(counts), present) for name, score in SCORES.items()}
        row = ImageScore(name, counts, detection=detect(predicted, target), **values)
        self._insert(row)
        return row

    def rows(self) -> tuple[ImageScore, ...]:
        """Return the scores of each image, in the order they were added."""
        return tuple(self._rows.values())

    def result(self) -> Scores:
        """Return the scores of all images so far; NaN everywhere and `num_images` 0 before the first."""
        rows = self.rows()
        pooled = sum((row.counts for row in rows), start=_zero(len(self.class_names)))
        values: dict[str, float] = {}
        for name, score in SCORES.items():
            per_image = Mean([getattr(row, name) for row in rows])
            values[f"{name}_per_image"] = _or_nan(per_image.mean)
            values[f"{name}_per_image_std"] = _or_nan(per_image.std)
            values[f"{name}_pooled"] = _mean_of_present(score(pooled), pooled.present) if rows else math.nan
        worst = sorted((row.iou, row.name) for row in rows)[:NUM_WORST]
        return Scores(
            num_images=len(rows),
            worst=tuple((name, value) for value, name in worst),
            per_class=self._per_class(pooled),
            detection=summarise([row.detection for row in rows]),
            **values,
        )

    def _insert(self, row: ImageScore) -> None:
        if row.name in self._rows:
            raise DataError(f"Expected each image once, got {row.name!r} twice; give each image its own name.")
        self._rows[row.name] = row

    def _per_class(self, pooled: Counts) -> dict[str, dict[str, float]]:
        rows = self.rows()
        scores = {f"{name}_pooled": score(pooled) for name, score in SCORES.items()}
        table: dict[str, dict[str, float]] = {}
        for index, class_name in enumerate(self.class_names):
            having = [row.counts for row in rows if row.counts.present[index]]
            table[class_name] = {
                "num_images": len(having),
                "iou_per_image": _or_nan(Mean([float(iou(counts)[index]) for counts in having]).mean),
                "dice_per_image": _or_nan(Mean([float(dice(counts)[index]) for counts in having]).mean),
            } | {key: float(values[index]) if rows else math.nan for key, values in scores.items()}
        return table


def merge(accumulators: Iterable[SegmentationScores]) -> SegmentationScores:
    """Join accumulators that counted different images, as if one had counted them all.

    Args:
        accumulators: one or more, all with the same class names; they are left as they are.

    Raises:
        ShapeError: there is none, or the class names differ.
        DataError: an image was counted by two of them (a sampler that pads its last batch does that).
    """
    parts = list(accumulators)
    if not parts:
        raise ShapeError("Expected at least one accumulator to merge, got none.")
    joined = SegmentationScores(parts[0].class_names)
    for part in parts:
        if part.class_names != joined.class_names:
            raise ShapeError(
                "Expected accumulators of the same classes, got "
                f"{list(joined.class_names)} and {list(part.class_names)}."
            )
        for row in part.rows():
            joined._insert(row)
    return joined


def _zero(num_classes: int) -> Counts:
    return Counts(*(np.zeros(num_classes, dtype=np.int64) for _ in range(3)))


def _mean_of_present(values: NDArray[np.float64], present: NDArray[np.bool_]) -> float:
    return float(values[present].mean()) if present.any() else 1.0


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _json(value: float) -> float | None:
    return None if isinstance(value, float) and math.isnan(value) else value
