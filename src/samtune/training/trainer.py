"""The loop: the same for every method, on one device or many; nothing in it knows which method it trains.

In: an adapted model, a source of batches, a validation part. Out: the best values of what was learned, a history, and
at any moment a checkpoint from which the same trace goes on.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from samtune.methods import delta, penalty, put, task_loss, trainable
from samtune.progress import say, track
from samtune.training.features import CachedFeatures
from samtune.training.schedule import batch, step_seed
from samtune.training.state import (
    Progress,
    optimiser_tensors,
    put_optimiser_tensors,
    read_state,
    write_state,
)
from samtune.types import IGNORE, Features

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accelerate import Accelerator

    from samtune.losses import LossKind
    from samtune.sam import Sam
    from samtune.training.features import Source
    from samtune.training.run_folder import RunFolder
    from samtune.training.settings import Plan
    from samtune.training.validation import Validation

COLLAPSE_STEPS = 50
COLLAPSE_SHARE = 1e-3


class Objective(nn.Module):
    """The loss of a batch as one module, so that a data-parallel wrapper sees one forward pass.

    Args:
        sam: an adapted model.
        cached: inputs are features (B, C, H, W), not pixels (B, 3, S, S).
        loss: a name of `samtune.losses`; without effect where the method brings its own.
    """

    def __init__(self, sam: Sam, *, cached: bool, loss: LossKind) -> None:
        super().__init__()
        self.sam, self.cached, self.loss = sam, cached, loss

    def forward(self, inputs: Tensor, labels: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss over the images, with the method's own penalty; and the predicted share of foreground."""
        features = Features(inputs) if self.cached else self.sam.encode(inputs)
        logits = self.sam.decode(replace(features, items=items))
        loss = task_loss(self.sam, logits, labels, self.loss) + penalty(self.sam)
        share = (logits.detach().amax(1) > 0).float().mean()
        return loss, share


@dataclass
class Trainer:
    """One run of the loop.

    Attributes:
        sam: adapted; on its device.
        source: of batches.
        validation: None where no image was kept for it.
        plan: every number of the run.
        seed: of batches and noise.
        autocast: bf16 autocast, or None for fp32.
        accelerator: processes and device.
        folder: of the run.
        checkpoint_every_s: seconds between checkpoints.
    """

    sam: Sam
    source: Source
    validation: Validation | None
    plan: Plan
    seed: int
    autocast: torch.dtype | None
    accelerator: Accelerator
    folder: RunFolder
    checkpoint_every_s: float
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        """Make the optimiser and the data-parallel wrapper."""
        learned = trainable(self.sam)
        self.parameters = list(learned.values())
        # Decay pulls toward zero: right for matrices of a network, wrong for prompts, which are inputs; recipes say.
        groups = [
            {"params": [p for p in self.parameters if p.ndim > 1], "weight_decay": self.plan.weight_decay},
            {
                "params": [p for p in self.parameters if p.ndim <= 1],
                "weight_decay": self.plan.weight_decay if self.plan.decay_all else 0.0,
            },
        ]
        self.optimiser_names = sorted(learned, key=lambda name: learned[name].ndim <= 1)  # the order of the groups
        self.optimiser = torch.optim.AdamW([g for g in groups if g["params"]], lr=self.plan.learning_rate)
        objective = Objective(self.sam, cached=isinstance(self.source, CachedFeatures), loss=self.plan.loss)
        self.objective: Any = self.accelerator.prepare_model(objective)
        self.average: dict[str, Tensor] = {}
        self.best: dict[str, Tensor] = {}
        self._rows: list[dict[str, Any]] = []
        self._saved_at = time.monotonic()

    def resume(self) -> bool:
        """Go back to the last checkpoint, if there is one; returns whether there was."""
        stored = read_state(self.folder.last)
        if stored is None:
            if self.accelerator.is_main_process:
                self.folder.cut_history(0)
            return False
        self.progress, groups = stored
        put(self.sam, groups["learned"], str(self.folder.last))
        put_optimiser_tensors(self.optimiser, self.optimiser_names, groups.get("optimiser", {}))
        self.average = self._on_device(groups.get("average", {}))
        self.best = self._on_device(groups.get("best", {}))
        if self.accelerator.is_main_process:
            self.folder.cut_history(self.progress.history_bytes)
        return True

    def run(self) -> str:
        """Train to the end, or until it stops getting better, or until Ctrl-C.

        Afterwards the model holds the best values: those of the best evaluation, or the last ones without validation.

        Returns:
            "finished", "early" or "interrupted".
        """
        try:
            if not self.plan.updates and self.validation is not None and self.progress.best_score < 0:
                self._rows.append({"step": 0})
                self._evaluate()
            for step in track(self._steps(), "Training", total=self.plan.updates - self.progress.step):
                self._update(step)
                self.progress.step = step + 1
                if self._is_evaluation(step):
                    self._evaluate()
                if time.monotonic() - self._saved_at >= self.checkpoint_every_s:
                    self.checkpoint()
            stopped = "early" if self.progress.stopped_early else "finished"
        except KeyboardInterrupt:
            say(f"Interrupted after {self.progress.step} of {self.plan.updates} updates; the best so far is kept.")
            stopped = "interrupted"
        self.checkpoint()
        put(self.sam, self._final(), "the best of this run")
        return stopped

    def checkpoint(self) -> None:
        """Write the history so far and the state, in this order; a kill in between is mended by `resume`."""
        if self.accelerator.is_main_process:
            self.progress.history_bytes = self.folder.append_history(self._rows)
            write_state(
                self.folder.last,
                self.progress,
                {
                    "learned": delta(self.sam),
                    "optimiser": optimiser_tensors(self.optimiser, self.optimiser_names),
                    "average": self.average,
                    "best": self.best,
                },
            )
        self._rows = []
        self._saved_at = time.monotonic()

    def _steps(self) -> Iterator[int]:
        while self.progress.step < self.plan.updates and not self.progress.stopped_early:
            yield self.progress.step

    def _update(self, step: int) -> None:
        """One optimiser step over this process's share of the update's images."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        pairs = batch(
            step, num_images=len(self.source.views), batch_size=self.plan.batch_size, num_views=self.plan.views,
            seed=self.seed,
        )[rank::world]  # fmt: skip
        rate = self.plan.rate(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        torch.manual_seed(step_seed(self.seed, step, rank))
        self.sam.train()
        loss, share, truth = self._backward(pairs)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.plan.clip_norm or math.inf)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._update_average()
        values = torch.stack([loss, share, truth])
        loss, share, truth = self.accelerator.reduce(values, "mean").cpu().unbind()
        self._watch_collapse(float(share), float(truth))
        row = {"step": step + 1, "loss": float(loss), "learning_rate": rate, "gradient_norm": float(norm)}
        self._rows.append(row)

    def _backward(self, pairs: list[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Accumulate gradients over the parts of the share; each image weighs the same.

        Returns:
            Mean loss, predicted and true share of foreground.
        """
        device = self.accelerator.device
        num = self.plan.accumulate
        parts = [part for start in range(num) if (part := pairs[start::num])]
        totals = torch.zeros(3, device=device)
        for number, part in enumerate(parts):
            inputs, labels = (tensor.to(device) for tensor in self.source.load(part))
            items = torch.tensor([item for item, _ in part], device=device)
            weight = len(part) / len(pairs)
            with self._synchronising(last=number == len(parts) - 1), self._precision():
                loss, share = self.objective(inputs, labels, items)
                self.accelerator.backward(loss * weight)
            counted = labels != IGNORE
            truth = ((labels > 0) & counted).sum() / counted.sum().clamp_min(1)
            totals += weight * torch.stack([loss.detach().float(), share, truth])
        loss, share, truth = totals.unbind()
        return loss, share, truth

    def _synchronising(self, *, last: bool) -> Any:
        """Exchange gradients between processes only with the last part of an update."""
        return nullcontext() if last else self.accelerator.no_sync(self.objective)

    def _precision(self) -> torch.autocast:
        return torch.autocast(
            self.accelerator.device.type, dtype=self.autocast or torch.bfloat16, enabled=self.autocast is not None
        )

    def _update_average(self) -> None:
        if not self.plan.ema:
            return
        with torch.no_grad():
            for name, tensor in delta(self.sam).items():
                if name in self.average and tensor.is_floating_point():
                    # The first steps count more, so that the start does not linger in a short run.
                    decay = min(self.plan.ema, (1 + self.progress.step) / (10 + self.progress.step))
                    self.average[name].lerp_(tensor, 1 - decay)
                else:
                    self.average[name] = tensor.clone()

    def _is_evaluation(self, step: int) -> bool:
        last = step + 1 == self.plan.updates
        return self.validation is not None and (last or (step + 1) % self.plan.evaluate_every == 0)

    def _evaluate(self) -> None:
        """Score the validation images with the values that would be kept, and remember them if they are the best."""
        assert self.validation is not None
        current = {name: tensor.clone() for name, tensor in delta(self.sam).items()}
        put(self.sam, self.average or current, "the running average")
        self.sam.eval()
        with torch.inference_mode(), self._precision():
            scores = self.validation.scores(self.sam)
        put(self.sam, current, "the current values")
        self._rows[-1] |= {f"val_{name}": value for name, value in scores.items()}
        progress = self.progress
        if scores["iou_per_image"] > progress.best_score:
            progress.best_score, progress.best_step = scores["iou_per_image"], progress.step
            progress.best_scores = scores
            progress.evaluations_without_better = 0
            self.best = {name: tensor.clone() for name, tensor in (self.average or current).items()}
        elif progress.best_score > 0:  # a model that finds nothing yet is given the whole run to find something
            progress.evaluations_without_better += 1
        patience = self.plan.patience
        if patience and progress.evaluations_without_better >= patience:
            progress.stopped_early = True
            say(f"Stopped after {progress.step} updates: no better score in {patience} evaluations.")

    def _watch_collapse(self, share: float, truth: float) -> None:
        """Tell, once, that the model calls everything background."""
        progress = self.progress
        empty = share < COLLAPSE_SHARE and truth > share
        progress.steps_without_foreground = progress.steps_without_foreground + 1 if empty else 0
        if progress.steps_without_foreground == COLLAPSE_STEPS and not progress.collapsed:
            progress.collapsed = True
            say(
                f"Collapse: for {COLLAPSE_STEPS} updates the model has called (almost) everything background, while "
                f"{truth:.1%} of the pixels are foreground; try --set loss=balanced_bce_dice, a larger --side for thin "
                "or small objects, or another --set learning_rate."
            )

    def _final(self) -> dict[str, Tensor]:
        return self.best or self.average or delta(self.sam)

    def _on_device(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.accelerator.device) for name, tensor in tensors.items()}
