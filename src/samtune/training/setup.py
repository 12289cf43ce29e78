"""What stands before the first update, the same for a run and for its estimate: device, base, views, model and plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs

from samtune.data.augmentation import AUGMENTATIONS
from samtune.errors import ConfigError
from samtune.methods import adapt, has_own_loss, touches_encoder
from samtune.progress import say
from samtune.sam import LOGITS_A_CELL, Sam, choose_precision, keep_frozen_low
from samtune.training.features import Views, with_sample_first
from samtune.training.memory import feature_bytes
from samtune.training.settings import augmentation_of, plan_run

if TYPE_CHECKING:
    from samtune.data import Dataset
    from samtune.training.recipe import Chosen
    from samtune.training.settings import Plan, TrainSettings


def accelerator_of(settings: TrainSettings) -> Accelerator:
    """Processes and device.

    Raises:
        ConfigError: the device that is asked for is not there.
    """
    kwargs = DistributedDataParallelKwargs(find_unused_parameters=False)
    accelerator = Accelerator(cpu=settings.device == "cpu", kwargs_handlers=[kwargs])
    if settings.device not in (None, accelerator.device.type):
        raise ConfigError(
            f"The device {settings.device!r} must be there, but this machine offers {accelerator.device.type!r}."
        )
    return accelerator


def autocast_of(settings: TrainSettings, accelerator: Accelerator) -> torch.dtype | None:
    """The type that the whole model is cast to in training; None for none."""
    if settings.precision == "auto":
        on_gpu = accelerator.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if on_gpu else None
    return torch.bfloat16 if settings.precision == "bf16" else None


def load_base(settings: TrainSettings, chosen: Chosen, device: torch.device) -> Sam:
    """The untouched base, which prepares images and computes features as this training asks for."""
    sam = Sam.from_pretrained(settings.base, settings.side).to(device)
    sam.spec = replace(sam.spec, square=chosen.square)
    sam.encoder_dtype = choose_precision(settings.precision, device, sam.vision_encoder.channels)
    return sam


def views_of(
    sam: Sam, settings: TrainSettings, chosen: Chosen, dataset: Dataset, train: tuple[int, ...]
) -> tuple[Views, Views]:
    """The views of the training images, and of the sample of them that is looked at together."""
    views = Views(dataset, train, sam.spec, AUGMENTATIONS[augmentation_of(settings, chosen.recipe)])
    return with_sample_first(views, feature_bytes(sam), seed=settings.seed)


def adapt_and_plan(
    sam: Sam, settings: TrainSettings, chosen: Chosen, *, num_images: int, num_classes: int, num_processes: int
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
    sam.vision_encoder.recompute = settings.recompute
    keep_frozen_low(sam)
    plan = plan_run(
        settings, chosen.recipe, num_images=num_images, num_classes=num_classes, cached=cached,
        num_processes=num_processes, cell_pixels=max(1, sam.spec.patch // LOGITS_A_CELL),
    )  # fmt: skip
    if own_loss:
        say(f"In place of that loss {settings.method} brings its own.")
    return plan, cached
