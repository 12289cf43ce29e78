"""VPT: learned tokens in the encoder's attention, new ones in every block or one set that travels; the decoder trained.

    deep     block l:  x = block_l(x, p_l)                 p_l in R^(n x C) learned for each block, its output dropped
    shallow  block l:  x, p = block_l(x, p)                p in R^(n x C) learned once, at the first block's input

    p_1 -.          p_2 -.                     p -.
    x ----> block 1 ----> block 2 --> ..       x ----> block 1 --(x, p)--> block 2 --(x, p)--> ..

Cost: n * C per block when deep (12 on ViT-H: 491,520), n * C once when shallow (n = 384 costs as much there), plus
3,505,536 of the decoder. Every step runs the encoder forward and backward, with n more keys for every query; the same
when predicting. Do not use it if prediction time matters (`lora`, `ssf` and `bitfit` add none), least of all shallow
with hundreds of tokens: they pass every MLP, and each of the 25 windows of an image attends to all of them.
Windowed blocks: each window has the same prompts (deep), or a copy of the image's prompts, whose outputs are averaged
over the windows after the attention (shallow), so that an image has one set between blocks. Prompts have no position:
no position embedding, and relative-position terms of 0.
Source: Jia et al., "Visual Prompt Tuning", ECCV 2022, arXiv 2203.12119; as a baseline in Zhong et al., "Convolution
Meets LoRA", ICLR 2024, whose code for it is not public. From VPT: both forms, the first values (uniform within
+-sqrt(6 / (3 * 16^2 + C))), and prompts that are dropped at the end; its dropout on prompts and its projection of them
are left out. Ours: deep with n = 12, inferred from the 4.00 M parameters in the Conv-LoRA paper's table for ViT-H
(shallow with 384 tokens has the same number), and the treatment of SAM's windows, which follows our understanding of
VPT in Swin's windows. Deep prompts are computed as extra keys and values alone, which equals full concatenation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from samtune.bases import EncoderPrompts
from samtune.methods.parts.trained_decoder import train_decoder
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import BASELINE_PAPER, PaperRecipe, Recipe
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base


@dataclass(frozen=True)
class VPT:
    """Learned tokens in the encoder and a trained mask decoder.

    Attributes:
        num_tokens: number of prompts of each block when deep, of the whole encoder when shallow.
        deep: whether every block has new prompts, instead of one set at the input that passes through all.
    """

    num_tokens: int = 12
    deep: bool = True

    name: ClassVar[str] = "vpt"
    source: ClassVar[str] = (
        "Jia et al., Visual Prompt Tuning, ECCV 2022, arXiv 2203.12119; "
        "baseline of Zhong et al., ICLR 2024, arXiv 2401.17868"
    )
    starts_as_identity: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe(learning_rate=1e-3, updates=150, batch_size=4)
    ranges: ClassVar[Ranges] = {"num_tokens": (1, math.inf)}
    paper_recipe: ClassVar[PaperRecipe] = BASELINE_PAPER

    def __post_init__(self) -> None:
        check_ranges(self)

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        base.sites.check_free("encoder_prompts")
        for block in base.blocks:
            block.sites.check_free("prompts")
        train_decoder(base, num_classes)
        if not self.deep:
            base.sites.put("encoder_prompts", uniform_prompts(self.num_tokens, base.encoder.channels, base.spec.patch))
            return
        for block in base.blocks:
            block.sites.put("prompts", uniform_prompts(self.num_tokens, block.in_channels, base.spec.patch))


def uniform_prompts(num_tokens: int, channels: int, patch: int, gate: float | None = None) -> EncoderPrompts:
    """Return prompts (n, C) with VPT's initial values, uniform within +-sqrt(6 / (3 patch^2 + C)).

    Args:
        num_tokens: n.
        channels: C.
        patch: rows and columns of a patch in pixels.
        gate: initial value of the scalar added to the attention logits of the prompts; None for none.
    """
    prompts = EncoderPrompts(num_tokens, channels, gate)
    bound = (6.0 / (3 * patch**2 + channels)) ** 0.5
    with torch.no_grad():
        prompts.tokens.uniform_(-bound, bound)
    return prompts
