"""Training loop, the same for every method, on one device or several processes.

It takes an adapted model, a source of batches and validation images; the model ends with its best values, and a
checkpoint written at any moment continues to the same history.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from samtune.adapters import assign_learned
from samtune.errors import WeightsError
from samtune.methods import delta
from samtune.prefetch import Prefetcher
from samtune.progress import say, track
from samtune.run_folder import SCORE_PREFIX
from samtune.training.divergence import NotFinite, all_finite, diverged
from samtune.training.interruption import Interrupted, honour, stop_requested
from samtune.training.schedule import batch
from samtune.training.state import (
    Progress,
    State,
    check_settings,
    read_state,
    write_state,
)
from samtune.training.updater import Updater

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accelerate import Accelerator
    from torch import Tensor

    from samtune.bases import Base
    from samtune.run_folder import RunFolder
    from samtune.training.features import Source
    from samtune.training.plan import Plan
    from samtune.training.updater import Batch
    from samtune.training.validation import Validation

COLLAPSE_STEPS = 50
"""Number of updates in a row without predicted foreground after which a collapse is reported."""

COLLAPSE_SHARE = 1e-3
"""Share of foreground pixels below which predictions count as all background."""


@dataclass
class Trainer:
    """Training loop of one run.

    Attributes:
        model: adapted, on its device.
        source: batches of training inputs.
        validation: images that are scored; None where no image was kept for validation.
        plan: numbers of the run.
        autocast: dtype of autocast in training; None for none.
        accelerator: processes and device.
        folder: run folder.
        checkpoint_every_s: seconds between checkpoints.
        settings: settings of the run as JSON values; a checkpoint of other settings is refused.
        progress: updates done, scores and the number of parts.
        stopped_because: reason in one sentence where training diverged, else "".
        updater: optimiser of the model.
        best: learned tensors of the best evaluation by name; empty before one.
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
        """Make the optimiser."""
        self.updater = Updater(self.model, self.plan, self.accelerator, autocast=self.autocast)
        self.best: dict[str, Tensor] = {}
        self._batches: Prefetcher[Batch] | None = None
        self._rows: list[dict[str, Any]] = []
        self._stop_requested = False
        self._saved_at = time.monotonic()

    def resume(self) -> bool:
        """Load the last checkpoint; return whether there is one.

        Raises:
            ConfigError: it belongs to a run with other settings.
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
            self.updater.load_optimiser_state(groups.get("optimiser", {}))
        except ValueError as error:  # a tensor of an unknown parameter
            raise WeightsError(
                f"The checkpoint in {self.folder.last} belongs to another model; delete it to start this run from its "
                "first update."
            ) from error
        self.updater.average = self._on_device(groups.get("average", {}))
        self.best = self._on_device(groups.get("best", {}))
        self.updater.parts = self.progress.parts or self.plan.accumulate
        return True

    def run(self) -> str:
        """Train to the end, or until patience ends it, training diverges or it is interrupted.

        Afterwards the model holds the values of the best evaluation, or the last ones without validation.

        Returns:
            "finished", "early", "interrupted" or "diverged".

        Raises:
            Diverged: training diverged before the first evaluation, or without validation.
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
            self.evaluate()
        elif not self.plan.updates and self.validation is not None and self.progress.best_score < 0:
            self._rows.append({"step": 0})
            self.evaluate()
        for step in track(self._steps(), "Training", total=self.plan.updates - self.progress.step):
            self._stop_if_requested()
            self.update(step)
            self.progress.step = step + 1
            if self._is_evaluation(step):
                self.evaluate()
            if time.monotonic() - self._saved_at >= self.checkpoint_every_s:
                self.checkpoint()

    def _stop_if_requested(self) -> None:
        """Stop between two updates; several processes stop after the same one.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came.
        """
        if self._stop_requested or (self.accelerator.num_processes == 1 and stop_requested()):
            honour()
            raise Interrupted

    def _keep_best(self, cause: str) -> None:
        """Load the best values after training diverged.

        Args:
            cause: what is not finite, as in "the loss is NaN".

        Raises:
            Diverged: there was no evaluation.
        """
        reduced = "bf16" if self.autocast is not None or self.model.encoder_dtype != torch.float32 else None
        error = diverged(self.progress.step + 1, self.plan, cause, reduced)
        if not self.best:
            if self.accelerator.is_main_process:
                self.folder.remove_last()
            raise error
        self.stopped_because = f"{error} The values of update {self.progress.best_step} are kept."
        say(self.stopped_because)
        assign_learned(self.model, self.best, "the best of this run")

    def _check_values(self, values: dict[str, Tensor]) -> None:
        """Refuse values that are not finite before they are scored or kept.

        Raises:
            NotFinite: a value is NaN or infinite.
        """
        if not all_finite(values.values()):
            raise NotFinite("a trained value is NaN or infinite")

    def try_updates(self, *, most: int, most_s: float) -> list[float]:
        """Time a few updates; nothing is written.

        Args:
            most: largest number of updates.
            most_s: no update begins after so many seconds.

        Returns:
            Seconds of each update; the first is cold.

        Raises:
            Diverged: an update is not finite.
        """
        self.updater.parts = self.plan.accumulate
        times: list[float] = []
        with Prefetcher(self._load, most) as self._batches:
            while len(times) < most and sum(times) < most_s:
                start = time.monotonic()
                try:
                    self.update(len(times))  # ends with numbers on the CPU, so the device is done too
                except NotFinite as error:
                    raise diverged(len(times) + 1, self.plan, str(error), None) from error
                times.append(time.monotonic() - start)
        self._batches, self._rows = None, []
        return times

    def checkpoint(self) -> None:
        """Write the history, then the state; `resume` cuts off what a kill between the two leaves."""
        self.progress.parts = self.updater.parts
        if self.accelerator.is_main_process:
            self._write_history()
            groups = {
                "learned": delta(self.model),
                "optimiser": self.updater.optimiser_state(),
                "average": self.updater.average,
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
        """Return this process's share of an update's images; called in a thread, one step ahead."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        pairs = batch(
            step, num_images=len(self.source.views), batch_size=self.plan.batch_size, num_views=self.plan.views,
            seed=self.plan.seed,
        )[rank::world]  # fmt: skip
        return self.source.load(pairs)

    def update(self, step: int) -> None:
        """Do the update of a step (from 0), and add its row to the history.

        Raises:
            NotFinite: the loss, the gradient norm or the update is NaN or infinite.
        """
        assert self._batches is not None
        done = self.updater.update(self._batches.take(step), step)
        self._stop_requested = done.stop_requested and self.accelerator.num_processes > 1
        self._watch_collapse(done.predicted_share, done.true_share)
        self._rows.append(
            {
                "step": step + 1,
                "loss": done.loss,
                "learning_rate": done.learning_rate,
                "gradient_norm": done.gradient_norm,
            }
        )

    def _is_evaluation(self, step: int) -> bool:
        last = step + 1 == self.plan.updates
        return self.validation is not None and (last or (step + 1) % self.plan.evaluate_every == 0)

    def evaluate(self) -> None:
        """Score the validation images with the values that would be kept, and keep them if they are the best.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came; the row of the history waits in `progress.unscored`.
            NotFinite: a learned value or a prediction is NaN or infinite.
        """
        assert self.validation is not None
        current = {name: tensor.clone() for name, tensor in delta(self.model).items()}
        self._check_values(current)
        average = self.updater.average
        assign_learned(self.model, average or current, "the running average")
        self.model.eval()
        try:
            with torch.inference_mode():  # without the autocast of training: the score is that of what will predict
                scores = self.validation.scores(self.model)
        except Interrupted:
            self.progress.unscored = self._rows.pop()
            raise
        finally:
            assign_learned(self.model, current, "the current values")
        self._rows[-1] |= {f"{SCORE_PREFIX}{name}": value for name, value in scores.items()}
        progress = self.progress
        score = scores[self.plan.task.headline.key]
        if score > progress.best_score:
            progress.best_score, progress.best_step = score, progress.step
            progress.best_scores = scores
            progress.evaluations_without_better = 0
            self.best = {name: tensor.clone() for name, tensor in (average or current).items()}
        elif progress.best_score > 0:  # a model that finds nothing yet is given the whole run to find something
            progress.evaluations_without_better += 1
        patience = self.plan.patience
        if patience and progress.evaluations_without_better >= patience:
            progress.stopped_early = True
            say(f"Stopped after {progress.step} updates: no better score in {patience} evaluations.")

    def _watch_collapse(self, share: float, truth: float) -> None:
        """Report, once, that the model predicts (almost) only background."""
        progress = self.progress
        empty = share < COLLAPSE_SHARE and truth > share
        progress.steps_without_foreground = progress.steps_without_foreground + 1 if empty else 0
        if progress.steps_without_foreground == COLLAPSE_STEPS and not progress.collapsed:
            progress.collapsed = True
            say(
                f"Collapse: for {COLLAPSE_STEPS} updates the model has predicted (almost) only background, while "
                f"{truth:.1%} of the pixels are foreground; try --set loss=balanced_bce_dice, a larger --side for thin "
                "or small objects, or another --set learning_rate."
            )

    def kept_bytes(self) -> int:
        """Return the bytes kept beside the model during training: moments, running average and best values."""
        copies = 2 + bool(self.plan.ema) + (self.validation is not None)
        return copies * sum(parameter.numel() * parameter.element_size() for parameter in self.updater.parameters)

    def _final(self) -> dict[str, Tensor]:
        return self.best or self.updater.average or delta(self.model)

    def _on_device(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.accelerator.device) for name, tensor in tensors.items()}
