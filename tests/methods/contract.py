"""The rows of the contract: one for each method, and for variants worth their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samtune.bases.sam1.model import Sam1
from samtune.methods import adapt, make_method
from tests.tiny import tiny_sam

if TYPE_CHECKING:
    from samtune.methods import Method

BLOCKS, CHANNELS, MLP, WIDTH = 2, 32, 48, 16
"""Of the tiny base: encoder blocks, encoder channels, hidden units of the MLP, channels of the decoder."""


def linear(inputs: int, outputs: int) -> int:
    """Numbers in a linear with bias."""
    return inputs * outputs + outputs


def decoder_numbers(num_classes: int = 1, num_queries: int = 0) -> int:
    """Trained numbers of the tiny mask decoder; its attention halves the width outside self-attention.

    With queries they stand in the place of the class tokens.
    """
    c, mlp = WIDTH, 32
    full, half = 4 * linear(c, c), 3 * linear(c, c // 2) + linear(c // 2, c)
    layer = full + 2 * half + 4 * 2 * c + linear(c, mlp) + linear(mlp, c)
    transformer = 2 * layer + half + 2 * c
    upscaling = (c * c // 4 * 4 + c // 4) + (c // 4 * c // 8 * 4 + c // 8) + 2 * (c // 4)
    heads = num_classes * (c + 2 * linear(c, c) + linear(c, c // 8))
    if num_queries:
        heads = num_queries * c + 2 * linear(c, c) + linear(c, c // 8) + linear(c, num_classes + 2)
    return transformer + upscaling + c + heads


def whole_decoder_numbers() -> int:
    """All numbers of the tiny mask decoder: SAM's four mask tokens and hyper-networks, and the IoU head."""
    c = WIDTH
    one_head = c + 2 * linear(c, c) + linear(c, c // 8)
    return decoder_numbers() + 3 * one_head + 2 * linear(c, 16) + linear(16, 4)


def sam_adapter_numbers(width: int) -> int:
    """Of the maps between patches, edges and blocks."""
    maps = linear(CHANNELS, width) + linear(3 * 16 * 16, width) + linear(width, CHANNELS)
    return maps + BLOCKS * linear(width, width)


def ts_sam_numbers(side: int, refinements: int = BLOCKS, num_classes: int = 1) -> int:
    """Of the side adapters, the refinements, the entry and the fusion decoder; every norm has two a channel."""
    h, neck = side // 2, WIDTH

    def unit(numbers: int, channels: int) -> int:
        return numbers + 2 * channels

    def adapter(main: int, out: int) -> int:
        return unit(linear(side, main), main) + unit(linear(main, out), out)

    def refinement(main: int) -> int:
        return unit(linear(main, h), h) + 3 * unit(4 * h * h + h, h) + 4 * h * h

    adapters = (BLOCKS + 1) * adapter(CHANNELS, side) + adapter(neck, neck)
    refined = refinements * refinement(CHANNELS) + refinement(neck)
    fusion = unit(9 * neck * h, h) + 2 * (unit(9 * h * h, h) + 2 * unit(9 * 2 * h * h, h))
    return linear(CHANNELS, side) + adapters + refined + fusion + linear(h, num_classes)


def lst_numbers(width: int) -> int:
    """Of the side blocks, what comes down to them and goes up from them, and the gates between them."""
    block = 12 * width**2 + 13 * width
    return BLOCKS * (block + linear(CHANNELS, width)) + BLOCKS - 1 + 2 * width + linear(width, WIDTH)


def encoder_numbers() -> int:
    """All of the tiny encoder: patches, positions (6 x 6), blocks with relative positions, neck."""
    c, depth = CHANNELS, CHANNELS // 2
    patches = linear(3 * 16 * 16, c) + 6 * 6 * c
    block = linear(c, 3 * c) + linear(c, c) + linear(c, MLP) + linear(MLP, c) + 4 * c
    relative = 2 * (2 * 4 - 1) * depth + 2 * (2 * 6 - 1) * depth  # one block in windows of 4, one over the grid of 6
    neck = c * WIDTH + 9 * WIDTH * WIDTH + 4 * WIDTH
    return patches + BLOCKS * block + relative + neck


def prompt_encoder_numbers() -> int:
    """Five point and box embeddings, the no-mask embedding, and three convolutions over a mask prompt."""
    return 6 * WIDTH + linear(4, 4) + 2 * 4 + linear(16, 16) + 2 * 16 + linear(16, WIDTH)


EVERYTHING = encoder_numbers() + whole_decoder_numbers() + prompt_encoder_numbers()
"""All of SAM but the positional matrix."""

SILENT_DECODER = ("iou_prediction_head", *(f"output_hypernetworks_mlps.{number}." for number in (1, 2, 3)))
SILENT = (*SILENT_DECODER, *(f"prompt_encoder.{part}" for part in ("point_embed", "mask_embed", "not_a_point_embed")))
"""What no mask without a user's prompt depends on."""


@dataclass(frozen=True)
class Row:
    """What the contract expects of one method.

    Attributes:
        method: its name.
        count: trained numbers on the tiny base for one class.
        touches_encoder: whether features depend on what is learned.
        fields: hyper-parameters that differ from the defaults.
        more_classes: whether it works for three classes.
        redraws: whether it puts random weights in the place of the base's.
        scale: rows of logits for each row of the embedding.
        idle: parts of the names of tensors that are marked trained, as published, though nobody uses their output;
            for several classes they may be frozen instead.
        cancelled: parts of the names of tensors that an average taken right after them takes away again, so that
            their gradient is zero but for rounding.
    """

    method: str
    count: int
    touches_encoder: bool
    fields: dict[str, Any] = field(default_factory=dict)
    more_classes: bool = True
    redraws: bool = False
    scale: int = 4
    idle: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()

    def build(self) -> Method:
        """The method itself."""
        return make_method(self.method, **self.fields)

    def adapted(self, num_classes: int = 1, seed: int = 0, **base: Any) -> Sam1:
        """The tiny base with the method attached."""
        return adapt(tiny_sam(**base), self.build(), num_classes=num_classes, seed=seed)


TOKENS = 8 * WIDTH
ENCODER_TOKENS = BLOCKS * 8 * CHANNELS
LORA_QKV = BLOCKS * 3 * (CHANNELS + 3 * CHANNELS)
LORA_ALL = BLOCKS * 2 * ((CHANNELS + 3 * CHANNELS) + 2 * CHANNELS + 2 * (CHANNELS + MLP))
ADAPTERS = BLOCKS * 2 * (linear(CHANNELS, 2) + linear(2, CHANNELS))
EXPERTS = 8 * (9 * 3 * 3 + 3) + 2 * 3 * 8
CONV_LORA = LORA_QKV + BLOCKS * EXPERTS
BIASES = BLOCKS * (2 * CHANNELS + 3 * CHANNELS + CHANNELS + MLP + CHANNELS) + CHANNELS + 2 * WIDTH
SCALES = BLOCKS * 2 * (7 * CHANNELS + MLP) + 2 * CHANNELS + (1 + 2 + 1 + 2) * WIDTH

ROWS = {
    "ptsam": Row("ptsam", TOKENS, touches_encoder=False),
    "ptsam_normal": Row("ptsam", 3 * WIDTH, touches_encoder=False, fields={"num_tokens": 3, "init": "normal"}),
    "ptsam_sam_scale": Row("ptsam", TOKENS, touches_encoder=False, fields={"init": "sam_scale"}),
    "ptsam_ensemble": Row("ptsam", 3 * TOKENS, touches_encoder=False, fields={"ensemble": 3}),
    "ptsam_encoder": Row("ptsam_encoder", TOKENS + ENCODER_TOKENS, touches_encoder=True),
    "ptsam_encoder_gated": Row(
        "ptsam_encoder", TOKENS + ENCODER_TOKENS + BLOCKS, touches_encoder=True, fields={"gated": True}
    ),
    "decoder_only": Row("decoder_only", decoder_numbers(), touches_encoder=False),
    "decoder_only_unprompted": Row(
        "decoder_only", decoder_numbers(), touches_encoder=False, fields={"prompts": "none"}
    ),
    "decoder_only_queries": Row(
        "decoder_only", decoder_numbers(num_queries=10), touches_encoder=False, fields={"head": "queries"}
    ),
    "lora": Row("lora", LORA_QKV + decoder_numbers(), touches_encoder=True),
    "lora_more_roles": Row(
        "lora",
        LORA_ALL + decoder_numbers(),
        touches_encoder=True,
        fields={"rank": 2, "roles": ["qkv", "proj", "mlp_in", "mlp_out"]},
    ),
    "lora_no_decoder": Row("lora", LORA_QKV, touches_encoder=True, fields={"decoder": False}, more_classes=False),
    "conv_lora": Row("conv_lora", CONV_LORA + decoder_numbers(), touches_encoder=True),
    "lora_queries": Row(
        "lora",
        LORA_QKV + decoder_numbers(num_queries=4),
        touches_encoder=True,
        fields={"head": "queries", "num_queries": 4},
    ),
    "conv_lora_queries": Row(
        "conv_lora", CONV_LORA + decoder_numbers(num_queries=10), touches_encoder=True, fields={"head": "queries"}
    ),
    "conv_lora_paper": Row(
        "conv_lora", CONV_LORA + decoder_numbers(), touches_encoder=True, fields={"paper": True, "alpha": 8.0}
    ),
    "conv_lora_published": Row(
        "conv_lora",
        CONV_LORA + decoder_numbers(),
        touches_encoder=True,
        fields={"paper": True, "mask_tokens": "own"},
    ),
    "adapter": Row("adapter", ADAPTERS + decoder_numbers(), touches_encoder=True),
    "adapter_wide": Row(
        "adapter",
        BLOCKS * 2 * (linear(CHANNELS, 5) + linear(5, CHANNELS)) + decoder_numbers(),
        touches_encoder=True,
        fields={"bottleneck": 5},
    ),
    "vpt": Row("vpt", BLOCKS * 12 * CHANNELS + decoder_numbers(), touches_encoder=True),
    "vpt_shallow": Row(
        "vpt", 5 * CHANNELS + decoder_numbers(), touches_encoder=True, fields={"deep": False, "num_tokens": 5}
    ),
    "ssf": Row("ssf", SCALES + decoder_numbers(), touches_encoder=True),
    "ssf_identity": Row("ssf", SCALES + decoder_numbers(), touches_encoder=True, fields={"init": "identity"}),
    "bitfit": Row("bitfit", BIASES + decoder_numbers(), touches_encoder=True),
    "sam_adapter": Row(
        "sam_adapter",
        sam_adapter_numbers(1) + whole_decoder_numbers() + WIDTH,
        touches_encoder=True,
        idle=SILENT_DECODER,
    ),
    "sam_adapter_used": Row(
        "sam_adapter",
        sam_adapter_numbers(8) + decoder_numbers(),
        touches_encoder=True,
        fields={"factor": 4, "decoder": "used"},
    ),
    "sam_adapter_paper": Row(
        "sam_adapter",
        sam_adapter_numbers(1) + whole_decoder_numbers() + WIDTH,
        touches_encoder=True,
        fields={"paper": True},
        more_classes=False,
        idle=SILENT_DECODER,
    ),
    "ts_sam": Row("ts_sam", ts_sam_numbers(WIDTH), touches_encoder=True),
    "ts_sam_frequency": Row(
        "ts_sam",
        ts_sam_numbers(24, refinements=1) + linear(3 * 16 * 16, 24),
        touches_encoder=True,
        fields={"frequency": True, "side_channels": 24, "refinements": 1},
    ),
    "ts_sam_paper": Row(
        "ts_sam",
        ts_sam_numbers(WIDTH),
        touches_encoder=True,
        fields={"paper": True},
        cancelled=(
            "inject.0.bias",
            "collect.0.bias",
            "squeeze.0.bias",
            "twofold.0.bias",
            "fourfold.0.0.bias",
            "fourfold.1.0.bias",
        ),
    ),
    "lst": Row("lst", lst_numbers(100) + decoder_numbers(), touches_encoder=True),
    "lst_narrow": Row(
        "lst", lst_numbers(6) + decoder_numbers(), touches_encoder=True, fields={"width": 6, "num_heads": 2}
    ),
    "full": Row("full", EVERYTHING, touches_encoder=True, idle=SILENT),
    "scratch": Row("scratch", EVERYTHING, touches_encoder=True, redraws=True, idle=SILENT),
    "probe": Row("probe", WIDTH + 1, touches_encoder=False, scale=1),
}
