"""Decoder-only fine-tuning: the encoder frozen, the mask decoder trained without prompts.

    logits_k = h_k(t_k) . upscaled(image),    t_k = mask token of class k after the two-way transformer

    image --> frozen encoder --> embedding (once) --> mask decoder, trained:
                                                      one mask token and hyper-network per class

Cost: 3,505,536 parameters for one class at SAM's sizes (the IoU head, SAM's other mask tokens and
hyper-networks stay frozen). The features never change, so they are computed once. Not to be used with a
handful of images where the object is already visible in the frozen features: `ptsam` has 1,700 times fewer
parameters to overfit with.
Source: the baseline of Zhong et al., "Convolution Meets LoRA", ICLR 2024, and its released code (AutoGluon).
There the unused mask tokens are removed from the token stream; here they stay in it, frozen, so that the
first step starts from SAM itself. One hyper-network per class is our choice for K > 1; `head=queries` is the code's
head for several classes (`heads.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from samtune.methods.core import Recipe
from samtune.methods.heads import NUM_QUERIES, Head, check_head, train_decoder_with
from samtune.methods.recipes import CONV_LORA_PUBLISHED, Published

if TYPE_CHECKING:
    from samtune.sam import Sam


@dataclass(frozen=True)
class DecoderOnly:
    """The mask decoder trained, all else frozen.

    Attributes:
        head: what the decoder answers with: one mask token per class, or mask queries; see `heads`.
        num_queries: Q, with queries; more than the number of classes.
    """

    head: Head = "class_tokens"
    num_queries: int = NUM_QUERIES

    name: ClassVar[str] = "decoder_only"
    source: ClassVar[str] = (
        "baseline of Zhong et al., Convolution Meets LoRA, ICLR 2024, arXiv 2401.17868; AutoGluon f34ebb4f"
    )
    recipe: ClassVar[Recipe] = Recipe(learning_rate=1e-3, weight_decay=1e-2, updates=300, batch_size=4)
    published: ClassVar[Published] = CONV_LORA_PUBLISHED

    def __post_init__(self) -> None:
        check_head("decoder_only", self.head, self.num_queries)

    @property
    def starts_as_identity(self) -> bool:
        """Whether the first step starts from SAM's own mask; queries' classes are new."""
        return self.head == "class_tokens"

    def attach(self, sam: Sam, *, num_classes: int) -> None:
        """See `Method.attach`; raises `MethodError` for fewer queries than classes and background."""
        train_decoder_with(sam, num_classes, self.head, self.num_queries)
