"""Per-pixel losses of logits, and the shapes of labels, logits and background that they share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from samtune.errors import ConfigError, ShapeError
from samtune.types import IGNORE


def probabilities(logits: Tensor) -> Tensor:
    """Return the probability of each foreground class, `softmax([0, logits])` without the background's.

    Args:
        logits: (B, K, H, W).

    Returns:
        (B, K, H, W) float32 (float64 stays float64), each in 0..1; the remainder to 1 is the background's.

    Raises:
        ShapeError: the logits are not four-dimensional.
    """
    if logits.ndim != 4:
        raise ShapeError(f"Expected logits (B, K, H, W), got {tuple(logits.shape)}.")
    logits = full_precision(logits)
    if logits.shape[1] == 1:
        return logits.sigmoid()
    return with_background(logits).softmax(dim=1)[:, 1:]


def labels_at(labels: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return label maps on a coarser grid: the label under the middle of each cell.

    Labels are not mixed: a cell whose middle is padding or ignored is ignored.

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


def pixelwise_bce(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss of each pixel, where the foreground is, and where a pixel counts; each (B, H, W).

    Raises:
        ConfigError: K is not 1.
        ShapeError: logits and labels do not belong together.
    """
    check_shapes(logits, labels)
    if logits.shape[1] != 1:
        raise ConfigError(
            f"Expected one class for binary cross-entropy, got {logits.shape[1]}; choose the loss 'ce_dice'."
        )
    target = labels == 1
    foreground = full_precision(logits)[:, 0]
    losses = F.binary_cross_entropy_with_logits(foreground, target.to(foreground.dtype), reduction="none")
    return losses, target, labels != IGNORE


def pixelwise_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of each pixel (0 where ignored) and where a pixel counts; each (B, H, W)."""
    check_shapes(logits, labels)
    all_logits = with_background(full_precision(logits))
    losses = F.cross_entropy(all_logits, labels.long(), ignore_index=IGNORE, reduction="none")
    return losses, labels != IGNORE


def class_masks(logits: Tensor, labels: Tensor) -> Tensor:
    """Return where each class of the logits is in the labels: bool (B, K, H, W).

    Raises:
        ShapeError: logits and labels do not belong together.
    """
    check_shapes(logits, labels)
    classes = torch.arange(1, logits.shape[1] + 1, device=labels.device)
    return labels[:, None] == classes[:, None, None]


def mean_over(losses: Tensor, where: Tensor) -> Tensor:
    """Return the mean of losses (B, H, W) over the True pixels of each image: (B,), 0 without any."""
    total = losses.masked_fill(~where, 0).sum(dim=(1, 2))
    return total / where.sum(dim=(1, 2)).clamp(min=1)


def full_precision(logits: Tensor) -> Tensor:
    """Return logits as float32; float64 stays as it is."""
    return logits if logits.dtype == torch.float64 else logits.float()


def with_background(logits: Tensor) -> Tensor:
    """Return logits with that of the background, 0, in front: (B, K + 1, H, W)."""
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)


def check_shapes(logits: Tensor, labels: Tensor) -> None:
    """Check that logits and labels belong together.

    Raises:
        ShapeError: shapes or types differ from those of this package.
    """
    if logits.ndim != 4 or labels.ndim != 3 or logits.shape[:1] + logits.shape[2:] != labels.shape:
        raise ShapeError(
            "Expected logits (B, K, H, W) and labels (B, H, W) of the same images and size, got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    if not logits.is_floating_point() or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ShapeError(f"Expected floating-point logits and integer labels, got {logits.dtype} and {labels.dtype}.")
