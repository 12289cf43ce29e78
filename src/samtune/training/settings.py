"""What a run is told (`TrainSettings`) and what it then does in full (`Plan`); every number chosen here is said."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from samtune.bases import MAX_IMAGE_SIZE
from samtune.data.views.symmetries import IN_WORDS, SYMMETRIES
from samtune.errors import ConfigError
from samtune.methods.seam.recipes import Augmentations, LossSide, Schedule
from samtune.printable import shown
from samtune.progress import say
from samtune.types import Averaging, Precision
from samtune.values import Ranges, settle

if TYPE_CHECKING:
    from samtune.losses import LossKind
    from samtune.methods import Recipe

RecipeKind = Literal["auto", "paper"]
Number = TypeVar("Number", int, float)

MOST = 10**9
"""The largest number of steps, images or parts that a setting takes."""

RANGES: Ranges = {
    "shots": (1, MOST), "val": (0, 0.9), "updates": (1, MOST), "epochs": (1, MOST), "batch_size": (1, 1_000_000),
    "accumulate": (1, 1_000_000), "learning_rate": (0, 1e6), "weight_decay": (0, 1e6), "clip_norm": (0, 1e9),
    "ema": (0, 0.99999), "views": (0, 1_000_000), "evaluations": (1, MOST), "patience": (0, MOST),
    "checkpoint_every_s": (0, 1e9), "seed": (0, 2**31 - 1), "side": (1, MAX_IMAGE_SIZE),
}  # fmt: skip
"""Of each numeric setting, the lowest and the highest value."""

FEW_IMAGES = 16
"""Up to so many training images a recipe's averaging of predictions is taken."""

MIN_PASSES = 10
"""How often auto sees each image at least: with many images it raises the method's updates to this."""

EVALUATIONS = 20
"""How often the validation images are scored where neither the user nor the recipe says."""


@dataclass(frozen=True)
class TrainSettings:
    """The settings of a training run; None means that the method's recipe or the number of images decides.

    Attributes:
        method: key of `samtune.methods.METHODS`.
        recipe: where a setting is None, "auto" takes samtune's own recipe of the method and the number of images;
            "paper" takes what its source says (`methods.recipes`), and brings back with the method's own fields what
            the default mends. What is set here or in `method_fields` wins.
        method_fields: the method's hyper-parameters that differ from its defaults.
        base: hub id, folder, .pth file or `nano`.
        side: image size in pixels, a multiple of the base's patch; None for the base's own.
        shots: how many images to use in all, training and validation together; None for all.
        val: share of those images that is kept for validation, 0..0.9; 0 for none.
        seed: of the split, the first values, the order of images and the views.
        updates: optimiser steps.
        epochs: the same in passes over the training images; one of the two.
        batch_size: images in an update, over all processes.
        accumulate: in how many parts an update's images are pushed through the model; None for the recipe's number, or
            more where they would not fit into the memory there is (`micro_batch.choose_parts`).
        learning_rate: peak of the schedule.
        weight_decay: AdamW's, on matrices only unless the recipe says otherwise.
        schedule: of the learning rate: warmup_cosine, linear or epoch_cosine; see `methods.recipes`.
        clip_norm: largest norm of an update's gradient; 0 for any.
        loss: a name of `samtune.losses`, or "auto".
        loss_side: where logits and labels meet: "input", logits enlarged to the input's size; "logits", labels taken
            at the middle of the logits' cells, which saves time and memory and sees of what is thinner than a cell
            only some points; or "auto", logits where a cell is at least `WIDE_CELL` input pixels wide (SAM's are).
        ema: decay of the running average of the trained tensors; 0 for none.
        augmentation: how views differ from the image: varied (flips, turns, windows, light), upright (the same
            without turns), flip (left-right, half of the time), or auto: flip where the masks tell up from down, else
            varied.
        views: augmented views of an image besides itself; None for 8 where features are cached (1 where they are
            flipped alone), else a new view at every step. 0 trains on the images as they are.
        square: squash images to the base's square instead of keeping their aspect and padding; the specialist does
            the same ever after.
        evaluations: how often the validation images are scored in a run.
        patience: stop after this many evaluations without a better score; 0 for never.
        tta: over which views of an image the specialist's predictions are averaged: none, mirror or d4 (all eight
            flips and quarter turns); see `averaging_of`. Training, validation scores included, knows nothing of it.
        precision: "auto" is for real sizes, not for `nano`: bf16 on GPUs that have it; on CPUs where it is the faster
            the encoder computes in bf16, and all else in fp32 (`sam.choose_precision`). "fp32" and "bf16" hold for the
            whole model.
        recompute: keep of each encoder block, and of each part of a side network, only its input and compute it again
            when its gradient is due: less memory for more time. Only for methods that train something in the encoder.
        device: "cpu", "cuda" or None for what there is.
        checkpoint_every_s: seconds between two checkpoints for `--resume`.
    """

    method: str = "ptsam"
    recipe: RecipeKind = "auto"
    method_fields: dict[str, Any] = field(default_factory=dict)
    base: str = "facebook/sam-vit-base"
    side: int | None = None
    shots: int | None = None
    val: float = 0.25
    seed: int = 0
    updates: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    accumulate: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: Schedule | None = None
    clip_norm: float | None = None
    loss: str = "auto"
    loss_side: LossSide | None = None
    ema: float | None = None
    augmentation: Augmentations | None = None
    views: int | None = None
    square: bool | None = None
    evaluations: int | None = None
    patience: int | None = None
    tta: Averaging | None = None
    precision: Precision = "auto"
    recompute: bool = False
    device: str | None = None
    checkpoint_every_s: float = 5.0

    def __post_init__(self) -> None:
        """Check the type and range of each setting; all that is wrong is said together."""
        wrong = settle(self, RANGES)
        if self.updates is not None and self.epochs is not None:
            wrong.append(f"Expected `updates` or `epochs`, got both ({shown(self.updates)} and {shown(self.epochs)})")
        if wrong:
            raise ConfigError("; ".join(wrong) + ".")


@dataclass(frozen=True)
class Plan:
    """A run with every number decided.

    Attributes:
        updates: optimiser steps; 0 keeps the method's first values.
        batch_size: images in an update, over all processes.
        warmup: steps of linear rise, of the schedule that has one.
        learning_rate: peak.
        weight_decay: on matrices, or on all with `decay_all`.
        loss: a name of `samtune.losses`.
        ema: decay, 0 for none.
        views: number of views of an image, itself included.
        evaluate_every: steps between two evaluations.
        schedule: of the learning rate.
        decay_all: decay vectors and numbers too.
        clip_norm: largest norm of an update's gradient, 0 for any.
        accumulate: parts of an update; at least, where the setting left it open.
        patience: evaluations without a better score before the run stops, 0 for never.
        updates_per_epoch: updates in a pass over the training images, a whole number or not.
        loss_side: where logits and labels meet, "input" or "logits".
        tta: over which views of an image the specialist's predictions are averaged.
        augmentation: how views differ from the image.
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
    schedule: str
    decay_all: bool
    clip_norm: float
    accumulate: int
    patience: int
    updates_per_epoch: float
    loss_side: LossSide = "input"
    tta: Averaging = "none"
    augmentation: str = "varied"

    def rate(self, step: int) -> float:
        """The learning rate of a step (from 0)."""
        if self.schedule == "linear":
            return self.learning_rate * (1 - step / self.updates)
        if self.schedule == "epoch_cosine":
            epoch, epochs = int(step / self.updates_per_epoch + 1e-9), self.updates / self.updates_per_epoch
            return LEAST_RATE + (self.learning_rate - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.updates - self.warmup)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


FRESH_VIEWS = 1_000_000
"""Number of views where each step computes its own, the image as it is among them."""

LEAST_RATE = 1e-7
"""Where the cosine over epochs ends."""

WIDE_CELL = 4
"""Pixels: from this width of the logits' cells on, labels are taken at the cells; enlarging the logits would make the
loss work on sixteen times as many pixels as the decoder answers for."""


def plan_run(
    settings: TrainSettings, recipe: Recipe, *, num_images: int, num_classes: int, cached: bool, num_processes: int,
    cell_pixels: int,
) -> Plan:  # fmt: skip
    """Decide what the settings leave open, and say it.

    Args:
        settings: as given.
        recipe: that of `choose_recipe`.
        num_images: training images.
        num_classes: K.
        cached: whether features are computed once.
        num_processes: how many processes share an update.
        cell_pixels: width in input pixels of one of the logits' cells.

    Raises:
        ConfigError: settings that contradict each other.
    """
    batch_size, accumulate = _batch(settings, recipe, num_images, num_processes)
    per_epoch = num_images / batch_size
    updates, why = _updates(settings, recipe, num_images, batch_size)
    views = num_views(settings, recipe, cached=cached)
    by_epoch = recipe.evaluate_epochs and settings.evaluations is None
    plan = Plan(
        updates=updates,
        batch_size=batch_size,
        warmup=max(1, updates // 20),
        learning_rate=_or(settings.learning_rate, recipe.learning_rate),
        weight_decay=_or(settings.weight_decay, recipe.weight_decay),
        loss=_loss(settings, recipe, num_classes),
        ema=_or(settings.ema, recipe.ema),
        views=views,
        evaluate_every=math.ceil(per_epoch) if by_epoch else max(1, updates // (settings.evaluations or EVALUATIONS)),
        schedule=settings.schedule or recipe.schedule,
        decay_all=recipe.decay_all,
        clip_norm=_or(settings.clip_norm, recipe.clip_norm),
        accumulate=accumulate,
        patience=_or(settings.patience, recipe.patience),
        updates_per_epoch=per_epoch,
        loss_side=_loss_side(settings, recipe, cell_pixels),
        tta=averaging_of(settings, recipe, num_images),
        augmentation=augmentation_of(settings, recipe),
    )
    if not updates:
        say("No updates: the values fitted to the training images, as they are, are the result.")
        return plan
    kind = f"each image and {views - 1} augmented views of it" if cached else "a new view of an image at each step"
    kind = "the images as they are" if views == 1 else kind
    say(f"Recipe {settings.recipe}, {num_images} training images: {why}.")
    loss = plan.loss + (" at the logits' own size" if plan.loss_side == "logits" else "")
    say(f"{updates} updates of {batch_size} images, learning rate {plan.learning_rate:g}, loss {loss}; {kind}.")
    if plan.tta != "none" and settings.tta is None:
        say(
            f"At most {FEW_IMAGES} training images, so predictions will be the mean over {IN_WORDS[plan.tta]}, "
            f"{len(SYMMETRIES[plan.tta])} times as long (--set tta=none now, or --tta none later, leaves it out)."
        )
    return plan


def augmentation_of(settings: TrainSettings, recipe: Recipe) -> str:
    """How views differ from the image: a key of `samtune.data.views.augmentation.AUGMENTATIONS`.

    Of a recipe that leaves it to the masks, varied; `recipe.settle_views` looks at them and puts a word in its place.
    """
    word = recipe.augmentation if settings.augmentation in (None, "auto") else settings.augmentation
    return "varied" if word == "auto" else word


def averaging_of(settings: TrainSettings, recipe: Recipe, num_images: int) -> Averaging:
    """Over which views of an image the specialist's predictions are to be averaged.

    The recipe says it for few images, where it was measured (docs/benchmarks/nano.md). No more views than training had:
    turned ones need the varied augmentation. The published recipes, and what is trained by auto in their place, know
    no averaging.

    Args:
        settings: as given.
        recipe: that of `choose_recipe`.
        num_images: training images.
    """
    if settings.tta is not None:
        return settings.tta
    if num_images > FEW_IMAGES or settings.recipe == "paper":
        return "none"
    if recipe.few_tta == "d4" and augmentation_of(settings, recipe) != "varied":
        return "mirror"
    return recipe.few_tta


def has_updates(settings: TrainSettings, recipe: Recipe) -> bool:
    """Whether anything is trained after the first values."""
    return bool(recipe.updates or settings.updates or settings.epochs or recipe.epochs)


def num_views(settings: TrainSettings, recipe: Recipe, *, cached: bool) -> int:
    """Number of views of an image, itself included.

    Args:
        settings: as given.
        recipe: that of `choose_recipe`.
        cached: whether features are computed once.
    """
    if not has_updates(settings, recipe):
        return 1
    if settings.views is not None:
        return settings.views + 1
    if not cached:
        return FRESH_VIEWS
    return 2 if augmentation_of(settings, recipe) == "flip" else 9


def _or(given: Number | None, otherwise: Number) -> Number:
    return otherwise if given is None else given


def _batch(settings: TrainSettings, recipe: Recipe, num_images: int, num_processes: int) -> tuple[int, int]:
    """Images in an update, and its parts."""
    batch_size = settings.batch_size or min(recipe.batch_size, max(num_images, num_processes))
    if settings.batch_size is None:
        batch_size = math.ceil(batch_size / num_processes) * num_processes
    if batch_size % num_processes:
        raise ConfigError(
            f"batch_size must be a multiple of the {num_processes} processes, but {batch_size} came; it counts the "
            "images of an update over all of them."
        )
    share = batch_size // num_processes
    if settings.accumulate is not None and settings.accumulate > share:
        raise ConfigError(
            f"accumulate cuts an update's {share} images per process into parts, but "
            f"{settings.accumulate} parts came; raise batch_size or lower accumulate."
        )
    return batch_size, min(recipe.accumulate, share) if settings.accumulate is None else settings.accumulate


def _updates(settings: TrainSettings, recipe: Recipe, num_images: int, batch_size: int) -> tuple[int, str]:
    """Optimiser steps, and in words where the number is from."""
    epochs = settings.epochs if settings.epochs is not None else recipe.epochs
    if settings.updates is not None:
        return settings.updates, "the updates are as asked"
    if epochs is not None:
        asked = "as asked" if settings.epochs is not None else "as published"
        updates = math.ceil(epochs * num_images / batch_size)
        return updates, f"{epochs} passes over them, {asked}, are {updates} updates"
    enough = math.ceil(MIN_PASSES * num_images / batch_size)
    if 0 < recipe.updates < enough:
        return enough, (
            f"these are many, so {enough} updates instead of the method's {recipe.updates}, that each image is seen "
            f"{MIN_PASSES} times"
        )
    passes = recipe.updates * batch_size / num_images
    return recipe.updates, f"these are few, so the method's {recipe.updates} updates see each {passes:.0f} times"


def _loss_side(settings: TrainSettings, recipe: Recipe, cell_pixels: int) -> LossSide:
    """Where logits and labels meet, "auto" decided."""
    side = settings.loss_side or recipe.loss_side
    if side != "auto":
        return side
    return "logits" if cell_pixels >= WIDE_CELL else "input"


def _loss(settings: TrainSettings, recipe: Recipe, num_classes: int) -> LossKind:
    """The loss by name; "auto" by the number of classes, as is a recipe's loss for one class with several.

    Raises:
        ConfigError: an unknown loss, or one for a single class with several.
    """
    from samtune.losses import ONE_CLASS, LossKind

    name = settings.loss if settings.loss != "auto" else recipe.loss
    if name == "auto" or (settings.loss == "auto" and num_classes > 1 and name in ONE_CLASS):
        return "bce_dice" if num_classes == 1 else "ce_dice"
    offered = get_args(LossKind)
    if name not in offered:
        raise ConfigError(f"The loss must be auto or one of {', '.join(offered)}, but {name!r} came.")
    if num_classes > 1 and name in ONE_CLASS:
        raise ConfigError(f"The loss {name} is for one class, but there are {num_classes}; use ce_dice or focal_dice.")
    loss: LossKind = name  # type: ignore[assignment]
    return loss
