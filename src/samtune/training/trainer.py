"""Training loop: the same for every method, on one device or many.

In: an adapted model, a source of batches, a validation part. Out: the best values of what was learned, a history, and
at any moment a checkpoint from which the same trace goes on.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from samtune.adapters import assign_learned
from samtune.bases import autocast_to
from samtune.errors import ConfigError, WeightsError
from samtune.methods import delta, trainable
from samtune.prefetch import Prefetcher
from samtune.progress import say, track
from samtune.training.divergence import NotFinite, all_finite, diverged, name_of
from samtune.training.features import rows_of
from samtune.training.interruption import Interrupted, honour, requested
from samtune.training.micro_batch import WAYS_OUT
from samtune.training.objective import Objective
from samtune.training.schedule import batch, learning_rate, step_seed
from samtune.training.state import (
    Progress,
    State,
    check_settings,
    optimiser_tensors,
    put_optimiser_tensors,
    read_state,
    write_state,
)
from samtune.types import IGNORE, Features

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accelerate import Accelerator

    from samtune.bases import Base
    from samtune.run_folder import RunFolder
    from samtune.training.features import Source
    from samtune.training.plan import Plan
    from samtune.training.validation import Validation

Batch = tuple[Tensor | Features, Tensor]
"""Pixels or features, and label maps uint8 (B, S, S)."""

COLLAPSE_STEPS = 50
COLLAPSE_SHARE = 1e-3


@dataclass
class Trainer:
    """One run of the loop.

    Attributes:
        model: adapted; on its device.
        source: of batches.
        validation: None where no image was kept for it.
        plan: every number of the run.
        autocast: bf16 autocast, or None for fp32.
        accelerator: processes and device.
        folder: of the run.
        checkpoint_every_s: seconds between checkpoints.
        settings: of the run, as plain JSON values; a checkpoint is continued with the same ones only.
        progress: where the run is.
        stopped_because: why it stopped, one sentence, where it diverged.
    """

    model: Base
    source: Source
    validation: Validation | None
    plan: Plan
    autocast: torch.dtype | None
    accelerator: Accelerator
    folder: RunFolder
    checkpoint_every_s: float
    settings: dict[str, Any] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    stopped_because: str = ""

    def __post_init__(self) -> None:
        """Make the optimiser and the data-parallel wrapper."""
        learned = trainable(self.model)
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
        objective = Objective(self.model, loss=self.plan.loss, loss_side=self.plan.loss_side)
        self.objective: Any = self.accelerator.prepare_model(objective)
        self.average: dict[str, Tensor] = {}
        self.best: dict[str, Tensor] = {}
        # What a forward pass moves beside the gradients (running statistics): set back where a step is done again.
        self._moving = [tensor for name, tensor in delta(self.model).items() if name not in learned]
        self._batches: Prefetcher[Batch] | None = None
        self._rows: list[dict[str, Any]] = []
        self._asked_to_stop = False
        self._saved_at = time.monotonic()

    def resume(self) -> bool:
        """Go back to the last checkpoint, if there is one; returns whether there was.

        Raises:
            ConfigError: it is of a run with other settings.
            DataError: the history is damaged.
            WeightsError: the checkpoint is damaged, or of another model.
        """
        stored = read_state(self.folder.last)
        if stored is None:
            if self.accelerator.is_main_process:
                self.folder.cut_history(0)
            return False
        check_settings(stored.settings, self.settings, self.folder.path)
        if self.accelerator.is_main_process:
            stored.progress.history_crc = self.folder.cut_history(
                stored.progress.history_bytes, stored.progress.history_crc
            )
        self.progress, groups = stored.progress, stored.groups
        try:
            assign_learned(self.model, groups.get("learned", {}), str(self.folder.last))
            put_optimiser_tensors(self.optimiser, self.optimiser_names, groups.get("optimiser", {}))
        except ValueError as error:  # a tensor of an unknown parameter
            raise WeightsError(
                f"The checkpoint in {self.folder.last} is of another model; delete it to start this run from its first "
                "update."
            ) from error
        self.average = self._on_device(groups.get("average", {}))
        self.best = self._on_device(groups.get("best", {}))
        return True

    def run(self) -> str:
        """Train to the end, or until it stops getting better, diverges, or is interrupted.

        Afterwards the model holds the best values: those of the best evaluation, or the last ones without validation.

        Returns:
            "finished", "early", "interrupted" or "diverged".

        Raises:
            Diverged: before there were values worth keeping.
            Interrupted: before the first update.
            KeyboardInterrupt: a second Ctrl-C; the last checkpoint stays.
        """
        try:
            with Prefetcher(self._load, self.plan.updates) as self._batches:
                self._run()
            self._check_values(self._final())
            stopped = "early" if self.progress.stopped_early else "finished"
        except Interrupted:
            if not self.progress.step:
                raise
            say(f"Interrupted after {self.progress.step} of {self.plan.updates} updates; the best so far is kept.")
            stopped = "interrupted"
        except NotFinite as error:
            self._keep_best(str(error))
            stopped = "diverged"
        finally:
            self._batches = None  # it holds the trainer: with it the model would stay until garbage is collected
        if stopped == "diverged":  # the last checkpoint, if any, leads here again
            self._write_history()
        else:
            self.checkpoint()
        assign_learned(self.model, self._final(), "the best of this run")
        return stopped

    def _run(self) -> None:
        if self.progress.unscored is not None:
            self._rows, self.progress.unscored = [self.progress.unscored], None
            self._evaluate()
        elif not self.plan.updates and self.validation is not None and self.progress.best_score < 0:
            self._rows.append({"step": 0})
            self._evaluate()
        for step in track(self._steps(), "Training", total=self.plan.updates - self.progress.step):
            self._stop_if_asked()
            self._update(step)
            self.progress.step = step + 1
            if self._is_evaluation(step):
                self._evaluate()
            if time.monotonic() - self._saved_at >= self.checkpoint_every_s:
                self.checkpoint()

    def _stop_if_asked(self) -> None:
        """Stop between two updates; several processes do so after the same one.

        Raises:
            Interrupted: Ctrl-C or SIGTERM.
        """
        if self._asked_to_stop or (self.accelerator.num_processes == 1 and requested()):
            honour()
            raise Interrupted

    def _keep_best(self, what: str) -> None:
        """Go back to the best values of a run that diverged.

        Raises:
            Diverged: no evaluation found any.
        """
        reduced = "bf16" if self.autocast is not None or self.model.encoder_dtype != torch.float32 else None
        error = diverged(self.progress.step + 1, self.plan, what, reduced)
        if not self.best:
            if self.accelerator.is_main_process:
                self.folder.remove_last()
            raise error
        self.stopped_because = f"{error} The values of update {self.progress.best_step} are kept."
        say(self.stopped_because)
        assign_learned(self.model, self.best, "the best of this run")

    def _check_values(self, values: dict[str, Tensor]) -> None:
        """Make sure that values are numbers before they are scored or kept.

        Raises:
            NotFinite: they are not.
        """
        if not all_finite(values.values()):
            raise NotFinite("a trained value is NaN or infinite")

    def try_updates(self, *, most: int, most_s: float) -> list[float]:
        """Do a few updates for their time alone: seconds of each, the first of them cold; nothing is written.

        Args:
            most: updates.
            most_s: none is begun after so many seconds.
        """
        times: list[float] = []
        with Prefetcher(self._load, most) as self._batches:
            while len(times) < most and sum(times) < most_s:
                start = time.monotonic()
                try:
                    self._update(len(times))  # ends with numbers on the CPU, so the device is done too
                except NotFinite as error:
                    raise diverged(len(times) + 1, self.plan, str(error), None) from error
                times.append(time.monotonic() - start)
        self._batches, self._rows = None, []
        return times

    def checkpoint(self) -> None:
        """Write the history so far and the state, in this order; a kill in between is mended by `resume`."""
        if self.accelerator.is_main_process:
            self._write_history()
            groups = {
                "learned": delta(self.model),
                "optimiser": optimiser_tensors(self.optimiser, self.optimiser_names),
                "average": self.average,
                "best": self.best,
            }
            write_state(self.folder.last, State(self.progress, groups, self.settings))
        self._rows = []
        self._saved_at = time.monotonic()

    def _write_history(self) -> None:
        if self.accelerator.is_main_process:
            progress = self.progress
            written = self.folder.append_history(self._rows, progress.history_crc or 0)
            progress.history_bytes, progress.history_crc = written
        self._rows = []

    def _steps(self) -> Iterator[int]:
        while self.progress.step < self.plan.updates and not self.progress.stopped_early:
            yield self.progress.step

    def _load(self, step: int) -> Batch:
        """This process's share of an update's images; runs in a thread, one step ahead."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        pairs = batch(
            step, num_images=len(self.source.views), batch_size=self.plan.batch_size, num_views=self.plan.views,
            seed=self.plan.seed,
        )[rank::world]  # fmt: skip
        return self.source.load(pairs)

    def _update(self, step: int) -> None:
        """One optimiser step over this process's share of the update's images."""
        assert self._batches is not None
        images = self._batches.take(step)
        rate = learning_rate(self.plan, step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        moving = [tensor.clone() for tensor in self._moving]
        loss, share, truth = self._gradients(step, images, moving)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.plan.clip_norm or math.inf)
        asked = torch.full_like(loss, float(requested()))
        values = self.accelerator.reduce(torch.stack([loss, share, truth, asked]), "mean")
        loss, share, truth, asked = values.cpu().unbind()
        self._asked_to_stop = bool(asked) and self.accelerator.num_processes > 1
        for name, value in (("loss", float(loss)), ("gradient norm", float(norm))):
            if not math.isfinite(value):  # the values are still those of the last update
                self._put_back(moving)
                raise NotFinite(f"the {name} is {name_of(value)}")
        try:
            self.optimiser.step()
        except RuntimeError as error:  # the learning rate times a gradient
            if "overflow" not in str(error):
                raise
            raise NotFinite("an update is infinite") from error
        self.optimiser.zero_grad(set_to_none=True)
        self._update_average()
        self._watch_collapse(float(share), float(truth))
        row = {"step": step + 1, "loss": float(loss), "learning_rate": rate, "gradient_norm": float(norm)}
        self._rows.append(row)

    def _put_back(self, moving: list[Tensor]) -> None:
        """Undo what a forward pass moved beside the gradients, and drop those."""
        self.optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            for tensor, before in zip(self._moving, moving, strict=True):
                tensor.copy_(before)

    @property
    def parts(self) -> int:
        """In how many parts an update is computed: as the run decided, or as planned."""
        return self.progress.parts or self.plan.accumulate

    def _gradients(self, step: int, images: Batch, moving: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of an update; where the device's memory runs out, the same once more in twice as many parts.

        Args:
            step: from 0.
            images: of this process.
            moving: what a forward pass moves, as it was before.

        Raises:
            ConfigError: single images do not fit, or several processes would have to agree on the parts.
        """
        seed = step_seed(self.plan.seed, step, self.accelerator.process_index)
        while True:
            torch.manual_seed(seed)
            try:
                return self._backward(images)
            except torch.OutOfMemoryError:
                pass  # dealt with outside, where the frames that hold the tensors are gone
            self._take_more_parts(len(images[1]))
            self._put_back(moving)

    def _take_more_parts(self, num_images: int) -> None:
        """Free what the failed attempt left, and cut the update finer."""
        self.optimiser.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.accelerator.num_processes > 1:
            raise ConfigError(
                "An update does not fit into the memory of one of the devices; set accumulate "
                f"to more than {self.parts}, the same for all processes."
            )
        if self.parts >= num_images:
            raise ConfigError("Not even a single image at a time fits into the device's memory; " + WAYS_OUT + ".")
        self.progress.parts = min(num_images, 2 * self.parts)
        say(
            f"The device's memory ran out: from here on updates are computed in {self.progress.parts} parts; each is "
            f"still of {num_images} images."
        )

    def _backward(self, images: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Accumulate gradients over the parts of the share; each image weighs the same.

        Returns:
            Mean loss, predicted and true share of foreground.
        """
        inputs, labels = images
        num_images = len(labels)
        device, num = self.accelerator.device, min(self.parts, num_images)
        totals = torch.zeros(3, device=device)
        for number in range(num):
            rows = slice(number, None, num)
            part, targets = rows_of(inputs, rows, device), labels[rows].contiguous().to(device)
            weight = len(targets) / num_images
            with self._synchronising(last=number == num - 1), autocast_to(self.autocast, device):
                loss, share = self.objective(part, targets)
                self.accelerator.backward(loss * weight)
            counted = targets != IGNORE
            truth = ((targets > 0) & counted).sum() / counted.sum().clamp_min(1)
            totals += weight * torch.stack([loss.detach().float(), share, truth])
        loss, share, truth = totals.unbind()
        return loss, share, truth

    def _synchronising(self, *, last: bool) -> Any:
        """Exchange gradients between processes only with the last part of an update."""
        return nullcontext() if last else self.accelerator.no_sync(self.objective)

    def _update_average(self) -> None:
        if not self.plan.ema:
            return
        with torch.no_grad():
            for name, tensor in delta(self.model).items():
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
        current = {name: tensor.clone() for name, tensor in delta(self.model).items()}
        self._check_values(current)
        assign_learned(self.model, self.average or current, "the running average")
        self.model.eval()
        try:
            with torch.inference_mode():  # without the autocast of training: the score is that of what will predict
                scores = self.validation.scores(self.model)
        except Interrupted:
            self.progress.unscored = self._rows.pop()
            raise
        finally:
            assign_learned(self.model, current, "the current values")
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

    def kept_bytes(self) -> int:
        """What stays beside the model once training is under way: moments, running average, the best values."""
        copies = 2 + bool(self.plan.ema) + (self.validation is not None)
        return copies * sum(parameter.numel() * parameter.element_size() for parameter in self.parameters)

    def _final(self) -> dict[str, Tensor]:
        return self.best or self.average or delta(self.model)

    def _on_device(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.accelerator.device) for name, tensor in tensors.items()}
