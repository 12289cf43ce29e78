"""Checkpoints of a tiny base, in transformers' format and in Meta's, and a check of what loading them refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor
from transformers import SamConfig, SamModel

from samtune.bases import load_base, weights
from samtune.bases.sam1.family import Sam1Family
from samtune.errors import WeightsError
from tests.tiny import tiny_config, tiny_library


def digest(state: dict[str, Tensor]) -> str:
    return weights.digest(state, Sam1Family.aliases)


def library() -> SamModel:
    """A tiny base with eight heads in the decoder, as every original has (no shape tells them)."""
    model, fields = tiny_library(), tiny_config().to_dict()
    fields["mask_decoder_config"]["num_attention_heads"] = 8
    other = SamModel(SamConfig.from_dict(fields)).eval()
    other.load_state_dict(model.state_dict())
    return other


def original_keys(blocks: int) -> dict[str, str]:
    """Meta's key -> the library's, written out by hand for a ViT of so many blocks."""
    keys = {"image_encoder.pos_embed": "vision_encoder.pos_embed"}

    def both(meta: str, other: str) -> None:
        for end in ("weight", "bias"):
            keys[f"{meta}.{end}"] = f"{other}.{end}"

    both("image_encoder.patch_embed.proj", "vision_encoder.patch_embed.projection")
    for i in range(blocks):
        meta, other = f"image_encoder.blocks.{i}", f"vision_encoder.layers.{i}"
        both(f"{meta}.norm1", f"{other}.layer_norm1")
        both(f"{meta}.norm2", f"{other}.layer_norm2")
        for part in ("attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2"):
            both(f"{meta}.{part}", f"{other}.{part}")
        for part in ("attn.rel_pos_h", "attn.rel_pos_w"):
            keys[f"{meta}.{part}"] = f"{other}.{part}"
    keys["image_encoder.neck.0.weight"] = "vision_encoder.neck.conv1.weight"
    both("image_encoder.neck.1", "vision_encoder.neck.layer_norm1")
    keys["image_encoder.neck.2.weight"] = "vision_encoder.neck.conv2.weight"
    both("image_encoder.neck.3", "vision_encoder.neck.layer_norm2")
    keys["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"] = "shared_image_embedding.positional_embedding"
    for i in range(4):
        keys[f"prompt_encoder.point_embeddings.{i}.weight"] = f"prompt_encoder.point_embed.{i}.weight"
    for name in ("not_a_point_embed", "no_mask_embed"):
        keys[f"prompt_encoder.{name}.weight"] = f"prompt_encoder.{name}.weight"
    for index, name in ((0, "conv1"), (1, "layer_norm1"), (3, "conv2"), (4, "layer_norm2"), (6, "conv3")):
        both(f"prompt_encoder.mask_downscaling.{index}", f"prompt_encoder.mask_embed.{name}")
    for name in ("iou_token", "mask_tokens"):
        keys[f"mask_decoder.{name}.weight"] = f"mask_decoder.{name}.weight"
    transformer = "mask_decoder.transformer"
    attentions = [f"{transformer}.final_attn_token_to_image"]
    for i in range(2):
        layer = f"{transformer}.layers.{i}"
        attentions += [f"{layer}.{n}" for n in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token")]
        for n in range(1, 5):
            both(f"{layer}.norm{n}", f"{layer}.layer_norm{n}")
        both(f"{layer}.mlp.lin1", f"{layer}.mlp.lin1")
        both(f"{layer}.mlp.lin2", f"{layer}.mlp.lin2")
    for attention in attentions:
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            both(f"{attention}.{projection}", f"{attention}.{projection}")
    both(f"{transformer}.norm_final_attn", f"{transformer}.layer_norm_final_attn")
    for index, name in ((0, "upscale_conv1"), (1, "upscale_layer_norm"), (3, "upscale_conv2")):
        both(f"mask_decoder.output_upscaling.{index}", f"mask_decoder.{name}")
    mlps = [f"mask_decoder.output_hypernetworks_mlps.{i}" for i in range(4)] + ["mask_decoder.iou_prediction_head"]
    for mlp in mlps:
        for place, name in ((0, "proj_in"), (1, "layers.0"), (2, "proj_out")):
            both(f"{mlp}.layers.{place}", f"{mlp}.{name}")
    return keys


def original(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {meta: state[other].clone() for meta, other in original_keys(2).items()}


def refused(name: str | Path, *told: str) -> None:
    with pytest.raises(WeightsError) as caught:
        load_base(name)
    for words in told:
        assert words in str(caught.value), str(caught.value)
