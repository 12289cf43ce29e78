"""Structure losses: cross-entropy and IoU in which pixels near an outline weigh more."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from samtune.losses.overlap import weighted_iou
from samtune.losses.pixels import mean_over, pixelwise_bce, probabilities

NEIGHBOURHOOD = 31
"""Side in pixels of the square around a pixel over which the target is averaged for the weight."""


def structure(logits: Tensor, labels: Tensor) -> Tensor:
    """Structure loss: cross-entropy and IoU in which pixels near an outline are weighted up to six times.

    `w = 1 + 5 |mean of t in the 31 x 31 square around a pixel - t|`; per image
    `sum(w bce) / sum(w) + 1 - (sum(w p t) + 1) / (sum(w (p + t - p t)) + 1)`; then the mean over images. The mean
    over the square is over its counted pixels inside the image.

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
    losses, target, valid = pixelwise_bce(logits, labels)
    counted = _square_mean(valid.to(losses.dtype)).clamp(min=1e-6)
    weight = _outline_weight(losses, target, valid, counted)
    entropy = (losses * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp(min=1)
    return (entropy + weighted_iou(probabilities(logits)[:, 0], target, weight)).mean()


def structure_published(logits: Tensor, labels: Tensor) -> Tensor:
    """Structure loss as PraNet's public code and its descendants compute it.

    There the cross-entropy is averaged before it is weighted (the string passed to torch's old `reduce` argument
    counts as true), so it is plain `bce`; only the IoU term is weighted. The mean over the square counts pixels outside
    the image as background; this implementation counts ignored pixels as background too.

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
    losses, target, valid = pixelwise_bce(logits, labels)
    weight = _outline_weight(losses, target, valid, None)
    overlap = weighted_iou(probabilities(logits)[:, 0], target, weight)
    return (mean_over(losses, valid) + overlap).mean()


def _square_mean(planes: Tensor) -> Tensor:
    """Return the mean of (B, H, W) over the square around each pixel; outside the image is 0."""
    half = NEIGHBOURHOOD // 2
    return F.avg_pool2d(planes[:, None], NEIGHBOURHOOD, stride=1, padding=half)[:, 0]


def _outline_weight(losses: Tensor, target: Tensor, valid: Tensor, counted: Tensor | None) -> Tensor:
    """Return `1 + 5 |neighbourhood - target|`, 0 where a pixel does not count; (B, H, W).

    Args:
        losses: losses of the pixels, for their type.
        target: bool (B, H, W), the foreground.
        valid: bool (B, H, W), the pixels that count.
        counted: (B, H, W), the share of each square that counts; None to take all of it.
    """
    around = _square_mean((target & valid).to(losses.dtype))
    if counted is not None:
        around = around / counted
    return (1 + 5 * (around - target.to(losses.dtype)).abs()) * valid
