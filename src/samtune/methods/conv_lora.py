"""Conv-LoRA: LoRA on the fused qkv with convolutions in the bottleneck, at a scale that a router selects per window.

    z  = A x                                       A in R^(R x C), no bias; z on the grid of the window or image
    e  = argmax_i l_i,  l = p W_g + noise          p = mean of z over the grid; noise N(0, softplus(p W_n) + 0.01)
    z' = z + Down_s( GELU( Conv3x3_e( Up_s z ) ) ) s = e's scale, 1 .. M; Up and Down bicubic, the convolution full
    y  = W0 x + b0 + (alpha / R) B z'              B in R^(3C x R), zero at the start

    x --+--> W0, b0 (frozen) -----------------------------------------------------------(+)--> y
        '--> A --> z --+---------------------------------------------(+)--> B * alpha / R -'
                       '--> mean --> router --> one of M experts of z -'

Cost: per block R * (C + 3C) + M (9 R^2 + R) + 2 R M (rank 3, 8 experts: 16,080 on ViT-H, of which 720 are the experts
and the router), plus 3,505,536 of the decoder. Every step runs the encoder forward and backward. The update is not
linear in its input, so it does not fold into plain weights. Do not use it where `lora` is as good: the paper's gains
over it are 0.2 to 1.1 points.
Balance: an expert that is never selected learns nothing, so each layer adds 0.01 (CV^2(importance) + CV^2(load)) to the
loss (`Outputs.penalties`). It is computed over all grids of a forward pass and, unlike the other losses, not a mean
over images: it changes with gradient accumulation; with one image the importance term of a global block is constant.
Routing: the layer selects one expert per grid. In SAM a grid is a window of a windowed block (also a zero-padded one at
the border), or the whole image in a global block.

Computation. A token reads one value (odd scales) or 4 x 4 values (even scales) of a window that is enlarged up to eight
times, and the sizes depend on the data. So only the pixels of the enlarged grid that are read, and their neighbours in
the convolution, are computed: 6 x 6 per token at every scale. Both interpolations are small tables, indexed by the
selected expert; the convolution is one grouped call with each window's own kernel. Nothing is approximated, no shape
depends on the data, and there is no Python loop over windows or experts.

Source: Zhong et al., "Convolution Meets LoRA", ICLR 2024, arXiv 2401.17868, and the authors' code in AutoGluon
f34ebb4f (`models/adaptation_layers.py`). Where they differ the code is followed: the paper's formula has no GELU.
Changed on purpose: (1) in the code the router learns from the balance loss alone, since a softmax over the one kept
logit is the constant 1. Here the expert's output is multiplied by 1 + (P(e) - stop(P(e))), P(e) the softmax over all
logits (the noisy ones in training). Its value is 1, so that both modes compute the same function and share weights; its
gradient increases or decreases the selected expert's probability, as in a Switch layer. This is ours, untested by the
paper; `paper=True` leaves it out. (2) The layer returns one tensor, and in training records the balance loss.
(3) Results are combined by indexing, where the code takes the logarithm of a sum of exponentials, which overflows.
(4) The mask decoder keeps SAM's unused mask tokens in its attention, so that it starts as SAM; `mask_tokens="own"`
leaves them out.

In another model: on the fused or single projections of any plain ViT, with tokens `(B, P + H * W, C)`:

    block.attn.qkv = ConvLoRALinear.from_linear(block.attn.qkv, rank=3, grid=(14, 14), prefix=1)   # P = 1 class token
    with samtune.bases.recording() as outputs:
        logits = model(images)
    loss = task_loss + sum(outputs.penalties)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.bases import current_outputs
from samtune.errors import ConfigError, ShapeError
from samtune.methods.parts.bicubic_patches import PATCH, interpolation_tables
from samtune.methods.parts.heads import NUM_QUERIES, Head, check_head, train_decoder_with
from samtune.methods.parts.trained_decoder import MaskTokens
from samtune.methods.seam.adapt import init_device
from samtune.methods.seam.fields import check_range, check_ranges
from samtune.methods.seam.recipes import CONV_LORA_PAPER, PaperRecipe, Recipe
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base


@dataclass(frozen=True)
class ConvLoRA:
    """Low-rank updates with convolutional experts in the encoder, and a trained mask decoder.

    Attributes:
        rank: rank R of each update.
        alpha: scale of the updates, which are multiplied by alpha / rank.
        num_experts: number M of convolutions, of which the i-th reads the grid enlarged i times.
        balance: weight of each layer's balance loss, which spreads the work over the experts.
        paper: whether the router gets no gradient from the task, as in the authors' code.
        head: one mask token per class, or mask queries. See `parts/heads.py`.
        num_queries: number of mask queries with head=queries, more than there are classes.
        mask_tokens: mask tokens in the decoder's attention: all of SAM's too, or the method's own.
            See `parts.trained_decoder.MaskTokens`.
    """

    rank: int = 3
    alpha: float = 32.0
    num_experts: int = 8
    balance: float = 0.01
    paper: bool = False
    head: Head = "class_tokens"
    num_queries: int = NUM_QUERIES
    mask_tokens: MaskTokens = "all"

    name: ClassVar[str] = "conv_lora"
    source: ClassVar[str] = "Zhong et al., Convolution Meets LoRA, ICLR 2024, arXiv 2401.17868; AutoGluon f34ebb4f"
    recipe: ClassVar[Recipe] = Recipe(learning_rate=5e-4, weight_decay=1e-2, updates=150, batch_size=4)
    ranges: ClassVar[Ranges] = {
        "rank": (1, math.inf), "num_experts": (2, math.inf), "balance": (0, math.inf), "num_queries": (2, math.inf),
    }  # fmt: skip
    paper_recipe: ClassVar[PaperRecipe] = replace(CONV_LORA_PAPER, fields={"paper": True, "mask_tokens": "own"})

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.paper and self.balance == 0:
            raise ConfigError(
                "Expected `conv_lora.balance` > 0 with paper=true, got 0; without it the router does not learn."
            )
        check_head("conv_lora", self.head, self.num_queries)

    @property
    def starts_as_identity(self) -> bool:
        """Whether the first step starts from SAM itself; queries and a decoder without SAM's other tokens do not."""
        return self.head == "class_tokens" and self.mask_tokens == "all"

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        linears: list[Any] = [block.free_at("qkv") for block in base.blocks]
        train_decoder_with(base, num_classes, self.head, self.num_queries, self.mask_tokens)
        for block, linear in zip(base.blocks, linears, strict=True):
            layer = ConvLoRALinear.from_linear(
                linear,
                rank=self.rank,
                alpha=self.alpha,
                num_experts=self.num_experts,
                balance=self.balance,
                paper=self.paper,
            )
            block.put("qkv", layer)


class ConvLoRALinear(nn.Linear):
    """A frozen linear with a low-rank update through a mixture of convolutions; has the linear's own weight and bias.

    Create it with `from_linear`. The expert is selected once per grid of the batch, with noise in training (drawn from
    torch's global generator), without noise in evaluation.

    Attributes:
        lora_a: (R, in) parameter.
        lora_b: (out, R) parameter, zero at the start.
        expert_weight: (M, R, R, 3, 3) parameter.
        expert_bias: (M * R,) parameter, zero at the start; one axis, so that weight decay does not apply to it.
        gate: (R, M) parameter W_g, zero at the start.
        gate_noise: (R, M) parameter W_n, zero at the start.
        grid: (H, W) of tokens (B, L, in), None for tokens (B, H, W, in).
        prefix: number of tokens ahead of the grid in (B, L, in), such as a class token.
    """

    lora_a: nn.Parameter
    lora_b: nn.Parameter
    expert_weight: nn.Parameter
    expert_bias: nn.Parameter
    gate: nn.Parameter
    gate_noise: nn.Parameter

    def __init__(self, in_features: int, out_features: int, bias: bool, rank: int, num_experts: int) -> None:
        super().__init__(in_features, out_features, bias, device="meta")
        self.rank, self.num_experts = rank, num_experts
        self.grid: tuple[int, int] | None = None
        self.prefix = 0
        self.scale = 1.0
        self.balance = 0.0
        self.paper = False

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        *,
        rank: int = 3,
        alpha: float = 32.0,
        num_experts: int = 8,
        balance: float = 0.01,
        paper: bool = False,
        grid: tuple[int, int] | None = None,
        prefix: int = 0,
    ) -> ConvLoRALinear:
        """Wrap a linear; its weight and bias are taken over, not copied, and frozen.

        Args:
            linear: of any model.
            rank: R, 1 or more.
            alpha: the update is scaled by alpha / rank.
            num_experts: M, 2 or more; expert i convolves the grid enlarged i times.
            balance: weight of the balance loss, 0 or more.
            paper: give the router no gradient from the task.
            grid: (H, W) of the tokens if the model passes them as (B, L, in); not needed for (B, H, W, in).
            prefix: number of tokens ahead of the grid; they get the plain low-rank update and do not affect the router.

        Returns:
            A linear with the same output as `linear` before training.

        Raises:
            ConfigError: a number is out of range.
        """
        for name, value in (("rank", rank), ("num_experts", num_experts), ("balance", balance)):
            check_range(name, value, ConvLoRA.ranges[name])
        if prefix < 0:
            raise ConfigError(f"Expected `prefix` >= 0, got {prefix}.")
        layer = cls(linear.in_features, linear.out_features, linear.bias is not None, rank, num_experts)
        layer.weight, layer.bias = linear.weight.requires_grad_(False), linear.bias
        if layer.bias is not None:
            layer.bias.requires_grad_(False)
        layer.grid, layer.prefix, layer.balance, layer.paper = grid, prefix, balance, paper
        layer.scale = alpha / rank
        device = init_device(linear.weight.device)
        layer.lora_a = nn.Parameter(torch.empty(rank, linear.in_features, device=device))
        layer.lora_b = nn.Parameter(torch.zeros(linear.out_features, rank, device=device))
        layer.expert_weight = nn.Parameter(torch.empty(num_experts, rank, rank, 3, 3, device=device))
        layer.expert_bias = nn.Parameter(torch.zeros(num_experts * rank, device=device))
        layer.gate = nn.Parameter(torch.zeros(rank, num_experts, device=device))
        layer.gate_noise = nn.Parameter(torch.zeros(rank, num_experts, device=device))
        nn.init.kaiming_uniform_(layer.lora_a, a=5**0.5)
        bound = (9 * rank) ** -0.5  # torch's own rule for each 3x3 convolution
        nn.init.uniform_(layer.expert_weight, -bound, bound)
        return layer.to(linear.weight.device)

    def forward(self, tokens: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Apply the linear and its update.

        Args:
            tokens: (N, H, W, in), or (N, P + H * W, in) with P = `prefix`.
            grid: (H, W) of tokens in the second form; None for the layer's own.

        Returns:
            (..., out), of the shape of the tokens.

        Raises:
            ShapeError: the tokens do not fill the grid.
        """
        low = F.linear(tokens, self.lora_a)
        if tokens.ndim == 4:
            low = self._mix(low)
        else:
            height, width = self._grid_of(tokens, grid)
            ahead = low[:, : self.prefix]
            on_grid = self._mix(low[:, self.prefix :].reshape(-1, height, width, self.rank))
            low = torch.cat([ahead, on_grid.flatten(1, 2)], dim=1)
        return super().forward(tokens) + F.linear(self.scale * low, self.lora_b)  # scaled while it is small

    def _grid_of(self, tokens: Tensor, grid: tuple[int, int] | None) -> tuple[int, int]:
        grid = self.grid if grid is None else grid
        shape = tuple(tokens.shape)
        if grid is None or len(shape) != 3 or shape[1] != self.prefix + grid[0] * grid[1]:
            raise ShapeError(
                f"Expected tokens (N, H, W, C), or (N, {self.prefix} + H * W, C) with the grid (H, W), got {shape} "
                f"with the grid {grid}; pass `grid` and `prefix` to from_linear."
            )
        return grid

    def _mix(self, low: Tensor) -> Tensor:
        """Add the output of the selected expert: (N, H, W, R) -> (N, H, W, R)."""
        expert, weight = self._route(low)
        update = self.apply_experts(low.permute(0, 3, 1, 2), expert).permute(0, 2, 3, 1)
        if weight is not None:
            update = update * weight.to(update.dtype)[:, None, None, None]
        return low + update

    def _route(self, low: Tensor) -> tuple[Tensor, Tensor | None]:
        """Select an expert for each grid, and record the balance loss.

        Returns:
            The experts (N,), and in training the factor (N,) with the value 1 and the router's gradient, else None.
        """
        pooled = low.float().mean(dim=(1, 2))
        # Products and sums, because autocast would round a matrix product to half precision.
        logits = (pooled[:, :, None] * self.gate.float()).sum(1)
        if not self.training:
            return logits.argmax(1), None
        spread = F.softplus((pooled[:, :, None] * self.gate_noise.float()).sum(1)) + 0.01
        noisy = logits + torch.randn_like(logits) * spread
        expert = noisy.argmax(1)
        penalty, outputs = self.balance * balance_loss(logits, noisy, spread), current_outputs()
        if outputs is not None:
            outputs.penalties.append(penalty)
        if self.paper:
            return expert, None
        probability = noisy.softmax(1).gather(1, expert[:, None])[:, 0]
        return expert, 1 + (probability - probability.detach())

    def apply_experts(self, low: Tensor, expert: Tensor) -> Tensor:
        """Return Down(GELU(Conv3x3(Up z))) of each grid's own expert: (N, R, H, W), (N,) -> (N, R, H, W)."""
        batch, rank, height, width = low.shape
        rows, row_taps = interpolation_tables(height, self.num_experts, low)
        columns, column_taps = interpolation_tables(width, self.num_experts, low)
        # (N, R, 6 H, 6 W): for each token the patch of the enlarged grid that its output depends on.
        patches = rows[expert][:, None] @ low @ columns[expert][:, None].transpose(2, 3)
        answer = F.conv2d(
            patches.reshape(1, batch * rank, PATCH * height, PATCH * width),
            self.expert_weight[expert].flatten(0, 1).to(patches.dtype),
            self.expert_bias.reshape(-1, rank)[expert].flatten().to(patches.dtype),
            padding=1,
            groups=batch,
        )
        # Drop the rim of each patch, whose convolution included a neighbouring patch.
        answer = answer.reshape(batch, rank, height, PATCH, width, PATCH)[:, :, :, 1:-1, :, 1:-1]
        taps = row_taps[expert][:, :, :, None, None] * column_taps[expert][:, None, None, :, :]
        return (F.gelu(answer) * taps[:, None]).sum(dim=(3, 5))


def balance_loss(logits: Tensor, noisy: Tensor, spread: Tensor) -> Tensor:
    """Compute CV^2(importance) + CV^2(load) over the experts, for top-1 routing with noise.

    The importance of an expert is the number of its grids (its gates are 1), which has no gradient; its load is the sum
    over grids of the probability that it would be selected if its own noise were drawn again. CV^2 is the unbiased
    variance divided by the squared mean.

    Args:
        logits: (N, M) without noise.
        noisy: (N, M) with noise; the largest was selected.
        spread: (N, M) standard deviations of the noise.

    Returns:
        A scalar, 0 if all experts are used equally.

    Source: Shazeer et al., "Outrageously Large Neural Networks", ICLR 2017, appendix A.
    """
    first, second = noisy.topk(2, dim=1).values.unbind(1)
    threshold = torch.where(noisy > second[:, None], second[:, None], first[:, None])
    load = torch.special.ndtr((logits - threshold) / spread).sum(0)
    importance = F.one_hot(noisy.argmax(1), noisy.shape[1]).to(load.dtype).sum(0)
    return _squared_variation(importance) + _squared_variation(load)


def _squared_variation(values: Tensor) -> Tensor:
    return values.var() / (values.mean().square() + 1e-10)
