"""Losses of segmentation logits, as pure functions.

Shapes throughout: logits `(B, K, H, W)` of any floating type, labels `uint8 (B, H, W)` with 0 background,
1..K the classes and 255 (`IGNORE`) for pixels that count nowhere. The background's logit is the constant 0,
so that the class probabilities are `softmax([0, logits])`, and for K = 1 exactly `sigmoid(logits)`.

Every loss is computed per image and then averaged over the B images. A batch of B is therefore the mean of B
batches of one: gradient accumulation and several processes agree with one large batch. An image with nothing
but ignored pixels adds 0, never NaN. Half-precision logits are brought to float32 first; labels other than
0..K and 255 are the caller's error and are not looked for here (that would wait for the GPU).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from samtune.errors import ConfigError, ShapeError
from samtune.types import IGNORE

__all__ = [
    "ONE_CLASS",
    "LossKind",
    "balanced_bce",
    "balanced_bce_dice",
    "bce",
    "bce_dice",
    "ce_dice",
    "ce_iou",
    "cross_entropy",
    "focal",
    "focal_dice",
    "labels_at",
    "probabilities",
    "segmentation_loss",
    "shadow_bce",
    "soft_dice",
    "soft_iou",
    "structure",
    "structure_published",
]

LossKind = Literal[
    "bce_dice", "ce_dice", "focal_dice", "balanced_bce_dice", "ce_iou", "balanced_bce", "shadow_bce", "structure",
    "structure_published", "bce", "cross_entropy", "soft_dice", "soft_iou", "focal",
]  # fmt: skip
"""The losses a recipe or a setting may name."""

ONE_CLASS = ("bce", "bce_dice", "balanced_bce_dice", "balanced_bce", "shadow_bce", "structure", "structure_published")
"""Those that are for one class only; for one class `ce_dice` equals `bce_dice`."""

SMOOTH = 1.0
"""Added to both sides of the ratios of Dice and IoU, in pixels."""

NEIGHBOURHOOD = 31
"""Rows and columns of the square around a pixel that `structure` looks at."""

FOCAL_WEIGHT = 20.0
"""Weight of the focal loss against Dice in `focal_dice`. Source: Segment Anything, appendix A (20 : 1)."""


def probabilities(logits: Tensor) -> Tensor:
    """Return the probability of each foreground class, `softmax([0, logits])` without the background's.

    Args:
        logits: (B, K, H, W).

    Returns:
        (B, K, H, W) float32 (float64 stays float64), each in 0..1; the rest to 1 is the background's.

    Raises:
        ShapeError: the logits are not four-dimensional.
    """
    if logits.ndim != 4:
        raise ShapeError(f"logits must be (B, K, H, W), not of shape {tuple(logits.shape)}.")
    logits = _full_precision(logits)
    if logits.shape[1] == 1:
        return logits.sigmoid()
    return _with_background(logits).softmax(dim=1)[:, 1:]


def bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of one class: mean over an image's counted pixels, then over images.

    Args:
        logits: (B, 1, H, W).
        labels: (B, H, W), 1 is foreground.

    Returns:
        A scalar, at least 0.

    Raises:
        ConfigError: K is not 1.
        ShapeError: logits and labels do not belong together.
    """
    losses, _, valid = _pixelwise_bce(logits, labels)
    return _mean_over(losses, valid).mean()


def balanced_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy in which foreground and background weigh the same, however few pixels one has.

    Per image: the mean over the foreground pixels and the mean over the background pixels, averaged; only the
    one there is where the other is missing. Then the mean over images.

    Args:
        logits: (B, 1, H, W).
        labels: (B, H, W), 1 is foreground.

    Returns:
        A scalar, at least 0.

    Raises:
        ConfigError: K is not 1.
        ShapeError: logits and labels do not belong together.
    """
    losses, target, valid = _pixelwise_bce(logits, labels)
    sides = (valid & target, valid & ~target)
    total = sum((_mean_over(losses, side) for side in sides), start=losses.new_zeros(losses.shape[0]))
    present = sum((side.any(dim=(1, 2)).to(losses.dtype) for side in sides), start=torch.zeros_like(total))
    return (total / present.clamp(min=1)).mean()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over K classes and the background: mean over an image's counted pixels, then over images.

    For K = 1 the same number as `bce`.

    Args:
        logits: (B, K, H, W); the background's logit is the constant 0.
        labels: (B, H, W).

    Returns:
        A scalar, at least 0.

    Raises:
        ShapeError: logits and labels do not belong together.
    """
    losses, valid = _pixelwise_cross_entropy(logits, labels)
    return _mean_over(losses, valid).mean()


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss: cross-entropy of each pixel times `(1 - p) ** gamma`, p the probability of its true label.

    Mean over an image's counted pixels, then over images. No class weight alpha. `gamma` 0 is
    `cross_entropy`.

    Args:
        logits: (B, K, H, W); the background's logit is the constant 0.
        labels: (B, H, W).
        gamma: how strongly easy pixels are played down; 0, or at least 1 (below 1 the gradient has a pole).

    Returns:
        A scalar, at least 0.

    Raises:
        ConfigError: gamma is neither 0 nor at least 1.
        ShapeError: logits and labels do not belong together.

    Source:
        Lin et al., Focal Loss for Dense Object Detection, equation 4.
    """
    if gamma != 0 and gamma < 1:
        raise ConfigError(f"gamma of the focal loss must be 0 or at least 1, not {gamma}.")
    losses, valid = _pixelwise_cross_entropy(logits, labels)
    missed = -torch.expm1(-losses)  # 1 - p, without cancellation
    return _mean_over(missed.pow(gamma) * losses, valid).mean()


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Dice loss of the probabilities: one value per image and class, mean over classes, then over images.

    `1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)` with sums over an image's counted pixels. A class that is
    not in the image costs nothing where its probability is 0 everywhere.

    Args:
        logits: (B, K, H, W); the background's logit is the constant 0.
        labels: (B, H, W).

    Returns:
        A scalar in 0..1.

    Raises:
        ShapeError: logits and labels do not belong together.
    """
    target = _class_masks(logits, labels)
    predicted = probabilities(logits) * (labels != IGNORE)[:, None]
    both = (predicted * target).sum(dim=(2, 3))
    either = predicted.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return (1 - (2 * both + SMOOTH) / (either + SMOOTH)).mean(dim=1).mean()


def soft_iou(logits: Tensor, labels: Tensor) -> Tensor:
    """IoU loss of the probabilities: one value per image and class, mean over classes, then over images.

    `1 - (sum(p t) + 1) / (sum(p) + sum(t) - sum(p t) + 1)` with sums over an image's counted pixels. SAM-Adapter
    and TS-SAM leave the ones out; with them an image that has neither costs nothing instead of being 0 / 0.

    Args:
        logits: (B, K, H, W); the background's logit is the constant 0.
        labels: (B, H, W).

    Returns:
        A scalar in 0..1.

    Raises:
        ShapeError: logits and labels do not belong together.
    """
    target = _class_masks(logits, labels)
    return _weighted_iou(probabilities(logits), target, (labels != IGNORE)[:, None]).mean(dim=1).mean()


def shadow_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """The balanced cross-entropy of shadow detection, as published: `s (1 - s) (mean fg + mean bg)`.

    s is the share of foreground among an image's counted pixels, `mean fg` and `mean bg` the mean losses of its
    two kinds of pixels: positives weigh as many negatives there are, over all pixels, and the reverse. It is
    `2 s (1 - s)` times `balanced_bce`, so that an image with hardly any foreground has hardly any weight, and one
    with none has none; `balanced_bce` weighs all images the same. Published per batch; here per image, as all
    losses of this module.

    Args:
        logits: (B, 1, H, W).
        labels: (B, H, W), 1 is foreground.

    Returns:
        A scalar, at least 0.

    Raises:
        ConfigError: K is not 1.
        ShapeError: logits and labels do not belong together.

    Source:
        `BBCELoss` of SAM-Adapter-PyTorch and TS-SAM, `balanced_bce` of AutoGluon.
    """
    losses, target, valid = _pixelwise_bce(logits, labels)
    positive, negative = valid & target, valid & ~target
    share = _mean_over(positive.to(losses.dtype), valid)
    return (share * (1 - share) * (_mean_over(losses, positive) + _mean_over(losses, negative))).mean()


def structure(logits: Tensor, labels: Tensor) -> Tensor:
    """Structure loss: cross-entropy and IoU in which pixels near an outline weigh up to six times as much.

    `w = 1 + 5 |mean of t in the 31 x 31 square around a pixel - t|`; per image
    `sum(w bce) / sum(w) + 1 - (sum(w p t) + 1) / (sum(w (p + t - p t)) + 1)`; then the mean over images. The mean
    of the square is over its counted pixels inside the image: what is outside or ignored has no say.

    Args:
        logits: (B, 1, H, W).
        labels: (B, H, W), 1 is foreground.

    Returns:
        A scalar, at least 0.

    Raises:
        ConfigError: K is not 1.
        ShapeError: logits and labels do not belong together.

    Source:
        Wei et al., F3Net, AAAI 2020 (weighted BCE and IoU); Fan et al., PraNet, MICCAI 2020.
    """
    losses, target, valid = _pixelwise_bce(logits, labels)
    counted = _square_mean(valid.to(losses.dtype)).clamp(min=1e-6)
    weight = _outline_weight(losses, target, valid, counted)
    entropy = (losses * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp(min=1)
    return (entropy + _weighted_iou(probabilities(logits)[:, 0], target, weight)).mean()


def structure_published(logits: Tensor, labels: Tensor) -> Tensor:
    """Structure loss as PraNet's public code and its descendants compute it.

    There the cross-entropy is averaged before it is weighted (the word given to torch's old `reduce` argument
    counts as true), so it is plain `bce`; only the IoU term is weighted. And the mean of the square counts what is
    outside of the image, and here what is ignored, as background.

    Args:
        logits: (B, 1, H, W).
        labels: (B, H, W), 1 is foreground.

    Returns:
        A scalar, at least 0.

    Raises:
        ConfigError: K is not 1.
        ShapeError: logits and labels do not belong together.

    Source:
        PraNet's `structure_loss`; the default of Conv-LoRA's code (AutoGluon f34ebb4f).
    """
    losses, target, valid = _pixelwise_bce(logits, labels)
    weight = _outline_weight(losses, target, valid, None)
    overlap = _weighted_iou(probabilities(logits)[:, 0], target, weight)
    return (_mean_over(losses, valid) + overlap).mean()


def bce_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `bce + soft_dice`, the usual loss of one class; arguments and errors as in `bce`."""
    return bce(logits, labels) + soft_dice(logits, labels)


def balanced_bce_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `(bce + balanced_bce) / 2 + soft_dice`, for one thin or rare class; arguments as in `bce`."""
    return (bce(logits, labels) + balanced_bce(logits, labels)) / 2 + soft_dice(logits, labels)


def ce_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `cross_entropy + soft_dice`, the usual loss of several classes; arguments as there."""
    return cross_entropy(logits, labels) + soft_dice(logits, labels)


def ce_iou(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `cross_entropy + soft_iou`, for one class BCE + IoU as SAM-Adapter and TS-SAM use; arguments as there."""
    return cross_entropy(logits, labels) + soft_iou(logits, labels)


def focal_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `20 focal + soft_dice`, the weights SAM itself was trained with; arguments as in `focal`."""
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
    """Compute a loss at the resolution of the labels.

    Where the sizes differ, the logits are resized to the labels' size, bilinear, `align_corners=False`.

    Args:
        logits: (B, K, h, w) at the decoder's resolution.
        labels: uint8 (B, H, W).
        kind: one of `LossKind`.

    Returns:
        A scalar, at least 0: the mean over images.

    Raises:
        ConfigError: the kind does not exist, or is for one class and K is larger.
        ShapeError: logits and labels do not belong together.
    """
    if kind not in _LOSSES:
        raise ConfigError(f"loss must be one of {', '.join(get_args(LossKind))}, not {kind!r}.")
    if logits.ndim == 4 and labels.ndim == 3 and logits.shape[2:] != labels.shape[1:]:
        size_hw = [int(extent) for extent in labels.shape[1:]]
        logits = F.interpolate(_full_precision(logits), size=size_hw, mode="bilinear", align_corners=False)
    return _LOSSES[kind](logits, labels)


def labels_at(labels: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Label maps on a coarser grid: the label under the middle of each cell.

    Nothing is mixed: a cell whose middle is padding or ignored is ignored.

    Args:
        labels: uint8 (B, H, W).
        size_hw: (h, w) of the grid.

    Returns:
        uint8 (B, h, w).
    """
    rows, columns = (
        ((torch.arange(cells, device=labels.device) + 0.5) * (extent / cells)).long()
        for cells, extent in zip(size_hw, labels.shape[1:], strict=True)
    )
    return labels[:, rows[:, None], columns]


def _full_precision(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _with_background(logits: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)


def _class_masks(logits: Tensor, labels: Tensor) -> Tensor:
    """Where each class of the logits is in the labels: (B, K, H, W) bool."""
    _check(logits, labels)
    classes = torch.arange(1, logits.shape[1] + 1, device=labels.device)
    return labels[:, None] == classes[:, None, None]


def _mean_over(losses: Tensor, where: Tensor) -> Tensor:
    """Average `(B, H, W)` losses over the True pixels of each image: `(B,)`, 0 where there is none."""
    total = losses.masked_fill(~where, 0).sum(dim=(1, 2))
    return total / where.sum(dim=(1, 2)).clamp(min=1)


def _weighted_iou(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """IoU loss over the last two axes, each pixel weighing `weight` (0 where it does not count)."""
    weighted = predicted * weight
    both = (weighted * target).sum(dim=(-2, -1))
    either = weighted.sum(dim=(-2, -1)) + (target * weight).sum(dim=(-2, -1)) - both
    return 1 - (both + SMOOTH) / (either + SMOOTH)


def _square_mean(planes: Tensor) -> Tensor:
    """Mean of (B, H, W) over the square around each pixel, zero outside of the image."""
    half = NEIGHBOURHOOD // 2
    return F.avg_pool2d(planes[:, None], NEIGHBOURHOOD, stride=1, padding=half)[:, 0]


def _outline_weight(losses: Tensor, target: Tensor, valid: Tensor, counted: Tensor | None) -> Tensor:
    """`1 + 5 |neighbourhood - target|`, 0 where a pixel does not count; (B, H, W).

    Args:
        losses: gives the type.
        target: where the foreground is.
        valid: where a pixel counts.
        counted: share of each square that counts, or None to take all of it.
    """
    around = _square_mean((target & valid).to(losses.dtype))
    if counted is not None:
        around = around / counted
    return (1 + 5 * (around - target.to(losses.dtype)).abs()) * valid


def _pixelwise_bce(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss of each pixel, where the foreground is, and where a pixel counts; each (B, H, W)."""
    _check(logits, labels)
    if logits.shape[1] != 1:
        raise ConfigError(
            f"binary cross-entropy is for one class, and there are {logits.shape[1]}: choose the loss 'ce_dice'."
        )
    target = labels == 1
    one = _full_precision(logits)[:, 0]
    losses = F.binary_cross_entropy_with_logits(one, target.to(one.dtype), reduction="none")
    return losses, target, labels != IGNORE


def _pixelwise_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of each pixel (0 where ignored) and where a pixel counts; each (B, H, W)."""
    _check(logits, labels)
    every = _with_background(_full_precision(logits))
    losses = F.cross_entropy(every, labels.long(), ignore_index=IGNORE, reduction="none")
    return losses, labels != IGNORE


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 4 or labels.ndim != 3 or logits.shape[:1] + logits.shape[2:] != labels.shape:
        raise ShapeError(
            "logits must be (B, K, H, W) and labels (B, H, W) of the same images and size; "
            f"came {tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    if not logits.is_floating_point() or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ShapeError(f"logits must be floating and labels integer; came {logits.dtype} and {labels.dtype}.")
