"""Sets of learned prompt tokens, and ensembles of such sets.

    M x K sets of tokens --> frozen mask decoder --> M x K masks --> average of probabilities --> K logits

In training each member has its own loss (`Outputs.members`), on the same batches. Members differ by their initial
values, which are known to matter more than the order of the data (Fort et al., arXiv 1912.02757).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from samtune.averaging import ProbabilityMean
from samtune.bases import DecoderPrompts, current_outputs
from samtune.errors import MethodError
from samtune.losses import probabilities

if TYPE_CHECKING:
    from samtune.bases import Base
    from samtune.types import Features


class TokenSets(DecoderPrompts):
    """One set of tokens for each member and class.

    Attributes:
        tokens: (K, n, C) parameter; (M, K, n, C) with more than one member.
    """

    def __init__(self, num_classes: int, num_tokens: int, channels: int, *, members: int = 1) -> None:
        super().__init__(num_classes, num_tokens, channels)
        self.num_classes, self.num_members = num_classes, members
        sets = (num_classes,) if members == 1 else (members, num_classes)
        self.tokens = nn.Parameter(torch.zeros(*sets, num_tokens, channels))

    def by_member(self) -> Tensor:
        """Return the tokens as a view (M, K, n, C), also for one member."""
        return self.tokens.view(self.num_members, self.num_classes, *self.tokens.shape[-2:])

    def member_masks(self, masks: Tensor) -> Tensor:
        """Split the masks of the sets by member: (B, M * K, h, w) -> (M, B, K, h, w)."""
        return masks.reshape(len(masks), self.num_members, self.num_classes, *masks.shape[2:]).transpose(0, 1)

    def forward(self, masks: Tensor) -> Tensor:
        """Average the members' probabilities, and record their logits for the loss; see `DecoderPrompts.forward`."""
        members = self.member_masks(masks)
        if self.num_members == 1:
            return members[0]
        outputs = current_outputs()
        if outputs is not None:
            outputs.members.append(members)
        mean = ProbabilityMean()
        for logits in members:
            mean.add(logits)
        return mean.logits()


def member_logits(model: Base, features: Features) -> Tensor:
    """Compute the logits of each member of an ensemble.

    Args:
        model: adapted by a method with learned token sets (`ptsam`); `ensemble=1` gives one member.
        features: of B images.

    Returns:
        (M, B, K, 4 H, 4 W).

    Raises:
        MethodError: the mask decoder has no learned token sets.
    """
    prompts = model.sites.at("decoder_prompts")
    if not isinstance(prompts, TokenSets):
        raise MethodError("Expected learned token sets in the mask decoder, got none; adapt with ptsam first.")
    return prompts.member_masks(model.decode_prompts(features))


def disagreement(model: Base, features: Features) -> Tensor:
    """Compute the disagreement of an ensemble: where it is large, a person should check the mask.

    A function of features like a decoder, so `samtune.segment.segment(model, {"disagreement": ...}, images)` resizes it
    to the images (without test-time averaging, which expects logits).

    Args:
        model: as for `member_logits`.
        features: of B images.

    Returns:
        (B, K, 4 H, 4 W) float32: standard deviation over the members of each class's probability, from 0 (all agree;
        always with one member) to 0.5 (half of them give 0, half 1).

    Raises:
        MethodError: as for `member_logits`.
    """
    members = member_logits(model, features)
    return probabilities(members.flatten(0, 1)).reshape(members.shape).std(0, correction=0)
