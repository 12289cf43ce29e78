"""LoRA: a low-rank update beside frozen linears of the encoder, and the mask decoder trained.

    y = W0 x + b0 + (alpha / R) B A x,     A in R^(R x in), B in R^(out x R), B = 0 at the start

    x --+--> W0, b0 (frozen) --------------+--> y
        '--> A (R x in) --> B (out x R) ---'   * alpha / R

Cost: R * (in + out) per linear (rank 3 on the fused qkv of ViT-H: 491,520; `samtune methods` counts it for any base),
plus 3,505,536 of the decoder. Every step runs the encoder forward and backward. After training it folds into plain
weights. Do not use it if a method with a frozen encoder is good enough: `ptsam` and `decoder_only` train in a fraction
of the time.
Source: Hu et al., "LoRA", ICLR 2022; placed as in Zhong et al., "Convolution Meets LoRA", ICLR 2024, and its
code (AutoGluon f34ebb4f): one adapter on the fused qkv of every block, rank 3, alpha 32, A by Kaiming's
rule, B zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.errors import ConfigError, MethodError
from samtune.methods.parts.heads import NUM_QUERIES, Head, check_head, train_decoder_with
from samtune.methods.parts.trained_decoder import MaskTokens
from samtune.methods.seam.adapt import init_device
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import CONV_LORA_PAPER, PaperRecipe, Recipe
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base, Block


@dataclass(frozen=True)
class LoRA:
    """Low-rank updates in the encoder and a trained mask decoder.

    Attributes:
        rank: rank R of each update.
        alpha: scale of the updates, which are multiplied by alpha / rank.
        roles: linears of each block that are updated: qkv, proj, mlp_in, mlp_out.
        decoder: whether the mask decoder is trained too, as in the paper.
        head: one mask token per class, or mask queries. See `parts/heads.py`.
        num_queries: number of mask queries with head=queries, more than there are classes.
        mask_tokens: mask tokens in the decoder's attention: all of SAM's too, or the method's own.
            See `parts.trained_decoder.MaskTokens`.
    """

    rank: int = 3
    alpha: float = 32.0
    roles: tuple[str, ...] = ("qkv",)
    decoder: bool = True
    head: Head = "class_tokens"
    num_queries: int = NUM_QUERIES
    mask_tokens: MaskTokens = "all"

    name: ClassVar[str] = "lora"
    source: ClassVar[str] = "Hu et al., LoRA, ICLR 2022; Zhong et al., ICLR 2024, arXiv 2401.17868; AutoGluon f34ebb4f"
    recipe: ClassVar[Recipe] = Recipe(learning_rate=5e-4, weight_decay=1e-2, updates=150, batch_size=4)
    ranges: ClassVar[Ranges] = {"rank": (1, math.inf), "num_queries": (2, math.inf)}
    paper_recipe: ClassVar[PaperRecipe] = replace(CONV_LORA_PAPER, with_decoder={"mask_tokens": "own"})

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.roles:
            raise ConfigError("Expected at least one role in `lora.roles`, got none; the default is qkv.")
        if len(set(self.roles)) != len(self.roles):
            raise ConfigError(f"Expected each role once in `lora.roles`, got {', '.join(self.roles)}.")
        check_head("lora", self.head, self.num_queries)
        if self.head != "class_tokens" and not self.decoder:
            raise ConfigError(f"lora.head={self.head} has no effect without the decoder; keep decoder=true.")
        if self.mask_tokens != "all" and not self.decoder:
            raise ConfigError("lora.mask_tokens=own has no effect without the decoder; keep decoder=true.")

    @property
    def starts_as_identity(self) -> bool:
        """Whether the first step starts from SAM itself; queries and a decoder without SAM's other tokens do not."""
        return self.head == "class_tokens" and self.mask_tokens == "all"

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`; raises `MethodError` for a role that is not a linear of a block."""
        if num_classes != 1 and not self.decoder:
            raise MethodError(f"Expected 1 class for lora with decoder=false, got {num_classes}; keep decoder=true.")
        sites = [(block, role) for block in base.blocks for role in self.roles]
        linears = [_free_linear(block, role) for block, role in sites]
        if self.decoder:
            train_decoder_with(base, num_classes, self.head, self.num_queries, self.mask_tokens)
        for (block, role), linear in zip(sites, linears, strict=True):
            block.put(role, LoRALinear(linear, self.rank, self.alpha))


def _free_linear(block: Block, role: str) -> nn.Linear:
    """Return the base's linear in a role.

    Raises:
        MethodError: the role has another module, or that of another method.
    """
    module = block.free_at(role)
    if not isinstance(module, nn.Linear):
        linears = [name for name, module in block.roles().items() if isinstance(module, nn.Linear)]
        raise MethodError(
            f"Expected linears ({', '.join(linears)}) in `lora.roles`, got {role!r}, a {type(module).__name__}."
        )
    return module


class LoRALinear(nn.Linear):
    """A frozen linear with a low-rank update; has the linear's own weight and bias.

    Args:
        linear: its weight and bias are used, not copied.
        rank: R.
        alpha: the update is scaled by alpha / rank.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.scale = alpha / rank
        device = init_device(linear.weight.device)
        self.lora_a = nn.Parameter(torch.empty(rank, linear.in_features, device=device))
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.lora_a, a=5**0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        low = self.scale * F.linear(tokens, self.lora_a)  # scaled while it is small
        return super().forward(tokens) + F.linear(low, self.lora_b)

    def folded(self) -> nn.Linear:
        """Return a plain linear with the update added to its weight."""
        plain = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        with torch.no_grad():
            weight = self.weight + self.scale * (self.lora_b @ self.lora_a)
        plain.weight = nn.Parameter(weight, requires_grad=False)
        plain.bias = self.bias
        return plain
