"""The numbers of trained parameters that the papers give, or that follow from their shapes, on SAM's three sizes.

One class, offline: the architectures are built without weights, as `samtune methods --base NAME --json` does.
"""

from __future__ import annotations

import pytest

from samtune.cli.methods_verb import count, variants
from samtune.methods import METHODS

DECODER = 3_505_536

TRAINED = {
    "ptsam": (2_048, 2_048, 2_048),
    "ptsam_encoder": (75_776, 198_656, 329_728),
    "decoder_only": (DECODER, DECODER, DECODER),
    "lora": (3_616_128, 3_800_448, 3_997_056),
    "conv_lora": (DECODER + 119_232, DECODER + 312_192, 4_020_096),
    "vpt": (3_616_128, 3_800_448, 3_997_056),
    "adapter": (3_597_744, 3_751_392, 3_915_264),
    "bitfit": (3_608_192, 3_777_408, 3_957_888),
    "ssf": (3_711_360, 4_049_792, 4_410_752),
    "sam_adapter": (4_121_908, 4_175_140, 4_245_556),
    "ts_sam": (11_892_865, 20_403_073, 29_437_569),
    "lst": (5_910_003, 8_902_815, 11_512_423),
    "full": (93_735_472, 312_342_832, 641_090_608),
    "scratch": (93_735_472, 312_342_832, 641_090_608),
    "probe": (257, 257, 257),
}
IN_ENCODER = {"conv_lora": (119_232, 312_192, 514_560), "lora": (110_592, 294_912, 491_520)}
FREQUENCY = 196_864
SIZES = ("base", "large", "huge")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("place", "size"), list(enumerate(SIZES)))
def test_trained_parameters_are_the_published_ones(name: str, place: int, size: str) -> None:
    _, row = count(name, f"facebook/sam-vit-{size}", 1)
    assert row["trainable"] == TRAINED[name][place]
    if name in IN_ENCODER:
        assert row["encoder_trainable"] == IN_ENCODER[name][place]


@pytest.mark.parametrize(("place", "size"), list(enumerate(SIZES)))
def test_published_variants_are_counted_beside_the_default(place: int, size: str) -> None:
    base = f"facebook/sam-vit-{size}"
    (shadows,) = variants("ts_sam", base, 1)
    assert shadows["trainable"] == TRAINED["ts_sam"][place] + FREQUENCY
    (table,) = variants("sam_adapter", base, 1)
    assert table["fields"] == {"factor": 16, "decoder": "used"}
    assert table["trainable"] == (3_645_216, 3_786_752, 3_980_576)[place]
