"""Training recipes of methods: `Recipe`, samtune's own numbers, and `PaperRecipe`, those of the method's source.

A recipe is data; `training.plan.resolve` turns it into a plan. A method names its own as `recipe` and, where its source
says how it was trained, that one as `paper_recipe`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from samtune.types import Averaging

Schedule = Literal["warmup_cosine", "linear", "epoch_cosine"]
"""Learning-rate schedule. warmup_cosine: linear rise over the first twentieth, then a cosine to one hundredth of the
peak. linear: from the peak to 0. epoch_cosine: a cosine to 1e-7, one value for each pass over the images."""

Augmentations = Literal["auto", "varied", "upright", "flip"]
"""Augmentation of the views. varied: samtune's own mixture. upright: the same without turns. flip: a left-right flip of
every second view. auto: flip where the masks tell up from down (`data.views.orientation`), else varied."""

LossSide = Literal["auto", "input", "logits"]
"""Resolution of the loss. input: logits are enlarged to the input's size. logits: labels are sampled at the centres of
the logits' cells. auto: logits if a cell is four pixels wide or more, as SAM's are, else input."""

PUBLISHED_QUERIES = 10
"""Number of mask queries for several classes in the authors' own test of Conv-LoRA's code."""


@dataclass(frozen=True)
class Recipe:
    """Training settings of a method, used unless the user sets others.

    Attributes:
        learning_rate: peak of the schedule (AdamW).
        weight_decay: AdamW's, on matrices only, unless `decay_all`.
        updates: number of optimiser steps; 0 if the initial values, which come from the data, are the result.
        batch_size: images per update.
        loss: name of a loss of `samtune.losses`; "auto" is BCE + Dice for one class, cross-entropy + Dice for more.
        loss_side: resolution of the loss.
        ema: decay of the exponential moving average of the trained tensors, which is validated and saved; 0 for none.
        epochs: passes over the training images, instead of `updates`; None to use `updates`.
        schedule: of the learning rate.
        decay_all: apply weight decay to vectors and scalars too.
        clip_norm: limit of the norm of an update's gradient; 0 for no limit.
        accumulate: number of parts of an update that run one after the other.
        augmentation: of the training images.
        square: squash images to the model's square instead of padding them.
        evaluate_epochs: score the validation images once per pass over the training images.
        patience: evaluations without a better score after which the run stops; 0 for never.
        few_tta: test-time averaging after training on at most `training.plan.FEW_IMAGES` images; there is none after
            more.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    updates: int = 300
    batch_size: int = 4
    loss: str = "auto"
    loss_side: LossSide = "auto"
    ema: float = 0.0
    epochs: int | None = None
    schedule: Schedule = "warmup_cosine"
    decay_all: bool = False
    clip_norm: float = 1.0
    accumulate: int = 1
    augmentation: Augmentations = "auto"
    square: bool = False
    evaluate_epochs: bool = False
    patience: int = 10
    few_tta: Averaging = "none"


@dataclass(frozen=True)
class PaperRecipe:
    """The training recipe of a method's source.

    Attributes:
        recipe: training settings.
        note: one sentence on what the source does not say or samtune does differently.
        fields: hyper-parameters with which the method is the published one.
        one_class: further hyper-parameters for one class.
        with_decoder: further hyper-parameters if the mask decoder is trained (`decoder=true`).
        queries: use mask queries (`parts/heads.py`) for several classes: ten, or one more than there are classes.
    """

    recipe: Recipe
    note: str
    fields: dict[str, Any] = field(default_factory=dict)
    one_class: dict[str, Any] = field(default_factory=dict)
    with_decoder: dict[str, Any] = field(default_factory=dict)
    queries: bool = False

    def fields_for(self, num_classes: int, given: dict[str, Any]) -> dict[str, Any]:
        """Return the hyper-parameters of the published form, overridden by the user's.

        Args:
            num_classes: K.
            given: hyper-parameters that the user set.
        """
        fields = self.fields | (self.one_class if num_classes == 1 else {})
        fields |= self.with_decoder if given.get("decoder", True) else {}
        if self.queries and num_classes > 1 and "head" not in given:
            fields |= {"head": "queries", "num_queries": max(PUBLISHED_QUERIES, num_classes + 1)}
        return fields | given


@dataclass(frozen=True)
class Variant:
    """Another published form of a method, whose parameters are counted beside the default's.

    Attributes:
        fields: hyper-parameters that differ from the defaults.
        what: where the form was published, in a few words.
    """

    fields: dict[str, Any]
    what: str


@runtime_checkable
class WithPaperRecipe(Protocol):
    """A method whose source says how it was trained."""

    paper_recipe: ClassVar[PaperRecipe]
    """The recipe of the source."""


CONV_LORA_RECIPE = Recipe(
    learning_rate=1e-4,
    weight_decay=1e-4,
    batch_size=4,
    accumulate=4,
    epochs=30,
    schedule="linear",
    loss="structure_published",
    loss_side="input",
    augmentation="flip",
    square=True,
    evaluate_epochs=True,
)
"""Recipe of Conv-LoRA's released code for polyps and lesions (AutoGluon f34ebb4f). For others the code changes a number
or two: camouflage 20 epochs; leaves learning_rate 3e-4; roads 3e-4 and 20 epochs; shadows shadow_bce and 10 epochs."""

_AS_CODED = (
    "as by auto are the arithmetic (theirs is float16), the resizing of images (theirs is bicubic), and the score that "
    "chooses the step (theirs goes by the task)"
)

CONV_LORA_PAPER = PaperRecipe(CONV_LORA_RECIPE, f"{_AS_CODED}.", queries=True)
"""Paper recipe of `conv_lora`, `lora` and `decoder_only`, which the released code has; each adds fields of its own."""

BASELINE_PAPER = PaperRecipe(
    CONV_LORA_RECIPE,
    "it does not tell how its baselines were trained, so this is the one of Conv-LoRA; the decoder keeps SAM's mask "
    f"tokens 1 to 3, which the released code takes out; {_AS_CODED}.",
)
"""Paper recipe of the methods that Conv-LoRA's paper compares with."""

SIDE_RECIPE = Recipe(
    learning_rate=8e-4,
    weight_decay=1e-2,
    decay_all=True,
    batch_size=2,
    epochs=80,
    schedule="epoch_cosine",
    clip_norm=0,
    loss="ce_iou",
    loss_side="input",
    augmentation="flip",
    square=True,
    evaluate_epochs=True,
    patience=0,
)
"""Recipe of TS-SAM's public code for camouflage and salient objects; for shadows it has loss shadow_bce, 100 epochs and
the frequency branch. SAM-Adapter's differs in the learning rate and the epochs."""

SIDE_NOTE = (
    "two images an update, since the code never averages the gradients of its processes; the IoU term has one pixel "
    "added to both sides, and IoU chooses the step (theirs is the S-measure)."
)
