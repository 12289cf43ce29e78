"""Losses by name, including sums of losses, and `segmentation_loss`, which resizes the logits first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from samtune.errors import ConfigError
from samtune.losses.entropy import balanced_bce, bce, cross_entropy, focal, shadow_bce
from samtune.losses.outlines import structure, structure_published
from samtune.losses.overlap import soft_dice, soft_iou
from samtune.losses.pixels import full_precision

LossKind = Literal[
    "bce_dice", "ce_dice", "focal_dice", "balanced_bce_dice", "ce_iou", "balanced_bce", "shadow_bce", "structure",
    "structure_published", "bce", "cross_entropy", "soft_dice", "soft_iou", "focal",
]  # fmt: skip
"""Names of losses in recipes and settings."""

ONE_CLASS = ("bce", "bce_dice", "balanced_bce_dice", "balanced_bce", "shadow_bce", "structure", "structure_published")
"""Losses that are defined for one class only; for one class `ce_dice` equals `bce_dice`."""

FOCAL_WEIGHT = 20.0
"""Weight of the focal loss against Dice in `focal_dice`. Source: Segment Anything, appendix A (20 : 1)."""


def bce_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `bce + soft_dice`, the usual loss of one class; arguments and errors as in `bce`."""
    return bce(logits, labels) + soft_dice(logits, labels)


def balanced_bce_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `(bce + balanced_bce) / 2 + soft_dice`, for one thin or rare class; arguments and errors as in `bce`."""
    return (bce(logits, labels) + balanced_bce(logits, labels)) / 2 + soft_dice(logits, labels)


def ce_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `cross_entropy + soft_dice`, the usual loss of several classes; arguments as in `cross_entropy`."""
    return cross_entropy(logits, labels) + soft_dice(logits, labels)


def ce_iou(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `cross_entropy + soft_iou`, for one class SAM-Adapter's and TS-SAM's loss; arguments as in `ce_dice`."""
    return cross_entropy(logits, labels) + soft_iou(logits, labels)


def focal_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `20 focal + soft_dice`, weighted as in the training of SAM; arguments as in `cross_entropy`."""
    return FOCAL_WEIGHT * focal(logits, labels) + soft_dice(logits, labels)


_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce_dice": bce_dice,
    "ce_dice": ce_dice,
    "focal_dice": focal_dice,
    "balanced_bce_dice": balanced_bce_dice,
    "ce_iou": ce_iou,
    "balanced_bce": balanced_bce,
    "shadow_bce": shadow_bce,
    "structure": structure,
    "structure_published": structure_published,
    "bce": bce,
    "cross_entropy": cross_entropy,
    "soft_dice": soft_dice,
    "soft_iou": soft_iou,
    "focal": focal,
}


def segmentation_loss(logits: Tensor, labels: Tensor, kind: LossKind = "bce_dice") -> Tensor:
    """Return a loss at the resolution of the labels.

    Where the sizes differ, the logits are resized to the labels' size, bilinear, `align_corners=False`.

    Args:
        logits: (B, K, h, w) at the decoder's resolution.
        labels: uint8 (B, H, W).
        kind: one of `LossKind`.

    Returns:
        A scalar, at least 0: the mean over images.

    Raises:
        ConfigError: there is no such loss, or it is defined for one class only and K is larger.
        ShapeError: logits and labels do not belong together.
    """
    if kind not in _LOSSES:
        raise ConfigError(f"Expected `loss` to be one of {', '.join(get_args(LossKind))}, got {kind!r}.")
    if logits.ndim == 4 and labels.ndim == 3 and logits.shape[2:] != labels.shape[1:]:
        size_hw = [int(extent) for extent in labels.shape[1:]]
        logits = F.interpolate(full_precision(logits), size=size_hw, mode="bilinear", align_corners=False)
    return _LOSSES[kind](logits, labels)
