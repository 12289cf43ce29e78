"""The rows of the contract: one for each method, and for variants worth their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samtune.methods import adapt, make_method
from tests.tiny import tiny_sam

if TYPE_CHECKING:
    from samtune.methods import Method
    from samtune.sam import Sam

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


@dataclass(frozen=True)
class Row:
    """What the contract expects of one method."""

    method: str
    count: int
    touches_encoder: bool
    fields: dict[str, Any] = field(default_factory=dict)
    more_classes: bool = True

    def build(self) -> Method:
        """The method itself."""
        return make_method(self.method, **self.fields)

    def adapted(self, num_classes: int = 1, seed: int = 0, **base: Any) -> Sam:
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
    "ptsam_encoder": Row("ptsam_encoder", TOKENS + ENCODER_TOKENS, touches_encoder=True),
    "ptsam_encoder_gated": Row(
        "ptsam_encoder", TOKENS + ENCODER_TOKENS + BLOCKS, touches_encoder=True, fields={"gated": True}
    ),
    "decoder_only": Row("decoder_only", decoder_numbers(), touches_encoder=False),
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
}
