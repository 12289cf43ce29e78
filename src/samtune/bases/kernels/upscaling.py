"""The mask decoder's upscaling, cell by cell, and the products of mask weights with the upscaled image.

A transposed convolution with kernel and stride 2 gives every cell a 2 x 2 block that depends on this cell alone, so it
is one matrix product from C to 4 C' channels. In the order of cells, with channels last, its result needs no
rearrangement for the norm, the second convolution and the mask weights; only the finished masks, one number per pixel,
are rearranged to rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LOGITS_PER_CELL = 4
"""Logits along a side of one cell of the grid: two enlargements by two."""


@dataclass(frozen=True)
class FineImage:
    """Upscaled images, four times finer than their grids of cells.

    Attributes:
        cells: (B, H * W, 16, C / 8) for B images or prompts; the 16 pixels of a cell are ordered by (row, column) in
            the first enlargement, then by (row, column) in the second.
        grid_hw: (H, W).
    """

    cells: Tensor
    grid_hw: tuple[int, int]


def upscale(decoder: Any, image: Tensor, grid_hw: tuple[int, int]) -> FineImage:
    """Enlarge an image four times.

    Args:
        decoder: has SAM's `upscale_conv1`, `upscale_layer_norm`, `upscale_conv2` and `activation`.
        image: (B, H * W, C).
        grid_hw: (H, W).
    """
    cells: Tensor = decoder.activation(_norm(decoder.upscale_layer_norm, _enlarge(decoder.upscale_conv1, image)))
    cells = decoder.activation(_enlarge(decoder.upscale_conv2, cells))
    return FineImage(cells.flatten(2, 3), grid_hw)


def masks_of(weights: Tensor, fine: FineImage) -> Tensor:
    """Multiply mask weights (B, M, C / 8) with the upscaled image of H x W cells: logits (B, M, 4 H, 4 W)."""
    height, width = fine.grid_hw
    batch, num_masks = weights.shape[:2]
    # Cells times weights, not the other way round: the gradient of the cells then has their own order.
    logits = fine.cells.flatten(1, 2) @ weights.transpose(1, 2)
    logits = logits.view(batch, height, width, 2, 2, 2, 2, num_masks).permute(0, 7, 1, 3, 5, 2, 4, 6)
    return logits.reshape(batch, num_masks, LOGITS_PER_CELL * height, LOGITS_PER_CELL * width)


def plain_masks(decoder: Any, image: Tensor, grid_hw: tuple[int, int], weights: Tensor) -> Tensor:
    """Compute the same as `masks_of(weights, upscale(decoder, image, grid_hw))`, with SAM's own modules."""
    planes = image.transpose(1, 2).reshape(len(image), -1, *grid_hw)
    planes = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(planes)))
    return torch.einsum("bmc,bchw->bmhw", weights, decoder.activation(decoder.upscale_conv2(planes)))


def _enlarge(convolution: Any, cells: Tensor) -> Tensor:
    """Apply a transposed convolution with kernel and stride 2 as a product: (..., C) -> (..., 4, C')."""
    channels = convolution.weight.shape[1]
    weight = convolution.weight.permute(2, 3, 1, 0).reshape(4 * channels, -1)
    enlarged = F.linear(cells, weight, convolution.bias.repeat(4))
    return enlarged.view(*cells.shape[:-1], 4, channels)


def _norm(norm: Any, cells: Tensor) -> Tensor:
    """Apply transformers' norm over channels, which expects them first, to channels that come last."""
    return F.layer_norm(cells, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
