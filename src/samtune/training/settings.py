"""What a run is told (`TrainSettings`) and what it then does in full (`Plan`); every number chosen here is said."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samtune.errors import ConfigError
from samtune.progress import say
from samtune.types import Precision

if TYPE_CHECKING:
    from samtune.losses import LossKind
    from samtune.methods import Recipe


@dataclass(frozen=True)
class TrainSettings:
    """The settings of a training run; None means that the method's recipe or the number of images decides.

    Attributes:
        method: key of `samtune.methods.METHODS`.
        method_fields: the method's hyper-parameters that differ from its defaults.
        base: hub id, folder, .pth file or `nano`.
        side: image size in pixels, a multiple of the base's patch; None for the base's own.
        shots: how many images to use in all, training and validation together; None for all.
        val: share of those images that is kept for validation, 0..0.9; 0 for none.
        seed: of the split, the first values, the order of images and the views.
        updates: optimiser steps.
        batch_size: images in an update, over all processes.
        accumulate: in how many parts an update's images are pushed through the model.
        learning_rate: peak of the schedule.
        weight_decay: AdamW's, on matrices only.
        loss: a name of `samtune.losses`, or "auto".
        ema: decay of the running average of the trained tensors; 0 for none.
        views: augmented views of an image besides itself; None for 8 where features are cached, else a new view at
            every step. 0 trains on the images as they are.
        evaluations: how often the validation images are scored in a run.
        patience: stop after this many evaluations without a better score; None for never.
        precision: "auto" is bf16 on GPUs that have it; on CPUs that have it a real size's encoder computes in bf16, and
            all else in fp32 (`sam.choose_precision`). "fp32" and "bf16" hold for the whole model.
        recompute: keep of each encoder block only its input and compute the block again when its gradient is due: less
            memory for more time. Only for methods that train something in the encoder.
        device: "cpu", "cuda" or None for what there is.
        checkpoint_every_s: seconds between two checkpoints for `--resume`.
    """

    method: str = "ptsam"
    method_fields: dict[str, Any] = field(default_factory=dict)
    base: str = "facebook/sam-vit-base"
    side: int | None = None
    shots: int | None = None
    val: float = 0.25
    seed: int = 0
    updates: int | None = None
    batch_size: int | None = None
    accumulate: int = 1
    learning_rate: float | None = None
    weight_decay: float | None = None
    loss: str = "auto"
    ema: float | None = None
    views: int | None = None
    evaluations: int = 20
    patience: int | None = 10
    precision: Precision = "auto"
    recompute: bool = False
    device: str | None = None
    checkpoint_every_s: float = 5.0

    def __post_init__(self) -> None:
        """Check each number's range; all that is wrong is told together."""
        wrong = []
        for name, low, high in (
            ("shots", 1, math.inf), ("val", 0, 0.9), ("updates", 1, math.inf), ("batch_size", 1, math.inf),
            ("accumulate", 1, math.inf), ("learning_rate", 0, math.inf), ("weight_decay", 0, math.inf),
            ("ema", 0, 0.99999), ("views", 0, 1_000_000), ("evaluations", 1, math.inf), ("patience", 1, math.inf),
            ("checkpoint_every_s", 0, math.inf), ("seed", 0, 2**31 - 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                wrong.append(f"{name} must lie in {low}..{high}, but {value} came")
        if self.precision not in ("auto", "fp32", "bf16"):
            wrong.append(f"precision must be auto, fp32 or bf16, but {self.precision!r} came")
        if wrong:
            raise ConfigError("; ".join(wrong) + ".")


@dataclass(frozen=True)
class Plan:
    """A run with every number decided.

    Attributes:
        updates: optimiser steps; 0 keeps the method's first values.
        batch_size: images in an update, over all processes.
        warmup: steps of linear rise.
        learning_rate: peak.
        weight_decay: on matrices.
        loss: a name of `samtune.losses`.
        ema: decay, 0 for none.
        views: number of views of an image, itself included.
        evaluate_every: steps between two evaluations.
    """

    updates: int
    batch_size: int
    warmup: int
    learning_rate: float
    weight_decay: float
    loss: LossKind
    ema: float
    views: int
    evaluate_every: int

    def rate(self, step: int) -> float:
        """The learning rate of a step (from 0): linear warm-up, then a cosine to one hundredth of the peak."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.updates - self.warmup)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


FRESH_VIEWS = 1_000_000
"""Number of views where each step computes its own."""


def plan_run(
    settings: TrainSettings, recipe: Recipe, *, num_images: int, num_classes: int, cached: bool, num_processes: int
) -> Plan:
    """Decide what the settings leave open, and say it.

    Args:
        settings: as given.
        recipe: the method's own defaults.
        num_images: training images.
        num_classes: K.
        cached: whether features are computed once.
        num_processes: how many processes share an update.

    Raises:
        ConfigError: settings that contradict each other.
    """
    batch_size = settings.batch_size or min(recipe.batch_size, max(num_images, num_processes))
    if settings.batch_size is None:
        batch_size = math.ceil(batch_size / num_processes) * num_processes
    if batch_size % num_processes:
        raise ConfigError(
            f"batch_size must be a multiple of the {num_processes} processes, but {batch_size} came; it counts the "
            "images of an update over all of them."
        )
    if settings.accumulate > batch_size // num_processes:
        raise ConfigError(
            f"accumulate cuts an update's {batch_size // num_processes} images per process into parts, but "
            f"{settings.accumulate} parts came; raise batch_size or lower accumulate."
        )
    updates = settings.updates or recipe.updates
    views = settings.views if settings.views is not None else (8 if cached else FRESH_VIEWS - 1)
    if not updates:
        views = 0
    plan = Plan(
        updates=updates,
        batch_size=batch_size,
        warmup=max(1, updates // 20),
        learning_rate=recipe.learning_rate if settings.learning_rate is None else settings.learning_rate,
        weight_decay=recipe.weight_decay if settings.weight_decay is None else settings.weight_decay,
        loss=_loss(settings.loss if settings.loss != "auto" else recipe.loss, num_classes),
        ema=recipe.ema if settings.ema is None else settings.ema,
        views=views + 1,
        evaluate_every=max(1, updates // settings.evaluations),
    )
    if not updates:
        say("No updates: the values fitted to the training images, as they are, are the result.")
        return plan
    kind = f"each image and {views} augmented views of it" if cached else "a new view of an image at each step"
    say(f"{updates} updates of {batch_size} images, learning rate {plan.learning_rate:g}, loss {plan.loss}; {kind}.")
    return plan


def _loss(name: str, num_classes: int) -> LossKind:
    """The loss by name; "auto" by the number of classes.

    Raises:
        ConfigError: an unknown loss, or one for a single class with several.
    """
    from typing import get_args

    from samtune.losses import ONE_CLASS, LossKind

    if name == "auto":
        return "bce_dice" if num_classes == 1 else "ce_dice"
    offered = get_args(LossKind)
    if name not in offered:
        raise ConfigError(f"The loss must be auto or one of {', '.join(offered)}, but {name!r} came.")
    if num_classes > 1 and name in ONE_CLASS:
        raise ConfigError(f"The loss {name} is for one class, but there are {num_classes}; use ce_dice or focal_dice.")
    loss: LossKind = name  # type: ignore[assignment]
    return loss
