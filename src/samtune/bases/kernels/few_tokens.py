"""Attention between the many cells of an image and a few tokens, without projecting the cells.

A linear map of the cells can be moved to the other factor of every product that it is part of:

    logits    <q, W x + b> = <W' q, x> + <q, b>        W' (transposed) is applied to a dozen tokens, not to 4,096 cells
    values    sum w (V x + c) = V (sum w x) + c         since the weights w add up to 1
    output    O (sum w v) = sum w (O v)                 if the values are the tokens'

With h heads, T tokens, and cells of C channels projected to C', a cell then costs h T C products instead of C C' and
T C'; and the tensors of C' channels per cell, which the backward pass would need, never exist. The softmax is the same.

Shapes as in `two_way.py`: B images, P prompts per image, T tokens per prompt, N cells, C channels. B' is the number of
images whose tokens differ: B if the prompts of an image share its cells (then T' = P T), else B P (T' = T).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FEW = 16
"""Largest number of tokens per image; with SAM's eight heads and halved channels, the two ways cost the same there."""

FEW_BESIDE_FROZEN = 8
"""The same if a gradient passes through frozen maps to the image: projected cells then need no products for the
gradient of the maps, while here the gradient of the tokens takes as many. docs/log.md has the measurements."""


def are_few(tokens: Tensor, image: Tensor, attention: Any) -> bool:
    """Return whether it is faster not to project the image. On a GPU it was not: more but smaller steps took longer.

    Args:
        tokens: (B, P, T, C) that attend to the image, or that it attends to.
        image: (B, P or 1, N, C).
        attention: transformers' `SamAttention`; tells whether the linears of its layer are trained.
    """
    if image.device.type == "cuda":
        return False
    beside_frozen = torch.is_grad_enabled() and image.requires_grad and not attention.k_proj.weight.requires_grad
    return _tokens_per_image(tokens, image) <= (FEW_BESIDE_FROZEN if beside_frozen else FEW)


def plain_attention(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute multi-head attention by its definition; the twin of `tokens_to_image` and `image_to_tokens`.

    Args:
        attention: transformers' `SamAttention`.
        query: (B, P or 1, queries, C), not projected, as the next two.
        key: (B, P or 1, keys, C).
        value: (B, P or 1, keys, C).

    Returns:
        (B, P, queries, C).
    """
    heads = attention.num_attention_heads
    query, key, value = (
        projection(part).unflatten(-1, (heads, -1)).transpose(2, 3)
        for projection, part in ((attention.q_proj, query), (attention.k_proj, key), (attention.v_proj, value))
    )
    weights = torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1)
    out: Tensor = attention.out_proj((weights @ value).transpose(2, 3).flatten(3))
    return out


def tokens_to_image(attention: Any, queries: Tensor, image: Tensor, keys: Tensor) -> Tensor:
    """Compute the attention of tokens to the cells of an image.

    Args:
        attention: transformers' `SamAttention`, whose linears are plain ones.
        queries: (B, P, T, C) tokens with their positions.
        image: (B, P or 1, N, C) cells, the values.
        keys: (B, P or 1, N, C) cells with their positions.

    Returns:
        (B, P, T, C).
    """
    heads = attention.num_attention_heads
    key, value = attention.k_proj, attention.v_proj
    own = heads_of(attention.q_proj(_gather(queries, image)), heads)
    weights = torch.softmax(_logits(own, key, keys), dim=-1)
    mean = weights.flatten(1, 2) @ image.flatten(0, 1)  # (B', heads * T', C)
    mean = torch.einsum("bhtc,hdc->bthd", mean.view(*weights.shape[:3], -1), _by_head(value.weight, heads))
    out: Tensor = attention.out_proj(mean.flatten(2) + value.bias).view_as(queries)
    return out


def image_to_tokens(attention: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Compute the attention of the cells of an image to tokens.

    Args:
        attention: transformers' `SamAttention`, whose linears are plain ones.
        queries: (B, P or 1, N, C) cells with their positions.
        keys: (B, P, T, C) tokens with their positions.
        values: (B, P, T, C) tokens.

    Returns:
        (B, P, N, C).
    """
    heads, out = attention.num_attention_heads, attention.out_proj
    images, prompts, _, channels = keys.shape
    is_shared = queries.shape[1] == 1 < prompts
    key = heads_of(attention.k_proj(_gather(keys, queries)), heads)
    weights = _logits(key, attention.q_proj, queries)  # (B', heads, T', N)
    if is_shared:  # each prompt has a softmax over its own tokens
        weights = weights.view(images, heads, prompts, -1, weights.shape[-1]).transpose(1, 2).flatten(0, 1)
    weights = torch.softmax(weights, dim=2).flatten(1, 2)  # (B * P, heads * T, N)
    value = heads_of(attention.v_proj(values.flatten(0, 1)), heads)
    projected = torch.einsum("bhtd,chd->bhtc", value, out.weight.view(channels, heads, -1)).flatten(1, 2)
    mean: Tensor = weights.transpose(1, 2) @ projected + out.bias
    return mean.view(images, prompts, -1, channels)


def _logits(tokens: Tensor, linear: Any, cells: Tensor) -> Tensor:
    """Return the scaled products of projected tokens (B', heads, T', d) with the cells that `linear` would project.

    Returns:
        (B', heads, T', N).
    """
    heads, depth = tokens.shape[1], tokens.shape[-1]
    tokens = tokens * depth**-0.5
    moved = torch.einsum("bhtd,hdc->bhtc", tokens, _by_head(linear.weight, heads)).flatten(1, 2)
    constant = torch.einsum("bhtd,hd->bht", tokens, linear.bias.view(heads, -1)).flatten(1)[..., None]
    logits = torch.baddbmm(constant.to(moved.dtype), moved, cells.flatten(0, 1).transpose(1, 2))
    return logits.view(*tokens.shape[:3], -1)


def _tokens_per_image(tokens: Tensor, image: Tensor) -> int:
    """Return the number of tokens that share an image: those of all its prompts if they share its cells."""
    return tokens.shape[2] * (tokens.shape[1] if image.shape[1] == 1 else 1)


def _gather(tokens: Tensor, image: Tensor) -> Tensor:
    """Join the tokens that share an image: (B, P, T, C) -> (B', T', C)."""
    return tokens.reshape(-1, _tokens_per_image(tokens, image), tokens.shape[-1])


def heads_of(tokens: Tensor, heads: int) -> Tensor:
    """Split tokens or cells into heads: (B', ., C') -> (B', heads, ., C' / heads)."""
    return tokens.view(*tokens.shape[:2], heads, -1).transpose(1, 2)


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """Split the rows of a weight into heads: (C', C) -> (heads, C' / heads, C)."""
    return weight.view(heads, -1, weight.shape[1])
