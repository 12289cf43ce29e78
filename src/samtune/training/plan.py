"""Plan of a run: every setting, resolved in one function from the user's settings and the facts of the run.

`resolve` is pure: it reads no file, prints nothing and touches no model. A run, its estimate, and a comparison that
computes features beforehand, gather the same facts and so resolve the same plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from samtune.data.views.symmetries import IN_WORDS, SYMMETRIES
from samtune.errors import ConfigError
from samtune.tasks import find_task
from samtune.training.recipe import method_of, recipe_notes, recipe_of

if TYPE_CHECKING:
    from samtune.data.views.orientation import Orientation
    from samtune.methods import Method, Recipe
    from samtune.methods.seam.recipes import LossSide, Schedule
    from samtune.tasks import Task
    from samtune.training.settings import RecipeKind, TrainSettings
    from samtune.types import Averaging

Number = TypeVar("Number", int, float)

FEW_IMAGES = 16
"""Largest number of training images for which a recipe's averaging of predictions applies."""

MIN_PASSES = 10
"""Least number of passes over the images under recipe auto, which raises the method's updates where there are many."""

EVALUATIONS = 20
"""Default number of evaluations."""

FRESH_VIEWS = 1_000_000
"""Number of views of an image where each step computes a new one; view 0 is the image itself."""

CACHED_VIEWS = 9
"""Number of views of an image where their features are cached; view 0 is the image itself."""

WIDE_CELL = 4
"""Width of a cell of the logits, in input pixels, from which the loss is computed at the logits' resolution; enlarged
to the input's, the logits would have at least sixteen times as many values."""


@dataclass(frozen=True)
class Facts:
    """What a plan depends on besides the settings.

    Attributes:
        num_images: training images.
        num_classes: K, the background not counted.
        touches_encoder: the method changes the encoder, so features cannot be computed once (`setup.effects_of`).
        has_own_loss: the method has a loss of its own, which replaces the recipe's.
        cell_pixels: width in input pixels of one of the logits' cells.
        num_processes: processes that share an update.
        orientation: whether the masks show which way is up; None where `needs_orientation` is False.
    """

    num_images: int
    num_classes: int
    touches_encoder: bool
    has_own_loss: bool
    cell_pixels: int
    num_processes: int = 1
    orientation: Orientation | None = None


@dataclass(frozen=True)
class Plan:
    """Resolved settings of a run.

    Attributes:
        task: what is predicted.
        method: with all its hyper-parameters.
        recipe: "auto" or "paper", as set.
        seed: of the initial values, the order of images and the views.
        cached: features are computed once, since the method leaves the encoder alone.
        square: images are squashed to the base's square.
        recompute: encoder blocks are computed again in the backward pass.
        updates: optimiser steps; 0 keeps the method's initial values.
        batch_size: images per update, over all processes.
        warmup: steps of linear rise, of the schedule that has one.
        learning_rate: peak.
        weight_decay: on matrices, or on all tensors with `decay_all`.
        loss: a loss of the task; without effect where the method brings its own.
        ema: decay of the running average, 0 for none.
        views: number of views of an image, itself included.
        evaluate_every: steps between two evaluations.
        schedule: learning-rate schedule, see `schedule.learning_rate`.
        decay_all: decay vectors and scalars too.
        clip_norm: largest norm of an update's gradient, 0 for no limit.
        accumulate: micro-batches per update; at least, where the setting left it open.
        patience: evaluations without a better score before the run stops, 0 for never.
        updates_per_epoch: updates in a pass over the training images, not always a whole number.
        loss_side: resolution of the loss, "input" or "logits".
        tta: views over which the specialist's predictions are averaged.
        augmentation: how views differ from the image, a key of `data.views.augmentation.AUGMENTATIONS`.
        notes: sentences to print and to keep with the result.
        summary: sentences that describe the run, to print before it.
    """

    task: Task
    method: Method
    recipe: RecipeKind
    seed: int
    cached: bool
    square: bool
    recompute: bool
    updates: int
    batch_size: int
    warmup: int
    learning_rate: float
    weight_decay: float
    loss: str
    ema: float
    views: int
    evaluate_every: int
    schedule: Schedule
    decay_all: bool
    clip_norm: float
    accumulate: int
    patience: int
    updates_per_epoch: float
    loss_side: LossSide
    tta: Averaging
    augmentation: str
    notes: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()

    def numbers(self) -> dict[str, Any]:
        """Return the numbers and names of the plan as JSON values, as `metrics.json` keeps them."""
        apart = ("task", "method", "recipe", "seed", "cached", "square", "recompute", "notes", "summary")
        return {name: value for name, value in vars(self).items() if name not in apart}


def needs_orientation(settings: TrainSettings) -> bool:
    """Return whether `resolve` needs the orientation of the masks, which takes time to read."""
    recipe = recipe_of(settings)
    word = settings.augmentation or recipe.augmentation
    return word == "auto" and _has_updates(settings, recipe) and settings.views != 0


def resolve(settings: TrainSettings, facts: Facts) -> Plan:
    """Resolve the plan of a run.

    Args:
        settings: settings of the user.
        facts: facts of the run.

    Raises:
        ConfigError: settings contradict each other, the method or the number of processes.
    """
    task = find_task(settings.task)
    num_maps = task.num_maps(facts.num_classes)
    method, recipe = method_of(settings, num_maps), recipe_of(settings)
    _check_effects(settings, facts)
    augmentation, augmentation_notes = _augmentation(settings, recipe, facts)
    batch_size, accumulate = _batch(settings, recipe, facts)
    per_epoch = facts.num_images / batch_size
    updates, why = _updates(settings, recipe, facts.num_images, batch_size)
    by_epoch = recipe.evaluate_epochs and settings.evaluations is None
    plan = Plan(
        task=task,
        method=method,
        recipe=settings.recipe,
        seed=settings.seed,
        cached=not facts.touches_encoder,
        square=recipe.square if settings.square is None else settings.square,
        recompute=settings.recompute,
        updates=updates,
        batch_size=batch_size,
        warmup=max(1, updates // 20),
        learning_rate=_or(settings.learning_rate, recipe.learning_rate),
        weight_decay=_or(settings.weight_decay, recipe.weight_decay),
        loss=_loss(settings, recipe, task, facts.num_classes),
        ema=_or(settings.ema, recipe.ema),
        views=_num_views(settings, recipe, augmentation, cached=not facts.touches_encoder),
        evaluate_every=math.ceil(per_epoch) if by_epoch else max(1, updates // (settings.evaluations or EVALUATIONS)),
        schedule=settings.schedule or recipe.schedule,
        decay_all=recipe.decay_all,
        clip_norm=_or(settings.clip_norm, recipe.clip_norm),
        accumulate=accumulate,
        patience=_or(settings.patience, recipe.patience),
        updates_per_epoch=per_epoch,
        loss_side=_loss_side(settings, recipe, facts.cell_pixels),
        tta=_averaging(settings, recipe, facts.num_images, augmentation),
        augmentation=augmentation,
        notes=(*recipe_notes(settings, num_maps), *augmentation_notes),
    )
    return replace(plan, summary=_summary(settings, facts, plan, why))


def _or(given: Number | None, otherwise: Number) -> Number:
    return otherwise if given is None else given


def _has_updates(settings: TrainSettings, recipe: Recipe) -> bool:
    """Return whether anything is trained after the initial values."""
    return bool(recipe.updates or settings.updates or settings.epochs or recipe.epochs)


def _check_effects(settings: TrainSettings, facts: Facts) -> None:
    """Refuse settings that would have no effect with this method."""
    if facts.has_own_loss and settings.loss != "auto":
        raise ConfigError(
            f"Expected `loss` auto with these fields of {settings.method}, which have a loss of their own, got "
            f"{settings.loss}."
        )
    if settings.recompute and not facts.touches_encoder:
        raise ConfigError(
            f"`recompute` has no effect with {settings.method}, which leaves the encoder alone; leave it out."
        )


def _augmentation(settings: TrainSettings, recipe: Recipe, facts: Facts) -> tuple[str, tuple[str, ...]]:
    """Return the kind of augmentation, and a sentence where it follows from the masks."""
    word = settings.augmentation or recipe.augmentation
    if word != "auto":
        return word, ()
    if not needs_orientation(settings):
        return "varied", ()
    if facts.orientation is None:
        raise ValueError("These settings need `Facts.orientation`; see `needs_orientation`.")
    if facts.orientation.upright:
        return "flip", (
            f"The masks show which way is up (by chance once in {1 / facts.orientation.p_value:,.0f}), so views are "
            "only mirrored left-right; augmentation=varied also rotates, crops and changes their light.",
        )
    return "varied", (
        "The masks do not show which way is up, so views are mirrored, rotated, cropped and changed in light; if the "
        "scenes are upright nevertheless, set augmentation=flip.",
    )


def _averaging(settings: TrainSettings, recipe: Recipe, num_images: int, augmentation: str) -> Averaging:
    """Return the views over which the specialist's predictions are averaged.

    The recipe's applies to few images, where it was measured (docs/benchmarks/nano.md), and includes no rotations that
    training did not have. There is none with recipe paper.
    """
    if settings.tta is not None:
        return settings.tta
    if num_images > FEW_IMAGES or settings.recipe == "paper":
        return "none"
    return "mirror" if recipe.few_tta == "d4" and augmentation != "varied" else recipe.few_tta


def _num_views(settings: TrainSettings, recipe: Recipe, augmentation: str, *, cached: bool) -> int:
    """Return the number of views of an image, itself included."""
    if not _has_updates(settings, recipe):
        return 1
    if settings.views is not None:
        return settings.views + 1
    if not cached:
        return FRESH_VIEWS
    return 2 if augmentation == "flip" else CACHED_VIEWS


def _batch(settings: TrainSettings, recipe: Recipe, facts: Facts) -> tuple[int, int]:
    """Return the images per update and its micro-batches."""
    processes = facts.num_processes
    batch_size = settings.batch_size or min(recipe.batch_size, max(facts.num_images, processes))
    if settings.batch_size is None:
        batch_size = math.ceil(batch_size / processes) * processes
    if batch_size % processes:
        raise ConfigError(
            f"Expected `batch_size`, the images per update over all processes, to be a multiple of the {processes} "
            f"processes, got {batch_size}."
        )
    share = batch_size // processes
    if settings.accumulate is not None and settings.accumulate > share:
        raise ConfigError(
            f"Expected `accumulate` <= {share}, the images per update and process, got {settings.accumulate}; raise "
            "batch_size or lower accumulate."
        )
    return batch_size, min(recipe.accumulate, share) if settings.accumulate is None else settings.accumulate


def _updates(settings: TrainSettings, recipe: Recipe, num_images: int, batch_size: int) -> tuple[int, str]:
    """Return the number of optimiser steps, and the reason in words."""
    epochs = settings.epochs if settings.epochs is not None else recipe.epochs
    if settings.updates is not None:
        return settings.updates, "the number of updates was set"
    if epochs is not None:
        origin = "as set" if settings.epochs is not None else "as published"
        updates = math.ceil(epochs * num_images / batch_size)
        return updates, f"{epochs} passes, {origin}, are {updates} updates"
    enough = math.ceil(MIN_PASSES * num_images / batch_size)
    if 0 < recipe.updates < enough:
        return enough, (
            f"{enough} updates instead of the method's {recipe.updates}, so that each image is seen {MIN_PASSES} times"
        )
    passes = recipe.updates * batch_size / num_images
    return recipe.updates, f"the method's {recipe.updates} updates, which see each image {passes:.0f} times"


def _loss_side(settings: TrainSettings, recipe: Recipe, cell_pixels: int) -> LossSide:
    """Return the resolution of the loss, "auto" decided."""
    side = settings.loss_side or recipe.loss_side
    if side != "auto":
        return side
    return "logits" if cell_pixels >= WIDE_CELL else "input"


def _loss(settings: TrainSettings, recipe: Recipe, task: Task, num_classes: int) -> str:
    """Return the loss: the setting's, else the recipe's where the task has it for so many classes, else the task's own.

    Raises:
        ConfigError: the task has no such loss for so many classes.
    """
    if settings.loss != "auto":
        return task.loss_name(settings.loss, num_classes)
    try:
        return task.loss_name(recipe.loss, num_classes)
    except ConfigError:  # a recipe's loss may be for one class, or for another task
        return task.loss_name("auto", num_classes)


def _summary(settings: TrainSettings, facts: Facts, plan: Plan, why: str) -> tuple[str, ...]:
    """Return sentences that describe the run: updates, batch, rate, loss, views and averaging."""
    own = (f"{settings.method} has its own loss, which replaces that one.",) if facts.has_own_loss else ()
    if not plan.updates:
        return ("No updates: the values fitted to the training images are the result.", *own)
    views = "a new view of an image at each step"
    if plan.views == 1:
        views = "the images as they are"
    elif plan.cached:
        views = f"each image and {plan.views - 1} augmented views of it"
    loss = plan.loss + (" at the logits' resolution" if plan.loss_side == "logits" else "")
    sentences = [
        f"Recipe {settings.recipe}, {facts.num_images} training images: {why}.",
        f"{plan.updates} updates of {plan.batch_size} images, learning rate {plan.learning_rate:g}, loss {loss}; "
        f"{views}.",
    ]
    if plan.tta != "none" and settings.tta is None:
        sentences.append(
            f"At most {FEW_IMAGES} training images, so predictions will be the mean over {IN_WORDS[plan.tta]}, "
            f"{len(SYMMETRIES[plan.tta])} times as long (--set tta=none now, or --tta none later, leaves it out)."
        )
    return (*sentences, *own)
