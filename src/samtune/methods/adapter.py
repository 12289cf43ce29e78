"""Adapter: a bottleneck after the attention and after the MLP of every encoder block, and the mask decoder trained.

    y = z + W_up gelu(W_down z + b_down) + b_up,    W_down in R^(m x C), W_up in R^(C x m),    W_up = b_up = 0 at first

    x --+--> LN --> attention --> adapter --(+)--+--> LN --> MLP --> adapter --(+)--> next block
        '------------------------------------'   '---------------------------'

Cost: 2 * (2 m C + m + C) per block (m = 2 on ViT-H: 409,728), plus 3,505,536 of the decoder. Every step runs the
encoder forward and backward, and the bottlenecks stay in the model after training: two more small layers per block.
Do not use it if the trained model must be a plain SAM: `lora` and `ssf` fold into the weights, this does not.
Source: Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019, arXiv 1902.00751; as a baseline in
Zhong et al., "Convolution Meets LoRA", ICLR 2024, whose code for it is not public. From Houlsby: both places, the skip
inside, a start near the identity (here exactly the identity). Ours: m = 2, our reading of the 3.92 M parameters that
the Conv-LoRA paper's table gives for ViT-H (one adapter per block with m = 5 and no biases would fit that number as
well), and GELU, as in SAM's own MLP. In Houlsby's paper the layer norms are trained too; here they stay frozen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from samtune.methods.parts.trained_decoder import train_decoder
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import BASELINE_PAPER, PaperRecipe, Recipe
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base


class Bottleneck(nn.Module):
    """A bottleneck of m numbers with a skip connection: (..., C) -> (..., C), the identity at first.

    Args:
        channels: C.
        bottleneck: m, 1 or more.
    """

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, bottleneck), nn.Linear(bottleneck, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        # For a strided view, torch's choice of kernel depends on `requires_grad`, which changes the last bit.
        tokens = tokens.contiguous()
        correction: Tensor = self.up(F.gelu(self.down(tokens)))
        return tokens + correction


@dataclass(frozen=True)
class Adapter:
    """Bottlenecks in the encoder and a trained mask decoder.

    Attributes:
        bottleneck: width m of each bottleneck, in channels.
    """

    bottleneck: int = 2

    name: ClassVar[str] = "adapter"
    source: ClassVar[str] = (
        "Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019, arXiv 1902.00751; "
        "baseline of Zhong et al., ICLR 2024, arXiv 2401.17868"
    )
    starts_as_identity: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(learning_rate=5e-4, weight_decay=1e-2, updates=150, batch_size=4)
    ranges: ClassVar[Ranges] = {"bottleneck": (1, math.inf)}
    paper_recipe: ClassVar[PaperRecipe] = BASELINE_PAPER

    def __post_init__(self) -> None:
        check_ranges(self)

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        for block in base.blocks:
            block.sites.check_free("after_attn", "after_mlp")
        train_decoder(base, num_classes)
        for block in base.blocks:
            block.sites.put("after_attn", Bottleneck(block.channels, self.bottleneck))
            block.sites.put("after_mlp", Bottleneck(block.channels, self.bottleneck))
