"""SAM's image encoder over transformers' own modules, with the sites of `sites.py`.

In: pixels (B, 3, S, S), S any multiple of the patch. Out: the neck's embedding (B, C, S / patch, S / patch). The
modules, their names and their tensors are those of transformers' `SamVisionEncoder`, so that every key of a checkpoint
stays valid; only the forward pass is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from samtune.bases.autocast import without_autocast
from samtune.bases.base import Block, Encoder
from samtune.bases.kernels.attention import PromptKeys, attend, attend_prompts, from_windows, to_windows
from samtune.bases.recording import replayed
from samtune.errors import ShapeError
from samtune.types import Features


class Attention(nn.Module):
    """The attention of one block: fused qkv, relative positions, output projection.

    Args:
        library: transformers' `SamVisionAttention`, whose modules and parameters are taken over.
    """

    def __init__(self, library: Any) -> None:
        super().__init__()
        self.num_heads: int = library.num_attention_heads
        self.qkv: nn.Linear = library.qkv
        self.proj: nn.Linear = library.proj
        self.use_rel_pos: bool = library.use_rel_pos
        if self.use_rel_pos:
            self.rel_pos_h: nn.Parameter = library.rel_pos_h
            self.rel_pos_w: nn.Parameter = library.rel_pos_w

    def forward(self, tokens: Tensor, prompts: PromptKeys | None = None) -> Tensor:
        """Attend within each grid of the batch: (B, H, W, C) -> (B, H, W, C)."""
        rel_pos = (self.rel_pos_h, self.rel_pos_w) if self.use_rel_pos else None
        mixed: Tensor = self.proj(attend(self.qkv(tokens), self.num_heads, rel_pos, prompts))
        return mixed

    def forward_with(self, tokens: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Attend with prompts that are queries too.

        Args:
            tokens: (B * windows, H, W, C), the grids of each image one after the other; windows may be 1.
            prompts: (B, n, C) of each image. Each of its grids has a copy; the outputs of the copies are averaged.

        Returns:
            (B * windows, H, W, C) and (B, n, C).
        """
        rel_pos = (self.rel_pos_h, self.rel_pos_w) if self.use_rel_pos else None
        windows = len(tokens) // len(prompts)
        grid, fused = self.qkv(tokens), self.qkv(prompts).repeat_interleave(windows, 0)
        _, key, value = fused.chunk(3, dim=-1)
        mixed = self.proj(attend(grid, self.num_heads, rel_pos, PromptKeys(key, value, None)))
        seen = attend_prompts(grid, fused, self.num_heads)
        seen = seen.reshape(len(prompts), windows, *prompts.shape[1:]).mean(1)
        return mixed, self.proj(seen)


class Sam1Block(Block):
    """One encoder block, windowed (`window_size` > 0) or global (0), with its sites.

    Args:
        library: transformers' `SamVisionLayer`, whose modules are taken over under the same names.
    """

    role_paths: ClassVar[Mapping[str, str]] = {
        "qkv": "attn.qkv",
        "proj": "attn.proj",
        "mlp_in": "mlp.lin1",
        "mlp_out": "mlp.lin2",
        "norm1": "layer_norm1",
        "norm2": "layer_norm2",
    }

    def __init__(self, library: Any) -> None:
        super().__init__()
        self.window_size: int = library.window_size
        self.layer_norm1: nn.Module = library.layer_norm1
        self.attn = Attention(library.attn)
        self.layer_norm2: nn.Module = library.layer_norm2
        self.mlp: nn.Module = library.mlp
        self.in_channels: int = library.layer_norm1.normalized_shape[0]
        self.channels = self.in_channels

    def prompt_keys(self) -> PromptKeys | None:
        """Return the keys and values of the block's prompts (norm1, then qkv), or None without prompts.

        This equals running the whole block on the prompts too and dropping their outputs, for which their queries and
        the MLP would be needed.
        """
        if self.prompts is None:
            return None
        fused = self.attn.qkv(self.layer_norm1(self.prompts.tokens)[None, None])[0, 0]
        _, key, value = fused.chunk(3, dim=-1)
        return PromptKeys(key, value, self.prompts.gate)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        if self.before is not None:
            tokens = self.before(tokens)
        return self._finish(tokens, self._attend(self.layer_norm1(tokens)))

    def forward_with(self, tokens: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Run the block on tokens and prompts, whose outputs are the next block's prompts.

        In a windowed block each window has its own copy of the image's prompts, and what the copies attend to is
        averaged. The sites `before`, `after_attn` and `after_mlp` receive the tokens of the grid alone.

        Args:
            tokens: (B, H, W, C).
            prompts: (B, n, C).

        Returns:
            (B, H, W, C) and (B, n, C).
        """
        if self.before is not None:
            tokens = self.before(tokens)
        mixed, seen = self._attend_with(self.layer_norm1(tokens), self.layer_norm1(prompts))
        prompts = prompts + seen
        return self._finish(tokens, mixed), prompts + self.mlp(self.layer_norm2(prompts))

    def _finish(self, tokens: Tensor, mixed: Tensor) -> Tensor:
        """Apply everything after the attention: sites, residuals and MLP."""
        if self.after_attn is not None:
            mixed = self.after_attn(mixed)
        tokens = tokens + mixed
        widened: Tensor = self.mlp(self.layer_norm2(tokens))
        if self.after_mlp is not None:
            widened = self.after_mlp(widened)
        out: Tensor = tokens + widened
        return out

    def _attend(self, tokens: Tensor) -> Tensor:
        if self.window_size == 0:
            return self.attn(tokens, self.prompt_keys())  # type: ignore[no-any-return]
        windows, padded_hw = to_windows(tokens, self.window_size)
        mixed = self.attn(windows, self.prompt_keys())
        return from_windows(mixed, padded_hw, (tokens.shape[1], tokens.shape[2]))

    def _attend_with(self, tokens: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        if self.window_size == 0:
            return self.attn.forward_with(tokens, prompts)
        windows, padded_hw = to_windows(tokens, self.window_size)
        mixed, seen = self.attn.forward_with(windows, prompts)
        return from_windows(mixed, padded_hw, (tokens.shape[1], tokens.shape[2])), seen


class ImageEncoder(Encoder):
    """SAM's Vision Transformer and neck.

    Args:
        library: transformers' `SamVisionEncoder`, whose modules and parameters are taken over.
    """

    role_paths: ClassVar[Mapping[str, str]] = {
        "patch": "patch_embed.projection",
        "neck_conv1": "neck.conv1",
        "neck_norm1": "neck.layer_norm1",
        "neck_conv2": "neck.conv2",
        "neck_norm2": "neck.layer_norm2",
    }
    pos_embed: nn.Parameter | None

    def __init__(self, library: Any) -> None:
        super().__init__()
        self.patch: int = library.config.patch_size
        self.patch_embed: Any = library.patch_embed
        self.pos_embed = library.pos_embed
        self.layers = nn.ModuleList(Sam1Block(layer) for layer in library.layers)
        self.neck: nn.Module = library.neck

    @property
    def blocks(self) -> Sequence[Sam1Block]:
        """The encoder blocks, first to last."""
        return cast("Sequence[Sam1Block]", list(self.layers))

    def forward(self, pixels: Tensor) -> Features:
        """Encode a batch of padded squares.

        Args:
            pixels: (B, 3, S, S) normalised.

        Returns:
            The embedding (B, C, S / patch, S / patch), and the tensors of the side network if there is one.

        Raises:
            ShapeError: `pixels` has another shape, or S is not a multiple of the patch.
        """
        self._check(pixels)
        with without_autocast(pixels):  # rounding the image itself causes more error than all rounding after it
            # Contiguous with channels last: otherwise each norm and each residual of the blocks would copy.
            patches: Tensor = self.patch_embed.projection(pixels).permute(0, 2, 3, 1).contiguous()
        tokens = patches
        if self.pos_embed is not None:
            tokens = tokens + self._positions((tokens.shape[1], tokens.shape[2]))
        side: Any = self.side
        state: Any = None
        if side is not None:
            tokens, state = side(-1, tokens, side.begin(pixels, patches), self._call)
        prompts = None if self.prompts is None else self.prompts.tokens.expand(len(tokens), -1, -1)
        block: Any
        for index, block in enumerate(self.layers):
            if prompts is None:
                tokens = self._run(block, block, tokens)
            else:
                tokens, prompts = self._run(block, block.forward_with, tokens, prompts)
            if side is not None:
                tokens, state = side(index, tokens, state, self._call)
        with without_autocast(tokens):
            embedding = self.neck(tokens)
        return Features(embedding) if side is None else Features(*side.end(embedding, state, self._call))

    def _call(self, module: nn.Module, *inputs: Tensor) -> Any:
        """Run a module of a side network in the same way as a block."""
        return self._run(module, module, *inputs)

    def _run(self, block: nn.Module, forward: Any, *inputs: Tensor) -> Any:
        """Run a block; with `recompute`, keep only its inputs for the backward pass, if it has one."""
        if self.recompute and torch.is_grad_enabled() and not _has_training_batch_norm(block):
            learned = any(parameter.requires_grad for parameter in block.parameters())
            if learned or any(tensor.requires_grad for tensor in inputs):
                return checkpoint(forward, *inputs, use_reentrant=False, context_fn=replayed)
        return forward(*inputs)

    def _positions(self, grid_hw: tuple[int, int]) -> Tensor:
        """Return the position embedding (1, H, W, C), interpolated if the grid has another size than in training."""
        assert self.pos_embed is not None
        if tuple(self.pos_embed.shape[1:3]) == grid_hw:
            return self.pos_embed
        planes = self.pos_embed.permute(0, 3, 1, 2)
        return F.interpolate(planes, size=grid_hw, mode="bicubic", align_corners=False).permute(0, 2, 3, 1)

    def _check(self, pixels: Tensor) -> None:
        shape = tuple(pixels.shape)
        if len(shape) != 4 or shape[1] != 3 or shape[2] % self.patch or shape[3] % self.patch:
            raise ShapeError(
                f"Expected pixels of shape (B, 3, H, W) with H and W multiples of the patch {self.patch}, got {shape}; "
                "prepare images with samtune.data.to_input."
            )


def _has_training_batch_norm(module: nn.Module) -> bool:
    """Return whether a second pass would change the module: BatchNorm updates its running statistics in each."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training for part in module.modules())
