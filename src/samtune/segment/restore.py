"""Inverse of `samtune.data.to_input` for logits: from the padded square back to the image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from samtune.types import Geometry


def to_original(logits: Tensor, geometry: Geometry) -> Tensor:
    """Resize one image's logits to its original size, without the padding.

    As SAM does: bilinear to the padded square, cropped, bilinear to the original size (align_corners False).

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


def without_padding(logits: Tensor, geometry: Geometry) -> Tensor:
    """Crop one image's logits to the part that shows the image, at the decoder's own resolution.

    Args:
        logits: (K, h, w) over the padded square, any resolution.
        geometry: of the image.

    Returns:
        (K, h', w'), a view: rounded to whole cells, at least one.
    """
    scale = logits.shape[-1] / geometry.side
    height, width = (max(1, round(extent * scale)) for extent in geometry.resized_hw)
    return logits[:, :height, :width]
