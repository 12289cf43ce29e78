"""Trial of a run: encode one image, do a few updates and score a few images, to measure their time and memory.

`estimate_run` calls the methods of `Trial` in the order of a run; `memory` and `seconds` then scale what was measured
to the whole run.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from samtune.methods import fit_probe
from samtune.run_folder import RunFolder
from samtune.system.memory import peak_bytes
from samtune.training.features import FreshPixels, encoded_at_once
from samtune.training.memory import (
    UpdateMemory,
    count_encoding,
    count_memory,
    feature_bytes,
    waste,
)
from samtune.training.micro_batch import USED, parts_that_fit
from samtune.training.setup import autocast_of
from samtune.training.trainer import Trainer
from samtune.training.validation import REMEMBERED_BYTES, Validation
from samtune.types import Features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accelerate import Accelerator
    from torch import Tensor

    from samtune.bases import Base
    from samtune.methods import StartsFromData
    from samtune.training.features import Views
    from samtune.training.plan import Plan
    from samtune.training.settings import TrainSettings

WHOLE_S = 20.0
"""Seconds up to which an update is timed with all its images and several validation images are scored; above it one
image is timed, and the time is scaled."""

SCORED = 4
"""Number of validation images that are timed, since the time depends on their content."""


@dataclass(frozen=True)
class RandomFeatures:
    """Source of random features in the shapes of the cached ones; reads nothing from disk.

    Attributes:
        views: views that the label maps' size is taken from.
        shapes: shape of each tensor of the features, without the batch axis.
    """

    views: Views
    shapes: dict[str, tuple[int, ...]]

    def load(self, pairs: Sequence[tuple[int, int]]) -> tuple[Features, Tensor]:
        """See `features.Source`."""
        features, labels = self._drawn
        rows = [position % len(labels) for position in range(len(pairs))]
        return features.map(lambda each: each[rows]), labels[rows]

    @cached_property
    def _drawn(self) -> tuple[Features, Tensor]:
        """Features and label maps of two images, drawn once: random numbers take longer than reading from disk."""
        draw, side = torch.Generator().manual_seed(0), self.views.spec.image_size
        labels = torch.rand(2, side, side, generator=draw) > 0.7
        tensors = {name: torch.randn(2, *shape, generator=draw) for name, shape in self.shapes.items()}
        return Features.of(tensors), labels.to(torch.uint8)


class Trial:
    """Measures the phases of a run, each on a few images.

    Args:
        model: base, on its device; it gets its method between `encode` and `start`.
        views: views of the training images.
        sample: views of the images that the probe and first values are fitted to.
        accelerator: processes and device.
        available: bytes that this process could still take; None where unknown.

    Attributes:
        ran: whether anything was run; False where one image does not fit into memory.
        times: seconds by phase.
        counted: bytes by phase, counted without running it.
        update_memory: counted memory of an update; None before `fit`, and where it cannot be counted.
        largest_run: images in the largest micro-batch that was run.
        cached: whether features are computed once.
    """

    def __init__(
        self, model: Base, views: Views, sample: Views, accelerator: Accelerator, available: int | None
    ) -> None:
        self.model, self.views, self.sample, self.accelerator = model, views, sample, accelerator
        self.available = math.inf if available is None else available
        self.ran = False
        self.times: dict[str, float] = {}
        self.counted: dict[str, int] = {}
        self.update_memory: UpdateMemory | None = None
        self.largest_run = 0
        self.cached = False
        self._seen: tuple[Tensor, Tensor] | None = None

    def encode(self) -> None:
        """Count the memory of encoding; where it fits, time encoding an image and fitting the probe to it."""
        model, at_once = self.model, encoded_at_once(self.model.spec.image_size)
        num_bytes = count_encoding(model, at_once) or 0
        self.counted["features"] = int(waste(model.device) * num_bytes)
        if self.counted["features"] > self.available:
            return
        self.ran = True
        model.eval()
        pixels, annotation = self._timed("prepare", lambda: self.views.prepare(0, 0)[:2])

        @torch.inference_mode()
        def encode() -> Tensor:
            batch = pixels.expand(at_once, -1, -1, -1).to(model.device)
            return model.encode(batch).embedding.to("cpu", torch.float32)

        embedding = self._timed("encode", encode, least=2)[:1]
        self.times["encode"] /= at_once
        task = self.views.task
        self._seen = embedding.clone(), task.label_maps(annotation[None])
        num_maps = task.num_maps(len(self.views.dataset.class_names))
        self._timed("probe", lambda: fit_probe(*self._pair(), num_classes=num_maps), most=1)

    def start(self, method: StartsFromData) -> None:
        """Time the computation of first values from the training images."""
        if self.ran:
            embedding, labels = self._pair()
            self._timed(
                "start", lambda: method.start(self.model, embedding.to(self.model.device), labels, seed=0), most=1
            )

    def trainer(self, settings: TrainSettings, plan: Plan, validation: Validation | None) -> Trainer:
        """Return the training loop of the run, on random features where they are cached; it writes nothing."""
        self.cached = plan.cached
        return Trainer(
            model=self.model,
            source=RandomFeatures(self.views, self.model.feature_shapes) if plan.cached else FreshPixels(self.views),
            validation=validation,
            plan=plan,
            autocast=autocast_of(settings, self.model),
            accelerator=self.accelerator,
            folder=RunFolder(Path()),
            checkpoint_every_s=math.inf,
        )

    def fit(self, trainer: Trainer, *, fixed: bool) -> None:
        """Count the memory of an update, and set its parts in the trainer's plan as `micro_batch.choose_parts` does.

        Args:
            trainer: its `plan` is replaced.
            fixed: whether the user set the number of parts.
        """
        plan = trainer.plan
        if not plan.updates:
            return
        self.update_memory = count_memory(self.model, plan, autocast=trainer.autocast)
        self.counted["kept"] = trainer.kept_bytes()
        if self.update_memory is None or fixed or math.isinf(self.available):
            return
        room = USED * self.available - self.counted["kept"]
        share = plan.batch_size // self.accelerator.num_processes
        trainer.plan = replace(plan, accumulate=parts_that_fit(self.update_memory, share, room, least=plan.accumulate))

    def update(self, trainer: Trainer) -> None:
        """Time an update and the scoring of a validation image, where one image fits into memory."""
        plan = trainer.plan
        first = 0 if self.update_memory is None else self.update_memory.first_bytes
        if self.counted.get("kept", 0) + first > self.available:
            self.ran = False
        if not self.ran:
            return
        share = plan.batch_size // self.accelerator.num_processes
        if plan.updates:
            # An update of one image first: it is never too long, and time grows linearly with the images.
            trainer.plan = replace(plan, batch_size=self.accelerator.num_processes, accumulate=1)
            self.largest_run = 1
            taken = warm_mean(trainer.try_updates(most=3, most_s=3.0)) * share
            if share > 1 and taken < WHOLE_S:
                trainer.plan = plan
                self.largest_run = math.ceil(share / plan.accumulate)
                taken = warm_mean(trainer.try_updates(most=20, most_s=5.0))
            self.times["update"] = taken
        trainer.plan = plan
        if trainer.validation is not None:
            self._score(trainer, trainer.validation)

    def _score(self, trainer: Trainer, validation: Validation) -> None:
        """Time the scoring of a validation image with and without its encoding; of a few images where that is quick."""

        def scores(num: int) -> Callable[[], Any]:
            some = replace(validation, indices=validation.indices[:num], encoder="a trial")
            return lambda: some.scores(self.model)

        self.model.eval()
        with torch.inference_mode():
            self._timed("score and encode", scores(1), most=1)
            num = min(SCORED, len(validation.indices))
            if self.times["score and encode"] * num >= WHOLE_S:
                num = 1
            if num > 1:
                scores(num)()  # encodes the others
            self._timed("score", scores(num), most=1)
            self.times["score"] /= num

    def memory(self, trainer: Trainer, held: int) -> dict[str, int | None]:
        """Return the most memory that the process will hold, in bytes.

        Args:
            trainer: from `trainer`.
            held: bytes that the process held before the trial.

        Returns:
            `Estimate.memory`.
        """
        model, on_cpu, plan = self.model, self.model.device.type == "cpu", trainer.plan
        share = plan.batch_size // self.accelerator.num_processes
        largest = math.ceil(share / plan.accumulate)
        each = feature_bytes(model)
        num_val = 0 if trainer.validation is None else len(trainer.validation.indices)
        remembered = min(num_val * each, REMEMBERED_BYTES) if self.cached else 0
        update = self.update_memory
        kept = self.counted.get("kept", 0)
        # The features of the sample, twice in bfloat16, then four times in float32; and the label maps.
        sample = len(self.sample) * int(4.5 * each + 6 * model.spec.image_size**2) if on_cpu else 0
        loop = kept + remembered + (update.total(largest) if update else 0)
        counted = held + max(self.counted["features"], sample, loop)
        measured = None
        if self.ran:
            measured = peak_bytes(model.device) + remembered
            if update is not None and largest > self.largest_run:  # corrects the count by the error seen so far
                scale = max(1.0, (measured - held) / (kept + update.total(self.largest_run)))
                measured += int(scale * (largest - self.largest_run) * update.more_bytes)
            measured = max(measured, held + sample)
        limit = None if math.isinf(self.available) else held + int(self.available)
        return {
            "peak_bytes": counted if measured is None else measured, "counted_bytes": counted,
            "measured_bytes": measured,
            "limit_bytes": limit,
        }  # fmt: skip

    def seconds(self, trainer: Trainer, to_compute: int) -> dict[str, float]:
        """Return the seconds of each phase, scaled to the plan.

        Args:
            trainer: from `trainer`.
            to_compute: number of views to encode.
        """
        plan, times = trainer.plan, self.times
        encode_view = times["encode"] + times["prepare"]  # on a CPU both need the same cores
        if self.model.device.type != "cpu":
            encode_view = max(times["encode"], times["prepare"])
        fits = times["probe"] + times.get("start", 0.0)
        num_val = 0 if trainer.validation is None else len(trainer.validation.indices)
        evaluations = math.ceil(plan.updates / plan.evaluate_every) or 1
        score, encode = times.get("score", 0.0), times.get("score and encode", 0.0) - times.get("score", 0.0)
        return {
            "features": to_compute * encode_view,
            "start": fits * len(self.sample) / 2,
            "training": plan.updates * times.get("update", 0.0),
            "validation": num_val * (evaluations * score + (1 if self.cached else evaluations) * max(0.0, encode)),
        }

    def _pair(self) -> tuple[Tensor, Tensor]:
        """Return the encoded image twice, since fitting may need several images."""
        assert self._seen is not None
        return torch.cat([self._seen[0]] * 2), torch.cat([self._seen[1]] * 2)

    def _timed(self, name: str, run: Callable[[], Any], least: int = 1, most: int = 3) -> Any:
        times: list[float] = []
        while len(times) < least or (len(times) < most and sum(times) < 2.0):
            before = time.monotonic()
            done = run()
            if self.model.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.monotonic() - before)
        self.times[name] = warm_mean(times)
        return done


def warm_mean(times: list[float]) -> float:
    """Return the mean without the first time, which is cold; the first where it is the only one.

    The mean and not the median, since a run takes the sum of its steps, slow ones included.
    """
    return statistics.fmean(times[1:] or times)
