"""From logits to the answer a user gets: a label map and probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from samtune.losses import probabilities
from samtune.types import Prediction


def decide(logits: Tensor, threshold: float = 0.5) -> Tensor:
    """Turn logits into a label map.

    Args:
        logits: (..., K, H, W); the background's logit is the constant 0.
        threshold: K = 1: the probability above which a pixel is foreground. K > 1: without effect, the largest logit
            wins.

    Returns:
        uint8 (..., H, W): 0 background, 1..K.
    """
    if logits.shape[-3] == 1:
        return (logits.squeeze(-3).sigmoid() > threshold).to(torch.uint8)
    best, index = logits.max(-3)
    return torch.where(best > 0, index + 1, 0).to(torch.uint8)


def answer(logits: Tensor, threshold: float) -> Prediction:
    """Return the label map and the probabilities of one image.

    Args:
        logits: (K, H, W) at the image's size.
        threshold: as for `decide`.
    """
    planes = probabilities(logits[None])[0]
    return Prediction(decide(logits, threshold).cpu().numpy(), planes.cpu().numpy())
