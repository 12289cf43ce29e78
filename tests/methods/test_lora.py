"""LoRA against a naive sum, and folding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from samtune.errors import ConfigError, MethodError
from samtune.methods import adapt, fold, make_method
from samtune.methods.lora import LoRALinear
from tests.tiny import tiny_sam


@pytest.mark.parametrize("bias", [True, False])
def test_equals_a_naive_einsum(bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(5, 7, bias=bias)
    layer = LoRALinear(plain, rank=2, alpha=3.0)
    tokens = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(layer(tokens), plain(tokens))  # B is zero at the start
    with torch.no_grad():
        layer.lora_b.normal_()
        update = torch.einsum("or,ri,bhwi->bhwo", layer.lora_b, layer.lora_a, tokens)
        expected = plain(tokens) + 3.0 / 2 * update
        folded = layer.folded()
        assert torch.allclose(layer(tokens), expected, atol=1e-6)
        assert torch.allclose(folded(tokens), expected, atol=1e-5)
    assert type(folded) is nn.Linear
    assert layer.weight is plain.weight


def test_fold_leaves_plain_linears_and_the_same_embedding() -> None:
    model = adapt(tiny_sam(), make_method("lora", roles=["qkv", "mlp_out"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("lora_b"):
                parameter.normal_(0, 0.1)
        images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
        before = model.encode(images).embedding
        after = fold(model).encode(images).embedding
        base = tiny_sam().encode(images).embedding
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(before, base, atol=1e-2)
    assert all(type(block.at("qkv")) is nn.Linear for block in model.blocks)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"`lora\.rank` >= 1"):
        make_method("lora", rank=0)
    with pytest.raises(ConfigError, match="at least one role"):
        make_method("lora", roles=[])
    with pytest.raises(ConfigError, match="each role once"):
        make_method("lora", roles=["qkv", "qkv"])
    model = tiny_sam()
    keys = set(model.state_dict())
    with pytest.raises(MethodError, match=r"Expected 1 class .* got 3"):
        adapt(model, make_method("lora", decoder=False), num_classes=3)
    assert set(model.state_dict()) == keys
