"""TS-SAM: a trained stream beside the frozen encoder, refinement at two scales, and a decoder of its own.

    s   = SA_stem(x_0, W P + b)                                 P patch embedding without positions, x_0 with them
    x_i = Block_i(m_{i-1}),  R <- R + MRM(x_i),  (s, m_i) = SA_i(x_i, s)          m_i = x_i + u_i goes on
    n   = neck(m_L),         R <- R + MRM(n),    (s, _) = SA_neck(n, s);          logits = FFD(s, R)

    P --> s --> SA --> SA --> ... --> SA --> SA --> s --.
                |^     |^             |^     ^          |
    x --> block -+> block -+-> ... block -+> neck       +--> fusion decoder --> logits (B, K, 4 H, 4 W)
                 '--> MRM --'--> ... --'-----' --> R ---'

Cost, with C of the encoder, S of the side stream, h = S / 2, L blocks: side adapters (L + 1)(2 S C + 3 C + 3 S) +
(2 S^2 + 6 S), 12 refinements of h C + 263,680 and one of the neck, the entry S C + S, the decoder 1,771,393 (and 129
for each more class): 11,892,865 on ViT-B, 20,403,073 on ViT-L, 29,437,569 on ViT-H; 196,864 more with the frequency
branch. SAM's decoder and prompts are not used. The side stream changes the encoder's tokens, so each step runs the
whole encoder forward and backward, and it does not save memory (`lst` does). Do not use it with few images: it starts
from noise and trains twelve million numbers, while `ptsam` and `lora` start from SAM's features or mask.

Source: Yu et al., "TS-SAM: Fine-Tuning Segment-Anything Model for Downstream Tasks", arXiv 2408.01835, and its public
code (TS-SAM edd171c), which gives ViT-B and ViT-H. Ours: the ViT-L sizes (S and the last 12 blocks stay), K classes
as K maps of the last convolution, and any image size.

Where the public code is at fault, the default does otherwise and `paper=True` does the same:

- BatchNorm with the statistics of two images a process (only one process's are saved). The default is GroupNorm:
  each image alone, nothing to keep. The numbers are the same.
- The decoder enlarges with aligned corners, but combines the result with maps that were enlarged by cells. The default
  enlarges by cells.
- The side stream's entry reads the patches in a scrambled order (`parts/stem.py`). The default is the equation above;
  `stem` sets it separately.

Other faults of the public code are not part of the method. Gradients that are never averaged between processes (an
intended batch of 8 is a batch of 2 on a quarter of the images) and images squashed to a square are part of
`--recipe paper` (`recipes.SIDE_RECIPE`). Every mask pixel above 0 read as foreground, the best step selected on test
images, and pairs matched by their order are not reproduced. The code's loss is BCE + IoU without smoothing (`ce_iou`
here), and for shadows `shadow_bce`, with the frequency branch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from samtune.errors import ConfigError, MethodError
from samtune.methods.parts.frequency import high_frequency
from samtune.methods.parts.stem import Stem, is_scrambled, scrambled
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import SIDE_NOTE, SIDE_RECIPE, PaperRecipe, Recipe, Variant
from samtune.methods.ts_sam.modules import FusionDecoder, Refinement, SideAdapter
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base, Call
    from samtune.types import Features

State = tuple[Tensor, tuple[Tensor, Tensor] | None]
"""The side stream (B, S, H, W) and the sums of the refined maps so far, at four times and twice the grid."""


@dataclass(frozen=True)
class TSSAM:
    """Side adapters, multi-scale refinement and a fusion decoder.

    Attributes:
        side_channels: number of channels of the side stream, even, by default that of the neck. S; the neck has 256 on
            every SAM, as in the public configurations.
        refinements: number of last blocks that are refined, or all where there are fewer. 12 as published.
        frequency: whether the side stream also reads the image's high frequencies. By a 16 x 16 convolution at its
            entry, as in the published shadow models.
        paper: whether norm, enlargement and entry are those of the public code. The entry with `stem="auto"`; see the
            top of this file.
        stem: order in which the entry reads the patches. See `parts/stem.py`.
    """

    side_channels: int | None = None
    refinements: int = 12
    frequency: bool = False
    paper: bool = False
    stem: Stem = "auto"

    name: ClassVar[str] = "ts_sam"
    source: ClassVar[str] = "Yu et al., TS-SAM, arXiv 2408.01835; TS-SAM edd171c"
    starts_as_identity: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe(learning_rate=8e-4, weight_decay=1e-2, updates=400, loss="ce_iou")
    paper_recipe: ClassVar[PaperRecipe] = PaperRecipe(SIDE_RECIPE, SIDE_NOTE, fields={"paper": True})
    variants: ClassVar[tuple[Variant, ...]] = (Variant({"frequency": True}, "as published for shadows"),)
    ranges: ClassVar[Ranges] = {"side_channels": (2, math.inf), "refinements": (0, math.inf)}
    earlier: ClassVar[dict[str, Any]] = {"stem": "equation"}

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.side_channels is not None and self.side_channels % 2:
            raise ConfigError(f"Expected `ts_sam.side_channels` to be even and >= 2, got {self.side_channels}.")

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        base.sites.check_free("side", "head")
        neck = base.decoder.channels
        side = neck if self.side_channels is None else self.side_channels
        base.sites.put("side", SideStream(self, base, side))
        base.sites.put("head", FusionHead(FusionDecoder(neck, side // 2, num_classes, paper=self.paper)))


class SideStream(nn.Module):
    """A `Side`: the stream of side adapters, and the refined maps.

    Args:
        method: its fields.
        base: gives the sizes.
        side: S.
    """

    def __init__(self, method: TSSAM, base: Base, side: int) -> None:
        super().__init__()
        encoder, paper = base.encoder, method.paper
        channels, neck, num_blocks = encoder.channels, base.decoder.channels, len(base.blocks)
        self.first_refined = max(0, num_blocks - method.refinements)
        self.scrambled = is_scrambled(method.stem, paper=paper)
        self.enter = nn.Linear(channels, side)
        self.edges = nn.Conv2d(3, side, encoder.patch, encoder.patch) if method.frequency else None
        self.stem = SideAdapter(channels, side, side, paper=paper)
        self.adapters = nn.ModuleList(SideAdapter(channels, side, side, paper=paper) for _ in range(num_blocks))
        self.refinements = nn.ModuleList(
            Refinement(channels, side // 2, paper=paper) for _ in range(self.first_refined, num_blocks)
        )
        self.last_adapter = SideAdapter(neck, side, neck, paper=paper)
        self.last_refinement = Refinement(neck, side // 2, paper=paper)

    def begin(self, pixels: Tensor, patches: Tensor) -> State:
        """Return the first map of the side stream, from the patches and the high frequencies; see `Side.begin`."""
        side: Tensor = self.enter(scrambled(patches) if self.scrambled else patches).permute(0, 3, 1, 2)
        if self.edges is not None:
            side = side + self.edges(high_frequency(pixels))
        return side, None

    def forward(self, index: int, tokens: Tensor, state: State, call: Call) -> tuple[Tensor, State]:
        """Read the encoder's tokens, and change them after each block; see `Side`."""
        side, refined = state
        main = tokens.permute(0, 3, 1, 2)
        if index == -1:  # the stem changes the side stream alone
            return tokens, (call(self.stem, main, side)[0], None)
        if index >= self.first_refined:
            refined = _sum(refined, call(self.refinements[index - self.first_refined], main))
        side, main = call(self.adapters[index], main, side)
        return main.permute(0, 2, 3, 1), (side, refined)

    def end(self, embedding: Tensor, state: State, call: Call) -> tuple[Tensor, dict[str, Tensor]]:
        """Read the neck's output without changing it; see `Side.end`."""
        side, refined = state
        fourfold, twofold = _sum(refined, call(self.last_refinement, embedding))
        side = call(self.last_adapter, embedding, side)[0]
        return embedding, {"side": side, "refined_2x": twofold, "refined_4x": fourfold}


def _sum(so_far: tuple[Tensor, Tensor] | None, more: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return more if so_far is None else (so_far[0] + more[0], so_far[1] + more[1])


class FusionHead(nn.Module):
    """A head with the fusion decoder.

    Args:
        decoder: of the side stream and the refined maps.
    """

    def __init__(self, decoder: FusionDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Features, base: Base) -> Tensor:
        """Return logits (B, K, 4 H, 4 W) of features from this model's own encoder.

        Raises:
            MethodError: the features have no side stream.
        """
        extras = features.extras
        if "side" not in extras:
            raise MethodError("Expected features with TS-SAM's side stream, got none; encode with this model.")
        logits: Tensor = self.decoder(extras["side"], extras["refined_2x"], extras["refined_4x"])
        return logits
