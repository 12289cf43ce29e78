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
"""Resolution of the loss. input: logits are enlarged to the input's size. logits: labels are taken at the middle of the
logits' cells. auto: the latter where a cell is four pixels wide or more, as SAM's are."""

PUBLISHED_QUERIES = 10
"""Mask queries for several classes, as the authors' own test of Conv-LoRA's code has them."""


@dataclass(frozen=True)
class Recipe:
    """The training settings of a method that hold where the user gives none.

    Attributes:
        learning_rate: peak of the schedule (AdamW).
        weight_decay: AdamW's, on matrices only, unless `decay_all`.
        updates: number of optimiser steps; 0 where the first values, taken from the data, are the result.
        batch_size: images in an update.
        loss: a name `samtune.losses.segmentation_loss` knows; "auto" is BCE + Dice for one class,
            cross-entropy + Dice for more.
        loss_side: resolution of the loss.
        ema: decay of the running average of the trained tensors that is validated and kept; 0 for none.
        epochs: passes over the training images, in place of `updates`; None for the latter.
        schedule: of the learning rate.
        decay_all: decay vectors and numbers too.
        clip_norm: largest norm of an update's gradient, 0 for any.
        accumulate: parts of an update that go through the model one after the other.
        augmentation: how views differ from the image.
        square: squash images to the model's square instead of padding them.
        evaluate_epochs: score the validation images once in a pass over the training images.
        patience: evaluations without a better score before the run stops, 0 for never.
        few_tta: views over which predictions are averaged after training on few images, at most
            `training.plan.FEW_IMAGES`; after more, each image is predicted as it is.
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
        recipe: the numbers.
        note: what the source does not state or samtune does otherwise, as one sentence.
        fields: hyper-parameters with which the method is the source's own form.
        one_class: further ones that hold for one class only.
        with_decoder: further ones that hold only where the mask decoder is trained (`decoder=true`).
        queries: several classes get mask queries (`methods.heads`), ten, or one more than there are classes.
    """

    recipe: Recipe
    note: str
    fields: dict[str, Any] = field(default_factory=dict)
    one_class: dict[str, Any] = field(default_factory=dict)
    with_decoder: dict[str, Any] = field(default_factory=dict)
    queries: bool = False

    def fields_for(self, num_classes: int, given: dict[str, Any]) -> dict[str, Any]:
        """Return the hyper-parameters of the published form, with the user's in their place where given.

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
        what: source of the form, in a few words.
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
"""Of Conv-LoRA's released code for polyps and lesions (AutoGluon f34ebb4f); for others it changes a number or two:
camouflage 20 epochs; leaves learning_rate 3e-4; roads 3e-4 and 20 epochs; shadows loss shadow_bce and 10 epochs."""

_AS_CODED = (
    "as by auto are the arithmetic (theirs is float16), the resizing of images (theirs is bicubic), and the score that "
    "chooses the step (theirs goes by the task)"
)

CONV_LORA_PAPER = PaperRecipe(CONV_LORA_RECIPE, f"{_AS_CODED}.", queries=True)
"""Of `conv_lora`, `lora` and `decoder_only`, which the released code has; each adds fields of its own."""

BASELINE_PAPER = PaperRecipe(
    CONV_LORA_RECIPE,
    "it does not tell how its baselines were trained, so this is the one of Conv-LoRA; the decoder keeps SAM's mask "
    f"tokens 1 to 3, which the released code takes out; {_AS_CODED}.",
)
"""Of the methods that Conv-LoRA's paper compares with."""

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
"""Of TS-SAM's public code for camouflage and salient objects; shadows take loss shadow_bce, 100 epochs and the
frequency branch. SAM-Adapter's differs in the learning rate and the epochs."""

SIDE_NOTE = (
    "two images an update, since the code never averages the gradients of its processes; the IoU term has one pixel "
    "added to both sides, and IoU chooses the step (theirs is the S-measure)."
)
