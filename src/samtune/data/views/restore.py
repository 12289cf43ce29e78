"""The way back: logits of the padded square to the size of the image they came from, and the decision.

In: logits (K, h, w) of one image. Out: logits (K, H, W) at the original size; a label map. The inverse of
`to_input`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from samtune.types import Geometry


def to_original(logits: Tensor, geometry: Geometry) -> Tensor:
    """Bring one image's logits to its original size, the padding cut away.

    As SAM does: bilinear to the padded square, cut, bilinear to the original size (align_corners False).

    Args:
        logits: (K, h, w) over the padded square, any resolution.
        geometry: of the image.

    Returns:
        (K, H, W) float32, `geometry.original_hw`.
    """
    planes = logits[None].float()
    if planes.shape[-2:] != (geometry.side, geometry.side):
        planes = F.interpolate(planes, size=(geometry.side, geometry.side), mode="bilinear", align_corners=False)
    height, width = geometry.resized_hw
    planes = planes[..., :height, :width]
    if geometry.resized_hw != geometry.original_hw:
        planes = F.interpolate(planes, size=geometry.original_hw, mode="bilinear", align_corners=False)
    return planes[0]


def decide(logits: Tensor, threshold: float = 0.5) -> Tensor:
    """Turn logits into a label map.

    Args:
        logits: (..., K, H, W); the background's logit is the constant 0.
        threshold: K = 1: the sigmoid from which a pixel is foreground. K > 1: without effect, the largest
            wins.

    Returns:
        uint8 (..., H, W): 0 background, 1..K.
    """
    if logits.shape[-3] == 1:
        return (logits.squeeze(-3).sigmoid() > threshold).to(torch.uint8)
    best, index = logits.max(-3)
    return torch.where(best > 0, index + 1, 0).to(torch.uint8)
