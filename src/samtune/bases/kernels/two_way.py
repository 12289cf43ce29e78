"""SAM's two-way transformer over transformers' modules, with fewer passes over the cells of the image.

The same function as transformers' forward pass, in another order of arithmetic:

- The three projections of an image's cells in a layer (keys and values for the tokens, queries to them) are one matrix
  product, and the positions are projected once for all images: W (x + p) = W x + W p.
- Prompts of one image share its cells, and these projections, until the first layer has made the cells differ: the
  cells are not repeated for each prompt, the queries of the prompts are concatenated instead.
- If few tokens attend to an image, its cells are not projected at all: `few_tokens.py`.

Shapes: B images, P prompts (classes) per image, T tokens per prompt, N = H x W cells, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.bases.kernels.few_tokens import are_few, heads_of, image_to_tokens, plain_attention, tokens_to_image


def two_way(transformer: Any, tokens: Tensor, image: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Let tokens and image attend to each other.

    Args:
        transformer: transformers' `SamTwoWayTransformer`, whose linears are plain ones.
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
        mixed = tokens_to_image(final, queries + tokens, image, image + positions)
    else:
        key, value = _project(image, positions, with_positions=[final.k_proj], without=final.v_proj)
        mixed = _attend(final, final.q_proj(queries + tokens), key, value)
    return transformer.layer_norm_final_attn(queries + mixed), image


def plain_two_way(transformer: Any, tokens: Tensor, image: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the same as `two_way`, by the definition."""
    queries = tokens
    for layer in transformer.layers:
        own = queries if layer.skip_first_layer_pe else queries + tokens
        mixed = plain_attention(layer.self_attn, own, own, queries)
        queries = layer.layer_norm1(mixed if layer.skip_first_layer_pe else queries + mixed)
        attention = layer.cross_attn_token_to_image
        queries = layer.layer_norm2(queries + plain_attention(attention, queries + tokens, image + positions, image))
        queries = layer.layer_norm3(queries + layer.mlp(queries))
        attention = layer.cross_attn_image_to_token
        image = layer.layer_norm4(image + plain_attention(attention, image + positions, queries + tokens, queries))
    final = transformer.final_attn_token_to_image
    mixed = plain_attention(final, queries + tokens, image + positions, image)
    return transformer.layer_norm_final_attn(queries + mixed), image


def _layer(layer: Any, queries: Tensor, image: Tensor, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Apply one two-way block; shapes as in `two_way`."""
    attention = layer.self_attn
    own = queries if layer.skip_first_layer_pe else queries + tokens
    mixed = _attend(attention, attention.q_proj(own), attention.k_proj(own), attention.v_proj(queries))
    queries = layer.layer_norm1(mixed if layer.skip_first_layer_pe else queries + mixed)

    to_image, to_tokens = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    few = are_few(tokens, image, to_image)
    if few:
        cells = image + positions
        mixed = tokens_to_image(to_image, queries + tokens, image, cells)
    else:
        linears = [to_image.k_proj, to_tokens.q_proj]
        key, query, value = _project(image, positions, with_positions=linears, without=to_image.v_proj)
        mixed = _attend(to_image, to_image.q_proj(queries + tokens), key, value)
    queries = layer.layer_norm2(queries + mixed)
    queries = layer.layer_norm3(queries + layer.mlp(queries))

    if few:
        mixed = image_to_tokens(to_tokens, cells, queries + tokens, queries)
    else:
        mixed = _attend(to_tokens, query, to_tokens.k_proj(queries + tokens), to_tokens.v_proj(queries))
    return queries, layer.layer_norm4(image + mixed)


def _project(image: Tensor, positions: Tensor, *, with_positions: list[nn.Linear], without: nn.Linear) -> list[Tensor]:
    """Apply linears to the cells in one product: first those that include the positions, then the one that does not.

    Returns:
        (B, 1 or P, N, .) each, views of one tensor.
    """
    linears = [*with_positions, without]
    weight = torch.cat([linear.weight for linear in linears])
    constant = [F.linear(positions, linear.weight, linear.bias) for linear in with_positions]
    constant.append(without.bias.to(constant[0].dtype).expand(len(positions), -1))
    joined = F.linear(image, weight).add_(torch.cat(constant, dim=1))
    return list(torch.split(joined, [linear.out_features for linear in linears], dim=-1))


def _attend(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute multi-head attention of projected tensors (B, P or 1, ., C'); prompts may share the query or the key.

    Returns:
        (B, P, queries, C).
    """
    images, prompts, tokens, width = query.shape
    if key.shape[1] == 1 < prompts:  # the prompts share the image: concatenate their queries
        query = query.reshape(images, 1, prompts * tokens, width)
    elif prompts == 1 < key.shape[1]:
        query = query.expand(-1, key.shape[1], -1, -1)
    heads = attention.num_attention_heads
    query, key, value = (heads_of(part.flatten(0, 1), heads) for part in (query, key, value))
    mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
    out: Tensor = attention.out_proj(mixed.reshape(images, -1, tokens, width))
    return out
