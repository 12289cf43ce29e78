"""Settings of a training run as the user gives them; `plan.resolve` decides what they leave open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from samtune.bases import MAX_IMAGE_SIZE
from samtune.errors import ConfigError
from samtune.methods.seam.recipes import Augmentations, LossSide, Schedule
from samtune.printable import shown
from samtune.tasks import DEFAULT_TASK
from samtune.types import Averaging, Precision
from samtune.values import Ranges, convert_fields

RecipeKind = Literal["auto", "paper"]

MOST = 10**9
"""Largest number of steps, images or parts that a setting takes."""

RANGES: Ranges = {
    "shots": (1, MOST), "val": (0, 0.9), "updates": (1, MOST), "epochs": (1, MOST), "batch_size": (1, 1_000_000),
    "accumulate": (1, 1_000_000), "learning_rate": (0, 1e6), "weight_decay": (0, 1e6), "clip_norm": (0, 1e9),
    "ema": (0, 0.99999), "views": (0, 1_000_000), "evaluations": (1, MOST), "patience": (0, MOST),
    "checkpoint_every_s": (0, 1e9), "seed": (0, 2**31 - 1), "side": (1, MAX_IMAGE_SIZE),
}  # fmt: skip
"""Lowest and highest value of each numeric setting."""


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training run; what is None is decided by the recipe and the facts of the run (`plan.resolve`).

    Attributes:
        task: what is predicted. A key of `samtune.tasks.TASKS`.
        method: method that is trained. A key of `samtune.methods.METHODS`.
        recipe: samtune's own recipe of the method (auto) or that of its source (paper). "auto" fills settings that are
            None from samtune's own recipe of the method and the number of images; "paper" fills them from the method's
            source (`methods.seam.recipes`) and trains the source's own form of the method. Settings and `method_fields`
            given here take precedence.
        method_fields: hyper-parameters of the method that differ from its defaults.
        base: base model: a hub id, a folder, an original .pth file, or nano.
        side: image size in pixels, a multiple of the base's patch. None for the base's own.
        shots: number of images to use, training and validation together. None for all.
        val: share of those images that is kept for validation; 0 for none.
        seed: seed of the split, the initial values, the order of images and the views.
        updates: number of optimiser steps.
        epochs: number of passes over the training images, instead of updates.
        batch_size: images per update, over all processes.
        accumulate: number of micro-batches in which an update is computed, to save memory. None for the recipe's
            number, or more where they would not fit into memory (`micro_batch.choose_parts`).
        learning_rate: highest learning rate of the schedule (AdamW).
        weight_decay: AdamW's weight decay, on matrices only unless the recipe says otherwise.
        schedule: course of the learning rate over the run. See `methods.seam.recipes`.
        clip_norm: largest norm of an update's gradient; 0 for no limit.
        loss: loss of the task, or auto for its usual one. For areas, a name of `samtune.losses`.
        loss_side: resolution of the loss: that of the input or of the logits. "input" enlarges logits to the input's
            size; "logits" takes labels at the middle of the logits' cells, which saves time and memory and sees only
            some points of what is thinner than a cell; "auto" is logits where a cell is at least `plan.WIDE_CELL` input
            pixels wide (SAM's are).
        ema: decay of the running average of the trained tensors; 0 for none.
        augmentation: how views differ from the image; auto turns them unless the masks show which way is up. "varied":
            flips, rotations, crops, light; "upright": the same without rotations; "flip": left-right, half of the time;
            "auto": flip where the masks show which way is up, else varied.
        views: number of augmented views of an image besides itself; 0 for none. None for 8 where features are cached (1
            where they are flipped only), else a new view at every step. 0 trains on the images as they are.
        square: whether images are squashed to the base's square instead of padded. The specialist then squashes its
            images too.
        evaluations: number of times that the validation images are scored in a run.
        patience: number of evaluations without a better score before the run stops; 0 for never.
        tta: views of an image over which the specialist's predictions are averaged; d4 is all eight flips and turns. It
            does not affect training or validation scores.
        precision: floating-point precision of the model. "auto" is for real sizes, not for `nano`: bf16 on GPUs that
            have it; on CPUs where it is faster the encoder computes in bf16 and all else in fp32
            (`bases.choose_precision`). "fp32" and "bf16" hold for the whole model.
        recompute: whether the encoder is computed again in the backward pass: less memory for more time. Kept are only
            the inputs of each encoder block and of each part of a side network. Only for methods that train something
            in the encoder.
        device: device of the computation: cpu, cuda or mps. None for what is available.
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
    task: str = DEFAULT_TASK

    def __post_init__(self) -> None:
        """Check the type and range of each setting; all problems are reported together."""
        wrong = convert_fields(self, RANGES)
        if self.updates is not None and self.epochs is not None:
            wrong.append(f"Expected `updates` or `epochs`, got both ({shown(self.updates)} and {shown(self.epochs)})")
        if wrong:
            raise ConfigError("; ".join(wrong) + ".")
