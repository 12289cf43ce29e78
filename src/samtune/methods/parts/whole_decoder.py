"""The mask decoder trained as a whole, with what has no say in the mask: `sam_adapter`, `full` and `scratch`.

SAM's single mask without a prompt comes from mask token 0 and its hyper-network. The quality head, the other three
hyper-networks and the embeddings of points, boxes and mask prompts are read by nobody. Where a source counts them as
trained, they are marked so here: they are saved, their gradient is zero, and at most weight decay moves them.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from samtune.bases import Sam
    from samtune.types import Features


class Owner:
    """A model as one of its modules sees it: neither registered in it once more nor kept alive by it.

    A cycle of references would hold the memory of a finished run until Python looks for garbage. Copied or pickled
    with the model, it refers to the copy.
    """

    def __init__(self, sam: Sam) -> None:
        self._sam = weakref.ref(sam)

    def __call__(self) -> Sam:
        """The model."""
        sam = self._sam()
        assert sam is not None, "a head is used without the model that it is part of"
        return sam

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self(),)


class WholeDecoder(nn.Module):
    """The mask decoder as it stands; features -> logits (B, K, h, w).

    Args:
        sam: whose mask decoder is used; it stays where it is and keeps its keys.
    """

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self._owner = Owner(sam)

    def forward(self, features: Features) -> Tensor:
        """See `Sam.decode`."""
        sam = self._owner()
        logits = sam.decode_masks(features)
        if torch.is_grad_enabled():
            # Data-parallel training waits for a gradient of each trained tensor: these get one of zero.
            silent = (sam.decoder.output_hypernetworks_mlps, sam.decoder.iou_prediction_head, sam.prompt_encoder)
            for module in silent:
                for parameter in module.parameters():
                    if parameter.requires_grad:
                        logits = logits + 0 * parameter.sum()
        return logits
