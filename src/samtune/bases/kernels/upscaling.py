"""The mask decoder's upscaling, cell by cell, and the masks that are read from it.

A transposed convolution with kernel and stride 2 gives every cell its own 2 x 2 block that depends on this cell alone,
so it is one matrix product from C to 4 C' channels. Kept in the order of cells, channels last, its result needs no
rearrangement for the norm, the next one and the mask weights; only the finished masks, one number a place, are put in
the order of rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

LOGITS_A_CELL = 4
"""Logits along a side of one of the grid's cells: two enlargements by two."""


@dataclass(frozen=True)
class FineImage:
    """The upscaled image of B images (or prompts), four times finer than the grid of cells.

    Attributes:
        cells: (B, H * W, 16, C / 8); the 16 places of a cell are (row, column) of its first enlargement, then of its
            second.
        grid_hw: (H, W).
    """

    cells: Tensor
    grid_hw: tuple[int, int]


def upscale(decoder: Any, image: Tensor, grid_hw: tuple[int, int]) -> FineImage:
    """Enlarge the image's tokens four times.

    Args:
        decoder: has SAM's `upscale_conv1`, `upscale_layer_norm`, `upscale_conv2` and `activation`.
        image: (B, H * W, C).
        grid_hw: (H, W).
    """
    cells: Tensor = decoder.activation(_norm(decoder.upscale_layer_norm, _enlarge(decoder.upscale_conv1, image)))
    cells = decoder.activation(_enlarge(decoder.upscale_conv2, cells))
    return FineImage(cells.flatten(2, 3), grid_hw)


def masks_of(weights: Tensor, fine: FineImage) -> Tensor:
    """Mask weights (B, M, C / 8) times the upscaled image of H x W cells -> logits (B, M, 4 H, 4 W)."""
    height, width = fine.grid_hw
    batch, num_masks = weights.shape[:2]
    # Cells times weights, not the other way round: the cells' gradient then comes in their own order.
    logits = fine.cells.flatten(1, 2) @ weights.transpose(1, 2)
    logits = logits.view(batch, height, width, 2, 2, 2, 2, num_masks).permute(0, 7, 1, 3, 5, 2, 4, 6)
    return logits.reshape(batch, num_masks, LOGITS_A_CELL * height, LOGITS_A_CELL * width)


def _enlarge(convolution: Any, cells: Tensor) -> Tensor:
    """A transposed convolution, kernel and stride 2, as a product: (..., C) -> (..., 4, C')."""
    channels = convolution.weight.shape[1]
    weight = convolution.weight.permute(2, 3, 1, 0).reshape(4 * channels, -1)
    enlarged = F.linear(cells, weight, convolution.bias.repeat(4))
    return enlarged.view(*cells.shape[:-1], 4, channels)


def _norm(norm: Any, cells: Tensor) -> Tensor:
    """The library's norm over channels, which expects them first, on channels that come last."""
    return F.layer_norm(cells, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
