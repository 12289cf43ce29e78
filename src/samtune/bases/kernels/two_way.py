"""SAM's two-way transformer over the library's modules, with fewer passes over the image's tokens.

The same function as the library's forward pass, in another order of arithmetic:

- The three projections of an image's tokens in a layer (keys and values for the prompts, queries to them) are one
  matrix product, and the positions are projected once for all images: W (x + p) = W x + W p.
- Prompts of one image share its tokens, and so these projections, until the first layer has made them differ: keys of
  the image are not repeated for each prompt, the prompts' queries stand side by side instead.
- Where an image meets a few tokens alone, it is not projected at all: `few_tokens.py`.

Letters: B images, P prompts (classes) of an image, T tokens of a prompt, N = H x W cells, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.bases.kernels.few_tokens import are_few, heads_of, image_to_tokens, tokens_to_image


def two_way(transformer: Any, tokens: Tensor, image: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Let tokens and image attend to each other.

    Args:
        transformer: transformers' `SamTwoWayTransformer`, its linears plain ones.
        tokens: (B, P, T, C) output tokens and prompts; they are also their own positions.
        image: (B, 1, N, C) shared by the prompts of an image, or (B, P, N, C).
        positions: (N, C) of the cells.

    Returns:
        The tokens (B, P, T, C), and the image as each prompt has changed it (B, P, N, C).
    """
    queries = tokens
    for layer in transformer.layers:
        queries, image = _layer(layer, queries, image, tokens, positions)
    final = transformer.final_attn_token_to_image
    if are_few(tokens, image, final):
        seen = tokens_to_image(final, queries + tokens, image, image + positions)
    else:
        key, value = _project(image, positions, placed=[final.k_proj], plain=final.v_proj)
        seen = _attend(final, final.q_proj(queries + tokens), key, value)
    return transformer.layer_norm_final_attn(queries + seen), image


def _layer(layer: Any, queries: Tensor, image: Tensor, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """One two-way block; shapes as in `two_way`."""
    own = layer.self_attn
    placed = queries if layer.skip_first_layer_pe else queries + tokens
    seen = _attend(own, own.q_proj(placed), own.k_proj(placed), own.v_proj(queries))
    queries = layer.layer_norm1(seen if layer.skip_first_layer_pe else queries + seen)

    to_image, to_tokens = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    few = are_few(tokens, image, to_image)
    if few:
        placed_image = image + positions
        seen = tokens_to_image(to_image, queries + tokens, image, placed_image)
    else:
        placed_linears = [to_image.k_proj, to_tokens.q_proj]
        key, query, value = _project(image, positions, placed=placed_linears, plain=to_image.v_proj)
        seen = _attend(to_image, to_image.q_proj(queries + tokens), key, value)
    queries = layer.layer_norm2(queries + seen)
    queries = layer.layer_norm3(queries + layer.mlp(queries))

    if few:
        seen = image_to_tokens(to_tokens, placed_image, queries + tokens, queries)
    else:
        seen = _attend(to_tokens, query, to_tokens.k_proj(queries + tokens), to_tokens.v_proj(queries))
    return queries, layer.layer_norm4(image + seen)


def _project(image: Tensor, positions: Tensor, *, placed: list[nn.Linear], plain: nn.Linear) -> list[Tensor]:
    """Apply linears to the image's tokens in one product: to tokens and positions, and, last, to the tokens alone.

    Returns:
        (B, 1 or P, N, .) each, views of one tensor.
    """
    linears = [*placed, plain]
    weight = torch.cat([linear.weight for linear in linears])
    constant = [F.linear(positions, linear.weight, linear.bias) for linear in placed]
    constant.append(plain.bias.to(constant[0].dtype).expand(len(positions), -1))
    joined = F.linear(image, weight).add_(torch.cat(constant, dim=1))
    return list(torch.split(joined, [linear.out_features for linear in linears], dim=-1))


def _attend(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Multi-head attention of projected tokens (B, P or 1, ., C'), where either side may be shared by the prompts.

    Returns:
        (B, P, queries, C).
    """
    images, prompts, tokens, width = query.shape
    if key.shape[1] == 1 < prompts:  # one image, many prompts: their queries stand side by side
        query = query.reshape(images, 1, prompts * tokens, width)
    elif prompts == 1 < key.shape[1]:
        query = query.expand(-1, key.shape[1], -1, -1)
    query, key, value = (heads_of(side.flatten(0, 1), attention.num_attention_heads) for side in (query, key, value))
    seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
    out: Tensor = attention.out_proj(seen.reshape(images, -1, tokens, width))
    return out
