"""From a batch to the number that an update makes smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from samtune.losses import labels_at
from samtune.methods import penalty, task_loss
from samtune.types import Features

if TYPE_CHECKING:
    from samtune.bases import Base
    from samtune.losses import LossKind


class Objective(nn.Module):
    """The loss of a batch as one module, so that a data-parallel wrapper sees one forward pass.

    Args:
        sam: an adapted model.
        cached: inputs are features (B, C, H, W), not pixels (B, 3, S, S).
        loss: a name of `samtune.losses`; without effect where the method brings its own.
        loss_side: "input" or "logits", where logits and labels meet.
    """

    def __init__(self, sam: Base, *, cached: bool, loss: LossKind, loss_side: str = "input") -> None:
        super().__init__()
        self.sam, self.cached, self.loss, self.loss_side = sam, cached, loss, loss_side

    def forward(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss over the images, with the method's own penalty; and the predicted share of foreground."""
        features = Features(inputs) if self.cached else self.sam.encode(inputs)
        logits = self.sam.decode(features)
        if self.loss_side == "logits":
            labels = labels_at(labels, (logits.shape[-2], logits.shape[-1]))
        loss = task_loss(self.sam, logits, labels, self.loss) + penalty(self.sam)
        share = (logits.detach().amax(1) > 0).float().mean()
        return loss, share
