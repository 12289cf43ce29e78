"""The numbers of trained parameters that the papers give, or that follow from their shapes, on SAM's three sizes.

One class, offline: the architectures are built without weights, as `samtune methods --base NAME --json` does.
"""

from __future__ import annotations

import pytest

from samtune.cli.methods_verb import count, variants
from samtune.methods import METHODS
from tests.methods.contract import ROWS

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


@pytest.mark.parametrize("name", METHODS.own)
@pytest.mark.parametrize(("place", "size"), list(enumerate(SIZES)))
def test_trained_parameters_are_the_published_ones(name: str, place: int, size: str) -> None:
    _, row = count(name, f"facebook/sam-vit-{size}", 1)
    assert row["trainable"] == TRAINED[name][place]
    if name in IN_ENCODER:
        assert row["encoder_trainable"] == IN_ENCODER[name][place]


RATIO_PERCENT = {
    "scratch": 100, "decoder_only": 0.55, "bitfit": 0.62, "adapter": 0.61, "vpt": 0.62, "lst": 1.77, "ssf": 0.69,
    "lora": 0.62, "conv_lora": 0.63,
}  # fmt: skip
"""Of Conv-LoRA's tables, for ViT-H. The row of LST tells what they divide by: 11.49 M are 1.79 % of the base's 641.09
M, and 1.77 % of these with the 7.98 M that it adds."""


@pytest.mark.parametrize(("name", "percent"), RATIO_PERCENT.items())
def test_the_share_is_that_of_the_papers_tables(name: str, percent: float) -> None:
    _, row = count(name, "facebook/sam-vit-huge", 1)
    assert row["total"] == 641_090_608
    assert row["adapted_total"] >= row["total"]
    assert round(100 * row["share"], 2) == percent


def test_the_share_of_the_variant_in_that_table() -> None:
    _, row = count("sam_adapter", "facebook/sam-vit-huge", 1, factor=16, decoder="used")
    assert round(100 * row["share"], 2) == 0.62


@pytest.mark.parametrize("name", METHODS.own)
def test_no_method_trains_more_than_there_is(name: str) -> None:
    _, row = count(name, "nano", 3 if ROWS[name].more_classes else 1)
    assert 0 < row["share"] <= 1


@pytest.mark.parametrize(("place", "size"), list(enumerate(SIZES)))
def test_published_variants_are_counted_beside_the_default(place: int, size: str) -> None:
    base = f"facebook/sam-vit-{size}"
    (shadows,) = variants("ts_sam", base, 1)
    assert shadows["trainable"] == TRAINED["ts_sam"][place] + FREQUENCY
    (table,) = variants("sam_adapter", base, 1)
    assert table["fields"] == {"factor": 16, "decoder": "used"}
    assert table["trainable"] == (3_645_216, 3_786_752, 3_980_576)[place]
