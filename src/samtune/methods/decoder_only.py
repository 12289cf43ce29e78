"""Decoder-only fine-tuning: the encoder frozen, the mask decoder trained.

    logits_k = h_k(t_k) . upscaled(image),    t_k = mask token of class k after the two-way transformer

    image --> frozen encoder --> embedding (once) --> mask decoder, trained:
          fixed prompt tokens (8 per class) --------> one mask token and hyper-network per class

Cost: 3,505,536 parameters for one class at SAM's sizes (the IoU head, SAM's other mask tokens and hyper-networks stay
frozen). The features never change, so they are computed once. Do not use it with a handful of images if the object is
already visible in the frozen features: `ptsam` has 1,700 times fewer parameters to overfit with.
Source: the baseline of Zhong et al., "Convolution Meets LoRA", ICLR 2024, and its released code (AutoGluon). There the
unused mask tokens are not in the attention; here they are, frozen, so that the first mask is SAM's own;
`mask_tokens="own"` leaves them out. One hyper-network per class is ours for K > 1; `head=queries` is the code's head
for several classes (`parts/heads.py`). There the decoder gets no prompt, which SAM was not trained for, so that its
first mask is meaningless. The default gives it fixed prompt tokens, the centres of the training images' features that
`ptsam` starts from: 2,048 numbers per class that are saved, not trained. `prompts=none` is the published form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from samtune.methods.parts.heads import NUM_QUERIES, Head, check_head, train_decoder_with
from samtune.methods.parts.prompt_tokens import new_tokens, start_tokens
from samtune.methods.parts.trained_decoder import MaskTokens
from samtune.methods.ptsam import PTSAM
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import CONV_LORA_PAPER, PaperRecipe, Recipe
from samtune.values import Ranges

if TYPE_CHECKING:
    from torch import Tensor

    from samtune.bases import Base


@dataclass(frozen=True)
class DecoderOnly:
    """The mask decoder trained, all else frozen.

    Attributes:
        head: one mask token per class, or mask queries. See `parts/heads.py`.
        num_queries: number of mask queries with head=queries, more than there are classes.
        mask_tokens: mask tokens in the decoder's attention: all of SAM's too, or the method's own.
            See `parts.trained_decoder.MaskTokens`.
        prompts: fixed prompt tokens from the training images' features (prototype), or none as published.
    """

    head: Head = "class_tokens"
    num_queries: int = NUM_QUERIES
    prompts: Literal["prototype", "none"] = "prototype"
    mask_tokens: MaskTokens = "all"

    name: ClassVar[str] = "decoder_only"
    source: ClassVar[str] = (
        "baseline of Zhong et al., Convolution Meets LoRA, ICLR 2024, arXiv 2401.17868; AutoGluon f34ebb4f"
    )
    recipe: ClassVar[Recipe] = Recipe(learning_rate=3e-4, weight_decay=1e-2, updates=300, augmentation="flip")
    ranges: ClassVar[Ranges] = {"num_queries": (2, math.inf)}
    paper_recipe: ClassVar[PaperRecipe] = replace(CONV_LORA_PAPER, fields={"prompts": "none", "mask_tokens": "own"})

    def __post_init__(self) -> None:
        check_ranges(self)
        check_head("decoder_only", self.head, self.num_queries)

    @property
    def starts_as_identity(self) -> bool:
        """Whether the first mask is SAM's own, unprompted one: without queries, prompts, or `mask_tokens="own"`."""
        return self.head == "class_tokens" and self.prompts == "none" and self.mask_tokens == "all"

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`; raises `MethodError` for fewer queries than classes and background."""
        train_decoder_with(base, num_classes, self.head, self.num_queries, self.mask_tokens)
        if self.prompts == "prototype":
            tokens = new_tokens(base, num_classes, PTSAM.num_tokens, "points").requires_grad_(False)
            base.sites.put("decoder_prompts", tokens)

    def start(self, model: Base, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
        """Set the fixed tokens, if any, to prototypes; see `StartsFromData.start`."""
        if self.prompts == "prototype":
            start_tokens(model, embedding, labels, seed=seed)
