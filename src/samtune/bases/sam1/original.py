"""Meta's original SAM checkpoints: translation of their keys to transformers', and the architecture from their shapes.

Source: segment-anything, `build_sam.py` and `modeling/` (names and shapes); transformers' `SamModel` (the
other names).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_RENAMES = [
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
     "shared_image_embedding.positional_embedding"),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers)\.0\.", r"\1.PROJ_IN."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers)\.2\.",
    r"\1.PROJ_OUT."), (r"\.layers\.PROJ_IN\.", ".proj_in."),
    (r"\.layers\.PROJ_OUT\.", ".proj_out."),
    (r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head)\.layers)\.1\.", r"\1.0."),
]  # fmt: skip


def is_original(state: dict[str, Tensor]) -> bool:
    """Return whether a state dict has Meta's keys of SAM 1."""
    return "image_encoder.patch_embed.proj.weight" in state


def to_library_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of an original checkpoint by transformers' keys; the tensors are not copied."""
    renamed = {}
    for key, tensor in state.items():
        for pattern, replacement in _RENAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed


def architecture_of(state: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Return the arguments of a `SamConfig` for an original checkpoint, inferred from the shapes of its tensors.

    Blocks with global attention have relative-position tables of length 2 * grid - 1.

    Raises:
        KeyError, IndexError, ValueError, ZeroDivisionError: a tensor is missing or has an impossible shape.
    """
    patches = state["image_encoder.patch_embed.proj.weight"]
    hidden, patch = patches.shape[0], patches.shape[-1]
    grid = state["image_encoder.pos_embed"].shape[1]
    tables = {
        int(match[1]): tensor
        for key, tensor in state.items()
        if (match := re.match(r"image_encoder\.blocks\.(\d+)\.attn\.rel_pos_h$", key))
    }
    windows = {(len(table) + 1) // 2 for table in tables.values()} - {grid}
    neck = state["image_encoder.neck.0.weight"].shape[0]
    mask_tokens = state["mask_decoder.mask_tokens.weight"].shape[0]
    vision = {
        "hidden_size": hidden,
        "output_channels": neck,
        "num_hidden_layers": len(tables),
        "num_attention_heads": hidden // tables[0].shape[1],
        "mlp_dim": state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
        "image_size": grid * patch,
        "patch_size": patch,
        "window_size": min(windows) if windows else 0,
        "global_attn_indexes": sorted(i for i, table in tables.items() if (len(table) + 1) // 2 == grid),
        "num_pos_feats": state["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"].shape[1],
    }
    prompt = {
        "hidden_size": neck,
        "image_size": grid * patch,
        "patch_size": patch,
        "image_embedding_size": grid,
        "mask_input_channels": state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
    }
    decoder = {
        "hidden_size": neck,
        "mlp_dim": state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        "num_hidden_layers": len({k.split(".")[3] for k in state if k.startswith("mask_decoder.transformer.layers.")}),
        "attention_downsample_rate": neck
        // state["mask_decoder.transformer.final_attn_token_to_image.q_proj.weight"].shape[0],
        "num_multimask_outputs": mask_tokens - 1,
        "iou_head_hidden_dim": state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
    }
    return {"vision_config": vision, "prompt_encoder_config": prompt, "mask_decoder_config": decoder}
