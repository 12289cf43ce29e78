"""Ladder side-tuning: a narrow transformer beside the frozen encoder, which runs without a graph.

    s_1 = B_1(D_1 z_1),    s_i = B_i(g_i s_{i-1} + (1 - g_i) D_i z_i),    g_i = sigmoid(a_i),    i = 2..L
    n'  = n + U norm(s_L)                                      z_i output of block i, n the neck's; U = 0 at the start

    x --> block 1 --> block 2 --> ... --> block L --> neck --> n --+--> n' --> mask decoder (trained)
             |D          |D                  |D                    |U
             '--> B -----+--> B --> ...  ----+--> B ---------------'

Nothing flows back into the encoder or its neck: what is learned reads them and is added behind them, so no activation
of theirs is kept. Each step still runs the encoder forward.
Cost, with w the width: L (12 w^2 + 13 w) + L (C w + w) + (L - 1) + 2 w + (256 w + 256), and the decoder's 3,505,536
for one class: on ViT-H 8,006,887 + 3,505,536 = 11,512,423. Do not use it where memory is no concern (`lora` changes the
features themselves), or where the frozen features already show the object (`ptsam` and `decoder_only` compute them once
and train in seconds).

Source: Sung, Cho, Bansal, "LST: Ladder Side-Tuning", NeurIPS 2022, arXiv 2206.06522, for the ladder, the gates
between the side's own state and what comes from the frozen network, and a side network that is the same at a fraction
of the width. The form for SAM is our own design: the baseline of Zhong et al., "Convolution Meets LoRA" (ICLR 2024),
of 11.49 million has no public code. Ours: width 100, which is nearest to that number; side blocks that attend in the
windows of the encoder block they read, without relative positions (the features contain their position); the sum after
the neck instead of ahead of it, so that the neck needs no graph either; initial values drawn, not pruned from the
encoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.bases.kernels.attention import attend, from_windows, to_windows
from samtune.errors import ConfigError
from samtune.methods.parts.trained_decoder import train_decoder
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import BASELINE_PAPER, PaperRecipe, Recipe
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base, Call


@dataclass(frozen=True)
class LST:
    """A ladder side network and a trained mask decoder.

    Attributes:
        width: number w of channels of the side network, a multiple of its attention heads.
        num_heads: number of attention heads of the side network.
    """

    width: int = 100
    num_heads: int = 5

    name: ClassVar[str] = "lst"
    source: ClassVar[str] = "Sung et al., LST, NeurIPS 2022, arXiv 2206.06522; the form for SAM is our own"
    starts_as_identity: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(learning_rate=5e-4, weight_decay=1e-2, updates=300, batch_size=4)
    ranges: ClassVar[Ranges] = {"width": (1, math.inf), "num_heads": (1, math.inf)}
    paper_recipe: ClassVar[PaperRecipe] = BASELINE_PAPER

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.width % self.num_heads:
            raise ConfigError(
                f"Expected `lst.width` to be a multiple of `lst.num_heads`, got {self.width} and {self.num_heads}."
            )

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        encoder = base.encoder
        base.sites.check_free("side")
        train_decoder(base, num_classes)
        windows = [block.window_size for block in base.blocks]
        base.sites.put("side", Ladder(windows, encoder.channels, self.width, self.num_heads, base.decoder.channels))


class Ladder(nn.Module):
    """A `Side` that reads every block and adds to the neck's output.

    Args:
        windows: window size of each encoder block, 0 for global attention.
        channels: C of the encoder.
        width: w.
        num_heads: of the side blocks.
        out: channels of the neck.
    """

    def __init__(self, windows: list[int], channels: int, width: int, num_heads: int, out: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(channels, width) for _ in windows)
        self.blocks = nn.ModuleList(SideBlock(width, num_heads, window) for window in windows)
        self.gates = nn.Parameter(torch.zeros(len(windows) - 1))
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, out)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def begin(self, pixels: Tensor, patches: Tensor) -> None:
        """Return no state; see `Side.begin`."""

    def forward(self, index: int, tokens: Tensor, state: Tensor | None, call: Call) -> tuple[Tensor, Tensor | None]:
        """Return the stream unchanged, and s_i (B, H, W, w) after block i; see `Side`."""
        if index == -1:
            return tokens, None
        side: Tensor = self.down[index](tokens)
        if state is not None:
            gate = self.gates[index - 1].sigmoid()
            side = gate * state + (1 - gate) * side
        return tokens, call(self.blocks[index], side)

    def end(self, embedding: Tensor, state: Tensor, call: Call) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the embedding (B, C, H, W) plus the ladder's output; see `Side.end`."""
        return embedding + self.up(self.norm(state)).permute(0, 3, 1, 2), {}


class SideBlock(nn.Module):
    """A plain transformer block: norm, attention, norm, MLP of four times the width; 12 w^2 + 13 w numbers.

    Args:
        width: w.
        num_heads: of the attention.
        window: rows and columns of a window, 0 for attention over the whole grid.
    """

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads, self.window = num_heads, window
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_in, self.mlp_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, H, W, w) -> (B, H, W, w)."""
        grid_hw = (tokens.shape[1], tokens.shape[2])
        grids, padded_hw = self.norm1(tokens), grid_hw
        if self.window:
            grids, padded_hw = to_windows(grids, self.window)
        mixed: Tensor = self.proj(attend(self.qkv(grids), self.num_heads))
        if self.window:
            mixed = from_windows(mixed, padded_hw, grid_hw)
        tokens = tokens + mixed
        widened: Tensor = self.mlp_out(F.gelu(self.mlp_in(self.norm2(tokens))))
        return tokens + widened
