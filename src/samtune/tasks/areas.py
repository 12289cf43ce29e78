"""Areas: which class each pixel belongs to. One map of logits for each of the K classes; the answer is a label map.

    K = 1   foreground where sigmoid(logit) > threshold
    K > 1   the largest of the K logits and the background's, which is the constant 0

Not for touching objects of one class: their areas are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, get_args

import torch
from torch import Tensor

from samtune.errors import ConfigError
from samtune.losses import ONE_CLASS, LossKind, labels_at, probabilities, segmentation_loss
from samtune.metrics import IOU, PROTOCOLS, Headline, ProtocolScores, SegmentationScores, merge
from samtune.types import IGNORE, Prediction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from samtune.data import Dataset, MaskValues
    from samtune.metrics import EvaluationProtocol

    Labels = NDArray[np.integer[Any]]

SUMMARY = ("iou_per_image", "dice_per_image", "iou_pooled", "dice_pooled")


class Areas:
    """Label maps: K classes, K maps. See `Task` for each method."""

    name: ClassVar[str] = "areas"
    headline: ClassVar[Headline] = IOU
    columns: ClassVar[tuple[str, ...]] = (
        "iou_per_image", "iou_per_image_std", "dice_per_image", "iou_pooled", "dice_pooled",
    )  # fmt: skip
    protocols: ClassVar[Mapping[str, EvaluationProtocol]] = PROTOCOLS

    def num_maps(self, num_classes: int) -> int:
        """Return K."""
        return num_classes

    def annotation(self, dataset: Dataset, index: int) -> Labels:
        """Read the label map, uint8 (H, W)."""
        return dataset.labels(index)

    def label_maps(self, annotations: Tensor) -> Tensor:
        """Return the annotations."""
        return annotations

    def targets(self, annotations: Tensor, size_hw: tuple[int, int] | None) -> Tensor:
        """Return label maps uint8 (B, h, w); at another size each cell has the label under its middle."""
        return annotations if size_hw is None else labels_at(annotations, size_hw)

    def loss_name(self, name: str, num_classes: int) -> str:
        """Return the loss; "auto" is `bce_dice` for one class, `ce_dice` for several."""
        if name == "auto":
            return "bce_dice" if num_classes == 1 else "ce_dice"
        offered = get_args(LossKind)
        if name not in offered:
            raise ConfigError(f"Expected `loss` to be auto or one of {', '.join(offered)}, got {name!r}.")
        if num_classes > 1 and name in ONE_CLASS:
            raise ConfigError(
                f"The loss {name} is for one class, got {num_classes} classes; use ce_dice or focal_dice."
            )
        return name

    def loss(self, logits: Tensor, targets: Tensor, name: str) -> Tensor:
        """Return a loss of `samtune.losses` at the size of the targets."""
        return segmentation_loss(logits, targets, name)  # type: ignore[arg-type]

    def shares(self, logits: Tensor, annotations: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shares of pixels that any class takes; the annotated one is of the pixels that count."""
        counted = annotations != IGNORE
        annotated = ((annotations > 0) & counted).sum() / counted.sum().clamp_min(1)
        return (logits.amax(1) > 0).float().mean(), annotated

    def decide(self, logits: Tensor, threshold: float) -> Labels:
        """Return the label map uint8 (H, W), 0..K; the threshold is of one class."""
        return decide(logits, threshold).cpu().numpy()

    def answer(self, logits: Tensor, threshold: float) -> Prediction:
        """Return the label map, and the probability of each class."""
        return Prediction(self.decide(logits, threshold), probabilities(logits[None])[0].cpu().numpy())

    def mask_suffix(self, values: MaskValues) -> str:
        """Return the ending of masks with these values."""
        return values.suffix

    def mask_pixels(self, labels: Labels, values: MaskValues) -> NDArray[np.unsignedinteger[Any]]:
        """Return each pixel's class as its value in the masks of training."""
        return values.apply(labels)

    def scores(self, class_names: tuple[str, ...]) -> AreaScores:
        """Return an accumulator of foreground IoU and Dice."""
        return AreaScores(SegmentationScores(class_names))

    def evaluation(
        self, protocol: EvaluationProtocol, class_names: tuple[str, ...], spacing_yx: tuple[float, float]
    ) -> ProtocolScores:
        """Return an accumulator of the protocol's scores."""
        return ProtocolScores(protocol, class_names, spacing_yx)


class AreaScores:
    """Foreground IoU, Dice, precision and recall; see `TaskScores` for each method.

    Args:
        overlap: counts of pixels.
    """

    def __init__(self, overlap: SegmentationScores) -> None:
        self.overlap = overlap

    def add(self, name: str, predicted: Labels, annotation: Labels) -> None:
        """Count the pixels of one image."""
        self.overlap.add(name, predicted, annotation)  # type: ignore[arg-type]

    def merged(self, others: Iterable[AreaScores]) -> AreaScores:
        """Return the counts of all images."""
        return AreaScores(merge([self.overlap, *(other.overlap for other in others)]))

    def summary(self) -> dict[str, float]:
        """Return IoU and Dice, per image and pooled."""
        result = self.overlap.result()
        return {name: float(getattr(result, name)) for name in SUMMARY}

    def to_dict(self) -> dict[str, Any]:
        """Return `metrics.Scores` as JSON values."""
        return self.overlap.result().to_dict()

    def per_image(self) -> dict[str, float]:
        """Return the IoU of each image."""
        return {row.name: row.iou for row in self.overlap.rows()}


def decide(logits: Tensor, threshold: float = 0.5) -> Tensor:
    """Turn logits into label maps.

    Args:
        logits: (..., K, H, W); the background's logit is the constant 0.
        threshold: K = 1: the probability above which a pixel is foreground. K > 1: without effect.

    Returns:
        uint8 (..., H, W): 0 background, 1..K.
    """
    if logits.shape[-3] == 1:
        return (logits.squeeze(-3).sigmoid() > threshold).to(torch.uint8)
    best, index = logits.max(-3)
    return torch.where(best > 0, index + 1, 0).to(torch.uint8)
