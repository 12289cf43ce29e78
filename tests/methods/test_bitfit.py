"""BitFit trains every bias of the encoder, by itself and by the count of the paper's table."""

from __future__ import annotations

import torch

from samtune.bases import build
from samtune.methods import adapt, delta, make_method, trainable
from tests.tiny import tiny_sam


def test_trains_exactly_the_biases_of_the_encoder() -> None:
    model = adapt(tiny_sam(), make_method("bitfit"))
    own = {name for name in trainable(model) if name.startswith("vision_encoder.")}
    assert own == {
        "vision_encoder.patch_embed.projection.bias",
        "vision_encoder.neck.layer_norm1.bias",
        "vision_encoder.neck.layer_norm2.bias",
        *(
            f"vision_encoder.layers.{block}.{place}.bias"
            for block in range(2)
            for place in ("layer_norm1", "attn.qkv", "attn.proj", "layer_norm2", "mlp.lin1", "mlp.lin2")
        ),
    }
    assert own <= set(delta(model)), "trained tensors of the base are saved"


def test_the_base_keeps_its_keys_and_the_delta_holds_no_more_than_what_is_trained() -> None:
    model = adapt(tiny_sam(), make_method("bitfit"))
    extra = set(model.state_dict()) - set(tiny_sam().state_dict())
    assert all(key.startswith("mask_decoder.classes.") for key in extra)
    assert set(delta(model)) == set(trainable(model))


def test_a_bias_of_the_encoder_changes_the_features() -> None:
    model = adapt(tiny_sam(), make_method("bitfit"))
    pixels = torch.zeros(1, 3, 96, 96)
    with torch.no_grad():
        before = model.encode(pixels).embedding
        model.blocks[0].attn.qkv.bias.add_(0.5)
        assert not torch.allclose(model.encode(pixels).embedding, before, atol=1e-3)


def test_on_vit_h_the_count_is_that_of_the_table() -> None:
    model = adapt(build("facebook/sam-vit-huge"), make_method("bitfit"))
    counts = {name: parameter.numel() for name, parameter in trainable(model).items()}
    assert sum(n for name, n in counts.items() if name.startswith("vision_encoder.")) == 452_352
    assert sum(counts.values()) == 3_957_888
