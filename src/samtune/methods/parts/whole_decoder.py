"""The mask decoder trained as a whole, with what has no effect on the mask: `sam_adapter`, `full` and `scratch`.

    logits = decoder(features) + 0 * sum of the trained parameters without effect

SAM's single mask without a prompt comes from mask token 0 and its hyper-network. The quality head, the other three
hyper-networks and the embeddings of points, boxes and mask prompts have no effect. Where a source counts them as
trained, they are marked so here: they are saved, their gradient is zero, and at most weight decay moves them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from samtune.bases import Base
    from samtune.types import Features


class WholeDecoder(nn.Module):
    """A head that answers with the mask decoder as it stands; it has no parameters of its own."""

    def forward(self, features: Features, base: Base) -> Tensor:
        """Logits (B, K, h, w); see `bases.Head`."""
        logits = base.decode_masks(features)
        if torch.is_grad_enabled():
            # Data-parallel training waits for a gradient of each trained tensor: these get one of zero.
            for module in (*base.decoder.unused(), base.prompt_embeddings):
                for parameter in module.parameters():
                    if parameter.requires_grad:
                        logits = logits + 0 * parameter.sum()
        return logits
