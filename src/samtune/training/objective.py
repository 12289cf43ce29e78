"""Objective of training: the loss of a batch with the method's penalties."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from samtune.bases import recording
from samtune.losses import labels_at
from samtune.methods import penalty, task_loss
from samtune.types import Features

if TYPE_CHECKING:
    from samtune.bases import Base
    from samtune.tasks import Task


class Objective(nn.Module):
    """Loss of a batch as one module, so that a data-parallel wrapper sees one forward pass.

    Args:
        model: an adapted model.
        task: task of the model.
        loss: a loss of the task; without effect where the method has its own.
        loss_side: "input" or "logits", the resolution at which logits and targets are compared.
    """

    def __init__(self, model: Base, task: Task, *, loss: str, loss_side: str = "input") -> None:
        super().__init__()
        self.model, self.task, self.loss, self.loss_side = model, task, loss, loss_side

    def forward(self, inputs: Tensor | Features, annotations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean loss over the images, penalties included, and the shares of foreground (`Task.shares`).

        Args:
            inputs: pixels (B, 3, S, S), or features that were computed before.
            annotations: integers (B, S, S) of the task.
        """
        with recording() as outputs:
            features = inputs if isinstance(inputs, Features) else self.model.encode(inputs)
            logits = self.model.decode(features)
        size_hw = (logits.shape[-2], logits.shape[-1]) if self.loss_side == "logits" else None
        targets = self.task.targets(annotations, size_hw)
        labels = self.task.label_maps(annotations) if outputs.answers else None
        if labels is not None and size_hw is not None:
            labels = labels_at(labels, size_hw)
        loss = task_loss(outputs, logits, targets, partial(self.task.loss, name=self.loss), labels=labels)
        with torch.no_grad():
            predicted, annotated = self.task.shares(logits.detach(), annotations)
        return loss + penalty(outputs), predicted, annotated
