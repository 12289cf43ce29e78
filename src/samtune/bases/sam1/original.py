"""Meta's original SAM checkpoints: read safely, their keys in transformers' words, the architecture from their shapes.

Source: segment-anything, `build_sam.py` and `modeling/` (names and shapes); transformers' `SamModel` (the
other names).
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from samtune.errors import WeightsError
from samtune.inputs import check_regular
from samtune.printable import one_line, shown

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

MAX_PICKLE_BYTES = 16 * 2**20
"""The largest table of contents that is read; that of SAM ViT-H has some 100 kB."""

_GLOBALS = re.compile(
    r"torch\._utils _rebuild_(tensor_v2|parameter)|collections OrderedDict|torch (Float|Half|BFloat16|Double)Storage"
)
"""All that the table of contents of a plain state dict names."""

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


def read_original(path: Path) -> dict[str, Tensor]:
    """The state dict of an original checkpoint, memory-mapped; nothing pickled is run.

    Args:
        path: a `.pth` file as `torch.save` writes it since 1.6.

    Raises:
        WeightsError: it is no regular file, cannot be read safely, is no plain state dict of SAM, or its tensors claim
            more memory than the file has.
    """
    name = one_line(str(path))
    size = check_regular(path, WeightsError)
    try:
        _check_archive(path, size)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (ImportError, NameError):  # a fault of the installation
        raise
    except Exception as error:  # damaged bytes raise ten kinds in torch's unpickler, AttributeError among them
        raise WeightsError(
            f"{name} is not an original SAM checkpoint (a plain state dict) that can be read safely "
            f"({one_line(str(error)) if isinstance(error, _UnsafeError) else type(error).__name__}); download it again."
        ) from error
    if not isinstance(state, dict) or "image_encoder.patch_embed.proj.weight" not in state:
        raise WeightsError(
            f"{name} has no keys such as image_encoder.patch_embed.proj.weight, which an original SAM checkpoint has; "
            "a fine-tuned or wrapped state dict must be unwrapped first."
        )
    strangers = sorted(str(key) for key, value in state.items() if not isinstance(value, torch.Tensor))
    if strangers:
        raise WeightsError(
            f"{name} holds something else than a tensor under {one_line(', '.join(strangers[:3]))}; an original SAM "
            "checkpoint is a plain state dict of tensors."
        )
    for key, tensor in state.items():
        _check_tensor(key, tensor, size, name)
    return state


class _UnsafeError(Exception):
    """What makes a checkpoint unsafe to read."""


def _check_archive(path: Path, size: int) -> None:
    """Refuse archives that unpack to more than they are, and pickles that name anything but tensors."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise _UnsafeError("it is compressed")
        if sum(entry.file_size for entry in entries) > size:
            raise _UnsafeError("its parts overlap")
        tables = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(tables) != 1 or tables[0].file_size > MAX_PICKLE_BYTES:
            raise _UnsafeError(f"it has no table of contents of up to {MAX_PICKLE_BYTES:,} bytes")
        for opcode, argument, _ in pickletools.genops(archive.read(tables[0])):
            if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4") or (
                opcode.name == "GLOBAL" and not _GLOBALS.fullmatch(str(argument))
            ):
                raise _UnsafeError(f"it names {shown(argument)}, and a state dict names tensors only")


def _check_tensor(key: Any, tensor: Tensor, size: int, name: str) -> None:
    """Refuse what is no dense tensor of floats that lies in the file."""
    if not isinstance(key, str):
        raise WeightsError(f"Expected names of tensors in {name}, got {shown(key)}.")
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not dense or tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise WeightsError(
            f"Expected {one_line(key)} in {name} to be a dense tensor of float16, bfloat16, float32 or float64, got "
            f"{tensor.dtype}, {tensor.layout}, on {tensor.device}."
        )
    if tensor.numel() * tensor.element_size() > size:
        raise WeightsError(
            f"Expected {one_line(key)} to lie in {name} of {size:,} bytes, got the shape {tuple(tensor.shape)}."
        )


def to_library_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of an original checkpoint to transformers' names; the tensors are not touched."""
    renamed = {}
    for key, tensor in state.items():
        for pattern, replacement in _RENAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed


def architecture_of(state: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Return the arguments of a `SamConfig` for an original checkpoint, read off its shapes.

    Which blocks are global is seen in their relative-position tables, whose length is 2 * grid - 1.

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
