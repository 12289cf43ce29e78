"""The mask decoder trained as a whole, with what has no effect on the mask: `sam_adapter`, `full` and `scratch`.

    logits = decoder(features) + 0 * sum of the trained parameters without effect

SAM's single mask without a prompt comes from mask token 0 and its hyper-network. The IoU head, the other three
hyper-networks and the embeddings of points, boxes and mask prompts have no effect. If a source counts them as trained,
they are trained here too: they are saved, their gradient is zero, and only weight decay changes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from samtune.bases import Base
    from samtune.types import Features


class WholeDecoder(nn.Module):
    """A head that calls the mask decoder; it has no parameters of its own."""

    def forward(self, features: Features, base: Base) -> Tensor:
        """Return the mask decoder's logits (B, K, h, w); see `bases.Head`."""
        logits = base.decode_masks(features)
        if torch.is_grad_enabled():
            # Data-parallel training waits for a gradient of each trained tensor; that of these is zero.
            for module in (*base.decoder.unused(), base.prompt_embeddings):
                for parameter in module.parameters():
                    if parameter.requires_grad:
                        logits = logits + 0 * parameter.sum()
        return logits
