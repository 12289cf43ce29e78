"""From a batch to the number that an update makes smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from samtune.bases import recording
from samtune.losses import labels_at
from samtune.methods import penalty, task_loss
from samtune.types import Features

if TYPE_CHECKING:
    from samtune.bases import Base
    from samtune.losses import LossKind


class Objective(nn.Module):
    """The loss of a batch as one module, so that a data-parallel wrapper sees one forward pass.

    Args:
        model: an adapted model.
        loss: a name of `samtune.losses`; without effect where the method brings its own.
        loss_side: "input" or "logits", where logits and labels meet.
    """

    def __init__(self, model: Base, *, loss: LossKind, loss_side: str = "input") -> None:
        super().__init__()
        self.model, self.loss, self.loss_side = model, loss, loss_side

    def forward(self, inputs: Tensor | Features, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss over the images, penalties included, and the predicted share of foreground.

        Args:
            inputs: pixels (B, 3, S, S), or features that were computed before.
            labels: uint8 (B, S, S).
        """
        with recording() as outputs:
            features = inputs if isinstance(inputs, Features) else self.model.encode(inputs)
            logits = self.model.decode(features)
        if self.loss_side == "logits":
            labels = labels_at(labels, (logits.shape[-2], logits.shape[-1]))
        loss = task_loss(outputs, logits, labels, self.loss) + penalty(outputs)
        share = (logits.detach().amax(1) > 0).float().mean()
        return loss, share
