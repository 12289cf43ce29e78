"""Steps before the first update, shared by a run, its estimate and a comparison: device, base, facts and plan."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from samtune.adapters.loading import without_content
from samtune.bases import LOGITS_PER_CELL, Base, keep_frozen_low, load_base
from samtune.data.views.augmentation import AUGMENTATIONS
from samtune.data.views.orientation import find_orientation
from samtune.errors import ConfigError, SamTuneError
from samtune.methods import adapt, has_own_loss, touches_encoder
from samtune.progress import say
from samtune.tasks import find_task
from samtune.training.features import Views, sample_of
from samtune.training.interruption import check
from samtune.training.memory import feature_bytes
from samtune.training.plan import Facts, needs_orientation, resolve
from samtune.training.recipe import method_of

if TYPE_CHECKING:
    from samtune.data import Dataset, Split
    from samtune.methods import Method
    from samtune.training.plan import Plan
    from samtune.training.settings import TrainSettings


def accelerator_of(settings: TrainSettings) -> Accelerator:
    """Return an `Accelerator` with the processes and the device of a run.

    Raises:
        ConfigError: the requested device is not available, or the caller's own `Accelerator` uses another.
    """
    device = _fixed_device(settings.device)
    if settings.device is not None and device not in (None, settings.device):
        raise ConfigError(
            f"Expected the device {device!r}, which an Accelerator of this process already uses, got "
            f"{settings.device!r}; leave `device` out, or train in another process."
        )
    is_first = not PartialState._shared_state
    kwargs = DistributedDataParallelKwargs(find_unused_parameters=False)
    accelerator = Accelerator(cpu=settings.device == "cpu", kwargs_handlers=[kwargs])
    if is_first:
        PartialState._shared_state[REQUESTED_DEVICE] = settings.device
    if settings.device not in (None, accelerator.device.type):
        raise ConfigError(
            f"The device {settings.device!r} is not available; this machine offers {accelerator.device.type!r}."
        )
    return accelerator


REQUESTED_DEVICE = "samtune_requested_device"
"""Key in accelerate's shared state of the device that `accelerator_of` set it up for; absent where the caller did."""


def _fixed_device(requested: str | None) -> str | None:
    """Return the type of the device of the caller's own `Accelerator`; None without one.

    accelerate keeps the first device of a process: without a reset, a run on the CPU would silently keep every later
    run there. State that `accelerator_of` made for another device is reset; that of the caller's own `Accelerator`, or
    of several processes, is not.
    """
    state = PartialState._shared_state
    is_alone = state.get("distributed_type") == DistributedType.NO
    if is_alone and state.get(REQUESTED_DEVICE, requested) != requested:
        AcceleratorState._reset_state(reset_partial_state=True)
    return state["device"].type if state and REQUESTED_DEVICE not in state else None


def autocast_of(settings: TrainSettings, model: Base) -> torch.dtype | None:
    """Return the dtype of autocast in training; None for none.

    Args:
        settings: settings of the run.
        model: on its device, with its encoder's dtype set.
    """
    if settings.precision == "auto":
        return torch.bfloat16 if model.device.type == "cuda" and model.encoder_dtype == torch.bfloat16 else None
    return torch.bfloat16 if settings.precision == "bf16" else None


def base_and_plan(
    settings: TrainSettings, dataset: Dataset, parts: Split, accelerator: Accelerator
) -> tuple[Base, Plan]:
    """Load the base, resolve the plan and report it.

    Args:
        settings: settings of the run.
        dataset: annotated images.
        parts: training and validation images.
        accelerator: of this process.

    Returns:
        The base, which prepares images as the plan says and has no method yet, and the plan.

    Raises:
        ConfigError: settings contradict each other or the method.
        MethodError: the method does not fit the base.
        WeightsError: the base cannot be loaded.
    """
    num_classes = len(dataset.class_names)
    num_maps = find_task(settings.task).num_maps(num_classes)
    method = method_of(settings, num_maps)  # refuse before masks and weights are read
    orientation = find_orientation(dataset, parts.train + parts.val) if needs_orientation(settings) else None
    check()
    base = load_base(settings.base, settings.side, device=accelerator.device, precision=settings.precision)
    touches, own_loss = effects_of(base, method, num_maps)
    facts = Facts(
        num_images=len(parts.train),
        num_classes=num_classes,
        touches_encoder=touches,
        has_own_loss=own_loss,
        cell_pixels=cell_pixels(base),
        num_processes=accelerator.num_processes,
        orientation=orientation,
    )
    plan = resolve(settings, facts)
    for sentence in (*plan.notes, *plan.summary):
        say(sentence)
    base.spec = replace(base.spec, fit="squash" if plan.square else "pad")
    return base, plan


def effects_of(base: Base, method: Method, num_maps: int) -> tuple[bool, bool]:
    """Return whether a method changes the encoder, and whether it brings its own loss.

    The method is attached to a twin of the base whose tensors have shapes and no content, which costs no memory.

    Args:
        base: a base as loaded; it is left as it is.
        method: to be attached.
        num_maps: maps of logits.

    Raises:
        MethodError: the method does not fit the base.
    """
    try:
        twin = adapt(without_content(base), method, num_classes=num_maps)
        return touches_encoder(twin), has_own_loss(twin)
    except SamTuneError:
        raise
    except (RuntimeError, NotImplementedError):  # a method that reads the content of the base's tensors
        twin = adapt(copy.deepcopy(base), method, num_classes=num_maps)
        return touches_encoder(twin), has_own_loss(twin)


def cell_pixels(base: Base) -> int:
    """Return the width in input pixels of one of the logits' cells."""
    return max(1, base.spec.patch // LOGITS_PER_CELL)


def views_of(base: Base, plan: Plan, dataset: Dataset, train: tuple[int, ...]) -> tuple[Views, Views]:
    """Return the views of the training images, and of the sample of them to which values are fitted together."""
    views = Views(dataset, train, base.spec, plan.task, AUGMENTATIONS[plan.augmentation])
    return views, sample_of(views, feature_bytes(base), seed=plan.seed)


def adapt_base(base: Base, plan: Plan, num_maps: int) -> None:
    """Attach the plan's method to the base, in place."""
    adapt(base, plan.method, num_classes=num_maps, seed=plan.seed)
    base.encoder.recompute = plan.recompute
    keep_frozen_low(base)
