"""Order in which the side streams of SAM-Adapter and TS-SAM read the patch embedding: the papers' or the public code's.

    equation     token t = the C channels of patch t
    scrambled    token t = entries t, t + HW, .., t + (C - 1) HW of the C HW numbers of the map (H, W, C) in a row

The public code of both (`init_embeddings`: SAM-Adapter-PyTorch 665145d, TS-SAM edd171c) receives the patch embedding
as (B, H, W, C) and reads it by `x.reshape(B, C, H * W).permute(0, 2, 1)`, as if the channels came first. So each of its
tokens mixes single channels of patches from all over the image. The published results were trained with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Stem = Literal["auto", "equation", "scrambled"]
"""Order of the patch embedding. auto: scrambled with `paper=true`, else the equation."""


def is_scrambled(stem: Stem, *, paper: bool) -> bool:
    """Return whether a method with these fields reads the patches in the public code's order."""
    return paper if stem == "auto" else stem == "scrambled"


def scrambled(patches: Tensor) -> Tensor:
    """Reorder the numbers of a patch embedding as the public code does; (B, H, W, C) -> (B, H, W, C)."""
    batch, height, width, channels = patches.shape
    tokens = patches.reshape(batch, channels, height * width).transpose(1, 2)
    return tokens.reshape(batch, height, width, channels)
