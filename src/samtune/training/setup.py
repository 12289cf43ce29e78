"""What stands before the first update, the same for a run and for its estimate: device, base, views, model and plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from samtune.bases import LOGITS_A_CELL, Base, keep_frozen_low, load_base
from samtune.data.views.augmentation import AUGMENTATIONS
from samtune.errors import ConfigError
from samtune.methods import adapt, has_own_loss, touches_encoder
from samtune.progress import say
from samtune.training.features import Views, sample_of
from samtune.training.memory import feature_bytes
from samtune.training.settings import augmentation_of, plan_run

if TYPE_CHECKING:
    from samtune.data import Dataset
    from samtune.training.recipe import Chosen
    from samtune.training.settings import Plan, TrainSettings


def accelerator_of(settings: TrainSettings) -> Accelerator:
    """Processes and device.

    Raises:
        ConfigError: the device that is asked for is not there, or the caller's own `Accelerator` holds another.
    """
    held = _let_go_of_another(settings.device)
    if settings.device is not None and held not in (None, settings.device):
        raise ConfigError(
            f"The device must be the {held!r} that an Accelerator of this process works on already, but "
            f"{settings.device!r} came; leave it out, or train in a process of its own."
        )
    kwargs = DistributedDataParallelKwargs(find_unused_parameters=False)
    accelerator = Accelerator(cpu=settings.device == "cpu", kwargs_handlers=[kwargs])
    if settings.device not in (None, accelerator.device.type):
        raise ConfigError(
            f"The device {settings.device!r} must be there, but this machine offers {accelerator.device.type!r}."
        )
    return accelerator


def _let_go_of_another(wanted: str | None) -> str | None:
    """Let a process train on one device after the other; accelerate remembers the first that it was asked for.

    Without this a run on the CPU would keep every later one of the process there, in silence. What the caller's own
    `Accelerator` or several processes rest on is left alone.

    Returns:
        The kind of device that is held nevertheless; None where it is free.
    """
    state = PartialState._shared_state
    alone = state.get("distributed_type") == DistributedType.NO
    if alone and _asked_for and _asked_for[-1] != wanted:
        AcceleratorState._reset_state(reset_partial_state=True)
    if not state:
        _asked_for[:] = [wanted]
    return state["device"].type if state and not _asked_for else None


_asked_for: list[str | None] = []
"""The device that `accelerator_of` was asked for when it found accelerate unset; empty where others set it."""


def autocast_of(settings: TrainSettings, sam: Base) -> torch.dtype | None:
    """The type that the whole model is cast to in training; None for none.

    Args:
        settings: as given.
        sam: on its device; what its encoder computes in is decided.
    """
    if settings.precision == "auto":
        return torch.bfloat16 if sam.device.type == "cuda" and sam.encoder_dtype == torch.bfloat16 else None
    return torch.bfloat16 if settings.precision == "bf16" else None


def base_for(settings: TrainSettings, chosen: Chosen, device: torch.device) -> Base:
    """Load the base, which then prepares images and computes features as the settings ask for."""
    base = load_base(settings.base, settings.side, device=device, precision=settings.precision)
    base.spec = replace(base.spec, fit="squash" if chosen.square else "pad")
    return base


def views_of(
    sam: Base, settings: TrainSettings, chosen: Chosen, dataset: Dataset, train: tuple[int, ...]
) -> tuple[Views, Views]:
    """The views of the training images, and of the sample of them that is looked at together."""
    views = Views(dataset, train, sam.spec, AUGMENTATIONS[augmentation_of(settings, chosen.recipe)])
    return views, sample_of(views, feature_bytes(sam), seed=settings.seed)


def adapt_and_plan(
    sam: Base, settings: TrainSettings, chosen: Chosen, *, num_images: int, num_classes: int, num_processes: int
) -> tuple[Plan, bool]:
    """Adapt the base in place and decide every number of the run.

    Args:
        sam: the base.
        settings: as given.
        chosen: method and recipe.
        num_images: training images.
        num_classes: K.
        num_processes: how many share an update.

    Returns:
        The plan, and whether features are computed once since the method leaves the encoder alone.

    Raises:
        ConfigError: a loss is asked for beside the method's own, or recomputation where the encoder is never in the
            graph.
    """
    adapt(sam, chosen.method, num_classes=num_classes, seed=settings.seed)
    own_loss = has_own_loss(sam)
    if own_loss and settings.loss != "auto":
        raise ConfigError(
            f"The loss must be left at auto where the method brings its own, as {settings.method} does with these "
            f"fields, but {settings.loss} came."
        )
    cached = not touches_encoder(sam)
    if settings.recompute and cached:
        raise ConfigError(
            f"recompute has no effect with {settings.method}, which leaves the encoder alone; leave it out."
        )
    sam.encoder.recompute = settings.recompute
    keep_frozen_low(sam)
    plan = plan_run(
        settings, chosen.recipe, num_images=num_images, num_classes=num_classes, cached=cached,
        num_processes=num_processes, cell_pixels=max(1, sam.spec.patch // LOGITS_A_CELL),
    )  # fmt: skip
    if own_loss:
        say(f"In place of that loss {settings.method} brings its own.")
    return plan, cached
