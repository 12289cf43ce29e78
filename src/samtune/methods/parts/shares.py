"""Soft targets on a coarse grid: the share of each class of a label map in the area of each cell.

In: uint8 label maps with 255 for ignored pixels and padding. Out: shares of the cells' areas, in 0..1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from samtune.types import IGNORE

if TYPE_CHECKING:
    from torch import Tensor


def class_shares(labels: Tensor, grid_hw: tuple[int, ...], num_kinds: int) -> tuple[Tensor, Tensor]:
    """Compute the share of each label in the area of each cell of a coarser grid.

    Args:
        labels: uint8 (B, H, W); 255 is ignored.
        grid_hw: (h, w).
        num_kinds: number of labels, 0 .. num_kinds - 1.

    Returns:
        (B, num_kinds, h, w), and the share that is not ignored (B, h, w).
    """
    size = (grid_hw[0], grid_hw[1])
    shares = [F.adaptive_avg_pool2d((labels == kind).float(), size) for kind in range(num_kinds)]
    return torch.stack(shares, dim=1), F.adaptive_avg_pool2d((labels != IGNORE).float(), size)


def cell_shares(labels: Tensor, grid_hw: tuple[int, ...], num_classes: int) -> tuple[Tensor, Tensor]:
    """Compute the share of each class in the pixels of each cell that are not ignored.

    Args:
        labels: uint8 (N, H, W), 0 background, classes 1..K; 255 is ignored.
        grid_hw: (h, w).
        num_classes: K.

    Returns:
        (N, h, w, K) float in 0..1 (0 in a cell whose pixels are all ignored), and the share of each cell's pixels that
        are not ignored (N, h, w).
    """
    areas, counted = class_shares(labels, grid_hw, num_classes + 1)
    return areas[:, 1:].movedim(1, -1).contiguous() / counted.clamp_min(1e-9)[..., None], counted
