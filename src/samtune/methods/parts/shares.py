"""How much of each coarse cell the classes of a label map cover: soft targets on a coarser grid.

In: uint8 label maps with 255 where nothing counts (ignored pixels and padding). Out: shares of the cells' areas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from samtune.types import IGNORE

if TYPE_CHECKING:
    from torch import Tensor


def class_shares(labels: Tensor, grid_hw: tuple[int, ...], num_kinds: int) -> tuple[Tensor, Tensor]:
    """The area of each kind in each cell of a coarser grid.

    Args:
        labels: uint8 (B, H, W); 255 counts nowhere.
        grid_hw: (h, w).
        num_kinds: labels 0 .. num_kinds - 1.

    Returns:
        (B, num_kinds, h, w) and their sum (B, h, w), as shares of the cell's area.
    """
    size = (grid_hw[0], grid_hw[1])
    shares = [F.adaptive_avg_pool2d((labels == kind).float(), size) for kind in range(num_kinds)]
    return torch.stack(shares, dim=1), F.adaptive_avg_pool2d((labels != IGNORE).float(), size)


def cell_shares(labels: Tensor, grid_hw: tuple[int, ...], num_classes: int) -> tuple[Tensor, Tensor]:
    """Share of each class among the counted pixels of each cell.

    Args:
        labels: uint8 (N, H, W), 0 background, classes 1..K; 255 counts nowhere.
        grid_hw: (h, w).
        num_classes: K.

    Returns:
        Shares (N, h, w, K) float in 0..1 (0 where nothing counts), and the cells' counted share (N, h, w).
    """
    areas, counted = class_shares(labels, grid_hw, num_classes + 1)
    return areas[:, 1:].movedim(1, -1).contiguous() / counted.clamp_min(1e-9)[..., None], counted
