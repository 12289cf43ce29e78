"""Tiny SAMs with random weights, in the library's own classes; every parameter is non-zero."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from transformers import SamConfig, SamModel

from samtune.bases import digest
from samtune.bases.sam1.family import Sam1Family
from samtune.bases.sam1.model import Sam1


def tiny_config(
    *,
    image_size: int = 96,
    window_size: int = 4,
    use_rel_pos: bool = True,
    hidden_size: int = 32,
    num_hidden_layers: int = 2,
) -> SamConfig:
    """A SAM with one windowed and one global block; the window does not divide the 6 x 6 grid."""
    return SamConfig(
        vision_config={
            "hidden_size": hidden_size,
            "output_channels": 16,
            "num_hidden_layers": num_hidden_layers,
            "num_attention_heads": 2,
            "mlp_dim": 48,
            "image_size": image_size,
            "patch_size": 16,
            "window_size": window_size,
            "global_attn_indexes": [num_hidden_layers - 1],
            "use_rel_pos": use_rel_pos,
            "num_pos_feats": 8,
            "scale": 1.0,
            "initializer_range": 0.02,
        },
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": image_size,
            "patch_size": 16,
            "image_embedding_size": image_size // 16,
        },
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )


def tiny_library(seed: int = 0, **fields: Any) -> SamModel:
    """transformers' `SamModel` with every parameter random and non-zero, relative positions included."""
    return copy.deepcopy(_drawn(seed, **fields))  # takes half as long as making another


@cache
def _drawn(seed: int, **fields: Any) -> SamModel:
    model = SamModel(tiny_config(**fields)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 10
            scale = 0.7 if "embed" in name or "token" in name or "rel_pos" in name else fan_in**-0.5
            noise = torch.randn(parameter.shape, generator=generator) * scale
            is_norm = "norm" in name and name.endswith("weight")
            parameter.copy_(noise + 1 if is_norm else noise)
    return model


def tiny_sam(seed: int = 0, side: int | None = None, **fields: Any) -> Sam1:
    """The same as a `Sam1`, frozen."""
    library = tiny_library(seed, **fields)
    sha = digest(library.state_dict(), Sam1Family.aliases)
    return Sam1(library, name="tiny", sha256=sha, image_size=side).requires_grad_(False)
