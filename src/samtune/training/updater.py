"""Optimiser updates: gradients of a batch, part by part, their clipping, AdamW, and the running average."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from samtune.bases import autocast_to
from samtune.errors import ConfigError
from samtune.methods import delta, trainable
from samtune.progress import say
from samtune.training.divergence import NotFinite, name_of
from samtune.training.features import rows_of
from samtune.training.interruption import stop_requested
from samtune.training.micro_batch import WAYS_OUT
from samtune.training.objective import Objective
from samtune.training.schedule import learning_rate, step_seed
from samtune.training.state import optimiser_tensors, put_optimiser_tensors
from samtune.types import Features

if TYPE_CHECKING:
    from accelerate import Accelerator

    from samtune.bases import Base
    from samtune.training.plan import Plan

Batch = tuple[Tensor | Features, Tensor]
"""Pixels or features, and the task's annotations (B, S, S)."""


@dataclass(frozen=True)
class Update:
    """Figures of one update, each the mean over its images and all processes.

    Attributes:
        loss: value of the objective.
        gradient_norm: L2 norm of the gradient before clipping.
        learning_rate: rate of the step.
        predicted_share: share of pixels predicted as foreground, 0..1.
        true_share: share of annotated pixels that are foreground, 0..1.
        stop_requested: whether any process received Ctrl-C or SIGTERM.
    """

    loss: float
    gradient_norm: float
    learning_rate: float
    predicted_share: float
    true_share: float
    stop_requested: bool


class Updater:
    """Optimiser of an adapted model.

    Args:
        model: adapted, on its device.
        plan: numbers of the run.
        accelerator: processes and device.
        autocast: dtype of autocast in the forward pass; None for none.

    Attributes:
        parameters: trained parameters.
        parts: number of micro-batches of an update; doubled where the device's memory runs out.
        average: running average of the learned tensors by name, on the device; empty where `plan.ema` is 0.
        buffers: learned tensors that a forward pass changes by itself, such as running statistics.
    """

    def __init__(self, model: Base, plan: Plan, accelerator: Accelerator, *, autocast: torch.dtype | None) -> None:
        self.model, self.plan, self.accelerator, self.autocast = model, plan, accelerator, autocast
        learned = trainable(model)
        self.parameters = list(learned.values())
        # Decay pulls toward zero: right for matrices of a network, wrong for prompts, which are inputs; recipes say.
        groups = [
            {"params": [p for p in self.parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
            {
                "params": [p for p in self.parameters if p.ndim <= 1],
                "weight_decay": plan.weight_decay if plan.decay_all else 0.0,
            },
        ]
        self._names = sorted(learned, key=lambda name: learned[name].ndim <= 1)  # the order of the groups
        self._optimiser = torch.optim.AdamW([g for g in groups if g["params"]], lr=plan.learning_rate)
        objective = Objective(model, plan.task, loss=plan.loss, loss_side=plan.loss_side)
        self._objective: Any = accelerator.prepare_model(objective)
        self.parts = plan.accumulate
        self.average: dict[str, Tensor] = {}
        self.buffers = [tensor for name, tensor in delta(model).items() if name not in learned]

    def update(self, images: Batch, step: int) -> Update:
        """Do one optimiser step over this process's share of the update's images.

        Args:
            images: this process's share.
            step: from 0.

        Raises:
            ConfigError: single images do not fit into memory, or several processes would have to agree on the parts.
            NotFinite: the loss, the gradient norm or the step is NaN or infinite. In the first two cases the model is
                as it was before the call.
        """
        rate = learning_rate(self.plan, step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        before = [tensor.clone() for tensor in self.buffers]
        shares = self._gradients(images, step, before)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.plan.clip_norm or math.inf)
        request = torch.full_like(shares[:1], float(stop_requested()))
        values = self.accelerator.reduce(torch.cat([shares, request]), "mean")
        loss, predicted, true, requests = values.cpu().tolist()
        for name, value in (("loss", loss), ("gradient norm", float(norm))):
            if not math.isfinite(value):
                self.restore(before)
                raise NotFinite(f"the {name} is {name_of(value)}")
        try:
            self._optimiser.step()
        except RuntimeError as error:  # the learning rate times a gradient
            if "overflow" not in str(error):
                raise
            raise NotFinite("an update is infinite") from error
        self._optimiser.zero_grad(set_to_none=True)
        self.update_average(step)
        return Update(loss, float(norm), rate, predicted, true, requests > 0)

    def backward(self, images: Batch) -> Tensor:
        """Accumulate gradients over the parts of the share; each image weighs the same.

        Returns:
            (3,): mean loss, predicted and true share of foreground.
        """
        inputs, annotations = images
        num_images = len(annotations)
        device, num = self.accelerator.device, min(self.parts, num_images)
        totals = torch.zeros(3, device=device)
        for number in range(num):
            rows = slice(number, None, num)
            part, annotated = rows_of(inputs, rows, device), annotations[rows].contiguous().to(device)
            weight = len(annotated) / num_images
            with self._synchronising(last=number == num - 1), autocast_to(self.autocast, device):
                loss, share, truth = self._objective(part, annotated)
                self.accelerator.backward(loss * weight)
            totals += weight * torch.stack([loss.detach().float(), share, truth])
        return totals

    def restore(self, buffers: list[Tensor]) -> None:
        """Drop the gradients, and set the buffers back to these values."""
        self._optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            for tensor, before in zip(self.buffers, buffers, strict=True):
                tensor.copy_(before)

    def update_average(self, step: int) -> None:
        """Move the running average toward the learned tensors, by less the longer training has run."""
        if not self.plan.ema:
            return
        with torch.no_grad():
            for name, tensor in delta(self.model).items():
                if name in self.average and tensor.is_floating_point():
                    # The first steps count more, so that the start does not linger in a short run.
                    decay = min(self.plan.ema, (1 + step) / (10 + step))
                    self.average[name].lerp_(tensor, 1 - decay)
                else:
                    self.average[name] = tensor.clone()

    def optimiser_state(self) -> dict[str, Tensor]:
        """Return AdamW's moments and step counts, named `parameter|moment`."""
        return optimiser_tensors(self._optimiser, self._names)

    def load_optimiser_state(self, tensors: dict[str, Tensor]) -> None:
        """Load what `optimiser_state` returned.

        Raises:
            ValueError: a tensor of an unknown parameter.
        """
        put_optimiser_tensors(self._optimiser, self._names, tensors)

    def _gradients(self, images: Batch, step: int, buffers: list[Tensor]) -> Tensor:
        """Compute the gradients; where the device's memory runs out, again in twice as many parts.

        Args:
            images: this process's share.
            step: from 0.
            buffers: values of `self.buffers` before the update.

        Returns:
            As `backward`.
        """
        seed = step_seed(self.plan.seed, step, self.accelerator.process_index)
        while True:
            torch.manual_seed(seed)
            try:
                return self.backward(images)
            except torch.OutOfMemoryError:
                pass  # dealt with outside, where the frames that hold the tensors are gone
            self._take_more_parts(len(images[1]))
            self.restore(buffers)

    def _take_more_parts(self, num_images: int) -> None:
        """Free what the failed attempt left, and double the number of parts."""
        self._optimiser.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.accelerator.num_processes > 1:
            raise ConfigError(
                "An update does not fit into the memory of one of the devices; set accumulate "
                f"to more than {self.parts}, the same for all processes."
            )
        if self.parts >= num_images:
            raise ConfigError(f"Not even a single image at a time fits into the device's memory; {WAYS_OUT}.")
        self.parts = min(num_images, 2 * self.parts)
        say(
            f"The device's memory ran out: from here on updates are computed in {self.parts} parts; each is "
            f"still of {num_images} images."
        )

    def _synchronising(self, *, last: bool) -> Any:
        """Return a context in which gradients are exchanged between processes only with the last part of an update."""
        return nullcontext() if last else self.accelerator.no_sync(self._objective)
