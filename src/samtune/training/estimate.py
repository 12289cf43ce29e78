"""Estimate of a run's memory, time and disk space before it starts; nothing is written.

The plan is the one that `train` resolves. Memory is counted (`memory.py`); where the count fits, one image is encoded
and a few updates are done, which gives the times, and the peak memory that corrects the count.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samtune.data import split as split_dataset
from samtune.methods import StartsFromData, trainable
from samtune.progress import say
from samtune.system.memory import available_bytes, held_bytes
from samtune.training.features import CachedFeatures
from samtune.training.memory import feature_bytes
from samtune.training.setup import accelerator_of, adapt_base, base_and_plan, views_of
from samtune.training.trial import Trial
from samtune.training.validation import Validation

if TYPE_CHECKING:
    from samtune.bases import Base
    from samtune.data import Dataset
    from samtune.training.plan import Plan
    from samtune.training.settings import TrainSettings
    from samtune.training.trainer import Trainer


@dataclass(frozen=True)
class Estimate:
    """Estimated memory, time and disk space of a run.

    Attributes:
        method: key of the method.
        base: name of the base.
        side: image size in pixels.
        device: type of the device, such as "cpu" or "cuda".
        num_train: number of training images.
        num_val: number of validation images.
        trainable: number of trained parameters.
        plan: `Plan.numbers`; "accumulate" is the number of micro-batches with the memory that is free now.
        features: "to_compute", the number of views to encode; "bytes" they take on disk; "free_bytes" of that disk;
            and "folder".
        memory: "measured_bytes", the peak of this process in the trial with the counted memory of what was not run
            added, None where nothing was run; "counted_bytes", counted without running anything; "peak_bytes", the
            measured number or else the counted one; and "limit_bytes", the most this process could have, None where
            unknown.
        seconds: "load", "features", "start", "training", "validation" and their sum "total"; empty where nothing was
            run because it does not fit. Patience may end the run sooner.
        fits: whether memory and disk space suffice; None where the available memory is unknown.
    """

    method: str
    base: str
    side: int
    device: str
    num_train: int
    num_val: int
    trainable: int
    plan: dict[str, Any]
    features: dict[str, Any]
    memory: dict[str, int | None]
    seconds: dict[str, float]
    fits: bool | None


def estimate_run(settings: TrainSettings, dataset: Dataset, *, validation: Dataset | None = None) -> Estimate:
    """Estimate a run on this machine with the memory and disk space that are free now.

    Takes as long as loading the base, encoding an image twice and doing a few updates.

    Args:
        settings: as in `train`.
        dataset: as in `train`.
        validation: as in `train`.

    Raises:
        ConfigError, DataError, WeightsError: as in `train`.
    """
    accelerator = accelerator_of(settings)
    given = validation is not None
    parts = split_dataset(dataset, shots=settings.shots, val=0 if given else settings.val, seed=settings.seed)
    before = time.monotonic()
    model, plan = base_and_plan(settings, dataset, parts, accelerator)
    load_s = time.monotonic() - before
    views, sample = views_of(model, plan, dataset, parts.train)
    held, available = held_bytes(model.device), available_bytes(model.device)
    trial = Trial(model, views, sample, accelerator, available)
    say("Estimating: counting memory, then timing a few images and updates; nothing is written.")
    scored = validation or dataset
    val = tuple(range(len(scored))) if given else parts.val
    trainer = _try_out(trial, settings, plan, len(dataset.class_names), scored, val)
    plan = trainer.plan
    features = _features(
        CachedFeatures.of(model, sample), model, plan.views if plan.cached else None, num_images=len(views)
    )
    memory = trial.memory(trainer, held)
    limit = memory["limit_bytes"]
    enough = features["bytes"] <= features["free_bytes"]
    return Estimate(
        method=plan.method.name,
        base=settings.base,
        side=model.spec.image_size,
        device=model.device.type,
        num_train=len(views),
        num_val=len(val),
        trainable=sum(parameter.numel() for parameter in trainable(model).values()),
        plan=plan.numbers(),
        features=features,
        memory=memory,
        seconds=_with_total({"load": load_s} | trial.seconds(trainer, features["to_compute"])) if trial.ran else {},
        fits=None if limit is None else enough and (memory["peak_bytes"] or 0) <= limit,
    )


def _try_out(
    trial: Trial, settings: TrainSettings, plan: Plan, num_classes: int, scored: Dataset, val: tuple[int, ...]
) -> Trainer:
    """Encode, adapt and update as the run would, as far as it fits into memory.

    Args:
        trial: the trial of the run.
        settings: of the run.
        plan: of the run.
        num_classes: number of classes.
        scored: data set of the validation images.
        val: indices of the validation images in `scored`; may be empty.

    Returns:
        The trainer after a few updates; its plan has the number of micro-batches that fit.
    """
    model = trial.model
    trial.encode()
    encoder = model.encoder_id
    adapt_base(model, plan, plan.task.num_maps(num_classes))
    if isinstance(plan.method, StartsFromData):
        trial.start(plan.method)
    scoring = Validation(scored, plan.task, val, encoder if plan.cached else None) if val else None
    trainer = trial.trainer(settings, plan, scoring)
    trial.fit(trainer, fixed=settings.accumulate is not None)
    trial.update(trainer)
    return trainer


def _features(sample: CachedFeatures, model: Base, num_views: int | None, *, num_images: int) -> dict[str, Any]:
    """Return `Estimate.features`, extrapolated from the sample where there are more images.

    Args:
        sample: features of the sample.
        model: adapted.
        num_views: views of each image; None for one view of each image of the sample, which the probe needs.
        num_images: number of training images.
    """
    store = sample.store
    missing = len(sample.missing(range(num_views or 1)))
    if num_views is not None:
        missing = round(missing * num_images / len(sample.views))
    each = feature_bytes(model, 2) + model.spec.image_size**2
    return {
        "to_compute": missing, "bytes": missing * each, "free_bytes": store.free_bytes(), "folder": str(store.folder),
    }  # fmt: skip


def _with_total(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in (seconds | {"total": sum(seconds.values())}).items()}
