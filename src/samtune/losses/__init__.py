"""Losses of segmentation logits, as pure functions.

Shapes throughout: logits `(B, K, H, W)` of any floating type, labels `uint8 (B, H, W)` with 0 for the background, 1..K
for the classes and 255 (`IGNORE`) for pixels that count nowhere. The logit of the background is the constant 0, so the
probabilities of the classes are `softmax([0, logits])`, and for K = 1 exactly `sigmoid(logits)`.

Every loss is computed per image and then averaged over the B images. A batch of B is therefore the mean of B batches of
one: gradient accumulation and several processes agree with one large batch. An image in which every pixel is ignored
adds 0, never NaN. Half-precision logits are converted to float32 first. Labels other than 0..K and 255 are the caller's
error and are not checked, since that would wait for the GPU.
"""

from samtune.losses.entropy import balanced_bce, bce, cross_entropy, focal, shadow_bce
from samtune.losses.kinds import (
    ONE_CLASS,
    LossKind,
    balanced_bce_dice,
    bce_dice,
    ce_dice,
    ce_iou,
    focal_dice,
    segmentation_loss,
)
from samtune.losses.outlines import structure, structure_published
from samtune.losses.overlap import soft_dice, soft_iou
from samtune.losses.pixels import labels_at, probabilities

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
