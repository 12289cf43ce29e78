"""High frequencies of an image, for the methods that read edges beside SAM.

    HF(I) = | Re IFFT2( M . FFT2(I) ) |,    M = 0 in a centred square of share rho of all frequencies, else 1

Source: SAM-Adapter and TS-SAM, whose public code takes rho = 1/4 and shifts the spectrum to cut the square; here
the mask is laid out in the transform's own order instead, which is the same without two copies.
"""

from __future__ import annotations

import torch
from torch import Tensor


def high_frequency(pixels: Tensor, share: float = 0.25) -> Tensor:
    """Remove the low frequencies of each channel.

    Args:
        pixels: (B, 3, H, W) of any floating dtype, H and W even.
        share: rho in 0..1, the share of the frequencies that is removed: those from -l to l - 1 along both axes, with
            l = floor(sqrt(H W rho) / 2).

    Returns:
        (B, 3, H, W) float32, 0 or more; 0 for a constant image.
    """
    height, width = pixels.shape[-2:]
    limit = int((height * width * share) ** 0.5 / 2)
    low = _is_low(height, limit, pixels)[:, None] & _is_low(width, limit, pixels)
    # In float32, because half precision has no Fourier transform for most sizes.
    spectrum = torch.fft.fft2(pixels.float(), norm="forward").masked_fill(low, 0)
    kept: Tensor = torch.fft.ifft2(spectrum, norm="forward").real.abs()
    return kept


def _is_low(length: int, limit: int, like: Tensor) -> Tensor:
    """Return whether each frequency of one axis, in the transform's order, is in -limit..limit - 1: (length,)."""
    index = torch.arange(length, device=like.device)
    frequency = torch.where(index < length // 2, index, index - length)
    return (frequency >= -limit) & (frequency < limit)
