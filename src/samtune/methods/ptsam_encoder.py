"""PTSAM with encoder prompts: learned tokens in the mask decoder and in the attention of every encoder block.

    block l, each window:  K, V = [W_k LN1(p_l); W_v LN1(p_l)] ++ [W_k LN1(x); W_v LN1(x)],
                           logits of p_l += g_l
    mask decoder:          tokens = [IoU | 4 mask tokens | p_1 .. p_n]

    p_l --> norm1, qkv (frozen) --> n more keys and values, the same in each window --.
    x   ---------------------------------------------------------------------> attention --> ... --> x

Cost: 12 * 8 * 768 + 2,048 = 75,776 parameters on ViT-B, + one per block with the gate. The features change at every
step, so each step runs the encoder forward and backward. Do not use it where `ptsam` alone is good enough: training is
hundreds of times slower.
Source: Piater, Barz, Freytag, "Prompt-Tuning SAM", CVPR Workshops 2025, arXiv 2504.16739 (deep prompts at each layer,
the same in each window); Jia et al., "Visual Prompt Tuning", ECCV 2022. From the paper (by its reviews): the layers
with prompts. Ours: n = 8, inferred from 73,728 parameters on ViT-B; the key/value form, which equals full
concatenation, since a prompt's own output is dropped; the block's norm1 on the prompts, as in VPT; the gate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from samtune.errors import ConfigError
from samtune.methods.parts.prompt_tokens import Init, attach_tokens, start_tokens
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import Recipe
from samtune.methods.vpt import uniform_prompts
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base


@dataclass(frozen=True)
class PTSAMEncoder:
    """Learned tokens in the mask decoder and in every encoder block.

    Attributes:
        num_tokens: number of decoder tokens per class.
        init: initial values of the decoder tokens, as for ptsam. See `ptsam.PTSAM`.
        encoder_tokens: number of prompts of each encoder block.
        gated: whether a trained number per block is added to the attention logits of its prompts.
        gate_start: initial value of the gates, with gated=true. With -5 the model starts close to `ptsam`, while eight
            untrained prompts without a gate take about 4 % of a window's attention.
    """

    num_tokens: int = 8
    init: Init = "prototype"
    encoder_tokens: int = 8
    gated: bool = False
    gate_start: float = -5.0

    name: ClassVar[str] = "ptsam_encoder"
    source: ClassVar[str] = "Piater et al., Prompt-Tuning SAM, CVPRW 2025, arXiv 2504.16739; Jia et al., VPT, ECCV 2022"
    starts_as_identity: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe(learning_rate=1e-2, updates=300, batch_size=4)
    ranges: ClassVar[Ranges] = {"num_tokens": (1, math.inf), "encoder_tokens": (1, math.inf)}

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.gate_start != -5.0 and not self.gated:
            raise ConfigError("`ptsam_encoder.gate_start` has no effect without the gate; set gated=true as well.")

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        for block in base.blocks:
            block.sites.check_free("prompts")
        attach_tokens(base, num_classes, self.num_tokens, self.init)
        gate = self.gate_start if self.gated else None
        for block in base.blocks:
            block.sites.put("prompts", uniform_prompts(self.encoder_tokens, block.in_channels, base.spec.patch, gate))

    def start(self, model: Base, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
        """Set the decoder tokens to prototypes with `init="prototype"`; see `StartsFromData.start`."""
        if self.init == "prototype":
            start_tokens(model, embedding, labels, seed=seed)
