"""Configuration of a SAM 1, `config.json`: checked for types, ranges and contradictions before a model is built.

Only the fields below are passed to transformers, so that a file from the hub cannot select code to run or a way to load
weights: `auto_map`, `attn_implementation`, `torch_dtype`, `quantization_config` and all others are left out.
"""

from __future__ import annotations

from typing import Any, Literal

from samtune.bases.base import MAX_IMAGE_SIZE
from samtune.errors import WeightsError
from samtune.printable import one_line, shown
from samtune.progress import say
from samtune.values import Ranges, problems_of

WITHOUT_EFFECT = (
    "auto_map", "trust_remote_code", "attn_implementation", "_attn_implementation", "_attn_implementation_internal",
    "quantization_config",
)  # fmt: skip
"""Keys that would select other code or other weights in transformers; a message says that they have no effect."""

Activation = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish"]
_SIZE, _WIDTH, _LAYERS, _HEADS = (1, MAX_IMAGE_SIZE), (8, 16_384), (1, 256), (1, 256)

VISION: dict[str, Any] = {
    "hidden_size": int, "output_channels": int, "num_hidden_layers": int, "num_attention_heads": int,
    "num_channels": int, "image_size": int, "patch_size": int, "hidden_act": Activation, "layer_norm_eps": float,
    "attention_dropout": float, "qkv_bias": bool, "mlp_ratio": float, "use_abs_pos": bool, "use_rel_pos": bool,
    "window_size": int, "global_attn_indexes": list[int], "num_pos_feats": int, "mlp_dim": int | None, "scale": float,
}  # fmt: skip
PROMPT: dict[str, Any] = {
    "hidden_size": int, "image_size": int, "patch_size": int, "mask_input_channels": int, "num_point_embeddings": int,
    "hidden_act": Activation, "layer_norm_eps": float, "image_embedding_size": int,
}  # fmt: skip
DECODER: dict[str, Any] = {
    "hidden_size": int, "hidden_act": Activation, "mlp_dim": int, "num_hidden_layers": int, "num_attention_heads": int,
    "attention_downsample_rate": int, "num_multimask_outputs": int, "iou_head_depth": int, "iou_head_hidden_dim": int,
    "layer_norm_eps": float,
}  # fmt: skip
PARTS = {"vision_config": VISION, "prompt_encoder_config": PROMPT, "mask_decoder_config": DECODER}
"""Part -> field -> type, for the fields that are passed to transformers."""

RANGES: Ranges = {
    "hidden_size": _WIDTH, "output_channels": _WIDTH, "num_hidden_layers": _LAYERS, "num_attention_heads": _HEADS,
    "num_channels": (3, 3), "image_size": _SIZE, "patch_size": (1, 256), "layer_norm_eps": (1e-12, 0.1),
    "attention_dropout": (0, 0.9), "mlp_ratio": (0.01, 64), "window_size": (0, 1024), "num_pos_feats": _WIDTH,
    "mlp_dim": (1, 65_536), "scale": (0, 1e6), "mask_input_channels": (4, 4096), "num_point_embeddings": (4, 4),
    "image_embedding_size": _SIZE, "attention_downsample_rate": (1, 64), "num_multimask_outputs": (1, 64),
    "iou_head_depth": (2, 64), "iou_head_hidden_dim": (1, 16_384),
}  # fmt: skip


def read_config(fields: dict[str, Any], where: str) -> Any:
    """Return the `SamConfig` of a config.json.

    Args:
        fields: content of the file.
        where: names the file in messages.

    Raises:
        WeightsError: a value has the wrong type, is out of range, or contradicts another.
    """
    ignored = sorted({key for table in (fields, *_tables(fields)) for key in WITHOUT_EFFECT if table.get(key)})
    if ignored:
        say(f"{', '.join(ignored)} in {one_line(where)} have no effect: only weights are read.")
    return sam_config({part: fields.get(part) for part in PARTS}, where)


def sam_config(parts: dict[str, Any], where: str) -> Any:
    """Return a `SamConfig`, after checking its fields; a missing field has transformers' default (ViT-B's).

    Args:
        parts: "vision_config", "prompt_encoder_config" and "mask_decoder_config", each a table or None.
        where: names their file in messages.

    Raises:
        WeightsError: a value has the wrong type, is out of range, or contradicts another.
    """
    from transformers import SamConfig

    kept, problems = {}, []
    for part, hints in PARTS.items():
        table = {} if parts.get(part) is None else parts[part]
        if not isinstance(table, dict):
            problems.append(f"Expected `{part}` to be a table, got {shown(table)}")
            continue
        own = {key: value for key, value in table.items() if key in hints}
        kept[part], wrong = problems_of(own, hints, RANGES)
        problems += [f"{problem} ({part})" for problem in wrong]
    config = None if problems else SamConfig(**kept)
    if config is not None:
        problems = _contradictions(config.vision_config, config.prompt_encoder_config, config.mask_decoder_config)
    if problems:
        raise WeightsError(f"{'; '.join(problems)} in {one_line(where)}; download it again.")
    return config


def _tables(fields: dict[str, Any]) -> list[dict[str, Any]]:
    return [fields[part] for part in PARTS if isinstance(fields.get(part), dict)]


def _contradictions(vision: Any, prompt: Any, decoder: Any) -> list[str]:
    """Return a clause for each rule between values that does not hold."""
    grid, remainder = divmod(vision.image_size, vision.patch_size)
    inner = decoder.hidden_size // decoder.attention_downsample_rate
    blocks = range(vision.num_hidden_layers)
    rules = {
        "`image_size` to be a multiple of `patch_size`": grid and not remainder,
        "`hidden_size` to be a multiple of `num_attention_heads`": not vision.hidden_size % vision.num_attention_heads,
        "the decoder's inner width to be a multiple of its heads": inner and not inner % decoder.num_attention_heads,
        "`global_attn_indexes` to be indices of different blocks": len(set(vision.global_attn_indexes))
        == len(vision.global_attn_indexes)
        and all(index in blocks for index in vision.global_attn_indexes),
        "one width in prompt encoder, decoder and neck": vision.output_channels
        == prompt.hidden_size
        == decoder.hidden_size
        == 2 * vision.num_pos_feats,
        "the decoder's `hidden_size` to be a multiple of 8": not decoder.hidden_size % 8,
        "`mask_input_channels` to be a multiple of 4": not prompt.mask_input_channels % 4,
        "one image and patch size in both encoders": (prompt.image_size, prompt.patch_size)
        == (vision.image_size, vision.patch_size),
        "`image_embedding_size` to be the grid of patches": prompt.image_embedding_size == grid,
    }
    return [f"Expected {rule}, got other values" for rule, holds in rules.items() if not holds]
