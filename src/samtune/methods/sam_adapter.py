"""SAM-Adapter: the image's edges and patches as a prompt of each encoder block, and the mask decoder trained.

    F   = W_p P + b_p + Conv16(HF(I))                            P patch embedding, HF(I) high frequencies
    x  <- x + W_up gelu(W_i F + b_i) + b_up                      ahead of block i; W_up, b_up are shared

    I --> HF --> 16 x 16 convolution --.
                                       +--> F (q channels) --> W_i, gelu --> W_up --.
    I --> patch embedding P --> W_p ---'                                            +--> block i
                                            x --------------------------------------'

Cost, with q = C / factor: (C q + q) + (768 q + q) + L (q^2 + q) + (q C + C); with factor 32 that is 63,312 on ViT-B,
116,544 on ViT-L, 186,960 on ViT-H; with factor 16 on ViT-H 475,040. To it come, for one class, the whole mask
decoder's 4,058,340 and the no-mask embedding's 256: 4,121,908, 4,175,140 and 4,245,556. Of these the IoU head and three
hyper-networks, 552,036 numbers, have no effect on the mask: they count as trained, as published, and only weight decay
changes them. `decoder="used"` trains the 3,505,536 that have an effect, like the other methods here
(`parts/trained_decoder.py`); several classes, which the source does not have, do the same. Each step runs the encoder
forward and backward. Do not use it if the objects have no visible edges, or if a method with a frozen encoder is good
enough (`ptsam`, `decoder_only`).

Source: Chen et al., "SAM Fails to Segment Anything? SAM-Adapter", ICCV Workshops 2023, arXiv 2304.09148, and its
public code (SAM-Adapter-PyTorch 665145d), from which are factor 32, the mask of a quarter of the frequencies, F from
the patches without positions, one place ahead of each block, what is trained, and the first values (truncated normal,
0.02; fan-out for the convolution; the shared map is not zero). The paper's figure draws one adapter more than there are
blocks; the code, followed here, has one for each. Factor 16 with `decoder="used"` is what the table of Zhong et al.,
"Convolution Meets LoRA" (ICLR 2024), counts: 3,980,576 on ViT-H.

Where the public code is at fault, the default does otherwise and `paper=True` does the same:

- By our reading, it does not find the positional matrix and the no-mask embedding in SAM's checkpoint, where they have
  another name, and so leaves them random. The default keeps SAM's own and trains the embedding from there; with
  `paper=True` both are drawn, the matrix is saved but not trained, and the embedding is trained.
- W_p reads the patches in a scrambled order (`parts/stem.py`). The default is the equation; `stem` sets it separately.

Images squashed to a square, and gradients that are not averaged between processes, are part of `--recipe paper`, not of
the method. If images are padded, the zero padding has an edge in HF(I).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.bases import cell_centres
from samtune.errors import ConfigError, MethodError
from samtune.methods.parts.frequency import high_frequency
from samtune.methods.parts.stem import Stem, is_scrambled, scrambled
from samtune.methods.parts.trained_decoder import train_decoder
from samtune.methods.parts.whole_decoder import WholeDecoder
from samtune.methods.seam.adapt import init_device
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import SIDE_NOTE, SIDE_RECIPE, PaperRecipe, Recipe, Variant
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base, Call
    from samtune.types import Features


@dataclass(frozen=True)
class SAMAdapter:
    """Prompts from edges and patches ahead of every block, and a trained mask decoder.

    Attributes:
        factor: divisor of the encoder's channels, which gives those of the prompts' bottleneck. q = C // factor; 32 as
            published, 16 in Conv-LoRA's table.
        decoder: trained part of the mask decoder for one class: whole as published, or used without what has no effect.
            Several classes always train the latter.
        paper: whether the decoder starts, and patches are read, as in the public code, for one class. Patches with
            `stem="auto"`, and only with the whole decoder; see the top of this file.
        stem: order in which the patches are read. See `parts/stem.py`.
    """

    factor: int = 32
    decoder: Literal["whole", "used"] = "whole"
    paper: bool = False
    stem: Stem = "auto"

    name: ClassVar[str] = "sam_adapter"
    source: ClassVar[str] = "Chen et al., SAM-Adapter, ICCVW 2023, arXiv 2304.09148; SAM-Adapter-PyTorch 665145d"
    starts_as_identity: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe(learning_rate=2e-4, weight_decay=1e-2, updates=300, loss="ce_iou")
    paper_recipe: ClassVar[PaperRecipe] = PaperRecipe(
        replace(SIDE_RECIPE, learning_rate=2e-4, epochs=20), SIDE_NOTE, one_class={"paper": True}
    )
    variants: ClassVar[tuple[Variant, ...]] = (
        Variant({"factor": 16, "decoder": "used"}, "as counted in Conv-LoRA's table (on ViT-H)"),
    )
    ranges: ClassVar[Ranges] = {"factor": (1, math.inf)}
    earlier: ClassVar[dict[str, Any]] = {"stem": "equation"}

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.paper and self.decoder != "whole":
            raise ConfigError(f"Expected `sam_adapter.decoder` to be whole with paper=true, got {self.decoder}.")

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`; raises `MethodError` for fewer channels than the factor, or classes with `paper`."""
        encoder, decoder = base.encoder, base.decoder
        base.sites.check_free("side", "head")
        if encoder.channels < self.factor:
            raise MethodError(
                f"Expected `sam_adapter.factor` <= the encoder's {encoder.channels} channels, got {self.factor}."
            )
        if self.paper and num_classes != 1:
            raise MethodError(f"Expected 1 class for sam_adapter with paper=true, got {num_classes}; set paper=false.")
        if self.decoder == "used" or num_classes > 1:
            train_decoder(base, num_classes)
        else:
            base.sites.check_free("class_heads", "decoder_prompts")
            decoder.requires_grad_(True)
            base.no_mask_embedding.requires_grad_(not self.paper)
            base.sites.put("head", PublishedDecoder(base) if self.paper else WholeDecoder())
        width, mixed = encoder.channels // self.factor, is_scrambled(self.stem, paper=self.paper)
        prompts = EdgePrompts(len(base.blocks), encoder.channels, width, encoder.patch, scrambled_stem=mixed)
        base.sites.put("side", prompts)


class EdgePrompts(nn.Module):
    """A `Side` that adds to the stream, ahead of each block, a prompt made from edges and patches.

    Args:
        num_blocks: L.
        channels: C of the encoder.
        width: q.
        patch: rows and columns of a patch in pixels.
        scrambled_stem: read the patches as the public code does.
    """

    def __init__(self, num_blocks: int, channels: int, width: int, patch: int, *, scrambled_stem: bool = False) -> None:
        super().__init__()
        self.scrambled_stem = scrambled_stem
        self.patches = nn.Linear(channels, width)
        self.edges = nn.Conv2d(3, width, patch, patch)
        self.tune = nn.ModuleList(nn.Linear(width, width) for _ in range(num_blocks))
        self.up = nn.Linear(width, channels)
        for linear in (self.patches, *self.tune, self.up):
            assert isinstance(linear, nn.Linear)
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.edges.weight, std=(2 / (patch**2 * width)) ** 0.5)
        assert self.edges.bias is not None
        nn.init.zeros_(self.edges.bias)

    def begin(self, pixels: Tensor, patches: Tensor) -> Tensor:
        """Return F (B, H, W, q), the same for all blocks; see `Side.begin`."""
        edges: Tensor = self.edges(high_frequency(pixels))
        read: Tensor = self.patches(scrambled(patches) if self.scrambled_stem else patches)
        return read + edges.permute(0, 2, 3, 1)

    def forward(self, index: int, tokens: Tensor, state: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        """Add the prompt of block `index + 1`, the next one; after the last block, nothing. See `Side`."""
        if index + 1 == len(self.tune):
            return tokens, state
        return tokens + self.up(F.gelu(self.tune[index + 1](state))), state

    def end(self, embedding: Tensor, state: Tensor, call: Call) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the embedding unchanged; see `Side.end`."""
        return embedding, {}


class PublishedDecoder(nn.Module):
    """A head that calls the mask decoder with a random positional matrix and a random no-mask embedding.

    Args:
        base: gives sizes and device.
    """

    matrix: Tensor

    def __init__(self, base: Base) -> None:
        super().__init__()
        device = init_device(base.device)
        self.register_buffer("matrix", torch.randn(2, base.decoder.channels // 2, device=device))
        self.no_mask = nn.Parameter(torch.randn(base.decoder.channels, device=device))

    def forward(self, features: Features, base: Base) -> Tensor:
        """Return logits (B, 1, h, w); see `bases.Head`."""
        embedding = features.embedding
        angles = 2 * torch.pi * ((2 * cell_centres(embedding) - 1) @ self.matrix)
        positions = torch.cat([angles.sin(), angles.cos()], dim=-1).permute(2, 0, 1)[None]
        decoder = base.decoder
        dense = replace(features, embedding=embedding + self.no_mask[:, None, None])
        logits, quality = decoder.masks(dense, positions, None, tuple(range(decoder.num_mask_tokens)))
        # All masks are computed and one is used, as published. Data-parallel training waits for a gradient of each
        # trained tensor, so those without effect get one of zero.
        return logits[:, 0, :1] + 0 * quality.sum()
