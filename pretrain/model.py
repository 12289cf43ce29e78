"""`nano`'s configuration, its initialisation, and a fast forward pass over transformers' own modules.

The weights and their names are transformers' `SamModel`; only the order of the arithmetic differs (several
prompts of an image share the first layer's projections, transposed convolutions run as matrix products), which
`check` compares with the library's forward.
Letters: B images, P prompts an image, T tokens, N = H x W cells, C channels, M masks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import SamConfig, SamModel

CHANNELS, PATCH, GRID = 256, 8, 32
LOUD = ("_token", "point_embed", "no_mask", "not_a_point")  # embeddings that start with deviation 0.7
PIXEL_MEAN = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
PIXEL_STD = torch.tensor([58.395, 57.12, 57.375])[:, None, None]


def nano_config() -> Any:
    """The configuration: 3.96 million parameters, 256 px, patch 8."""
    return SamConfig(
        vision_config={
            "hidden_size": 160, "output_channels": CHANNELS, "num_hidden_layers": 6, "num_attention_heads": 5,
            "mlp_dim": 304, "image_size": PATCH * GRID, "patch_size": PATCH, "window_size": 8,
            "global_attn_indexes": [2, 5], "use_rel_pos": False, "num_pos_feats": CHANNELS // 2, "scale": 1.0,
            "initializer_range": 0.02,
        },
        prompt_encoder_config={
            "hidden_size": CHANNELS, "image_size": PATCH * GRID, "patch_size": PATCH,
            "image_embedding_size": GRID, "mask_input_channels": 16,
        },
        mask_decoder_config={
            "hidden_size": CHANNELS, "mlp_dim": 128, "num_attention_heads": 4, "attention_downsample_rate": 4,
            "iou_head_hidden_dim": 64,
        },
    )  # fmt: skip


def _patch_basis() -> Tensor:
    """The lowest 160 of the 192 colour-and-cosine patterns of an 8 x 8 patch: (160, 3, 8, 8), orthonormal."""
    place = np.arange(PATCH)
    waves = np.cos(np.pi * (2 * place[None] + 1) * place[:, None] / (2 * PATCH))
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    order = sorted((u + v, u, v) for u in range(PATCH) for v in range(PATCH))
    axes = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])
    kept = [(0, u, v) for _, u, v in order] + [(c, u, v) for _, u, v in order[:48] for c in (1, 2)]
    basis = [np.einsum("c,y,x->cyx", axes[c], waves[u], waves[v]) for c, u, v in kept[:160]]
    return torch.tensor(np.array(basis), dtype=torch.float32)


@torch.no_grad()
def initialise(sam: Any, seed: int) -> None:
    """Fan-in normal weights, loud embeddings, a cosine patch basis, keys aligned with queries.

    With aligned keys a prompt token attends, at the first step, to the cells that look like it; without it
    training stays at "all background".
    """
    draw = torch.Generator().manual_seed(seed)
    for name, weight in sam.named_parameters():
        if "norm" in name or "neck.1" in name or "neck.3" in name:
            weight.fill_(1.0 if name.endswith("weight") else 0.0)
        elif name.endswith("bias"):
            weight.zero_()
        elif any(part in name for part in LOUD) and "attn" not in name:
            weight.normal_(0, 0.7, generator=draw)
        elif "pos_embed" in name:
            weight.normal_(0, 0.05, generator=draw)
        elif "positional" in name:
            weight.normal_(0, 1.0, generator=draw)
        elif "upscale" in name:  # one and the same map for the four sub-cells
            weight.copy_(torch.randn(weight.shape[:2], generator=draw)[..., None, None] * weight.shape[0] ** -0.5)
        else:
            weight.normal_(0, weight[0].numel() ** -0.5, generator=draw)
    sam.prompt_encoder.mask_embed.conv3.weight.zero_()  # a mask prompt starts as "no mask"
    sam.prompt_encoder.mask_embed.conv3.bias.copy_(sam.prompt_encoder.no_mask_embed.weight[0])
    encoder = sam.vision_encoder
    gain = torch.full((160, 1, 1, 1), 0.8)
    gain[0] = gain[64] = gain[65] = 0.3  # the means over a patch are by far the largest
    encoder.patch_embed.projection.weight.copy_(_patch_basis() * gain)
    for layer in encoder.layers:
        layer.attn.proj.weight.mul_(0.5)
        layer.mlp.lin2.weight.mul_(0.5)
    transformer = sam.mask_decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        layer.mlp.lin2.weight.mul_(0.5)
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in attentions:
        attention.k_proj.weight.copy_(attention.q_proj.weight * 1.5)


def new_model(seed: int) -> Any:
    """A freshly initialised model in float32."""
    sam = SamModel(nano_config())
    initialise(sam, seed)
    return sam


def position_windows(sam: Any, rows: int, columns: int, corners: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """The position embeddings of windows of the 32 x 32 grid, so that a crop keeps the scale of a whole image.

    Args:
        sam: the model.
        rows: height of the window in cells.
        columns: width.
        corners: row and column of each image's window (B).

    Returns:
        The encoder's (B, H, W, 160) and the decoder's (B, N, C).
    """
    embedded = sam.vision_encoder.pos_embed[0]
    encoder = torch.stack([embedded[y : y + rows, x : x + columns] for y, x in corners])
    centre = (torch.arange(GRID) + 0.5) / GRID
    places = torch.stack(torch.meshgrid(centre, centre, indexing="xy"), -1).to(embedded.device)
    cut = torch.stack([places[y : y + rows, x : x + columns].reshape(-1, 2) for y, x in corners])
    with torch.no_grad():
        decoder = sam.shared_image_embedding(cut)
    return encoder, decoder


def _self_attend(attention: Any, hidden: Tensor) -> Tensor:
    """SAM's image self-attention without relative positions: (B, H, W, D); in float32, which is faster on CPUs."""
    images, rows, columns, width = hidden.shape
    heads = attention.num_attention_heads
    qkv = attention.qkv(hidden).view(images, rows * columns, 3, heads, -1).permute(2, 0, 3, 1, 4)
    out = _softmax_attention(*qkv.unbind(0))
    return attention.proj(out.transpose(1, 2).reshape(images, rows, columns, width))  # type: ignore[no-any-return]


def _softmax_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention; in float32 on a CPU, whose kernel for the gradient in bfloat16 is slow."""
    if query.device.type == "cpu":
        query, key, value = query.float(), key.float(), value.float()
    with torch.autocast(query.device.type, enabled=False):
        return F.scaled_dot_product_attention(query, key, value)


def _layer(layer: Any, hidden: Tensor) -> Tensor:
    """One block of the image encoder: (B, H, W, D)."""
    images, rows, columns, width = hidden.shape
    normed, window = layer.layer_norm1(hidden), layer.window_size
    if window:  # sides are multiples of the window here, so nothing is padded
        grid = normed.view(images, rows // window, window, columns // window, window, width).transpose(2, 3)
        out = _self_attend(layer.attn, grid.reshape(-1, window, window, width))
        grid = out.view(images, rows // window, columns // window, window, window, width).transpose(2, 3)
        hidden = hidden + grid.reshape(hidden.shape)
    else:
        hidden = hidden + _self_attend(layer.attn, normed)
    return hidden + layer.mlp(layer.layer_norm2(hidden))  # type: ignore[no-any-return]


def encode(sam: Any, pixels: Tensor, positions: Tensor) -> Tensor:
    """Run the image encoder: (B, 3, S, S') normalised pixels -> (B, N, C) neck features, float32.

    Sides are multiples of 64.
    """
    encoder = sam.vision_encoder
    hidden = encoder.patch_embed.projection(pixels).permute(0, 2, 3, 1) + positions
    for layer in encoder.layers:
        hidden = _layer(layer, hidden)
    return encoder.neck(hidden).flatten(2).transpose(1, 2).float()  # type: ignore[no-any-return]


def embed_points(sam: Any, places_xy: Tensor, labels: Tensor) -> Tensor:
    """Embed points (..., 2) in 0..1 of the 32 x 32 grid's extent; label 0 background, 1 object, 2 and 3 corners."""
    kinds = torch.cat([e.weight for e in sam.prompt_encoder.point_embed])
    return sam.shared_image_embedding(places_xy) + kinds[labels]  # type: ignore[no-any-return]


def embed_mask(sam: Any, masks: Tensor) -> Tensor:
    """Embed mask logits (B, 1, 4H, 4W) as dense prompts (B, N, C), in the no-mask embedding's place."""
    return sam.prompt_encoder.mask_embed(masks).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


def _attend(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """SAM's attention where query or key/value may be shared by the prompts (P of size 1)."""
    heads = attention.num_attention_heads
    query, key, value = attention.q_proj(query), attention.k_proj(key), attention.v_proj(value)
    images, prompts, tokens, width = query.shape
    if key.shape[1] == 1 < prompts:  # shared keys: fold the prompts into the queries
        query = query.reshape(images, 1, prompts * tokens, width)
    elif prompts == 1 < key.shape[1]:
        query = query.expand(images, key.shape[1], tokens, width)

    def split(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0] * x.shape[1], x.shape[2], heads, -1).transpose(1, 2)

    out = _softmax_attention(split(query), split(key), split(value))
    out = out.transpose(1, 2).reshape(images, -1, tokens, width)
    return attention.out_proj(out)  # type: ignore[no-any-return]


def _two_way(layer: Any, queries: Tensor, keys: Tensor, prompt: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """One two-way block: tokens (B, P, T, C), image (B, 1 or P, N, C)."""
    if layer.skip_first_layer_pe:
        queries = _attend(layer.self_attn, queries, queries, queries)
    else:
        placed = queries + prompt
        queries = queries + _attend(layer.self_attn, placed, placed, queries)
    queries = layer.layer_norm1(queries)
    placed_keys = keys + places
    queries = queries + _attend(layer.cross_attn_token_to_image, queries + prompt, placed_keys, keys)
    queries = layer.layer_norm2(queries)
    queries = layer.layer_norm3(queries + layer.mlp(queries))
    keys = layer.layer_norm4(keys + _attend(layer.cross_attn_image_to_token, placed_keys, queries + prompt, queries))
    return queries, keys


def _upscale(decoder: Any, keys: Tensor) -> Tensor:
    """The two transposed convolutions as matrix products: (B, P, N, C) -> (B, P, N, 16, C / 8)."""
    out = keys
    for conv, norm in ((decoder.upscale_conv1, decoder.upscale_layer_norm), (decoder.upscale_conv2, None)):
        channels = conv.weight.shape[1]
        weight = conv.weight.permute(2, 3, 1, 0).reshape(4 * channels, -1)
        out = F.linear(out, weight, conv.bias.repeat(4))
        out = out.view(*out.shape[:-1], 4, channels)
        out = F.gelu(out if norm is None else F.layer_norm(out, (channels,), norm.weight, norm.bias, norm.eps))
    return out.flatten(3, 4)


def decode(
    sam: Any,
    embedding: Tensor,
    places: Tensor,
    sparse: Tensor,
    masks: tuple[int, ...],
    rows: int,
    dense: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run the mask decoder.

    Args:
        sam: the model.
        embedding: neck features (B, N, C), without the no-mask embedding.
        places: decoder positions (B, N, C).
        sparse: prompt tokens (B, P, T, C).
        masks: which of the four mask tokens to read.
        rows: height of the grid.
        dense: mask prompts of `embed_mask` (B, N, C), the same for all P; None for no mask prompt.

    Returns:
        Logits (B, P, M, 4H, 4W) and predicted IoU (B, P, 4).
    """
    decoder = sam.mask_decoder
    images, prompts = sparse.shape[:2]
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    prompt = torch.cat([output.expand(images, prompts, -1, -1), sparse], 2)
    dense = sam.prompt_encoder.no_mask_embed.weight if dense is None else dense
    queries, keys = prompt, (embedding + dense)[:, None]
    places = places[:, None]
    for layer in decoder.transformer.layers:
        queries, keys = _two_way(layer, queries, keys, prompt, places)
    final = decoder.transformer.final_attn_token_to_image
    queries = decoder.transformer.layer_norm_final_attn(queries + _attend(final, queries + prompt, keys + places, keys))
    hyper = torch.stack([decoder.output_hypernetworks_mlps[m](queries[:, :, 1 + m]) for m in masks], 2)
    pixels = _upscale(decoder, keys)
    columns = embedding.shape[1] // rows
    logits = hyper @ pixels.flatten(2, 3).transpose(-1, -2)
    logits = logits.view(images, prompts, len(masks), rows, columns, 2, 2, 2, 2)
    logits = logits.permute(0, 1, 2, 3, 5, 7, 4, 6, 8).reshape(images, prompts, -1, 4 * rows, 4 * columns)
    return logits.float(), decoder.iou_prediction_head(queries[:, :, 0]).float()


@torch.no_grad()
def check(sam: Any) -> float:
    """Largest difference of the logits from transformers' own forward, on random pixels, boxes and masks."""
    pixels = torch.randn(2, 3, 256, 256)
    boxes = torch.rand(2, 3, 2, 2).sort(2).values.mul(200).flatten(2)
    expected = sam(pixel_values=pixels, input_boxes=boxes, multimask_output=False).pred_masks
    encoder_places, places = position_windows(sam, GRID, GRID, [(0, 0), (0, 0)])
    embedding = encode(sam, pixels, encoder_places)
    corners = embed_points(sam, (boxes.view(2, 3, 2, 2) + 0.5) / 256, torch.tensor([2, 3]))
    logits, _ = decode(sam, embedding, places, corners, (0,), GRID)
    largest = float((logits - expected).abs().max())
    masks = torch.randn(2, 1, 4 * GRID, 4 * GRID)
    expected = sam(pixel_values=pixels, input_boxes=boxes, input_masks=masks, multimask_output=False).pred_masks
    logits, _ = decode(sam, embedding, places, corners, (0,), GRID, embed_mask(sam, masks))
    return max(largest, float((logits - expected).abs().max()))


if __name__ == "__main__":
    model = new_model(0)
    print("parameters", sum(p.numel() for p in model.parameters()), "difference", check(model))
