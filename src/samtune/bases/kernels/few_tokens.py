"""Attention between the many cells of an image and a few tokens, without projecting the cells.

A linear map of the cells can be moved to the other side of every product in which they stand:

    logits    <q, W x + b> = <W' q, x> + <q, b>        W' (transposed) is applied to a dozen tokens, not to 4,096 cells
    values    sum w (V x + c) = V (sum w x) + c         since the weights w add up to 1
    output    O (sum w v) = sum w (O v)                 where the values are the tokens'

With h heads, T tokens, and cells of C channels projected to C', a cell then costs h T C products where it cost C C' and
T C'; and the tensors of C' channels a cell, which the backward pass would need, never exist. The softmax is the same.

Letters as in `two_way.py`: B images, P prompts of an image, T tokens of a prompt, N cells, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FEW = 16
"""Tokens an image may meet. For SAM's eight heads and halved channels that is where the products come out even."""

FEW_BESIDE_FROZEN = 8
"""The same where a gradient goes back to the image through frozen maps: projected, it then costs no products for the
maps' own gradient, while here the tokens' gradient takes as many. docs/log.md has the figures."""


def are_few(tokens: Tensor, image: Tensor, attention: Any) -> bool:
    """Whether not projecting the image pays; on a GPU it did not, where more but smaller steps cost more than products.

    Args:
        tokens: (B, P, T, C) that meet it.
        image: (B, P or 1, N, C).
        attention: transformers' `SamAttention`, which stands for the others of its layer.
    """
    if image.device.type == "cuda":
        return False
    beside_frozen = torch.is_grad_enabled() and image.requires_grad and not attention.k_proj.weight.requires_grad
    return _meeting(tokens, image) <= (FEW_BESIDE_FROZEN if beside_frozen else FEW)


def tokens_to_image(attention: Any, queries: Tensor, image: Tensor, placed: Tensor) -> Tensor:
    """Let tokens look at the cells.

    Args:
        attention: transformers' `SamAttention`, its linears plain ones.
        queries: (B, P, T, C), with their positions.
        image: (B, P or 1, N, C), the values.
        placed: the same with the cells' positions, the keys.

    Returns:
        (B, P, T, C).
    """
    heads = attention.num_attention_heads
    key, value = attention.k_proj, attention.v_proj
    own = heads_of(attention.q_proj(_gather(queries, image)), heads)
    weights = torch.softmax(_logits(own, key, placed), dim=-1)
    seen = weights.flatten(1, 2) @ image.flatten(0, 1)  # (B', heads * T', C)
    seen = torch.einsum("bhtc,hdc->bthd", seen.view(*weights.shape[:3], -1), _by_head(value.weight, heads))
    out: Tensor = attention.out_proj(seen.flatten(2) + value.bias).view_as(queries)
    return out


def image_to_tokens(attention: Any, placed: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Let cells look at the tokens.

    Args:
        attention: transformers' `SamAttention`, its linears plain ones.
        placed: (B, P or 1, N, C) cells with their positions, the queries.
        keys: (B, P, T, C) tokens with their positions.
        values: (B, P, T, C) tokens.

    Returns:
        (B, P, N, C).
    """
    heads, out = attention.num_attention_heads, attention.out_proj
    images, prompts, _, channels = keys.shape
    shared = placed.shape[1] == 1 < prompts
    key = heads_of(attention.k_proj(_gather(keys, placed)), heads)
    weights = _logits(key, attention.q_proj, placed)  # (B', heads, T', N)
    if shared:  # each prompt's cells look at its own tokens
        weights = weights.view(images, heads, prompts, -1, weights.shape[-1]).transpose(1, 2).flatten(0, 1)
    weights = torch.softmax(weights, dim=2).flatten(1, 2)  # (B * P, heads * T, N)
    value = heads_of(attention.v_proj(values.flatten(0, 1)), heads)
    answers = torch.einsum("bhtd,chd->bhtc", value, out.weight.view(channels, heads, -1)).flatten(1, 2)
    seen: Tensor = weights.transpose(1, 2) @ answers + out.bias
    return seen.view(images, prompts, -1, channels)


def _logits(tokens: Tensor, linear: Any, placed: Tensor) -> Tensor:
    """Scaled products of projected tokens (B', heads, T', d) with the cells that `linear` would project.

    Returns:
        (B', heads, T', N).
    """
    heads, depth = tokens.shape[1], tokens.shape[-1]
    tokens = tokens * depth**-0.5
    moved = torch.einsum("bhtd,hdc->bhtc", tokens, _by_head(linear.weight, heads)).flatten(1, 2)
    constant = torch.einsum("bhtd,hd->bht", tokens, linear.bias.view(heads, -1)).flatten(1)[..., None]
    logits = torch.baddbmm(constant.to(moved.dtype), moved, placed.flatten(0, 1).transpose(1, 2))
    return logits.view(*tokens.shape[:3], -1)


def _meeting(tokens: Tensor, image: Tensor) -> int:
    """How many tokens meet one image: those of all prompts where they share it."""
    return tokens.shape[2] * (tokens.shape[1] if image.shape[1] == 1 else 1)


def _gather(tokens: Tensor, image: Tensor) -> Tensor:
    """(B, P, T, C) -> (B', T', C): those that meet one image side by side, B' images in all."""
    return tokens.reshape(-1, _meeting(tokens, image), tokens.shape[-1])


def heads_of(tokens: Tensor, heads: int) -> Tensor:
    """(B', ., C') -> (B', heads, ., C' / heads), of tokens or cells."""
    return tokens.view(*tokens.shape[:2], heads, -1).transpose(1, 2)


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """(C', C) -> (heads, C' / heads, C)."""
    return weight.view(heads, -1, weight.shape[1])
