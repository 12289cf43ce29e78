"""How a method is trained: `Recipe`, the numbers; `Published`, those of its source; what several methods share of them.

A recipe is data. The loop that follows it is `training`; a method names its own as `recipe` and, where a source says
how it was trained, as `published`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from samtune.types import Averaging

Schedule = Literal["warmup_cosine", "linear", "epoch_cosine"]
"""Of the learning rate. warmup_cosine: linear rise over the first twentieth, then a cosine to one hundredth of the
peak. linear: from the peak to 0. epoch_cosine: a cosine to 1e-7, one value for each pass over the images."""

Augmentations = Literal["auto", "varied", "upright", "flip"]
"""Of the views: samtune's own mixture, the same without turns, or a left-right flip of every second view. auto: flip
where the masks tell up from down (`data.orientation`), else varied."""

LossSide = Literal["auto", "input", "logits"]
"""Where logits and labels meet. input: logits are enlarged to the input's size. logits: of the labels, those at the
middle of the logits' cells are taken. auto: the latter where a cell is four pixels wide or more, as SAM's are."""

PUBLISHED_QUERIES = 10
"""Mask queries for several classes, as the authors' own test of Conv-LoRA's code has them."""


@dataclass(frozen=True)
class Recipe:
    """How a method is trained where the user says nothing.

    Attributes:
        learning_rate: peak of the schedule (AdamW).
        weight_decay: AdamW's, on matrices only, unless `decay_all`.
        updates: number of optimiser steps; 0 where the first values, taken from the data, are the result.
        batch_size: images in an update.
        loss: a name `samtune.losses.segmentation_loss` knows; "auto" is BCE + Dice for one class,
            cross-entropy + Dice for more.
        loss_side: where logits and labels meet.
        ema: decay of the running average of the trained tensors that is validated and kept; 0 for none.
        epochs: passes over the training images, in place of `updates`; None for the latter.
        schedule: of the learning rate.
        decay_all: decay vectors and numbers too.
        clip_norm: largest norm of an update's gradient, 0 for any.
        accumulate: parts of an update that go through the model one after the other.
        augmentation: of the views.
        square: squash images to the model's square instead of padding them.
        evaluate_epochs: score the validation images once in a pass over the training images.
        patience: evaluations without a better score before the run stops, 0 for never.
        few_tta: over which views of an image the predictions of a specialist are averaged that was trained on few
            images, `training.settings.FEW_IMAGES` at most; others predict each image as it is.
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
class Published:
    """How a method's source trains it.

    Attributes:
        recipe: the numbers.
        note: what the source does not state or samtune does otherwise, as one sentence.
        fields: hyper-parameters of the method that bring back what the default mends.
        one_class: those of them that several classes do not have.
        with_decoder: those of them that a method has only where it trains the mask decoder (`decoder=true`).
        queries: several classes get mask queries (`methods.heads`), ten, or one more than there are classes.
    """

    recipe: Recipe
    note: str
    fields: dict[str, Any] = field(default_factory=dict)
    one_class: dict[str, Any] = field(default_factory=dict)
    with_decoder: dict[str, Any] = field(default_factory=dict)
    queries: bool = False

    def fields_for(self, num_classes: int, given: dict[str, Any]) -> dict[str, Any]:
        """The hyper-parameters of the published form.

        Args:
            num_classes: K.
            given: the user's own, which win.

        Returns:
            Both together.
        """
        chosen = self.fields | (self.one_class if num_classes == 1 else {})
        chosen |= self.with_decoder if given.get("decoder", True) else {}
        if self.queries and num_classes > 1 and "head" not in given:
            chosen |= {"head": "queries", "num_queries": max(PUBLISHED_QUERIES, num_classes + 1)}
        return chosen | given


@dataclass(frozen=True)
class Variant:
    """Another published form of a method, whose parameters are counted beside the default's.

    Attributes:
        fields: hyper-parameters that differ from the defaults.
        what: whose form it is, in a few words.
    """

    fields: dict[str, Any]
    what: str


@runtime_checkable
class FromPublication(Protocol):
    """A method whose source says how it was trained."""

    published: ClassVar[Published]
    """What the source says."""


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

CONV_LORA_PUBLISHED = Published(CONV_LORA_RECIPE, f"{_AS_CODED}.", queries=True)
"""Of `conv_lora`, `lora` and `decoder_only`, which the released code has; each adds fields of its own."""

BASELINE_PUBLISHED = Published(
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
