"""Overlap losses: Dice and IoU of the probabilities."""

from __future__ import annotations

from torch import Tensor

from samtune.losses.pixels import class_masks, probabilities
from samtune.types import IGNORE

SMOOTH = 1.0
"""Added to numerator and denominator of Dice and IoU, in pixels."""


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Dice loss of the probabilities: one value per image and class, mean over classes, then over images.

    `1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)` with sums over an image's counted pixels. For a class
    that is not in the image the loss is 0 where its probability is 0 everywhere.

    Args:
        logits: (B, K, H, W); the background's logit is the constant 0.
        labels: (B, H, W).

    Returns:
        A scalar in 0..1.

    Raises:
        ShapeError: logits and labels do not belong together.
    """
    target = class_masks(logits, labels)
    predicted = probabilities(logits) * (labels != IGNORE)[:, None]
    both = (predicted * target).sum(dim=(2, 3))
    either = predicted.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return (1 - (2 * both + SMOOTH) / (either + SMOOTH)).mean(dim=1).mean()


def soft_iou(logits: Tensor, labels: Tensor) -> Tensor:
    """IoU loss of the probabilities: one value per image and class, mean over classes, then over images.

    `1 - (sum(p t) + 1) / (sum(p) + sum(t) - sum(p t) + 1)` with sums over an image's counted pixels. The code
    of SAM-Adapter and TS-SAM omits the ones; with them, an image without prediction and target has a loss of 0
    instead of 0 / 0.

    Args:
        logits: (B, K, H, W); the background's logit is the constant 0.
        labels: (B, H, W).

    Returns:
        A scalar in 0..1.

    Raises:
        ShapeError: logits and labels do not belong together.
    """
    target = class_masks(logits, labels)
    return weighted_iou(probabilities(logits), target, (labels != IGNORE)[:, None]).mean(dim=1).mean()


def weighted_iou(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the IoU loss over the last two axes; `weight` is the weight of each pixel, 0 where it does not count."""
    weighted = predicted * weight
    both = (weighted * target).sum(dim=(-2, -1))
    either = weighted.sum(dim=(-2, -1)) + (target * weight).sum(dim=(-2, -1)) - both
    return 1 - (both + SMOOTH) / (either + SMOOTH)
