"""Bicubic enlargement of a grid of tokens by whole scales, restricted to the pixels that the reduction back reads.

    patches = U_s z U_s^T        6 x 6 pixels of the grid enlarged s times for each token: 4 x 4 that the way back
                                 reads, and the neighbours that a 3 x 3 convolution over them needs
    token   = sum of the inner 4 x 4 pixels, weighed by the bicubic reduction

Cost: 6 M L^2 numbers for an axis of L tokens and M scales, cached for 32 axes. Do not use it if the whole enlarged grid
is needed (`F.interpolate`). Used by the experts of `conv_lora`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

CUBIC = -0.75
"""The free parameter of the bicubic kernel, torch's."""

TAPS = 4
"""Pixels of the enlarged grid, along each axis, that a bicubic reduction reads for each token."""

PATCH = TAPS + 2
"""The same with the neighbours that a 3x3 convolution needs."""


def interpolation_tables(length: int, num_scales: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tables of bicubic enlargement and reduction along one axis, for the pixels that the reduction reads.

    Equal to `F.interpolate(mode="bicubic", align_corners=False)` for each whole scale, and the identity at scale 1. A
    token's patch is six consecutive pixels of the axis enlarged s times; the reduction to the token reads the inner
    four. Pixels beyond the border are zeros, like the padding of the convolution.

    Args:
        length: of the axis in tokens, L.
        num_scales: M; scales 1..M.
        like: gives device and dtype.

    Returns:
        (M, 6 L, L), which maps an axis to its patches, and (M, L, 4), the weight of each inner pixel.
    """
    if torch.compiler.is_compiling() or type(like) is not Tensor:  # tables made under a fake mode cannot be cached
        return _tables(length, num_scales, like.device, like.dtype)
    return _kept_tables(length, num_scales, like.device, like.dtype)


@lru_cache(maxsize=32)
def _kept_tables(length: int, num_scales: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.no_grad():  # made during prediction, the tables must serve training too
        return _tables(length, num_scales, device, dtype)


def _tables(length: int, num_scales: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    scale = torch.arange(1, num_scales + 1, device=device)[:, None]
    token = torch.arange(length, device=device)
    # The centre of token i lies at s (i + 1/2) - 1/2 of the enlarged axis: on a pixel if s is odd, halfway if even.
    below = scale * token + (scale - 1) // 2
    patch = (below - 2)[..., None] + torch.arange(PATCH, device=device)
    size = (scale * length)[..., None]
    # Where a pixel of the enlarged axis lies among the tokens, (pixel + 1/2) / s - 1/2, as whole and rest.
    doubled, period = 2 * patch + 1 - scale[..., None], 2 * scale[..., None]
    whole = torch.div(doubled, period, rounding_mode="floor")
    rest = (doubled - period * whole).to(exact) / period
    inside = (patch >= 0) & (patch < size)
    up = torch.zeros(num_scales, length, PATCH, length, device=device, dtype=exact)
    for tap in range(-1, 3):
        source = (whole + tap).clamp(0, length - 1)
        up = up + (_cubic(rest - tap) * inside)[..., None] * (source[..., None] == token)
    half = (1 - scale % 2).to(exact) / 2
    down = torch.zeros(num_scales, length, TAPS, device=device, dtype=exact)
    for tap in range(-1, 3):
        target = torch.minimum((below + tap).clamp(min=0), scale * length - 1)
        down = down + _cubic(half - tap)[..., None] * (target[..., None] == patch[..., 1:-1])
    return up.reshape(num_scales, length * PATCH, length).to(dtype), down.to(dtype)


def _cubic(distance: Tensor) -> Tensor:
    """Return the weight of a sample at this distance in bicubic interpolation."""
    x = distance.abs()
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
