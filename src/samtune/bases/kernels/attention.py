"""Multi-head self-attention on a grid, with SAM's decomposed relative positions and optional prompt keys.

    logits[q, k] = <q, k> / sqrt(d) + <q, R_h[row(q) - row(k)]> + <q, R_w[col(q) - col(k)]>      for image keys
    logits[q, p] = <q, p> / sqrt(d) + g                                                          for prompt keys

In: the fused projection of a grid of tokens. Out: the values of all heads, joined, on the same grid. Nothing is
approximated. `grid_bias.py` adds the position terms to the logits without N x N numbers. The prompt keys are PTSAM's
encoder prompts, written as a prefix of keys and values.

Source: segment-anything, `modeling/image_encoder.py` (`Attention`, `add_decomposed_rel_pos`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from samtune.bases.kernels.grid_bias import GridBias, biased_attention


@dataclass(frozen=True)
class PromptKeys:
    """Extra keys and values that every query of a block attends to.

    Attributes:
        key: keys of all heads, joined: (n, C), or (B, n, C) for different ones in each grid of the batch.
        value: values of all heads, joined: (n, C) or (B, n, C).
        gate: scalar added to the logits of these keys, or None for 0.
    """

    key: Tensor
    value: Tensor
    gate: Tensor | None


def relative_table(positions: Tensor, length: int) -> Tensor:
    """Look up the relative position of each (query, key) coordinate along one axis.

    Args:
        positions: (L, d) learned table, L = 2 * (trained length) - 1.
        length: number of rows (or columns) of the grid in use; if it is not the trained one, the table is interpolated
            linearly, as in SAM.

    Returns:
        (length, length, d), indexed [query, key].
    """
    size = 2 * length - 1
    if positions.shape[0] != size:
        table = positions.T[None].float()
        positions = F.interpolate(table, size=size, mode="linear")[0].T.to(positions.dtype)
    coordinate = torch.arange(length, device=positions.device)
    return positions[coordinate[:, None] - coordinate[None, :] + length - 1]


def relative_terms(query: Tensor, rel_pos: tuple[Tensor, Tensor], grid_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Compute the terms that each query adds to its logits for each row and for each column of keys.

    Args:
        query: (B, heads, H * W, d), not scaled.
        rel_pos: (2 H - 1, d) learned table of rows, (2 W - 1, d) of columns (other lengths are interpolated).
        grid_hw: (H, W).

    Returns:
        (B, heads, H * W, H) and (B, heads, H * W, W).
    """
    height, width = grid_hw
    on_grid = query.view(*query.shape[:2], height, width, query.shape[3])
    rows = torch.einsum("bnhwc,hkc->bnhwk", on_grid, relative_table(rel_pos[0], height))
    columns = torch.einsum("bnhwc,wkc->bnhwk", on_grid, relative_table(rel_pos[1], width))
    return rows.flatten(2, 3), columns.flatten(2, 3)


def attend(
    qkv: Tensor,
    num_heads: int,
    rel_pos: tuple[Tensor, Tensor] | None = None,
    prompts: PromptKeys | None = None,
) -> Tensor:
    """Compute the self-attention of grids: each token attends to all tokens of its own grid and to the prompts.

    Args:
        qkv: (B, H, W, 3 C) fused projection, query then key then value.
        num_heads: must divide C.
        rel_pos: learned tables of rows and columns, or None for no relative positions.
        prompts: extra keys and values, without relative-position terms.

    Returns:
        (B, H, W, C), before the output projection.
    """
    batch, height, width, channels = qkv.shape
    fused = qkv.reshape(batch, height * width, 3, num_heads, channels // (3 * num_heads))
    query, key, value = _Parts.apply(fused)  # type: ignore[no-untyped-call]
    terms = None if rel_pos is None else relative_terms(query, rel_pos, (height, width))
    if prompts is not None:
        key = torch.cat([_heads(prompts.key, num_heads, batch), key], dim=2)
        value = torch.cat([_heads(prompts.value, num_heads, batch), value], dim=2)
    gate = None if prompts is None else prompts.gate
    if terms is not None:
        out = biased_attention(query, key, value, GridBias(*terms, lead=gate))
    else:
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=_gate_of(gate, key, height * width))
    return out.transpose(1, 2).reshape(batch, height, width, -1)


def plain_attend(
    qkv: Tensor,
    num_heads: int,
    rel_pos: tuple[Tensor, Tensor] | None = None,
    prompts: PromptKeys | None = None,
) -> Tensor:
    """Compute the same as `attend`, by the definition, with all logits (B, heads, H * W, n + H * W) in memory."""
    batch, height, width, _ = qkv.shape
    query, key, value = (_heads(part, num_heads, batch) for part in qkv.flatten(1, 2).chunk(3, dim=-1))
    logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if rel_pos is not None:
        rows, columns = relative_terms(query, rel_pos, (height, width))
        logits = logits + (rows[..., :, None] + columns[..., None, :]).flatten(-2)
    if prompts is not None:
        extra = query @ _heads(prompts.key, num_heads, batch).transpose(-1, -2) / query.shape[-1] ** 0.5
        logits = torch.cat([extra if prompts.gate is None else extra + prompts.gate, logits], dim=-1)
        value = torch.cat([_heads(prompts.value, num_heads, batch), value], dim=2)
    out: Tensor = logits.softmax(-1) @ value
    return out.transpose(1, 2).reshape(batch, height, width, -1)


def attend_prompts(qkv: Tensor, prompts: Tensor, num_heads: int) -> Tensor:
    """Compute the attention of prompt tokens: each attends to the prompts and to all tokens of its own grid.

    Args:
        qkv: (B, H, W, 3 C) fused projection of the grids.
        prompts: (B, n, 3 C) fused projection of the prompts.
        num_heads: must divide C.

    Returns:
        (B, n, C), before the output projection. A prompt has no position, so its logits have no relative-position term.
    """
    batch, num_prompts, width = prompts.shape
    query, key, value = (_heads(part, num_heads, batch) for part in prompts.chunk(3, dim=-1))
    _, grid_key, grid_value = (_heads(part, num_heads, batch) for part in qkv.flatten(1, 2).chunk(3, dim=-1))
    out = F.scaled_dot_product_attention(
        query, torch.cat([key, grid_key], dim=2), torch.cat([value, grid_value], dim=2)
    )
    return out.transpose(1, 2).reshape(batch, num_prompts, width // 3)


class _Parts(torch.autograd.Function):
    """Query, key and value of a fused projection (B, N, 3, heads, d), each as a view (B, heads, N, d).

    The backward pass writes the three gradients into one tensor in the projection's layout; autograd would concatenate
    them first and then copy them to this layout.
    """

    @staticmethod
    def forward(ctx: Any, fused: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split the projection into views."""
        query, key, value = fused.permute(2, 0, 3, 1, 4).unbind(0)
        return query, key, value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Join the three gradients; that of an unused part is zero."""
        batch, heads, tokens, depth = gradients[0].shape
        fused = gradients[0].new_empty(batch, tokens, 3, heads, depth)
        for part, gradient in enumerate(gradients):
            fused[:, :, part] = gradient.transpose(1, 2)
        return fused


def _heads(tokens: Tensor, num_heads: int, batch: int) -> Tensor:
    """Split tokens into heads: (n, C), repeated for the batch, or (batch, n, C) -> (batch, heads, n, C / heads)."""
    count, channels = tokens.shape[-2:]
    heads = tokens.reshape(*tokens.shape[:-2], count, num_heads, channels // num_heads).transpose(-3, -2)
    return heads.expand(batch, -1, -1, -1)


def _gate_of(gate: Tensor | None, key: Tensor, num_cells: int) -> Tensor | None:
    """Return the bias (1, 1, 1, P + H * W) of a gate without relative positions, or None without a gate."""
    if gate is None:
        return None
    prompts = gate.to(key.dtype).expand(key.shape[2] - num_cells)
    return torch.cat([prompts, key.new_zeros(num_cells)])[None, None, None, :]


def to_windows(tokens: Tensor, window: int) -> tuple[Tensor, tuple[int, int]]:
    """Split a grid into windows, padded with zeros at the bottom and right if the window size does not divide it.

    As in SAM, the padding is not masked: a padded token is 0 after the norm, so its key is the bias of the projection.

    Args:
        tokens: (B, H, W, C).
        window: rows and columns of a window.

    Returns:
        (B * windows, window, window, C) and the padded (H, W).
    """
    batch, height, width, channels = tokens.shape
    pad_h, pad_w = -height % window, -width % window
    if pad_h or pad_w:
        tokens = F.pad(tokens, (0, 0, 0, pad_w, 0, pad_h))
    rows, columns = (height + pad_h) // window, (width + pad_w) // window
    tokens = tokens.reshape(batch, rows, window, columns, window, channels).transpose(2, 3)
    return tokens.reshape(-1, window, window, channels), (height + pad_h, width + pad_w)


def from_windows(windows: Tensor, padded_hw: tuple[int, int], grid_hw: tuple[int, int]) -> Tensor:
    """Undo `to_windows`: (B * windows, w, w, C) -> (B, H, W, C), without the padding."""
    window, channels = windows.shape[1], windows.shape[3]
    rows, columns = padded_hw[0] // window, padded_hw[1] // window
    grid = windows.reshape(-1, rows, columns, window, window, channels).transpose(2, 3)
    grid = grid.reshape(-1, *padded_hw, channels)
    return grid[:, : grid_hw[0], : grid_hw[1]]
