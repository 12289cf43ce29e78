"""Cross-entropy losses: binary, balanced, for shadow detection, over several classes, and focal."""

from __future__ import annotations

import torch
from torch import Tensor

from samtune.errors import ConfigError
from samtune.losses.pixels import mean_over, pixelwise_bce, pixelwise_cross_entropy


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
    losses, _, valid = pixelwise_bce(logits, labels)
    return mean_over(losses, valid).mean()


def balanced_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy in which foreground and background weigh the same, however few pixels one has.

    Per image: the average of the mean over foreground pixels and the mean over background pixels; one of them alone
    where the other has no pixels. Then the mean over images.

    Args:
        logits: (B, 1, H, W).
        labels: (B, H, W), 1 is foreground.

    Returns:
        A scalar, at least 0.

    Raises:
        ConfigError: K is not 1.
        ShapeError: logits and labels do not belong together.
    """
    losses, target, valid = pixelwise_bce(logits, labels)
    parts = (valid & target, valid & ~target)
    total = sum((mean_over(losses, part) for part in parts), start=losses.new_zeros(losses.shape[0]))
    present = sum((part.any(dim=(1, 2)).to(losses.dtype) for part in parts), start=torch.zeros_like(total))
    return (total / present.clamp(min=1)).mean()


def shadow_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Balanced cross-entropy of shadow detection, as published: `s (1 - s) (mean fg + mean bg)`.

    s is the share of foreground among an image's counted pixels; `mean fg` and `mean bg` are the mean losses of its
    foreground and background pixels. A foreground pixel is weighted by the share of background, and the reverse. This
    is `2 s (1 - s)` times `balanced_bce`, so that an image with little foreground has little weight, and one without
    any has none; `balanced_bce` weighs all images the same. Published per batch; per image here, like all losses of
    this package.

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
    losses, target, valid = pixelwise_bce(logits, labels)
    positive, negative = valid & target, valid & ~target
    share = mean_over(positive.to(losses.dtype), valid)
    return (share * (1 - share) * (mean_over(losses, positive) + mean_over(losses, negative))).mean()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over K classes and the background: mean over an image's counted pixels, then over images.

    For K = 1 it equals `bce`.

    Args:
        logits: (B, K, H, W); the background's logit is the constant 0.
        labels: (B, H, W).

    Returns:
        A scalar, at least 0.

    Raises:
        ShapeError: logits and labels do not belong together.
    """
    losses, valid = pixelwise_cross_entropy(logits, labels)
    return mean_over(losses, valid).mean()


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss: cross-entropy of each pixel times `(1 - p) ** gamma`, p the probability of its true label.

    Mean over an image's counted pixels, then over images. There is no class weight alpha. With `gamma` 0 it is
    `cross_entropy`.

    Args:
        logits: (B, K, H, W); the background's logit is the constant 0.
        labels: (B, H, W).
        gamma: how strongly easy pixels are down-weighted; 0, or at least 1 (below 1 the gradient has a pole).

    Returns:
        A scalar, at least 0.

    Raises:
        ConfigError: gamma is neither 0 nor at least 1.
        ShapeError: logits and labels do not belong together.

    Source:
        Lin et al., Focal Loss for Dense Object Detection, equation 4.
    """
    if gamma != 0 and gamma < 1:
        raise ConfigError(f"Expected `gamma` of the focal loss to be 0 or >= 1, got {gamma}.")
    losses, valid = pixelwise_cross_entropy(logits, labels)
    missed = -torch.expm1(-losses)  # 1 - p, without cancellation
    return mean_over(missed.pow(gamma) * losses, valid).mean()
